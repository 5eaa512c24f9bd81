"""The rows above and below the lanes: what is open, the transport, the master."""

from __future__ import annotations

from typing import ClassVar, NamedTuple

from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip
from textual.widget import Widget

from workstation.model.mixer import gain_words
from workstation.tui.widgets.strip import fader_segments, meter_segments, part_styles
from workstation.tui.words import fit

_METER = 20


class TransportShown(NamedTuple):
    """What the transport shows.

    Attributes:
        playing: The song runs.
        counting_in: A count-in is under way.
        recording: A take is recorded.
        replaying: A take is played back.
        loop: The loop in words; empty while there is none.
        click: The click is on.
        quantize: `off`, `beat`, `bar`, `4 bars`.
        position: Time in words, to a tenth of a second.
        length: Length of the song in words.
        place: Bars and beats.
        tempo: In words.
        key: Name of the key.
    """

    playing: bool = False
    counting_in: bool = False
    recording: bool = False
    replaying: bool = False
    loop: str = ""
    click: bool = False
    quantize: str = "off"
    position: str = "0:00.0"
    length: str = "0:00"
    place: str = "–"
    tempo: str = ""
    key: str = ""


class Transport(Widget):
    """One row: play, record, loop, click, quantise, where the song is, tempo and key."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "transport--on",
        "transport--record",
        "transport--off",
        "transport--time",
        "transport--dim",
    }

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  (Textual's name)
        super().__init__(id=id)
        self._shown = TransportShown()
        self._styles_now: dict[str, Style] = {}

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        self._styles_now = {}

    def show(self, shown: TransportShown) -> None:
        """Draw it anew if it looks different."""
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The row."""
        del y
        shown, ground = self._shown, self.rich_style
        if not self._styles_now:
            self._styles_now = part_styles(self, "transport--")
        on, off, record, time, dim = (
            ground + self._styles_now[name] for name in ("on", "off", "record", "time", "dim")
        )
        play = "… COUNT" if shown.counting_in else "■ PAUSE" if shown.playing else "▶ PLAY "
        gap = Segment(" ", ground)
        row = [
            gap,
            _button(play, "play", on if shown.playing or shown.counting_in else off),
            gap,
            _button("● REC" + ("!" if shown.recording else ""), "record",
                    record if shown.recording else off),
            gap,
            _button("⟲ " + (shown.loop or "LOOP"), "loop", on if shown.loop else off),
            gap,
            _button("CLICK" + ("!" if shown.click else ""), "click", on if shown.click else off),
            gap,
            _button(f"Q {shown.quantize}", "quantize", on if shown.quantize != "off" else off),
            Segment("  ", ground),
            Segment(shown.position, time),
            Segment(f"/{shown.length} ", dim),
            Segment(f" {shown.place:<6}", time),
            Segment("take " if shown.replaying else "", on),
        ]  # fmt: skip
        right = [Segment(f"{shown.tempo}  {shown.key} ".lstrip(), dim)]
        used = sum(s.cell_length for s in row)
        space = self.size.width - used - right[0].cell_length
        if space < 0:
            return Strip(row).adjust_cell_length(self.size.width, ground)
        return Strip([*row, Segment(" " * space, ground), *right])


def _button(words: str, action: str, style: Style) -> Segment:
    return Segment(f" {words} ", style + Style(meta={"@click": f"screen.do('{action}')"}))


class MasterShown(NamedTuple):
    """What the master row shows: gain, meter (see `strip.Shown`), blocks gone wrong, words."""

    gain_db: float = 0.0
    rms: int = 0
    peak: int = -1
    underflows: int = 0
    clipped: int = 0
    words: str = ""


class Master(Widget):
    """One row: gain and level of the sum, the output, and the last thing that was said."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {
        "master--dim",
        "master--warn",
        "master--meter-low",
        "master--meter-middle",
        "master--meter-high",
        "master--trough",
    }
    cells = _METER

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  (Textual's name)
        super().__init__(id=id)
        self._shown = MasterShown()
        self._styles_now: dict[str, Style] = {}

    def notify_style_update(self) -> None:
        """Another theme."""
        super().notify_style_update()
        self._styles_now = {}

    def show(self, shown: MasterShown) -> None:
        """Draw it anew if it looks different."""
        if shown != self._shown:
            self._shown = shown
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The row."""
        del y
        shown, ground = self._shown, self.rich_style
        if not self._styles_now:
            self._styles_now = part_styles(self, "master--")
        style = self._styles_now
        dim = style["dim"]
        row = [
            Segment("  MASTER    ", ground),
            *fader_segments(shown.gain_db, ground, dim),
            Segment(f"{gain_words(shown.gain_db):>7} dB ", ground),
            Segment(" ", ground),
            *meter_segments(shown.rms, shown.peak, _METER, style, ground),
            Segment(" ", ground),
        ]
        late = f" {shown.underflows} late " if shown.underflows else ""
        late += f" {shown.clipped} clipped " if shown.clipped else ""
        used = sum(s.cell_length for s in row) + len(late)
        words = fit(" " + shown.words, max(self.size.width - used, 0))
        return Strip(
            [*row, Segment(words, ground + dim), Segment(late, ground + style["warn"])]
        ).adjust_cell_length(self.size.width, ground)


class TitleBar(Widget):
    """One row: what is open, and at the right what runs in the background."""

    COMPONENT_CLASSES: ClassVar[set[str]] = {"title--name", "title--dim", "title--job"}

    def __init__(self, *, id: str | None = None) -> None:  # noqa: A002  (Textual's name)
        super().__init__(id=id)
        self._left, self._dim, self._right = "workstation", "", ""

    def show(
        self, left: str | None = None, dim: str | None = None, right: str | None = None
    ) -> None:
        """Change some of it."""
        now = (self._left, self._dim, self._right)
        new = tuple(
            old if given is None else given
            for old, given in zip(now, (left, dim, right), strict=True)
        )
        if new != now:
            self._left, self._dim, self._right = new
            self.refresh()

    def render_line(self, y: int) -> Strip:
        """The row."""
        del y
        ground, width = self.rich_style, self.size.width
        name, dim, job = (
            ground + self.get_component_rich_style(f"title--{part}")
            for part in ("name", "dim", "job")
        )
        right = f" {self._right} " if self._right else ""
        right = fit(right, min(len(right), width // 2))
        room = width - len(right)
        left = fit(f" {self._left} ", min(len(self._left) * 2 + 2, room)).rstrip() + " "
        middle = fit(" " + self._dim, max(room - Segment(left).cell_length, 0))
        return Strip(
            [Segment(left, name), Segment(middle, dim), Segment(right, job)]
        ).adjust_cell_length(width, ground)
