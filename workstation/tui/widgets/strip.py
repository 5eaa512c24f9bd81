"""The strip of one stem, left of its waveform: name, mute, solo, gain, meter, pan, filter."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.widget import Widget

from workstation.model.mixer import fader_db, fader_position, gain_words
from workstation.tui.words import filter_words, fit, pan_words

WIDTH = 34
_NAME = 12
_METER = 9
_FADER = 10
_EIGHTHS = " ▏▎▍▌▋▊▉█"
_METER_LOW_DB = -60.0
# Where the meter turns from low to middle to high.
_ZONES_DB = (-18.0, -6.0)


class Shown(NamedTuple):
    """What a strip shows.

    Attributes:
        number: From 1.
        name: Of the stem.
        colour: `#rrggbb`.
        gain_db: Of the fader.
        pan: -1 to 1.
        muted: Mute is on.
        soloed: Solo is on.
        filter: -1 to 1.
        audible: It can be heard.
        waiting: A mute or solo waits for its line.
        rms: Where the meter ends, in eighths of a cell.
        peak: Cell of the peak, or -1.
        bindings: What of a controller moves it, in words.
    """

    number: int
    name: str
    colour: str
    gain_db: float = 0.0
    pan: float = 0.0
    muted: bool = False
    soloed: bool = False
    filter: float = 0.0
    audible: bool = True
    waiting: bool = False
    rms: int = 0
    peak: int = -1
    bindings: str = ""


# What lies where: row, first column, the column behind it, and what of the stem it is.
PLACES: tuple[tuple[int, int, int, str], ...] = (
    (0, 17, 20, "mute"),
    (0, 20, 23, "solo"),
    (0, 24, WIDTH, "gain"),
    (1, 14, 24, "gain"),
    (1, 25, 28, "pan"),
    (1, 29, 33, "filter"),
)
FADER_AT = 14


# Parts that are drawn over others: only their colour counts, or only what is behind.
_COLOUR_ONLY = ("dim", "silent", "meter-low", "meter-middle", "meter-high", "warn")
_GROUND_ONLY = ("trough",)


def part_styles(widget: Widget, prefix: str) -> dict[str, Style]:
    """The styles of a widget's component classes, by what stands behind the prefix."""
    styles = {}
    for name in widget.COMPONENT_CLASSES:
        style, part = widget.get_component_rich_style(name), name.removeprefix(prefix)
        if part in _COLOUR_ONLY:
            style = Style(color=style.color)
        elif part in _GROUND_ONLY:
            style = Style(bgcolor=style.bgcolor)
        styles[part] = style
    return styles


def what_is_at(row: int, column: int) -> str:
    """Which control is drawn somewhere in a strip; empty if none is."""
    for at, begin, end, what in PLACES:
        if row == at and begin <= column < end:
            return what
    return ""


def fader_at(column: int) -> float:
    """Gain in dB where a fader was pressed, by the column in the strip; 0 dB is easily hit."""
    position = (column - FADER_AT) / (_FADER - 1)
    gain_db = fader_db(position)
    return 0.0 if column == FADER_AT + _unity() else gain_db


def _unity() -> int:
    return round(fader_position(0.0) * (_FADER - 1))


def meter_cells(level: float, cells: int = _METER) -> float:
    """Where a level (1 is full scale) stands on a meter, in cells."""
    if level <= 10 ** (_METER_LOW_DB / 20):
        return 0.0
    return min((20 * math.log10(level) / -_METER_LOW_DB + 1) * cells, cells)


def strip_rows(
    shown: Shown, rows: int, style: Mapping[str, Style], *, selected: bool
) -> list[list[Segment]]:
    """Draw a strip in so many rows of `WIDTH` cells."""
    base = style["selected"] if selected else style["strip"]
    colour = Style(color=shown.colour)
    dim = style["dim"]
    mark = Segment("▌" if selected else " ", base + colour)
    head = [
        mark,
        Segment(f"{shown.number:>3}" if shown.number > 99 else f"{shown.number:>2} ", base + dim),
        Segment(fit(shown.name, _NAME), base + (colour if shown.audible else dim)),
        Segment(" ", base),
        _button("M", shown.muted, waiting=shown.waiting, on=style["mute"], off=base + dim),
        _button("S", shown.soloed, waiting=False, on=style["solo"], off=base + dim),
        Segment(f"{gain_words(shown.gain_db):>7} dB ", base),
    ]
    out = [head]
    if rows > 1:
        out.append([
            mark,
            Segment("   ", base),
            *meter_segments(shown.rms, shown.peak, _METER, style, base),
            Segment(" ", base),
            *fader_segments(shown.gain_db, base, dim),
            Segment(f" {pan_words(shown.pan):<4}{filter_words(shown.filter):<5}", base),
        ])  # fmt: skip
    for row in range(2, rows):
        words = shown.bindings if row == 2 else ""
        out.append([mark, Segment("   " + fit(words, WIDTH - 4), base + dim)])
    return out


def _button(letter: str, pressed: bool, *, waiting: bool, on: Style, off: Style) -> Segment:  # noqa: FBT001
    if waiting:
        return Segment(f"…{letter} ", on if pressed else off)
    # Brackets say without colour that it is pressed.
    return Segment(f"[{letter}]" if pressed else f" {letter} ", on if pressed else off)


def meter_segments(
    rms: int, peak: int, cells: int, style: Mapping[str, Style], base: Style
) -> list[Segment]:
    """A level as a bar of eighths, in three zones, with a tick at its peak."""
    text = "".join(
        "│" if cell == peak and rms <= 8 * cell else _EIGHTHS[min(max(rms - 8 * cell, 0), 8)]
        for cell in range(cells)
    )
    edges = [round(meter_cells(10 ** (db / 20), cells)) for db in _ZONES_DB]
    zones = zip((0, *edges), (*edges, cells), ("low", "middle", "high"), strict=True)
    return [
        Segment(text[begin:end], base + style["meter-" + zone] + style["trough"])
        for begin, end, zone in zones
    ]


def fader_segments(gain_db: float, base: Style, dim: Style, cells: int = _FADER) -> list[Segment]:
    """A fader: its way with a mark at 0 dB, and where it stands."""
    at = round(fader_position(gain_db) * (cells - 1))
    unity = round(fader_position(0.0) * (cells - 1))
    way = "".join("┼" if cell == unity else "─" for cell in range(cells))
    return [
        Segment(way[:at], base + dim),
        Segment("█", base),
        Segment(way[at + 1 :], base + dim),
    ]
