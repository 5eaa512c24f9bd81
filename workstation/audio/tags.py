"""Title, artist and picture of a song file. A file with odd tags still opens."""

from __future__ import annotations

import contextlib
import unicodedata
from pathlib import Path
from typing import Any

import msgspec

_MOST_TEXT = 300
_MOST_COVER_BYTES = 20_000_000
_PICTURES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"RIFF": ".webp"}


class Tags(msgspec.Struct, frozen=True):
    """What a song file says about itself; empty where it says nothing.

    Attributes:
        title: Name of the song.
        artist: Who made it.
        album: Where it appeared.
        cover: The picture, as it lies in the file.
        cover_suffix: `.jpg`, `.png`, …: what the picture is by its first bytes.
    """

    title: str = ""
    artist: str = ""
    album: str = ""
    cover: bytes | None = None
    cover_suffix: str | None = None


def read_tags(path: Path | str) -> Tags:
    """Read the tags of an audio file; tags that cannot be read count as absent.

    Text is cleaned of control characters and cut at 300 characters; pictures above 20 MB
    and of unknown kind are left out.
    """
    path = Path(path)
    found = _tinytag(path)
    if found is None:
        found = _ffmpeg(path)
    cover = found.get("cover")
    suffix = _picture_suffix(cover) if cover else None
    return Tags(
        _clean(found.get("title")),
        _clean(found.get("artist")),
        _clean(found.get("album")),
        cover if suffix else None,
        suffix,
    )


def _tinytag(path: Path) -> dict[str, Any] | None:
    from tinytag import TinyTag, TinyTagException

    # Tags come from strangers: a reader that stumbles over them must not stop the song.
    with contextlib.suppress(
        TinyTagException,
        OSError,
        ValueError,
        IndexError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        MemoryError,
    ):
        tag = TinyTag.get(path, image=True)
        picture = tag.images.any
        return {
            "title": tag.title,
            "artist": tag.artist,
            "album": tag.album,
            "cover": picture.data if picture else None,
        }
    return None


def _ffmpeg(path: Path) -> dict[str, Any]:
    import av
    import av.logging

    av.logging.set_level(None)
    try:
        with av.open(str(path), metadata_errors="replace") as container:
            return {key.lower(): value for key, value in container.metadata.items()}
    except (av.FFmpegError, OSError, ValueError):
        return {}


def _clean(text: object) -> str:
    if not isinstance(text, str):
        return ""
    kept = "".join(c if unicodedata.category(c) not in {"Cc", "Cs", "Cn"} else " " for c in text)
    return " ".join(kept.split())[:_MOST_TEXT]


def _picture_suffix(data: bytes) -> str | None:
    if len(data) > _MOST_COVER_BYTES:
        return None
    return next((suffix for head, suffix in _PICTURES.items() if data.startswith(head)), None)
