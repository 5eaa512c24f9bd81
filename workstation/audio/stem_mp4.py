"""Native Instruments stem files: five audio streams in an MP4, and a box that names them.

The `stem` box in `moov/udta` holds JSON with a name and colour for each of the four stems;
stream 0 is the mix, streams 1 to 4 are the stems. Boxes after ISO/IEC 14496-12.
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import BinaryIO

import msgspec

from workstation.model import InputError
from workstation.model.names import shown

_MOST_BOX_BYTES = 1 << 20
_MOST_STEMS = 16
_MOST_NAME = 100
_BOXES = (b"moov", b"udta", b"stem")
_GREY = "#9aa0a6"


class StemTrack(msgspec.Struct, frozen=True):
    """One stem inside a stem file: its name, its colour (`#rrggbb`) and its audio stream."""

    name: str
    colour: str
    stream: int


def stem_tracks(path: Path | str) -> list[StemTrack] | None:
    """List the stems of a `.stem.mp4` or `.stem.m4a`; None if the file is not one.

    Read the audio of a stem with `open_audio(path, stream=track.stream)`.

    Raises:
        InputError: The file cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.read(8)[4:] != b"ftyp":
                return None
            text = _box(file, 0, file.seek(0, 2), _BOXES)
    except OSError as error:
        raise InputError(
            f"{shown(path)} cannot be read: {error.strerror}.", "Check the file."
        ) from error
    return None if text is None else _tracks(text)


def _tracks(text: bytes) -> list[StemTrack] | None:
    """Stems by the contents of the box; None if it is not the box of a stem file after all."""
    try:
        stems = json.loads(text)["stems"][:_MOST_STEMS]
        return [
            StemTrack(_name(stem.get("name"), index), _colour(stem.get("color")), index)
            for index, stem in enumerate(stems, start=1)
        ] or None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _box(file: BinaryIO, start: int, end: int, names: tuple[bytes, ...]) -> bytes | None:
    """Contents of the box that is reached by a path of names, between two places of a file."""
    at = start
    while at + 8 <= end:
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1 and at + 16 <= end:
            size, head = struct.unpack(">Q", file.read(8))[0], 16
        elif size == 0:
            size = end - at
        if size < head or at + size > end:
            return None
        if name == names[0]:
            if len(names) > 1:
                return _box(file, at + head, at + size, names[1:])
            return file.read(size - head) if size <= _MOST_BOX_BYTES else None
        at += size
    return None


def _name(text: object, index: int) -> str:
    kept = "".join(c for c in text if c.isprintable()) if isinstance(text, str) else ""
    return kept.strip()[:_MOST_NAME] or f"Stem {index}"


def _colour(text: object) -> str:
    known = isinstance(text, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", text)
    return str(text).lower() if known else _GREY
