"""Names as text that every project file can hold."""

from __future__ import annotations

import unicodedata

# Control characters, halves of characters, line ends, and what turns the direction of text.
_NOT_TEXT = {"Cc", "Cs", "Zl", "Zp"}
_DIRECTION = {*range(0x202A, 0x202F), *range(0x2066, 0x206A)}


def one_line(text: str) -> str:
    r"""Text in one line, without what XML 1.0, MIDI or a terminal cannot hold; all else stays.

    >>> one_line("A\x00B\n  歌 \ud83d")
    'A B 歌'
    """
    return " ".join("".join(c if _is_text(c) else " " for c in text).split())


def _is_text(character: str) -> bool:
    point = ord(character)
    # The last two of every plane and 32 more are never characters, says Unicode.
    never = point & 0xFFFE == 0xFFFE or 0xFDD0 <= point <= 0xFDEF
    return not never and (
        point not in _DIRECTION and unicodedata.category(character) not in _NOT_TEXT
    )
