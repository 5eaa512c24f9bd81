"""From a beat grid to what DAWs understand: tempos and meters from time 0 on.

A beat of the grid is a quarter note; above 300 bpm it is an eighth (or shorter), so that seven
quick beats make 7/8. How the time before the first beat is filled is in `lead_in`.
"""

from __future__ import annotations

import bisect
import itertools
import math
import statistics

import msgspec

from workstation.export.lead_in import (
    EVERY_HOST,
    FASTEST_BPM,
    SHORTEST_CUT_BAR_S,
    SLOWEST_BPM,
    LeadInLimits,
    lead_in_quarters,
)
from workstation.model import BeatGrid

_DEFAULT_BPM = 120.0


class TempoPoint(msgspec.Struct, frozen=True):
    """From this time, which is this quarter note of the project, the tempo holds."""

    time_s: float
    quarter: float
    bpm: float


class MeterPoint(msgspec.Struct, frozen=True):
    """From this bar line on, bars are `numerator`/`denominator`.

    `cuts_bar` says that the bar before it may be shorter than its meter.
    """

    time_s: float
    quarter: float
    numerator: int
    denominator: int
    cuts_bar: bool = False

    @property
    def bar_quarters(self) -> float:
        """Length of a bar in quarter notes."""
        return 4 * self.numerator / self.denominator


class Timeline(msgspec.Struct, frozen=True):
    """Tempos and meters of a project.

    Attributes:
        tempos: Constant tempos, the first at time 0.
        meters: Meters, the first at time 0.
        bars_s: Start of every bar, the first at time 0.
        downbeat_s: Time of the first downbeat; None without beats.
        meter: Numerator and denominator of the song.
        lead_in: In words, where the first downbeat lies in the project.
    """

    tempos: tuple[TempoPoint, ...]
    meters: tuple[MeterPoint, ...]
    bars_s: tuple[float, ...]
    downbeat_s: float | None
    meter: tuple[int, int]
    lead_in: str

    @classmethod
    def of(
        cls,
        grid: BeatGrid | None,
        duration_s: float,
        *,
        cut_bars: bool = False,
        limits: LeadInLimits = EVERY_HOST,
    ) -> Timeline:
        """Lay out a song; without a grid it is 120 bpm in 4/4 from the start.

        Args:
            grid: Beats of the song.
            duration_s: Its length.
            cut_bars: Whether the format has bars that may be cut.
            limits: Of a lead-in that is not cut.
        """
        beats = None if grid is None else _from_zero(grid)
        if beats is None:
            return _without_beats(duration_s)
        return _with_beats(_without_gaps(beats), duration_s, None if cut_bars else limits)

    def quarter_at(self, time_s: float) -> float:
        """Quarter note of the project at a time in seconds."""
        point = self.tempos[max(0, bisect.bisect_right(self.tempos, time_s, key=_time) - 1)]
        return point.quarter + (time_s - point.time_s) * point.bpm / 60

    def time_at(self, quarter: float) -> float:
        """Time of a quarter note of the project in seconds."""
        point = self.tempos[max(0, bisect.bisect_right(self.tempos, quarter, key=_quarter) - 1)]
        return point.time_s + (quarter - point.quarter) * 60 / point.bpm


def bar_numbers(timeline: Timeline) -> list[int]:
    """The number of the bar at which every meter begins."""
    numbers = [1]
    for meter, following in itertools.pairwise(timeline.meters):
        length = following.quarter - meter.quarter
        numbers.append(numbers[-1] + math.ceil(length / meter.bar_quarters - 1e-9))
    return numbers


def _time(point: TempoPoint) -> float:
    return point.time_s


def _quarter(point: TempoPoint) -> float:
    return point.quarter


def _from_zero(grid: BeatGrid) -> BeatGrid | None:
    """Drop beats before the start; bars go on counting from a downbeat that is dropped."""
    first = bisect.bisect_left(grid.beats_s, 0.0)
    beats = grid.beats_s[first:]
    downbeats = tuple(i - first for i in grid.downbeats if i >= first)
    if not downbeats:
        downbeats = ((grid.downbeats[-1] - first) % grid.beats_per_bar,)
    if len(beats) < 2 or downbeats[0] >= len(beats):
        return None
    return BeatGrid(beats, downbeats, grid.beats_per_bar)


def _without_gaps(grid: BeatGrid) -> BeatGrid:
    """Fill gaps that would be slower than any host goes with beats of about the usual length."""
    usual_s = statistics.median(b - a for a, b in itertools.pairwise(grid.beats_s))
    beats: list[float] = []
    places = []
    for start, end in itertools.pairwise(grid.beats_s):
        places.append(len(beats))
        longest = (end - start) * SLOWEST_BPM / 60
        pieces = 1 if longest <= 1 else max(math.ceil(longest), round((end - start) / usual_s))
        beats += [start + (end - start) * k / pieces for k in range(pieces)]
    places.append(len(beats))
    beats.append(grid.beats_s[-1])
    return BeatGrid(tuple(beats), tuple(places[i] for i in grid.downbeats), grid.beats_per_bar)


def _without_beats(duration_s: float) -> Timeline:
    bar_s = 4 * 60 / _DEFAULT_BPM
    return Timeline(
        tempos=(TempoPoint(0.0, 0.0, _DEFAULT_BPM),),
        meters=(MeterPoint(0.0, 0.0, 4, 4),),
        bars_s=tuple(k * bar_s for k in range(max(1, math.ceil(duration_s / bar_s)))),
        downbeat_s=None,
        meter=(4, 4),
        lead_in="No beats were found: the project runs at a constant 120 bpm in 4/4, and its bars "
        "do not follow the song. All stems start at bar 1.",
    )


class _Lead(msgspec.Struct, frozen=True):
    """The lead-in as it was decided: `lost_s` is what the first beat was moved by."""

    time_s: float
    quarters: float
    lost_s: float
    cut: bool


def _with_beats(grid: BeatGrid, duration_s: float, limits: LeadInLimits | None) -> Timeline:
    """Lay out beats; without limits the bar before the first beat is cut."""
    beat = _beat_quarters(grid)
    lead = _lead_of(grid, beat, limits)
    downbeat_s = grid.downbeats_s[0]
    if lead.lost_s:
        grid = BeatGrid((0.0, *grid.beats_s[1:]), grid.downbeats, grid.beats_per_bar)
    tempos = [TempoPoint(s.time_s, lead.quarters + s.beat * beat, s.bpm * beat)
              for s in grid.tempo_map()]  # fmt: skip
    if lead.cut:
        tempos[0] = TempoPoint(0.0, 0.0, tempos[0].bpm)
    elif lead.quarters:
        tempos.insert(0, TempoPoint(0.0, 0.0, 60 * lead.quarters / lead.time_s))
    bare = Timeline(tuple(tempos), (), (), downbeat_s, (grid.beats_per_bar, round(4 / beat)), "")
    meters = [
        msgspec.structs.replace(meter, time_s=bare.time_at(meter.quarter))
        for meter in _only_changes([*_meters_before(grid, beat, lead), *_meters(grid, beat, lead)])
    ]
    timeline = msgspec.structs.replace(bare, meters=tuple(meters))
    bars_s = _bars(timeline, max(duration_s, downbeat_s))
    fastest_bpm = limits.fastest_bpm if limits else FASTEST_BPM
    words = _words(timeline, bars_s, lead, fastest_bpm)
    return msgspec.structs.replace(timeline, bars_s=bars_s, lead_in=words)


def _beat_quarters(grid: BeatGrid) -> float:
    """Quarter notes in a beat: 1, or a half, a quarter, … if quarters would be too fast."""
    quarters = 1.0
    while grid.bpm * quarters > FASTEST_BPM:
        quarters /= 2
    return quarters


def _lead_of(grid: BeatGrid, beat: float, limits: LeadInLimits | None) -> _Lead:
    first_s = grid.beats_s[0]
    # A beat that is not the first of its segment has the same tempo within a microsecond.
    bpm = beat * grid.tempo_map()[0].bpm
    if first_s < (limits.shortest_s - 1e-12 if limits else SHORTEST_CUT_BAR_S):
        return _Lead(0.0, 0.0, first_s, cut=False)
    if limits is None:
        return _Lead(first_s, first_s * bpm / 60, 0.0, cut=True)
    return _Lead(first_s, lead_in_quarters(first_s, bpm, limits), 0.0, cut=False)


def _meters_before(grid: BeatGrid, beat: float, lead: _Lead) -> list[MeterPoint]:
    """Bars before the first downbeat: a fraction of a quarter, a pick-up, whole bars."""
    downbeat = lead.quarters + grid.downbeats[0] * beat
    song = (grid.beats_per_bar, round(4 / beat))
    if lead.cut:
        return [MeterPoint(0.0, 0.0, *song)]
    fraction = lead.quarters % 1
    pick_up = (downbeat - fraction) % (grid.beats_per_bar * beat)
    points = []
    if fraction:
        points.append(MeterPoint(0.0, 0.0, *_signature(fraction)))
    if pick_up:
        points.append(MeterPoint(0.0, fraction, *_signature(pick_up)))
    if fraction + pick_up < downbeat:
        points.append(MeterPoint(0.0, fraction + pick_up, *song))
    return points


def _signature(quarters: float) -> tuple[int, int]:
    denominator = 4
    while quarters * denominator / 4 % 1:
        denominator *= 2
    return round(quarters * denominator / 4), denominator


def _meters(grid: BeatGrid, beat: float, lead: _Lead) -> list[MeterPoint]:
    """A meter for every bar from the first downbeat on."""
    points = []
    ends = [*grid.downbeats[1:], grid.downbeats[-1] + grid.beats_per_bar]
    for start, end in zip(grid.downbeats, ends, strict=True):
        at = start
        while at < end:
            # Two bars or more between downbeats are whole bars and a rest, not one long bar.
            whole = end - at >= 2 * grid.beats_per_bar
            length = grid.beats_per_bar if whole else end - at
            first = at == grid.downbeats[0]
            quarter = lead.quarters + at * beat
            points.append(MeterPoint(0.0, quarter, length, round(4 / beat), first and lead.cut))
            at += length
    return points


def _only_changes(points: list[MeterPoint]) -> list[MeterPoint]:
    kept = points[:1]
    for point in points[1:]:
        last = kept[-1]
        same = (point.numerator, point.denominator) == (last.numerator, last.denominator)
        if point.cuts_bar or not same:
            kept.append(point)
    return kept


def _bars(timeline: Timeline, end_s: float) -> tuple[float, ...]:
    """Start of every bar up to a time."""
    bars: list[float] = []
    end = timeline.quarter_at(end_s)
    bounds = [*(meter.quarter for meter in timeline.meters[1:]), end]
    for meter, until in zip(timeline.meters, bounds, strict=True):
        length = meter.bar_quarters
        count = max(1, math.ceil((until - meter.quarter) / length - 1e-9))
        bars += [timeline.time_at(meter.quarter + k * length) for k in range(count)]
    return tuple(bars)


def _words(timeline: Timeline, bars_s: tuple[float, ...], lead: _Lead, fastest_bpm: float) -> str:
    assert timeline.downbeat_s is not None
    bar = 1 + sum(time_s < timeline.downbeat_s - max(1e-6, lead.lost_s) for time_s in bars_s)
    where = f"The first downbeat, {timeline.downbeat_s:.3f} s into the song, is bar {bar}"
    parts = [f"{where}; all stems start at bar 1."]
    first, song = timeline.meters[0], timeline.meter
    if lead.cut:
        parts.append("The bar before it is cut short; no tempo was invented for the lead-in.")
    elif bar > 1 and (first.numerator, first.denominator) != song:
        parts.append(f"Bar 1 is a pick-up of {first.numerator}/{first.denominator}.")
    if lead.quarters and not lead.cut:
        parts.append(f"The lead-in before the first beat runs at {timeline.tempos[0].bpm:.1f} bpm.")
    if lead.lost_s >= 0.0005:
        parts.append(
            f"The first beat, {lead.lost_s * 1000:.1f} ms into the song, is drawn at its very "
            "start: no program has a bar that short. All other beats are exact."
        )
    fastest = max(point.bpm for point in timeline.tempos)
    if fastest > fastest_bpm + 0.5:
        parts.append(
            f"Tempos go up to {fastest:.0f} bpm; programs that end at {fastest_bpm:.0f} will not "
            "follow there."
        )
    return " ".join(parts)
