"""The chunks of WAV and AIFF files: headers that are written, and chunks that are walked.

RIFF/WAVE after the "Multimedia Programming Interface and Data Specifications 1.0" (1991),
RF64 for files from 4 GiB on after EBU Tech 3306, FORM/AIFF after Apple's AIFF 1.3 (1989).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

SIZE_IN_DS64 = 0xFFFF_FFFF  # Stands where RF64 has a size in its `ds64` chunk.
_PCM_TAG, _FLOAT_TAG, _EXTENSIBLE_TAG = 1, 3, 0xFFFE
# What follows the tag in the GUIDs of WAVE_FORMAT_EXTENSIBLE (KSDATAFORMAT_SUBTYPE_…).
_SUBTYPE_TAIL = bytes.fromhex("000000001000800000aa00389b71")
_DS64 = "<QQQI"  # Sizes of RIFF and of `data`, number of frames, number of further sizes.


class Chunk(NamedTuple):
    """One chunk: its name, where its contents start, and how long the header says they are."""

    name: bytes
    start: int
    size: int


def wav_header(
    *,
    sample_rate_hz: int,
    channels: int,
    frames: int,
    bits: int,
    floating: bool = False,
    channel_mask: int | None = None,
) -> bytes:
    """Everything of a WAV before its samples.

    With a mask, which has a bit for every speaker in the order of channels (0x3F is 5.1), the
    format is WAVE_FORMAT_EXTENSIBLE; without one it is the plain format.

    The header has the same length for any number of frames: from 4 GiB on the file is RF64,
    below that the room for the 64-bit sizes is an empty `JUNK` chunk.
    """
    frame_bytes = channels * bits // 8
    data_bytes = frames * frame_bytes
    sample_tag = _FLOAT_TAG if floating else _PCM_TAG
    tag = sample_tag if channel_mask is None else _EXTENSIBLE_TAG
    fmt = struct.pack(
        "<HHIIHH", tag, channels, sample_rate_hz, sample_rate_hz * frame_bytes, frame_bytes, bits
    )
    if channel_mask is not None:
        fmt += struct.pack("<HHIH", 22, bits, channel_mask, sample_tag) + _SUBTYPE_TAIL
    elif floating:
        fmt += b"\0\0"
    tail = chunk(b"fmt ", fmt)
    if floating:
        tail += chunk(b"fact", struct.pack("<I", min(frames, SIZE_IN_DS64)))
    sizes = struct.calcsize(_DS64)
    riff_bytes = 4 + 8 + sizes + len(tail) + 8 + data_bytes + data_bytes % 2
    large = needs_rf64(riff_bytes)
    return (
        riff_start(riff_bytes, data_bytes, frames, large=large)
        + tail
        + struct.pack("<4sI", b"data", SIZE_IN_DS64 if large else data_bytes)
    )


def needs_rf64(riff_bytes: int) -> bool:
    """Whether a file, without its first 8 bytes, is too long for RIFF."""
    return riff_bytes > 0xFFFF_FFFF


def riff_start(riff_bytes: int, data_bytes: int, frames: int, *, large: bool) -> bytes:
    """The head of a WAV file with room for 64-bit sizes, which `large` files (RF64) use.

    Args:
        riff_bytes: Size of the whole file less 8 bytes.
        data_bytes: Size of the samples.
        frames: Samples per channel.
        large: Whether the file is RF64.
    """
    if large:
        sizes = chunk(b"ds64", struct.pack(_DS64, riff_bytes, data_bytes, frames, 0))
        return struct.pack("<4sI4s", b"RF64", SIZE_IN_DS64, b"WAVE") + sizes
    room = chunk(b"JUNK", bytes(struct.calcsize(_DS64)))
    return struct.pack("<4sI4s", b"RIFF", riff_bytes, b"WAVE") + room


def chunk(name: bytes, contents: bytes) -> bytes:
    """One chunk with its header, padded to an even length."""
    return struct.pack("<4sI", name, len(contents)) + contents + b"\0" * (len(contents) % 2)


def walk_chunks(file: BinaryIO) -> Iterator[Chunk]:
    """Walk the chunks of a WAV, RF64 or AIFF file; nothing for any other file.

    Sizes are what the headers say, which may be more than the file has. Samples whose size
    was left open, as programs do that write into a pipe, reach to the end of the file.
    """
    end = file.seek(0, 2)
    file.seek(0)
    head = file.read(12)
    if head[:4] not in {b"RIFF", b"RF64", b"FORM"} or len(head) < 12:
        return
    header = ">4sI" if head[:4] == b"FORM" else "<4sI"
    data_bytes = None
    at = 12
    while at + 8 <= end:
        file.seek(at)
        name, size = struct.unpack(header, file.read(8))
        start = at + 8
        if name == b"ds64" and start + 24 <= end:
            data_bytes = struct.unpack("<Q", file.read(24)[8:16])[0]
        if name == b"data" and size in {0, SIZE_IN_DS64}:
            size = data_bytes or end - start
        yield Chunk(name, start, size)
        at = start + size + size % 2
