"""The lines of the beat grid in frames: where quantised changes, loops and clicks fall."""

from __future__ import annotations

import bisect
import math

import numpy as np

from workstation.model import BeatGrid


class GridLines:
    """Beats, bars and four-bar lines of a song, continued to its start and end.

    Args:
        grid: The beat grid.
        sample_rate_hz: Of the stems.
        frames: Length of the song.

    Attributes:
        beats: Frame of every beat, int64, rising.
        accents: Which of the beats are downbeats.
        bars: Frame of every downbeat.
        four_bars: Frame of every fourth, counted from bar 1.
    """

    def __init__(self, grid: BeatGrid, sample_rate_hz: int, frames: int) -> None:
        self.grid = grid
        self.rate = sample_rate_hz
        duration_s = frames / sample_rate_hz
        first = math.floor(grid.beat_at(0.0))
        last = math.ceil(grid.beat_at(duration_s)) + 1
        per_bar = grid.beats_per_bar
        downbeats = set(grid.downbeats)
        downbeats |= set(range(grid.downbeats[0] - per_bar, first - per_bar, -per_bar))
        downbeats |= set(range(grid.downbeats[-1] + per_bar, last + per_bar, per_bar))
        numbers = range(first, last + 1)
        lines = [(self._frame(beat), beat in downbeats) for beat in numbers]
        self.beats = np.array([frame for frame, _ in lines], np.int64)
        self.accents = np.array([accent for _, accent in lines], np.bool_)
        self._beats: list[int] = self.beats.tolist()
        bars = sorted(downbeats)
        self.bars = [self._frame(beat) for beat in bars]
        one = bars.index(grid.downbeats[0])
        self.four_bars = [f for k, f in enumerate(self.bars) if (k - one) % 4 == 0]

    def _frame(self, beat: float) -> int:
        return round(self.grid.time_at(beat) * self.rate)

    def lines(self, unit: str) -> list[int]:
        """All lines of `beat`, `bar` or `4 bars`."""
        return {"beat": self._beats, "bar": self.bars, "4 bars": self.four_bars}[unit]

    def next(self, unit: str, frame: int) -> int | None:
        """The first line at or after a frame; None behind the last one."""
        lines = self.lines(unit)
        index = bisect.bisect_left(lines, frame)
        return lines[index] if index < len(lines) else None

    def at_or_before(self, unit: str, frame: int) -> int:
        """The last line at or before a frame, not before the song."""
        lines = self.lines(unit)
        index = bisect.bisect_right(lines, frame) - 1
        return max(lines[index], 0) if index >= 0 else 0

    def nearest(self, unit: str, frame: int) -> int:
        """The line nearest to a frame, not before the song."""
        lines = self.lines(unit)
        index = bisect.bisect_left(lines, frame)
        near = lines[max(index - 1, 0) : index + 1] or lines[-1:]
        return max(min(near, key=lambda line: abs(line - frame)), 0)

    def after_beats(self, frame: int, beats: float) -> int:
        """The frame that lies a number of beats (may be negative) after another."""
        return self._frame(self.grid.beat_at(frame / self.rate) + beats)

    def slice_at(self, frame: int, note: float) -> tuple[int, int]:
        """The 1/n note that a frame lies in: its start and its length in frames.

        A beat is taken as a quarter note.
        """
        per_beat = note / 4.0
        number = math.floor(self.grid.beat_at(frame / self.rate) * per_beat + 1e-6)
        start, end = (self._frame((number + k) / per_beat) for k in (0, 1))
        return start, max(end - start, 1)
