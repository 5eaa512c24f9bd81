"""Broadcast, marker and loop chunks in WAV files; the samples stay untouched.

`bext` after EBU Tech 3285, `cue ` and `LIST adtl` after the RIFF specification of 1991, `smpl`
after its revision of 1994. `acid` was never published: its layout is that which JUCE, dr_wav,
GStreamer and libsndfile read and write.
"""

from __future__ import annotations

import struct
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec

from workstation.audio.files import atomic_file
from workstation.audio.riff import SIZE_IN_DS64, Chunk, chunk, needs_rf64, riff_start, walk_chunks
from workstation.model import InputError
from workstation.model.names import shown

_PIECE_BYTES = 1 << 22
_MIDDLE_C = 60
_ACID_ROOT_SET, _ACID_STRETCH, _ACID_C = 0x02, 0x04, 48
_START_BYTES = 12 + 36  # What `riff_start` writes.


class Bext(msgspec.Struct, frozen=True, kw_only=True):
    """Broadcast information: who made the file, and where it starts.

    Attributes:
        description: What it is; 256 characters of ASCII are kept.
        originator: Who made it; 32 characters of ASCII are kept.
        time_reference_frames: Where the file starts on the timeline.
    """

    description: str
    originator: str = "workstation"
    time_reference_frames: int = 0


class Cue(msgspec.Struct, frozen=True):
    """A marker: a frame and a label."""

    frame: int
    label: str


class Loop(msgspec.Struct, frozen=True, kw_only=True):
    """That a file is to be played round and round, and how long it is in beats.

    Attributes:
        frames: Length of the file.
        sample_rate_hz: Its rate.
        beats: Its length in beats.
        beats_per_bar: Its meter, over quarters.
        root: Pitch class of its key, 0 (C) to 11 (B); None where it has none, as drums.
    """

    frames: int
    sample_rate_hz: int
    beats: int
    beats_per_bar: int = 4
    root: int | None = None

    @property
    def bpm(self) -> float:
        """Tempo at which the beats fill the file exactly."""
        return 60.0 * self.beats * self.sample_rate_hz / self.frames


def add_wav_chunks(
    path: Path | str,
    *,
    bext: Bext | None = None,
    cues: Sequence[Cue] = (),
    loop: Loop | None = None,
) -> None:
    """Rewrite a WAV with a `bext` chunk before its format, cues and loop after its samples.

    Chunks of these kinds that were there are replaced; all others stay. The file becomes RF64
    if it grows beyond 4 GiB.

    Args:
        path: The WAV file; it is replaced whole or not at all.
        bext: Broadcast information; its date stays empty, so that equal audio gives equal files.
        cues: Markers; labels are written as UTF-8.
        loop: Makes it a loop for samplers (`smpl`) and for DAWs that follow tempo (`acid`).

    Raises:
        InputError: The file cannot be read, or is no WAV.
        OutputError: The file cannot be written.
    """
    path = Path(path)
    try:
        source = path.open("rb")
    except OSError as error:
        raise InputError(
            f"{shown(path)} cannot be read: {error.strerror}.", "Check the file."
        ) from error
    with source:
        kept = _kept_chunks(source, path)
        before = chunk(b"bext", _bext(bext)) if bext else b""
        after = (_cues(cues) if cues else b"") + (_loop(loop) if loop else b"")
        with atomic_file(path) as partial, partial.open("wb") as target:
            _write(source, target, kept, before, after)


def _kept_chunks(source: BinaryIO, path: Path) -> list[Chunk]:
    """Chunks that go over into the new file, checked to be those of a WAV."""
    found = list(walk_chunks(source))
    source.seek(8)
    names = [part.name for part in found]
    end = source.seek(0, 2)
    source.seek(8)
    whole = all(part.start + part.size <= end for part in found)
    if source.read(4) != b"WAVE" or not {b"fmt ", b"data"} <= set(names) or not whole:
        raise InputError(
            f"{shown(path)} cannot carry markers: it is not a whole WAV file.",
            "Export it again as WAV.",
        )
    return [part for part in found if not _is_replaced(source, part)]


def _is_replaced(source: BinaryIO, part: Chunk) -> bool:
    if part.name == b"LIST":
        source.seek(part.start)
        return source.read(4) == b"adtl"
    return part.name in {b"bext", b"cue ", b"ds64", b"JUNK", b"smpl", b"acid"}


def _write(
    source: BinaryIO, target: BinaryIO, kept: Sequence[Chunk], before: bytes, after: bytes
) -> None:
    body = sum(8 + part.size + part.size % 2 for part in kept)
    riff_bytes = _START_BYTES - 8 + len(before) + body + len(after)
    large = needs_rf64(riff_bytes)
    data = next(part for part in kept if part.name == b"data")
    fmt = next(part for part in kept if part.name == b"fmt ")
    source.seek(fmt.start + 12)
    frame_bytes = max(1, struct.unpack("<H", source.read(2))[0])
    target.write(riff_start(riff_bytes, data.size, data.size // frame_bytes, large=large) + before)
    for part in kept:
        size = SIZE_IN_DS64 if large and part is data else part.size
        target.write(struct.pack("<4sI", part.name, size))
        _copy(source, target, part)
        target.write(b"\0" * (part.size % 2))
    target.write(after)


def _copy(source: BinaryIO, target: BinaryIO, part: Chunk) -> None:
    source.seek(part.start)
    left = part.size
    while left > 0:
        piece = source.read(min(left, _PIECE_BYTES))
        target.write(piece)
        left -= len(piece)


def _bext(bext: Bext) -> bytes:
    """The 602 bytes of version 1."""
    return struct.pack(
        "<256s32s32s10s8sQH64s10s180s",
        _ascii(bext.description),
        _ascii(bext.originator),
        b"",  # Reference of the originator, date and time: left empty.
        b"",
        b"",
        bext.time_reference_frames,
        1,
        b"",
        b"",
        b"",
    )


def _ascii(text: str) -> bytes:
    plain = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
    return plain.encode("ascii", "replace")


def _cues(cues: Sequence[Cue]) -> bytes:
    points = struct.pack("<I", len(cues)) + b"".join(
        struct.pack("<II4sIII", number, cue.frame, b"data", 0, 0, cue.frame)
        for number, cue in enumerate(cues, start=1)
    )
    labels = b"adtl" + b"".join(
        chunk(b"labl", struct.pack("<I", number) + cue.label.encode() + b"\0")
        for number, cue in enumerate(cues, start=1)
    )
    return chunk(b"cue ", points) + chunk(b"LIST", labels)


def _loop(loop: Loop) -> bytes:
    """A sampler's loop over the whole file, and its tempo, meter and key."""
    period_ns = round(1e9 / loop.sample_rate_hz)
    sampler = struct.pack("<9I", 0, 0, period_ns, _MIDDLE_C, 0, 0, 0, 1, 0)
    sampler += struct.pack("<6I", 0, 0, 0, loop.frames - 1, 0, 0)  # Its last frame included.
    flags = _ACID_STRETCH | (_ACID_ROOT_SET if loop.root is not None else 0)
    root = _ACID_C + (loop.root or 0)
    acid = struct.pack(
        "<IHHfIHHf", flags, root, 0x8000, 0.0, loop.beats, 4, loop.beats_per_bar, loop.bpm
    )
    return chunk(b"smpl", sampler) + chunk(b"acid", acid)
