"""Native Instruments stem files: five audio streams in an MP4, and a box that names them.

The `stem` box in `moov/udta` holds JSON with a name and colour for each of the four stems;
stream 0 is the mix, streams 1 to 4 are the stems.
"""

from __future__ import annotations

import json
import re
import struct
from pathlib import Path
from typing import BinaryIO

import msgspec

_MOST_BOX_BYTES = 1 << 20
_CONTAINERS = (b"moov", b"udta")


class StemTrack(msgspec.Struct, frozen=True):
    """One stem inside a stem file: its name, its colour (`#rrggbb`) and its audio stream."""

    name: str
    colour: str
    stream: int


def stem_tracks(path: Path | str) -> list[StemTrack] | None:
    """List the stems of a `.stem.mp4`; None if the file is not one.

    Raises:
        OSError: The file cannot be read.
    """
    path = Path(path)
    with path.open("rb") as file:
        if file.read(8)[4:] != b"ftyp":
            return None
        text = _stem_box(file, 0, path.stat().st_size, _CONTAINERS)
    if text is None:
        return None
    try:
        stems = json.loads(text)["stems"]
        return [
            StemTrack(str(stem["name"])[:100] or f"Stem {index}", _colour(stem.get("color")), index)
            for index, stem in enumerate(stems[:16], start=1)
        ]
    except (ValueError, KeyError, TypeError, AttributeError):
        return None  # Not the box of a stem file after all.


def _stem_box(file: BinaryIO, start: int, end: int, containers: tuple[bytes, ...]) -> bytes | None:
    """Contents of the `stem` box under a path of container boxes."""
    wanted = containers[0] if containers else b"stem"
    at = start
    while at + 8 <= end:
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1:
            size, head = struct.unpack(">Q", file.read(8))[0], 16
        if size == 0:
            size = end - at
        if size < head or at + size > end:
            return None
        if name == wanted:
            if containers:
                return _stem_box(file, at + head, at + size, containers[1:])
            if size <= _MOST_BOX_BYTES:
                return file.read(size - head)
        at += size
    return None


def _colour(text: object) -> str:
    known = isinstance(text, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", text)
    return str(text).lower() if known else "#9aa0a6"
