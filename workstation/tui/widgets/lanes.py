"""The lanes: every stem with its strip and its waveform, in one widget that draws line by line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.geometry import Region, Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip

from workstation.audio.peaks import Peaks
from workstation.tui.timeline import Timeline
from workstation.tui.widgets import strip as strips
from workstation.tui.widgets.strip import Shown, part_styles, strip_rows, what_is_at
from workstation.tui.widgets.wave import wave_rows

_LEAST_ROWS, _MOST_ROWS = 2, 12
# A press that moves less than this is a click.
_DRAG_COLUMNS = 2
_DOUBLE_CLICK = 2


class Lanes(ScrollView, can_focus=True, inherit_bindings=False):
    """Every stem of a session: strips to the left, waveforms to the right.

    Attributes:
        timeline: What of the song the waveforms show.
        selected: Index of the selected stem.
    """

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "lanes--strip",
        "lanes--selected",
        "lanes--dim",
        "lanes--mute",
        "lanes--solo",
        "lanes--meter-low",
        "lanes--meter-middle",
        "lanes--meter-high",
        "lanes--trough",
        "lanes--ground",
        "lanes--loop",
        "lanes--silent",
        "lanes--playhead",
    }

    @dataclass
    class Changed(Message):
        """The mouse has moved a control of a stem; None is its default."""

        stem: str
        what: str
        value: float | None

    @dataclass
    class Pressed(Message):
        """The mouse has pressed a button of a stem."""

        stem: str
        what: str

    @dataclass
    class Sought(Message):
        """The mouse has pointed at a place in the song."""

        time_s: float

    @dataclass
    class Looped(Message):
        """The mouse has drawn over a part of the song."""

        start_s: float
        end_s: float

    @dataclass
    class Selected(Message):
        """Another stem is selected."""

        index: int

    @dataclass
    class Turned(Message):
        """The wheel asks for another part of the song: columns to the right, or a zoom."""

        columns: int
        zoom: float
        around_s: float

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  (Textual's name)
        super().__init__(id=id)
        self.timeline = Timeline(0.0, 1)
        self.selected = 0
        self._shown: list[Shown] = []
        self._peaks: dict[str, Peaks] = {}
        self._highest = 255
        self._rate_hz = 44100
        self._loop: tuple[float, float] | None = None
        self._playhead = -1
        self._downbeats = np.zeros(0)
        self._styles: dict[str, Style] = {}
        self._waves: dict[int, tuple[object, list[Strip]]] = {}
        self._lefts: dict[int, tuple[object, list[Strip]]] = {}
        self._rows = _LEAST_ROWS
        self._drag: tuple[str, str, int, int] | None = None

    # -- what is shown ------------------------------------------------------------------------

    def set_song(self, rate_hz: int, downbeats_s: Sequence[float]) -> None:
        """The rate of the stems, and where bars begin."""
        self._rate_hz = rate_hz
        self._downbeats = np.asarray(downbeats_s, float)
        self._waves.clear()
        self.refresh()

    def set_peaks(self, stem: str, peaks: Peaks) -> None:
        """The waveform of a stem is there."""
        self._peaks[stem] = peaks
        # The loudest stem fills its lane; the others are as much lower as they are softer.
        self._highest = max(int(p.levels[-1].max()) for p in self._peaks.values())
        self._waves.clear()
        self.refresh()

    def forget_peaks(self) -> None:
        """The stems are others now."""
        self._peaks.clear()

    def show(self, shown: list[Shown]) -> None:
        """Draw strips anew that look different now."""
        before, self._shown = self._shown, shown
        if len(before) != len(shown):
            self.selected = min(self.selected, max(len(shown) - 1, 0))
            self._lay_out()
            self.refresh()
            return
        for index, (old, new) in enumerate(zip(before, shown, strict=True)):
            if old == new:
                continue
            whole = old.audible != new.audible or old.name != new.name
            self._refresh_part(index, 0, self.size.width if whole else strips.WIDTH)

    def show_timeline(self, timeline: Timeline) -> None:
        """Show another part of the song."""
        if timeline != self.timeline:
            self.timeline = timeline
            self.refresh()

    def show_loop(self, loop: tuple[float, float] | None) -> None:
        """Shade the loop."""
        if loop != self._loop:
            self._loop = loop
            self.refresh()

    def show_playhead(self, time_s: float) -> None:
        """Draw the line that runs, if it is in another column now."""
        column = self.timeline.column(time_s)
        if column == self._playhead:
            return
        before, self._playhead = self._playhead, column
        height = self.scrollable_content_region.height
        for at in (before, column):
            if 0 <= at < self.timeline.columns:
                self.refresh(Region(strips.WIDTH + at, 0, 1, height))

    def select(self, index: int) -> None:
        """Select a stem, and bring it onto the screen."""
        if not self._shown:
            return
        before, self.selected = self.selected, min(max(index, 0), len(self._shown) - 1)
        for one in {before, self.selected}:
            self._refresh_part(one, 0, strips.WIDTH)
        top, height = self.selected * self._rows, self.scrollable_content_region.height
        if top < self.scroll_offset.y:
            self.scroll_to(y=top, animate=False)
        elif top + self._rows > self.scroll_offset.y + height:
            self.scroll_to(y=top + self._rows - height, animate=False)

    # -- layout -------------------------------------------------------------------------------

    @property
    def wave_columns(self) -> int:
        """Width of the waveforms in cells."""
        return max(self.scrollable_content_region.width - strips.WIDTH, 1)

    def _lay_out(self) -> None:
        height = self.size.height
        count = max(len(self._shown), 1)
        self._rows = min(max(height // count, _LEAST_ROWS), _MOST_ROWS)
        self.virtual_size = Size(0, len(self._shown) * self._rows)
        self._waves.clear()

    def on_resize(self) -> None:
        """Lanes are as high as the screen lets them be."""
        self._lay_out()

    def notify_style_update(self) -> None:
        """Another theme: all colours are looked up anew."""
        super().notify_style_update()
        self._styles.clear()
        self._waves.clear()
        self._lefts.clear()

    def _style(self) -> dict[str, Style]:
        if not self._styles:
            self._styles = part_styles(self, "lanes--")
        return self._styles

    def _refresh_part(self, index: int, begin: int, end: int) -> None:
        top = index * self._rows - self.scroll_offset.y
        if top < self.size.height and top + self._rows > 0:
            self.refresh(Region(begin, max(top, 0), end - begin, self._rows))

    # -- drawing ------------------------------------------------------------------------------

    def render_line(self, y: int) -> Strip:
        """One row of the screen: of which stem it is follows from the scroll position."""
        index, row = divmod(y + self.scroll_offset.y, self._rows)
        style = self._style()
        width = self.size.width
        if index >= len(self._shown):
            return Strip([
                Segment(" " * strips.WIDTH, style["strip"]),
                Segment(" " * max(width - strips.WIDTH, 0), style["ground"]),
            ])  # fmt: skip
        left, wave = self._left(index)[row], self._wave(index)[row]
        at = self._playhead
        if not 0 <= at < self.timeline.columns:
            return Strip.join([left, wave])
        head = Strip([Segment("│", style["playhead"])], 1)
        return Strip.join([left, wave.crop(0, at), head, wave.crop(at + 1)])

    def _left(self, index: int) -> list[Strip]:
        """The strip of a stem; most rows are drawn again only because the playhead has moved."""
        key = (self._shown[index], index == self.selected, self._rows)
        cached = self._lefts.get(index)
        if cached is None or cached[0] != key:
            rows = strip_rows(key[0], self._rows, self._style(), selected=key[1])
            cached = (key, [Strip(row, strips.WIDTH) for row in rows])
            self._lefts[index] = cached
        return cached[1]

    def _wave(self, index: int) -> list[Strip]:
        shown = self._shown[index]
        peaks = self._peaks.get(shown.name)
        key = (self.timeline, self._rows, self._loop, shown.audible, shown.name, id(peaks))
        cached = self._waves.get(index)
        if cached is not None and cached[0] == key:
            return cached[1]
        if len(self._waves) > 64:
            self._waves.clear()
        rows = self._draw_wave(shown, peaks)
        self._waves[index] = (key, rows)
        return rows

    def _draw_wave(self, shown: Shown, peaks: Peaks | None) -> list[Strip]:
        timeline, style = self.timeline, self._style()
        columns = timeline.columns
        if peaks is None:
            values = np.zeros(columns, np.uint8)
        else:
            values = peaks.columns(
                timeline.start_s * self._rate_hz, timeline.each_s * self._rate_hz, columns
            )
        colour = Style(color=shown.colour) if shown.audible else style["silent"]
        ticks = self._ticks(columns)
        begin, end = self._loop_columns(columns)
        parts = [
            wave_rows(values[a:b], self._highest, self._rows, colour, ground, ticks[a:b])
            for a, b, ground in (
                (0, begin, style["ground"]),
                (begin, end, style["loop"]),
                (end, columns, style["ground"]),
            )
            if b > a
        ]
        return [
            Strip([segment for part in parts for segment in part[row]], columns)
            for row in range(self._rows)
        ]

    def _ticks(self, columns: int) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
        ticks = np.zeros(columns, bool)
        timeline = self.timeline
        inside = self._downbeats[
            (self._downbeats >= timeline.start_s) & (self._downbeats < timeline.end_s)
        ]
        if 0 < len(inside) <= columns / 6:
            at = np.floor((inside - timeline.start_s) / timeline.each_s + 1e-9).astype(int)
            ticks[np.clip(at, 0, columns - 1)] = True
        return ticks

    def _loop_columns(self, columns: int) -> tuple[int, int]:
        if self._loop is None:
            return 0, 0
        begin = min(max(self.timeline.column(self._loop[0]), 0), columns)
        return begin, min(max(self.timeline.column(self._loop[1]), begin), columns)

    # -- mouse --------------------------------------------------------------------------------

    def on_mouse_down(self, event: events.MouseDown) -> None:
        """Press buttons, take faders, begin to point."""
        index, row = divmod(event.y + self.scroll_offset.y, self._rows)
        if index >= len(self._shown):
            return
        stem = self._shown[index].name
        if index != self.selected:
            self.select(index)
            self.post_message(self.Selected(index))
        if event.x >= strips.WIDTH:
            self._drag = (stem, "song", event.x, event.x)
            self.capture_mouse()
            return
        what = what_is_at(row, event.x)
        if what in {"mute", "solo"}:
            self.post_message(self.Pressed(stem, what))
        elif what:
            self._drag = (stem, what, event.x, event.x)
            self.capture_mouse()
            if what == "gain" and row == 1 and event.button == 1:
                self.post_message(self.Changed(stem, what, strips.fader_at(event.x)))

    def on_mouse_move(self, event: events.MouseMove) -> None:
        """Drag a fader or knob."""
        if self._drag is None:
            return
        stem, what, pressed, last = self._drag
        self._drag = (stem, what, pressed, event.x)
        if what == "song" or event.x == last:
            return
        if what == "gain":
            self.post_message(self.Changed(stem, what, strips.fader_at(event.x)))
        else:
            shown = next(s for s in self._shown if s.name == stem)
            now = shown.pan if what == "pan" else shown.filter
            value = min(max(now + (event.x - last) * 0.1, -1.0), 1.0)
            self.post_message(self.Changed(stem, what, round(value, 3)))

    def on_mouse_up(self, event: events.MouseUp) -> None:
        """Seek, or loop what was drawn over."""
        drag, self._drag = self._drag, None
        self.release_mouse()
        if drag is None or drag[1] != "song":
            return
        begin, end = sorted((drag[2] - strips.WIDTH, event.x - strips.WIDTH))
        if end - begin < _DRAG_COLUMNS:
            self.post_message(self.Sought(self.timeline.time(begin)))
        else:
            self.post_message(self.Looped(self.timeline.time(begin), self.timeline.time(end + 1)))

    def on_click(self, event: events.Click) -> None:
        """A double click takes a control back to its default."""
        if event.chain < _DOUBLE_CLICK or event.x >= strips.WIDTH:
            return
        index, row = divmod(event.y + self.scroll_offset.y, self._rows)
        if index < len(self._shown) and (what := what_is_at(row, event.x)) in {
            "gain", "pan", "filter",
        }:  # fmt: skip
            self.post_message(self.Changed(self._shown[index].name, what, None))

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """Turn a control, scroll or zoom."""
        self._turn(event, -1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """Turn a control, scroll or zoom."""
        self._turn(event, 1)

    def _turn(self, event: events.MouseEvent, up: int) -> None:
        if event.x >= strips.WIDTH:
            around = self.timeline.time(event.x - strips.WIDTH)
            if event.ctrl:
                self._stop(event)
                self.post_message(self.Turned(0, 0.8 if up > 0 else 1.25, around))
            elif event.shift or self.max_scroll_y == 0:
                self._stop(event)
                self.post_message(self.Turned(-4 * up, 1.0, around))
            return
        index, row = divmod(event.y + self.scroll_offset.y, self._rows)
        what = what_is_at(row, event.x) if index < len(self._shown) else ""
        if what not in {"gain", "pan", "filter"}:
            return
        self._stop(event)
        shown = self._shown[index]
        now, step = {
            "gain": (shown.gain_db, 1.0),
            "pan": (shown.pan, 0.05),
            "filter": (shown.filter, 0.05),
        }[what]
        self.post_message(self.Changed(shown.name, what, now + step * up))

    @staticmethod
    def _stop(event: events.MouseEvent) -> None:
        event.stop()
        event.prevent_default()
