"""From a beat grid to what DAWs understand: tempos and meters from time 0 on.

One decision for all targets: every stem starts at project time 0, and the first downbeat
falls on a bar line. The time before the first beat becomes a lead-in of its own tempo that
is a whole number of beats long, or, where it is shorter than half a beat, a simple fraction
of one; with the beats of a pick-up it makes a first bar of its own meter and, if it is
longer than a bar, whole bars after that.
"""

from __future__ import annotations

import bisect
import itertools
import math

import msgspec

from workstation.model import BeatGrid

# A first beat this close to the start counts as lying on it: a lead-in that short would need
# a tempo that no host accepts.
_AT_START_S = 0.004
_SHORTEST_LEAD_QUARTERS = 1 / 16
_DEFAULT_BPM = 120.0


class TempoPoint(msgspec.Struct, frozen=True):
    """From this time, which is this quarter note of the project, the tempo holds."""

    time_s: float
    quarter: float
    bpm: float


class MeterPoint(msgspec.Struct, frozen=True):
    """From this bar line on, bars are `numerator`/`denominator`."""

    time_s: float
    quarter: float
    numerator: int
    denominator: int


class Timeline(msgspec.Struct, frozen=True):
    """Tempos and meters of a project.

    Attributes:
        tempos: Constant tempos, the first at time 0.
        meters: Meters, the first at time 0.
        bars_s: Start of every bar, the first at time 0.
        lead_in: In words, where the first downbeat lies.
    """

    tempos: tuple[TempoPoint, ...]
    meters: tuple[MeterPoint, ...]
    bars_s: tuple[float, ...]
    lead_in: str

    @classmethod
    def of(cls, grid: BeatGrid | None, duration_s: float) -> Timeline:
        """Lay out a song; without a grid it is 120 bpm in 4/4 from the start."""
        usable = None if grid is None else _from_zero(grid)
        if usable is None:
            return _without_beats(duration_s)
        return _with_beats(usable, duration_s)

    def quarter_at(self, time_s: float) -> float:
        """Quarter note of the project at a time."""
        point = self.tempos[max(0, bisect.bisect_right(self.tempos, time_s, key=_time) - 1)]
        return point.quarter + (time_s - point.time_s) * point.bpm / 60

    def time_at(self, quarter: float) -> float:
        """Time of a quarter note of the project in seconds."""
        point = self.tempos[max(0, bisect.bisect_right(self.tempos, quarter, key=_quarter) - 1)]
        return point.time_s + (quarter - point.quarter) * 60 / point.bpm


def _time(point: TempoPoint) -> float:
    return point.time_s


def _quarter(point: TempoPoint) -> float:
    return point.quarter


def _from_zero(grid: BeatGrid) -> BeatGrid | None:
    """Drop beats before the start, and put one that lies almost on it exactly there."""
    first = bisect.bisect_left(grid.beats_s, -_AT_START_S)
    beats = list(grid.beats_s[first:])
    downbeats = tuple(i - first for i in grid.downbeats if i >= first)
    if len(beats) < 2 or not downbeats:
        return None
    if beats[0] < _AT_START_S:
        beats[0] = 0.0
    return BeatGrid(tuple(beats), downbeats, grid.beats_per_bar)


def _without_beats(duration_s: float) -> Timeline:
    bar_s = 4 * 60 / _DEFAULT_BPM
    bars = tuple(k * bar_s for k in range(max(1, math.ceil(duration_s / bar_s))))
    return Timeline(
        (TempoPoint(0.0, 0.0, _DEFAULT_BPM),),
        (MeterPoint(0.0, 0.0, 4, 4),),
        bars,
        "No beats were found: the project runs at 120 bpm in 4/4 and the bars mean nothing.",
    )


def _lead_quarters(lead_s: float, beat_s: float) -> float:
    """Length of the lead-in in quarters, so that its tempo stays near that of the song."""
    if lead_s == 0:
        return 0.0
    beats = lead_s / beat_s
    if beats >= math.sqrt(0.5):
        return float(max(1, round(beats)))
    return max(_SHORTEST_LEAD_QUARTERS, 2.0 ** round(math.log2(beats)))


def _with_beats(grid: BeatGrid, duration_s: float) -> Timeline:
    lead_s = grid.beats_s[0]
    lead = _lead_quarters(lead_s, grid.beats_s[1] - lead_s)
    tempos = [] if lead == 0 else [TempoPoint(0.0, 0.0, 60 * lead / lead_s)]
    tempos += [TempoPoint(s.time_s, lead + s.beat, s.bpm) for s in grid.tempo_map()]
    whole, rest = divmod(lead + grid.downbeats[0], grid.beats_per_bar)
    meters = _meters(grid, lead, rest)
    bare = Timeline(tuple(tempos), (), (), "")
    timeline = msgspec.structs.replace(
        bare,
        meters=tuple(msgspec.structs.replace(m, time_s=bare.time_at(m.quarter)) for m in meters),
    )
    bars_s = _bars(timeline, duration_s)
    words = _words(grid, timeline, int(whole) + (1 if rest else 0) + 1, rest)
    return msgspec.structs.replace(timeline, bars_s=bars_s, lead_in=words)


def _meters(grid: BeatGrid, lead: float, rest: float) -> list[MeterPoint]:
    """The meter of the pick-up, of the song, and wherever a bar is longer or shorter."""
    meters = []
    if rest:
        denominator = 4
        while rest * denominator / 4 % 1:
            denominator *= 2
        meters.append(MeterPoint(0.0, 0.0, round(rest * denominator / 4), denominator))
    current = 0
    lengths = [b - a for a, b in itertools.pairwise(grid.downbeats)] + [grid.beats_per_bar]
    if lead + grid.downbeats[0] - rest > 0:
        # Whole bars of lead-in are in the song's own meter.
        meters.append(MeterPoint(0.0, rest, grid.beats_per_bar, 4))
        current = grid.beats_per_bar
    for beat, length in zip(grid.downbeats, lengths, strict=True):
        if length != current:
            meters.append(MeterPoint(0.0, lead + beat, length, 4))
            current = length
    return meters


def _bars(timeline: Timeline, duration_s: float) -> tuple[float, ...]:
    """Start of every bar up to the end of the song."""
    bars = []
    end = timeline.quarter_at(duration_s)
    for index, meter in enumerate(timeline.meters):
        last = index == len(timeline.meters) - 1
        until = end if last else timeline.meters[index + 1].quarter
        length = 4 * meter.numerator / meter.denominator
        count = max(1, math.ceil((until - meter.quarter) / length - 1e-9))
        bars += [timeline.time_at(meter.quarter + k * length) for k in range(count)]
    return tuple(bars)


def _words(grid: BeatGrid, timeline: Timeline, bar: int, rest: float) -> str:
    where = f"The first downbeat, {grid.downbeats_s[0]:.3f} s into the song, is bar {bar}"
    if bar == 1:
        return f"{where}. All stems start there."
    words = f"{where}; all stems start at bar 1"
    if rest:
        meter = timeline.meters[0]
        words += f", which is a pick-up of {meter.numerator}/{meter.denominator}"
    if grid.beats_s[0] > 0:
        words += f". The lead-in before the first beat runs at {timeline.tempos[0].bpm:.1f} bpm"
    return words + "."
