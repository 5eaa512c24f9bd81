"""Broadcast and marker chunks in WAV files; the samples stay untouched.

`bext` after EBU Tech 3285, `cue ` and `LIST adtl` after the RIFF specification of 1991.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from workstation.audio.files import atomic_file
from workstation.model import OutputError

_COPY_BYTES = 1 << 22


class Bext(msgspec.Struct, frozen=True, kw_only=True):
    """Broadcast information: who made the file, and where it starts.

    Attributes:
        description: What it is, at most 256 bytes.
        originator: Who made it, at most 32 bytes.
        time_reference_frames: Where the file starts on the timeline.
    """

    description: str
    originator: str = "workstation"
    time_reference_frames: int = 0


class Cue(msgspec.Struct, frozen=True):
    """A marker: a frame and a label."""

    frame: int
    label: str


def add_wav_chunks(path: Path, *, bext: Bext | None = None, cues: Sequence[Cue] = ()) -> None:
    """Rewrite a WAV with a `bext` chunk before its format and cue chunks after its samples.

    Raises:
        OutputError: The file is no plain WAV, would grow beyond 4 GiB, or cannot be written.
    """
    head = _chunk(b"bext", _bext(bext)) if bext else b""
    tail = _cues(cues) if cues else b""
    with path.open("rb") as source:
        if source.read(4) != b"RIFF":
            raise OutputError(
                f"{path} cannot carry markers: it is no plain WAV below 4 GiB.",
                "Export shorter stems, or FLAC.",
            )
        source.seek(0, 2)
        body = source.tell() - 12
        padding = body % 2
        size = 4 + len(head) + body + padding + len(tail)
        if size > 0xFFFF_FFFF:
            raise OutputError(
                f"{path} would grow beyond 4 GiB with its markers.",
                "Export shorter stems, or FLAC.",
            )
        source.seek(12)
        with atomic_file(path) as partial, partial.open("wb") as target:
            target.write(struct.pack("<4sI4s", b"RIFF", size, b"WAVE") + head)
            _copy(source, target)
            target.write(b"\0" * padding + tail)


def _copy(source: BinaryIO, target: BinaryIO) -> None:
    while block := source.read(_COPY_BYTES):
        target.write(block)


def _chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack("<4sI", name, len(data)) + data + b"\0" * (len(data) % 2)


def _bext(bext: Bext) -> bytes:
    """The 602 bytes of version 1; texts are ASCII, dates are left empty to stay the same."""
    return struct.pack(
        "<256s32s32s10s8sQH64s10s180s",
        _ascii(bext.description, 256),
        _ascii(bext.originator, 32),
        b"",
        b"",
        b"",
        bext.time_reference_frames,
        1,
        b"",
        b"",
        b"",
    )


def _ascii(text: str, most: int) -> bytes:
    return text.encode("ascii", "replace")[:most]


def _cues(cues: Sequence[Cue]) -> bytes:
    points = struct.pack("<I", len(cues)) + b"".join(
        struct.pack("<II4sIII", number, cue.frame, b"data", 0, 0, cue.frame)
        for number, cue in enumerate(cues, start=1)
    )
    labels = b"adtl" + b"".join(
        _chunk(b"labl", struct.pack("<I", number) + cue.label.encode() + b"\0")
        for number, cue in enumerate(cues, start=1)
    )
    return _chunk(b"cue ", points) + _chunk(b"LIST", labels)
