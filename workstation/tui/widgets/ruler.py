"""The ruler above the lanes: sections, and bars or seconds."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from workstation.model import BeatGrid, Section
from workstation.tui.timeline import Timeline
from workstation.tui.widgets.strip import WIDTH
from workstation.tui.words import clock, fit

_LABEL_COLUMNS = 6
_SECONDS = (0.1, 0.25, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1800)


class Ruler(Widget):
    """Sections in the first row, bars (or seconds, without a grid) in the second."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "ruler--section",
        "ruler--section-other",
        "ruler--bar",
        "ruler--loop",
        "ruler--playhead",
    }

    @dataclass
    class Sought(Message):
        """The mouse has pointed at a place in the song."""

        time_s: float

    @dataclass
    class Looped(Message):
        """The mouse has drawn over a part of the song."""

        start_s: float
        end_s: float

    def __init__(self, *, id: str | None = None, indent: int = WIDTH) -> None:  # noqa: A002
        super().__init__(id=id)
        self.timeline = Timeline(0.0, 1)
        self.indent = indent
        self._grid: BeatGrid | None = None
        self._sections: tuple[Section, ...] = ()
        self._loop: tuple[float, float] | None = None
        self._playhead = -1
        self._pressed: int | None = None

    def set_song(self, grid: BeatGrid | None, sections: tuple[Section, ...]) -> None:
        """What there is to show."""
        self._grid, self._sections = grid, sections
        self.refresh()

    def show_timeline(self, timeline: Timeline) -> None:
        """Show another part of the song."""
        if timeline != self.timeline:
            self.timeline = timeline
            self.refresh()

    def show_loop(self, loop: tuple[float, float] | None) -> None:
        """Mark the loop."""
        if loop != self._loop:
            self._loop = loop
            self.refresh()

    def show_playhead(self, time_s: float) -> None:
        """Mark where the song is."""
        column = self.timeline.column(time_s)
        if column == self._playhead:
            return
        before, self._playhead = self._playhead, column
        for at in (before, column):
            if 0 <= at < self.timeline.columns:
                self.refresh(Region(self.indent + at, 1, 1, 1))

    def render_line(self, y: int) -> Strip:
        """Row 0 has the sections, row 1 the bars."""
        columns = self.timeline.columns
        ground = self.rich_style
        row = self._section_row(columns) if y == 0 else self._bar_row(columns)
        left = [Segment(" " * self.indent, ground)]
        return Strip([*left, *row], self.indent + columns).adjust_cell_length(
            self.size.width, ground
        )

    def _section_row(self, columns: int) -> list[Segment]:
        styles = [
            self.get_component_rich_style("ruler--section"),
            self.get_component_rich_style("ruler--section-other"),
        ]
        row: list[Segment] = []
        at = 0
        for number, section in enumerate(self._sections):
            begin = min(max(self.timeline.column(section.start_s), at), columns)
            end = min(max(self.timeline.column(section.end_s), begin), columns)
            if begin > at:
                row.append(Segment(" " * (begin - at), self.rich_style))
            if end > begin:
                row.append(Segment(fit(" " + section.label, end - begin), styles[number % 2]))
            at = max(at, end)
        return [*row, Segment(" " * (columns - at), self.rich_style)]

    def _marks(self) -> list[tuple[float, str]]:
        """Times that get a label."""
        timeline = self.timeline
        if self._grid is None:
            step = next((s for s in _SECONDS if s >= _LABEL_COLUMNS * timeline.each_s), 3600.0)
            first = math.ceil(timeline.start_s / step)
            last = math.floor(timeline.end_s / step)
            return [(n * step, clock(n * step, tenths=step < 1)) for n in range(first, last + 1)]
        grid = self._grid
        first_bar = grid.bar_at(max(timeline.start_s, 0.0)).bar
        last_bar = grid.bar_at(min(timeline.end_s, timeline.duration_s)).bar
        bars = max(last_bar - first_bar, 1)
        step = 1
        while bars / step > max(timeline.columns / _LABEL_COLUMNS, 1):
            step *= 2
        begin = first_bar - (first_bar - 1) % step
        return [
            (grid.time_at(grid.beat_of_bar(bar)), str(bar))
            for bar in range(begin, last_bar + 1, step)
        ]

    def _bar_row(self, columns: int) -> list[Segment]:
        text = [" "] * columns
        for time_s, label in self._marks():
            at = self.timeline.column(time_s)
            for offset, character in enumerate("╷" + label):
                if 0 <= at + offset < columns and at >= 0:
                    text[at + offset] = character
        bar = self.get_component_rich_style("ruler--bar")
        styles: list[Style] = [bar] * columns
        if self._loop is not None:
            loop = self.get_component_rich_style("ruler--loop")
            begin = max(self.timeline.column(self._loop[0]), 0)
            end = min(self.timeline.column(self._loop[1]), columns)
            for at in range(begin, end):
                styles[at] = loop
                text[at] = "━" if text[at] == " " else text[at]
        if 0 <= self._playhead < columns:
            text[self._playhead] = "▼"
            styles[self._playhead] = self.get_component_rich_style("ruler--playhead")
        return [Segment(t, s) for t, s in zip(text, styles, strict=True)]

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Begin to point."""
        if event.x >= self.indent:
            self._pressed = event.x
            self.capture_mouse()

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Seek, or loop what was drawn over; a section is looped by a click with ctrl."""
        pressed, self._pressed = self._pressed, None
        self.release_mouse()
        if pressed is None:
            return
        begin, end = sorted((pressed - self.indent, event.x - self.indent))
        time_s = self.timeline.time(begin)
        if end - begin >= 2:
            self.post_message(self.Looped(time_s, self.timeline.time(end + 1)))
        elif event.ctrl and (section := self._section_at(time_s)) is not None:
            self.post_message(self.Looped(section.start_s, section.end_s))
        else:
            self.post_message(self.Sought(time_s))

    def _section_at(self, time_s: float) -> Section | None:
        return next((s for s in self._sections if s.start_s <= time_s < s.end_s), None)
