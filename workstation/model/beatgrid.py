"""The beat grid: where every beat and downbeat of a song lies, and how to edit that."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable

import msgspec

# Two beats closer than this are one beat heard twice: 1500 bpm is beyond any music.
MIN_BEAT_S = 0.04
# A tempo map may miss a beat by this much and still count as going through it.
TEMPO_MAP_TOLERANCE_S = 1e-6


class TempoSegment(msgspec.Struct, frozen=True):
    """A stretch of constant tempo, from `time_s` (which is beat number `beat`) on."""

    time_s: float
    beat: int
    bpm: float


class BarPosition(msgspec.Struct, frozen=True):
    """A place in musical time: bar 1 starts at the first downbeat, beats count from 1.

    What lies before the first downbeat is in bar 0, -1, and so on.
    """

    bar: int
    beat: float


class BeatGrid(msgspec.Struct, frozen=True):
    """Beat times of a song, which of them are downbeats, and the meter.

    Attributes:
        beats_s: Time of every beat in seconds, strictly rising, at least two.
        downbeats: Indices into `beats_s` of the first beat of every bar, strictly rising.
        beats_per_bar: Beats from one downbeat to the next.

    Raises:
        ValueError: On creation, if the beats do not rise or the downbeats do not fit.

    >>> grid = BeatGrid.constant(bpm=120, first_beat_s=0.5, duration_s=5, beats_per_bar=4)
    >>> grid.bpm, grid.beats_s[:3], grid.downbeats
    (120.0, (0.5, 1.0, 1.5), (0, 4, 8))
    >>> grid.bar_at(3.0)
    BarPosition(bar=2, beat=2.0)
    """

    beats_s: tuple[float, ...]
    downbeats: tuple[int, ...]
    beats_per_bar: int = 4

    def __post_init__(self) -> None:
        """Refuse a grid that is none."""
        if len(self.beats_s) < 2:
            raise ValueError("a beat grid needs at least two beats")
        if not all(math.isfinite(t) for t in self.beats_s):
            raise ValueError("beat times must be finite numbers of seconds")
        if any(b - a < MIN_BEAT_S for a, b in itertools.pairwise(self.beats_s)):
            raise ValueError(f"beats must rise by at least {MIN_BEAT_S} s")
        if not 1 <= self.beats_per_bar <= 32:
            raise ValueError("beats_per_bar must lie between 1 and 32")
        if not self.downbeats:
            raise ValueError("a beat grid needs at least one downbeat")
        if any(b <= a for a, b in itertools.pairwise(self.downbeats)):
            raise ValueError("downbeats must rise strictly")
        if self.downbeats[0] < 0 or self.downbeats[-1] >= len(self.beats_s):
            raise ValueError("downbeats must be indices into beats_s")

    # -- making -----------------------------------------------------------------

    @classmethod
    def constant(
        cls,
        *,
        bpm: float,
        first_beat_s: float,
        duration_s: float,
        beats_per_bar: int = 4,
        first_downbeat: int = 0,
    ) -> BeatGrid:
        """Make a grid of steady tempo from its first beat to the end of the song."""
        if not (math.isfinite(bpm) and 0 < bpm <= 60 / MIN_BEAT_S):
            raise ValueError(f"bpm must be above 0 and at most {60 / MIN_BEAT_S:.0f}, not {bpm}")
        period = 60.0 / bpm
        count = max(2, math.ceil((duration_s - first_beat_s) / period - 1e-9))
        beats = tuple(first_beat_s + k * period for k in range(count))
        return cls(beats, _every(beats_per_bar, first_downbeat, count), beats_per_bar)

    @classmethod
    def from_taps(cls, taps_s: Iterable[float], *, beats_per_bar: int = 4) -> BeatGrid:
        """Make a grid from tapped beats; the first tap is a downbeat."""
        beats = tuple(sorted(float(t) for t in taps_s))
        return cls(beats, _every(beats_per_bar, 0, len(beats)), beats_per_bar)

    # -- asking -----------------------------------------------------------------

    @property
    def bpm(self) -> float:
        """Mean tempo over the whole grid, in beats per minute, to four decimals.

        Beat times may be rounded to microseconds; more decimals would show that rounding.
        """
        return round(60.0 * (len(self.beats_s) - 1) / (self.beats_s[-1] - self.beats_s[0]), 4)

    @property
    def downbeats_s(self) -> tuple[float, ...]:
        """Time of every downbeat in seconds."""
        return tuple(self.beats_s[i] for i in self.downbeats)

    @property
    def steady(self) -> bool:
        """Whether one tempo goes through every beat (within a microsecond)."""
        return len(self.tempo_map()) == 1

    def bpm_at(self, time_s: float) -> float:
        """Tempo at a time, from the two beats around it, in beats per minute."""
        i = self._segment(time_s)
        return 60.0 / (self.beats_s[i + 1] - self.beats_s[i])

    def beat_at(self, time_s: float) -> float:
        """Beat number at a time; 0 is the first beat, before it the number is negative."""
        i = self._segment(time_s)
        start = self.beats_s[i]
        return i + (time_s - start) / (self.beats_s[i + 1] - start)

    def time_at(self, beat: float) -> float:
        """Time of a beat number in seconds; the inverse of `beat_at`."""
        i = min(max(math.floor(beat), 0), len(self.beats_s) - 2)
        start = self.beats_s[i]
        return start + (beat - i) * (self.beats_s[i + 1] - start)

    def bar_at(self, time_s: float) -> BarPosition:
        """Bar and beat at a time; bars are counted by downbeats, from 1 at the first."""
        # A beat's own time must not fall a rounding error short of the beat.
        beat = round(self.beat_at(time_s), 9)
        first, last = self.downbeats[0], self.downbeats[-1]
        if beat < first:
            bars = math.floor((beat - first) / self.beats_per_bar)
            return BarPosition(bars + 1, beat - first - bars * self.beats_per_bar + 1)
        if beat >= last:
            bars = math.floor((beat - last) / self.beats_per_bar)
            return BarPosition(
                len(self.downbeats) + bars, beat - last - bars * self.beats_per_bar + 1
            )
        index = bisect.bisect_right(self.downbeats, beat) - 1
        return BarPosition(index + 1, beat - self.downbeats[index] + 1)

    def beat_of_bar(self, bar: float) -> float:
        """Beat number at which a bar begins; bar 1 is the first downbeat, 2.5 half a bar on.

        >>> grid = BeatGrid.constant(bpm=120, first_beat_s=0, duration_s=5, first_downbeat=1)
        >>> grid.beat_of_bar(1), grid.beat_of_bar(2.5), grid.beat_of_bar(0)
        (1.0, 7.0, -3.0)
        """
        index = math.floor(bar) - 1
        last = len(self.downbeats) - 1
        if 0 <= index < last:
            start: int = self.downbeats[index]
            length = self.downbeats[index + 1] - start
        else:
            anchor = 0 if index < 0 else last
            start = self.downbeats[anchor] + (index - anchor) * self.beats_per_bar
            length = self.beats_per_bar
        return start + (bar - math.floor(bar)) * float(length)

    def tempo_map(self) -> tuple[TempoSegment, ...]:
        """Constant-tempo segments that go through every beat within a microsecond.

        A steady grid gives one segment, a drifting one up to one per beat.
        """
        segments = []
        start = 0
        last = len(self.beats_s) - 1
        while start < last:
            end = self._straight_until(start)
            slope = (self.beats_s[end] - self.beats_s[start]) / (end - start)
            segments.append(TempoSegment(self.beats_s[start], start, 60.0 / slope))
            start = end
        return tuple(segments)

    def _straight_until(self, start: int) -> int:
        """Find how far one tempo carries from a beat (swing-door over the beats between)."""
        low, high = 0.0, math.inf
        end = start + 1
        for k in range(1, len(self.beats_s) - start):
            rise = self.beats_s[start + k] - self.beats_s[start]
            if not low <= rise / k <= high:
                break
            end = start + k
            low = max(low, (rise - TEMPO_MAP_TOLERANCE_S) / k)
            high = min(high, (rise + TEMPO_MAP_TOLERANCE_S) / k)
        return end

    def _segment(self, time_s: float) -> int:
        index = bisect.bisect_right(self.beats_s, time_s) - 1
        return min(max(index, 0), len(self.beats_s) - 2)

    # -- editing: every edit is a new grid ------------------------------------------

    def shifted(self, offset_s: float) -> BeatGrid:
        """Move the whole grid later (or earlier, if negative)."""
        return BeatGrid(
            tuple(t + offset_s for t in self.beats_s), self.downbeats, self.beats_per_bar
        )

    def halved(self) -> BeatGrid:
        """Keep every other beat: half the tempo. The first downbeat stays a downbeat."""
        first = self.downbeats[0]
        kept = self.beats_s[first % 2 :: 2]
        return BeatGrid(kept, _every(self.beats_per_bar, first // 2, len(kept)), self.beats_per_bar)

    def doubled(self) -> BeatGrid:
        """Put a beat between every two: double tempo. The first downbeat stays a downbeat."""
        beats: list[float] = []
        for a, b in itertools.pairwise(self.beats_s):
            beats += [a, (a + b) / 2]
        beats.append(self.beats_s[-1])
        # The last beat's own second half is part of the song as well.
        beats.append(self.beats_s[-1] + (self.beats_s[-1] - self.beats_s[-2]) / 2)
        return BeatGrid(
            tuple(beats),
            _every(self.beats_per_bar, 2 * self.downbeats[0], len(beats)),
            self.beats_per_bar,
        )

    def with_downbeat(self, time_s: float, *, beats_per_bar: int | None = None) -> BeatGrid:
        """Make the beat nearest to a time a downbeat, and count bars from there both ways."""
        per_bar = self.beats_per_bar if beats_per_bar is None else beats_per_bar
        if not 1 <= per_bar <= 32:
            raise ValueError("beats_per_bar must lie between 1 and 32")
        nearest = min(range(len(self.beats_s)), key=lambda i: abs(self.beats_s[i] - time_s))
        return BeatGrid(self.beats_s, _every(per_bar, nearest, len(self.beats_s)), per_bar)

    def with_tempo(self, bpm: float) -> BeatGrid:
        """Make the grid steady at a tempo; its first downbeat stays where it is."""
        if not (math.isfinite(bpm) and 0 < bpm <= 60 / MIN_BEAT_S):
            raise ValueError(f"bpm must be above 0 and at most {60 / MIN_BEAT_S:.0f}, not {bpm}")
        period = 60.0 / bpm
        anchor = self.beats_s[self.downbeats[0]]
        before = math.floor((anchor - self.beats_s[0]) / period + 1e-9)
        after = max(1, math.floor((self.beats_s[-1] - anchor) / period + 1e-9))
        beats = tuple(anchor + k * period for k in range(-before, after + 1))
        return BeatGrid(beats, _every(self.beats_per_bar, before, len(beats)), self.beats_per_bar)


def _every(step: int, through: int, count: int) -> tuple[int, ...]:
    """Indices below `count` in steps of `step` that include `through`."""
    return tuple(range(through % step, count, step))
