"""The tempo map of an Ardour session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workstation.export.ardour_xml import SUPERCLOCKS, add, superclocks
from workstation.export.timeline import MeterPoint, Timeline, bar_numbers

if TYPE_CHECKING:
    from lxml.etree import _Element

_TICKS = 1920  # In a quarter.


def add_tempo_map(root: _Element, timeline: Timeline) -> None:
    """Add constant tempos, every one at its own superclock, so that no rounding adds up."""
    parent = add(root, "TempoMap", {"superclocks-per-second": SUPERCLOCKS})
    bars = bar_numbers(timeline)
    tempos = add(parent, "Tempos", {})
    for tempo in timeline.tempos:
        values = {
            "npm": f"{tempo.bpm:.17g}",
            "enpm": f"{tempo.bpm:.17g}",
            "note-type": 4,
            "type": "Tempo::Constant",
            "active": 1,
            "locked-to-meter": 0,
            "continuing": 0,
            "sclock": superclocks(tempo.time_s),
            "quarters": _quarters(tempo.quarter),
            "bbt": _bar_beat_tick(timeline, bars, tempo.quarter),
            "omega": 0,
        }
        add(tempos, "Tempo", values)
    meters = add(parent, "Meters", {})
    for meter in timeline.meters:
        values = {
            "note-value": meter.denominator,
            "divisions-per-bar": meter.numerator,
            "sclock": superclocks(meter.time_s),
            "quarters": _quarters(meter.quarter),
            "bbt": _bar_beat_tick(timeline, bars, meter.quarter),
        }
        add(meters, "Meter", values)
    add(parent, "MusicTimes", {})


def _quarters(quarter: float) -> str:
    """A place in quarters and ticks; quarters of a timeline are at most 64ths apart."""
    ticks = round(quarter * _TICKS)
    return f"{ticks // _TICKS}:{ticks % _TICKS}"


def _bar_beat_tick(timeline: Timeline, bars: list[int], quarter: float) -> str:
    index = max(i for i, meter in enumerate(timeline.meters) if meter.quarter <= quarter + 1e-9)
    meter: MeterPoint = timeline.meters[index]
    ticks = round((quarter - meter.quarter) * _TICKS)
    beat, rest = divmod(ticks, 4 * _TICKS // meter.denominator)
    bar, beat = divmod(beat, meter.numerator)
    return f"{bars[index] + bar}|{beat + 1}|{rest}"
