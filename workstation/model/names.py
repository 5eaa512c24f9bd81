"""Names that are safe as files on every system, and the colours of stems."""

from __future__ import annotations

import re
import unicodedata

from workstation.model.stem_roles import role_colour

# What Windows, macOS and Linux refuse in file names, and characters that control the text.
_FORBIDDEN = re.compile(r'[\x00-\x1f\x7f\u202a-\u202e\u2066-\u2069<>:"/\\|?*]+')
_RESERVED = {
    "con",
    "prn",
    "aux",
    "nul",
    *(f"com{i}" for i in range(1, 10)),
    *(f"lpt{i}" for i in range(1, 10)),
}

_SPARE_COLOURS = ("#56b4c4", "#a8b545", "#c77f5a", "#7f8fd9", "#c45a9a", "#6aa84f")


def file_name(name: str, *, fallback: str, max_bytes: int = 120) -> str:
    """Turn any text into one safe file name without folders, as UTF-8 of bounded length.

    >>> file_name("../AC/DC: Live?", fallback="song")
    'AC DC Live'
    >>> file_name("..", fallback="song")
    'song'
    """
    text = unicodedata.normalize("NFC", name)
    text = _FORBIDDEN.sub(" ", text)
    text = "".join(c for c in text if unicodedata.category(c) not in {"Cc", "Cs", "Co", "Cn"})
    text = " ".join(text.split()).strip(" .")
    while len(text.encode()) > max_bytes:
        text = text[:-1]
    text = text.strip(" .")
    if not text or text.split(".")[0].lower() in _RESERVED:
        return fallback
    return text


def ascii_name(name: str, *, fallback: str, max_length: int = 60) -> str:
    """Turn any text into a file name of plain ASCII, for formats that need it.

    >>> ascii_name("Björk – Jóga", fallback="song")
    'Bjork Joga'
    """
    text = unicodedata.normalize("NFKD", file_name(name, fallback=fallback))
    text = text.encode("ascii", "ignore").decode()
    text = " ".join(text.split())[:max_length].strip(" .")
    return text if re.search(r"[A-Za-z0-9]", text) else fallback


def shown(path: object) -> str:
    r"""Text as it can be printed in one line: what cannot be printed becomes `\ufffd`.

    >>> shown("bad\nname.wav") == "bad\ufffdname.wav"
    True
    """
    return "".join(c if c.isprintable() else "\ufffd" for c in str(path))


def stem_colour(name: str, index: int) -> str:
    """Colour of a stem as `#rrggbb`: its own if it is a usual stem, else by position."""
    return role_colour(name) or _SPARE_COLOURS[index % len(_SPARE_COLOURS)]
