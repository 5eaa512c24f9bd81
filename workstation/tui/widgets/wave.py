"""A waveform in block characters, mirrored about its middle."""

from __future__ import annotations

import itertools

import numpy as np
import numpy.typing as npt
from rich.segment import Segment
from rich.style import Style

_BLOCKS = " ▁▂▃▄▅▆▇█"
_LOOK_UP = np.array(list(_BLOCKS))
# Quiet parts are drawn a little larger than they are, or music is a thin line.
_BEND = 0.75


def wave_rows(
    peaks: npt.NDArray[np.uint8],
    highest: int,
    rows: int,
    colour: Style,
    ground: Style,
    ticks: npt.NDArray[np.bool_] | None = None,
) -> list[list[Segment]]:
    """Draw a waveform.

    Args:
        peaks: One per column, 0 to 255.
        highest: The peak that takes the whole height.
        rows: Height; of an odd number above 1 the last row stays empty.
        colour: Foreground of the wave.
        ground: Background of everything.
        ticks: Columns that have a line where nothing sounds.

    Returns:
        The segments of every row; each row is `len(peaks)` cells wide.
    """
    plain = ground + colour
    # The lower half is drawn upside down: the ground is the character, the wave what is behind.
    turned = Style(color=ground.bgcolor, bgcolor=colour.color)
    if rows == 1:
        eighths = _eighths(peaks, highest, 8)
        return [[Segment("".join(_LOOK_UP[eighths]), plain)]]
    half = rows // 2
    eighths = _eighths(peaks, highest, 8 * half)
    out: list[list[Segment]] = []
    for row in range(half):
        cells = np.clip(eighths - 8 * (half - 1 - row), 0, 8)
        out.append(_runs(_LOOK_UP[cells], cells > 0, plain, ground, ticks))
    for row in range(half):
        cells = np.clip(eighths - 8 * row, 0, 8)
        out.append(_runs(_LOOK_UP[8 - cells], cells > 0, turned, ground, ticks))
    if rows % 2:
        out.append([Segment(" " * len(peaks), ground)])
    return out


def _eighths(peaks: npt.NDArray[np.uint8], highest: int, most: int) -> npt.NDArray[np.int64]:
    bent = np.minimum(peaks / max(highest, 1), 1.0) ** _BEND
    return np.ceil(bent * most).astype(np.int64)


def _runs(
    characters: npt.NDArray[np.str_],
    sounds: npt.NDArray[np.bool_],
    wave: Style,
    ground: Style,
    ticks: npt.NDArray[np.bool_] | None,
) -> list[Segment]:
    """Join cells of one style."""
    empty = np.where(ticks, "┊", " ") if ticks is not None else np.full(len(sounds), " ")
    text = np.where(sounds, characters, empty)
    changes = np.flatnonzero(np.diff(sounds.astype(np.int8))) + 1
    edges = [0, *changes.tolist(), len(sounds)]
    return [
        Segment("".join(text[a:b]), wave if sounds[a] else ground)
        for a, b in itertools.pairwise(edges)
        if b > a
    ]
