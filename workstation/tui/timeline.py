"""Which part of a song the screen shows, in columns."""

from __future__ import annotations

import math
from typing import NamedTuple

# The closest look: so many seconds in one column.
_CLOSEST_S = 0.006


class Timeline(NamedTuple):
    """A stretch of a song over the columns of the screen.

    Attributes:
        duration_s: Length of the song.
        columns: Width of the screen for it.
        start_s: Time at the left edge.
        column_s: Seconds in one column; 0 shows the whole song.
    """

    duration_s: float
    columns: int
    start_s: float = 0.0
    column_s: float = 0.0

    @property
    def each_s(self) -> float:
        """Seconds in one column."""
        return self.column_s or max(self.duration_s, 0.01) / max(self.columns, 1)

    @property
    def end_s(self) -> float:
        """Time at the right edge."""
        return self.start_s + self.each_s * self.columns

    def column(self, time_s: float) -> int:
        """Column of a time; outside of the screen it is negative, or `columns` or more."""
        return math.floor((time_s - self.start_s) / self.each_s + 1e-9)

    def time(self, column: float) -> float:
        """Time at the left edge of a column, within the song."""
        return min(max(self.start_s + column * self.each_s, 0.0), self.duration_s)

    def resized(self, columns: int) -> Timeline:
        """The same place on a screen of another width."""
        return _held(self._replace(columns=max(columns, 1)))

    def zoomed(self, factor: float, around_s: float) -> Timeline:
        """A closer look for a factor below 1; the time `around_s` stays in its column."""
        whole = max(self.duration_s, 0.01) / max(self.columns, 1)
        each = max(self.each_s * factor, _CLOSEST_S)
        if each >= whole:
            return self._replace(start_s=0.0, column_s=0.0)
        at = (around_s - self.start_s) / self.each_s
        if not 0 <= at <= self.columns:
            at = self.columns / 2
        return _held(self._replace(start_s=around_s - at * each, column_s=each))

    def scrolled(self, columns: float) -> Timeline:
        """Further to the right, or the left if negative."""
        return _held(self._replace(start_s=self.start_s + columns * self.each_s))

    def following(self, time_s: float) -> Timeline:
        """Turned like a page where a time has left the screen."""
        if self.column_s == 0.0 or 0 <= self.column(time_s) < self.columns * 0.95:
            return self
        return _held(self._replace(start_s=time_s - 0.1 * self.columns * self.each_s))


def _held(timeline: Timeline) -> Timeline:
    """Not beyond the ends of the song."""
    if timeline.column_s == 0.0 or timeline.column_s * timeline.columns >= timeline.duration_s:
        return timeline._replace(start_s=0.0, column_s=0.0)
    last = timeline.duration_s - timeline.columns * timeline.column_s
    return timeline._replace(start_s=min(max(timeline.start_s, 0.0), last))
