"""A large waveform with the beats drawn over it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region
from textual.message import Message
from textual.strip import Strip
from textual.widget import Widget

from workstation.audio.peaks import Peaks
from workstation.model import BeatGrid
from workstation.tui.timeline import Timeline
from workstation.tui.widgets.wave import wave_rows


class Beats(Widget):
    """Waveform, beats as lines, downbeats as stronger ones, the selected beat marked."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "beats--ground",
        "beats--beat",
        "beats--downbeat",
        "beats--selected",
        "beats--playhead",
    }

    @dataclass
    class Pointed(Message):
        """The mouse has pointed at a time."""

        time_s: float

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  (Textual's name)
        super().__init__(id=id)
        self.timeline = Timeline(0.0, 1)
        self._peaks: Peaks | None = None
        self._rate_hz = 44100
        self._colour = "#888888"
        self._grid: BeatGrid | None = None
        self._selected = 0
        self._playhead = -1
        self._wave: tuple[object, list[Strip]] | None = None
        self._lines: tuple[object, dict[int, tuple[str, Style]]] | None = None

    def set_peaks(self, peaks: Peaks, rate_hz: int, colour: str) -> None:
        """The waveform is there."""
        self._peaks, self._rate_hz, self._colour = peaks, rate_hz, colour
        self._wave = None
        self.refresh()

    def show_timeline(self, timeline: Timeline) -> None:
        """Show another part of the song."""
        if timeline != self.timeline:
            self.timeline = timeline
            self.refresh()

    def show_grid(self, grid: BeatGrid | None, selected: int) -> None:
        """Draw these beats."""
        self._grid, self._selected = grid, selected
        self.refresh()

    def show_playhead(self, time_s: float) -> None:
        """Draw the line that runs."""
        column = self.timeline.column(time_s)
        if column == self._playhead:
            return
        before, self._playhead = self._playhead, column
        for at in (before, column):
            if 0 <= at < self.timeline.columns:
                self.refresh(Region(at, 0, 1, self.size.height))

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        self._wave = self._lines = None

    def _rows(self) -> list[Strip]:
        key = (self.timeline, self.size, id(self._peaks))
        if self._wave is None or self._wave[0] != key:
            columns, rows = self.timeline.columns, max(self.size.height, 1)
            values = np.zeros(columns, np.uint8)
            if self._peaks is not None:
                values = self._peaks.columns(
                    self.timeline.start_s * self._rate_hz,
                    self.timeline.each_s * self._rate_hz,
                    columns,
                )
            ground = self.get_component_rich_style("beats--ground")
            highest = 255 if self._peaks is None else int(self._peaks.levels[-1].max())
            drawn = wave_rows(values, highest, rows, Style(color=self._colour), ground)
            self._wave = (key, [Strip(row, columns) for row in drawn])
        return self._wave[1]

    def _marks(self) -> dict[int, tuple[str, Style]]:
        """What is drawn over the wave, by column."""
        key = (self.timeline, self._grid, self._selected)
        if self._lines is None or self._lines[0] != key:
            self._lines = (key, self._beat_lines())
        if not 0 <= self._playhead < self.timeline.columns:
            return self._lines[1]
        line = ("│", self.get_component_rich_style("beats--playhead"))
        return {**self._lines[1], self._playhead: line}

    def _beat_lines(self) -> dict[int, tuple[str, Style]]:
        marks: dict[int, tuple[str, Style]] = {}
        columns = self.timeline.columns
        if self._grid is not None:
            downbeats = set(self._grid.downbeats)
            beat, down, chosen = (
                self.get_component_rich_style(f"beats--{name}")
                for name in ("beat", "downbeat", "selected")
            )
            for index, time_s in enumerate(self._grid.beats_s):
                column = self.timeline.column(time_s)
                if not 0 <= column < columns:
                    continue
                mark = ("┃", down) if index in downbeats else ("┊", beat)
                if index == self._selected:
                    mark = (mark[0], chosen)
                if marks.get(column, ("", beat))[1] == beat or index == self._selected:
                    marks[column] = mark
        return marks

    def render_line(self, y: int) -> Strip:
        """One row, with the marks over the wave."""
        wave = self._rows()[y]
        marks = self._marks()
        parts, at = [], 0
        for column in sorted(marks):
            character, style = marks[column]
            parts += [wave.crop(at, column), Strip([Segment(character, style)], 1)]
            at = column + 1
        parts.append(wave.crop(at))
        return Strip.join(parts)

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Select the nearest beat."""
        self.post_message(self.Pointed(self.timeline.time(event.x)))
