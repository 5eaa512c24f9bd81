"""Title, artist and picture of a song file. A file with odd tags still opens."""

from __future__ import annotations

import struct
import unicodedata
from pathlib import Path

import msgspec

_MOST_TEXT = 300
_MOST_COVER_BYTES = 20_000_000
_PICTURES = {b"\xff\xd8\xff": ".jpg", b"\x89PNG\r\n\x1a\n": ".png"}
# Tags come from strangers: a reader that stumbles over them must not stop the song.
_STUMBLES = (
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    EOFError,
    MemoryError,
    RecursionError,
    struct.error,
)


class Tags(msgspec.Struct, frozen=True):
    """What a song file says about itself; empty where it says nothing.

    Attributes:
        title: Name of the song.
        artist: Who made it.
        album: Where it appeared.
        cover: The picture, as it lies in the file.
        cover_suffix: `.jpg` or `.png`: what the picture is by its first bytes.
    """

    title: str = ""
    artist: str = ""
    album: str = ""
    cover: bytes | None = None
    cover_suffix: str | None = None


def read_tags(path: Path | str) -> Tags:
    """Read the tags of an audio file; tags that cannot be read count as absent.

    Text is cleaned of control characters and cut at 300 characters; pictures above 20 MB
    and of other kinds than JPEG and PNG are left out.
    """
    path = Path(path)
    return _by_tinytag(path) or _by_ffmpeg(path) or Tags()


def _by_tinytag(path: Path) -> Tags | None:
    from tinytag import TinyTag, TinyTagException

    try:
        tag = TinyTag.get(path, image=True)
        picture = tag.images.any
        return _tags(tag.title, tag.artist, tag.album, picture.data if picture else None)
    except (TinyTagException, *_STUMBLES):
        return None


def _by_ffmpeg(path: Path) -> Tags | None:
    from workstation.audio.ffmpeg_decoder import open_container
    from workstation.model import InputError

    try:
        with open_container(path) as container:
            found = {key.lower(): value for key, value in container.metadata.items()}
    except (InputError, *_STUMBLES):
        return None
    return _tags(found.get("title"), found.get("artist"), found.get("album"), None)


def _tags(title: object, artist: object, album: object, cover: bytes | None) -> Tags:
    suffix = _picture_suffix(cover) if cover else None
    return Tags(_clean(title), _clean(artist), _clean(album), cover if suffix else None, suffix)


def _clean(text: object) -> str:
    if not isinstance(text, str):
        return ""
    kept = "".join(c if unicodedata.category(c) not in {"Cc", "Cs", "Cn"} else " " for c in text)
    return " ".join(kept.split())[:_MOST_TEXT]


def _picture_suffix(data: bytes) -> str | None:
    if len(data) > _MOST_COVER_BYTES:
        return None
    return next((suffix for head, suffix in _PICTURES.items() if data.startswith(head)), None)
