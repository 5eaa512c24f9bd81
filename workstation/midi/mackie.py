"""What a Mackie Control shows: names and gains on its scribble strips, levels on its meters.

The protocol has no public specification; these are the messages that independent open
implementations agree on.
"""

from __future__ import annotations

from collections.abc import Sequence

from workstation.model.controls import STRIPS_PER_BANK
from workstation.model.mixer import gain_words
from workstation.model.names import ascii_name

_CELL = 7
_ROW = _CELL * STRIPS_PER_BANK
_DISPLAY = bytes.fromhex("F0 00 00 66 14 12")
_CHANNEL_PRESSURE = 0xD0
# Segments of the meter light from these levels on, in dB of full scale.
# Twelve of them; the codes above light the overload, which would stay lit.
_SEGMENTS_DB = (-60, -50, -40, -30, -25, -20, -15, -10, -8, -6, -4, -2)


# What a message shows: the same key again replaces it.
Shown = tuple[tuple[int, ...], bytes]


def texts(stems: Sequence[str], gains_db: Sequence[float]) -> list[Shown]:
    """Two rows for the eight strips: names and gains; with a key for each."""
    names = [ascii_name(stem, fallback="stem")[: _CELL - 1] for stem in stems]
    rows = [names, [gain_words(gain) for gain in gains_db]]
    out: list[Shown] = []
    for number, row in enumerate(rows):
        cells = [text.ljust(_CELL) for text in row] + [" " * _CELL] * STRIPS_PER_BANK
        line = "".join(cells[:STRIPS_PER_BANK])
        out.append(((10, number), _DISPLAY + bytes([number * _ROW]) + line.encode() + b"\xf7"))
    return out


def meters(peaks_db: Sequence[float]) -> list[Shown]:
    """The meters of the strips; each lights as many segments as its level reaches."""
    out: list[Shown] = []
    for strip, peak in enumerate(peaks_db):
        lit = sum(peak >= level for level in _SEGMENTS_DB)
        out.append(((11, strip), bytes([_CHANNEL_PRESSURE, strip << 4 | lit])))
    return out
