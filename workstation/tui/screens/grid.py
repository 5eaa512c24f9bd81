"""The editor of the beat grid."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.widgets import Footer, Static

from workstation.model import BeatGrid, JobContext, WorkstationError
from workstation.model.names import stem_colour
from workstation.model.stem_roles import stems_with_role
from workstation.tui.actions import Action
from workstation.tui.messages import Failed, PeaksRead
from workstation.tui.screens.base import TableScreen
from workstation.tui.timeline import Timeline
from workstation.tui.widgets.bars import TitleBar
from workstation.tui.widgets.beats import Beats
from workstation.tui.widgets.ruler import Ruler
from workstation.tui.words import place

if TYPE_CHECKING:
    from workstation.studio import Session
    from workstation.studio.player import Player

_G = "Beat grid"
GRID_ACTIONS: tuple[Action, ...] = (
    Action("play", "space", "Play", "Play or pause; the click tells where the beats are.", _G,
           footer=True),
    Action("click", "c", "Click", "Hear the grid.", _G),
    Action("previous", "left", "Beat back", "Select the beat before.", _G, shown_keys="←"),
    Action("next", "right", "Beat on", "Select the beat after.", _G, shown_keys="→"),
    Action("earlier", "comma", "Earlier", "Move all beats 5 ms earlier.", _G, shown_keys=","),
    Action("later", "full_stop", "Later", "Move all beats 5 ms later.", _G, shown_keys="."),
    Action("much_earlier", "less_than_sign", "Much earlier", "Move all beats 50 ms earlier.", _G,
           shown_keys="<"),
    Action("much_later", "greater_than_sign", "Much later", "Move all beats 50 ms later.", _G,
           shown_keys=">"),
    Action("halve", "left_square_bracket", "Halve", "Half the tempo.", _G, footer=True,
           shown_keys="["),
    Action("double", "right_square_bracket", "Double", "Double the tempo.", _G, footer=True,
           shown_keys="]"),
    Action("downbeat", "d", "Downbeat", "A bar begins at the selected beat.", _G, footer=True),
    Action("meter", "m", "Meter", "The next of 3, 4, 5, 6, 7 and 2 beats in a bar.", _G),
    Action("tap", "t", "Tap", "Tap the beats while the song plays: four or more make a grid.", _G,
           footer=True),
    Action("steady", "s", "Steady", "One tempo for the whole song: the mean of now.", _G),
    Action("undo", "u", "Undo", "Take the last change back.", _G, footer=True),
    Action("zoom_in", "z", "Zoom in", "See fewer beats, larger.", _G),
    Action("zoom_out", "Z", "Zoom out", "See more beats.", _G, shown_keys="shift+z"),
    Action("keep", "enter", "Keep", "Keep the grid and go back.", _G, footer=True),
    Action("leave", "escape", "Leave", "Leave the grid as it was.", _G, footer=True),
)  # fmt: skip

_METERS = (2, 3, 4, 5, 6, 7)
_TAP_ENDS_S = 2.5
_BEATS_SHOWN = 16


class GridScreen(TableScreen):
    """Correct where beats and bars are: look at the drums, and listen to the click.

    Args:
        session: Whose grid.
        player: Plays the song meanwhile.
    """

    TABLE = GRID_ACTIONS
    BINDINGS: ClassVar = [action.binding() for action in GRID_ACTIONS]

    def __init__(self, session: Session, player: Player) -> None:
        super().__init__()
        self.session, self.player = session, player
        self.before = player.grid
        self.grid = player.grid
        self.history: list[BeatGrid | None] = []
        self.taps: list[float] = []
        self._taps_used = False
        self._tapped_at = 0.0
        self.selected = 0
        duration = session.song.source.duration_s
        self.timeline = Timeline(duration, 1)
        self._click_was = player.value("click.on")

    def compose(self) -> ComposeResult:
        """Ruler, waveform, beats, words."""
        yield TitleBar(id="title")
        yield Ruler(id="ruler", indent=0)
        yield Beats(id="beats")
        yield Static("", id="grid-words", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    @property
    def beats(self) -> Beats:
        """The waveform with the beats on it."""
        return self.query_one(Beats)

    def on_mount(self) -> None:
        """Show sixteen beats around where the song is."""
        self.query_one(TitleBar).show("Beat grid", self.session.song.title)
        now = self.player.state.position_s
        if self.grid is not None:
            self.selected = self._nearest(now)
        self.call_after_refresh(self._fit)
        self._read_peaks()
        self.set_interval(1 / 30, self._poll)
        self._show_grid()

    def on_resize(self) -> None:
        """As many seconds in more or fewer columns."""
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        timeline = self.timeline.resized(self.beats.size.width)
        if timeline.column_s == 0.0 and self.grid is not None:
            wanted = _BEATS_SHOWN * 60.0 / self.grid.bpm
            at = self.grid.beats_s[self.selected]
            timeline = timeline.zoomed(wanted / max(timeline.duration_s, 0.01), at)
            timeline = timeline.following(at)
        self._show_timeline(timeline)

    @work(thread=True, exclusive=True, group="peaks", exit_on_error=False)
    def _read_peaks(self) -> None:
        from workstation.studio.waveforms import stem_peaks

        stems = list(self.session.stems)
        stem = next(iter(stems_with_role(stems, "drums")), stems[0])
        try:
            self.post_message(PeaksRead(stem, stem_peaks(self.session, stem, JobContext())))
        except WorkstationError as error:
            self.post_message(Failed(error))

    @on(PeaksRead)
    def _peaks_read(self, event: PeaksRead) -> None:
        colour = stem_colour(event.stem, 0)
        self.beats.set_peaks(event.peaks, self.session.song.source.sample_rate_hz, colour)

    @on(Failed)
    def _failed(self, event: Failed) -> None:
        self.workstation.fail(event.error)

    def _poll(self) -> None:
        if self.player.failure is not None or not self.is_current:
            return
        state = self.player.state
        if state.playing:
            self._show_timeline(self.timeline.following(state.position_s))
        self.beats.show_playhead(state.position_s)
        self.query_one(Ruler).show_playhead(state.position_s)

    def _show_timeline(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.beats.show_timeline(timeline)
        self.query_one(Ruler).show_timeline(timeline)

    def _show_grid(self) -> None:
        analysis = self.session.analysis
        self.query_one(Ruler).set_song(self.grid, analysis.sections if analysis else ())
        self.beats.show_grid(self.grid, self.selected)
        self.query_one("#grid-words", Static).update(self._words())

    def _words(self) -> str:
        if self.grid is None:
            return "No beats were found. Play the song and tap them with t."
        at = self.grid.beats_s[self.selected]
        steady = "steady" if self.grid.steady else "follows the song"
        words = (
            f"{self.grid.bpm:.2f} bpm, {steady} · {self.grid.beats_per_bar} beats in a bar · "
            f"{len(self.grid.beats_s)} beats · selected {place(self.grid.bar_at(at + 1e-4))} "
            f"at {int(round(at, 3) // 60)}:{round(at, 3) % 60:06.3f}"
        )
        changes = f" · {len(self.history)} changes" if self.history else ""
        taps = f" · {len(self.taps)} taps" if self.taps else ""
        return words + changes + taps

    def _tell(self, call: Callable[[], None]) -> None:
        """Tell the player something; if it has ended, say so, and go on with the grid."""
        try:
            call()
        except WorkstationError as error:
            self.notify(str(error), severity="warning", markup=False)

    # -- editing ------------------------------------------------------------------------------

    def _nearest(self, time_s: float) -> int:
        assert self.grid is not None
        beats = self.grid.beats_s
        return min(range(len(beats)), key=lambda k: abs(beats[k] - time_s))

    def edit(self, change: Callable[[BeatGrid], BeatGrid]) -> None:
        """Change the grid; what is heard changes with it."""
        if self.grid is None:
            self.notify("There is no grid yet: tap one with t.")
            return
        try:
            self._take(change(self.grid))
        except ValueError as error:
            self.notify(f"That makes no grid: {error}.", severity="warning", markup=False)

    def _take(self, grid: BeatGrid) -> None:
        at = self.grid.beats_s[self.selected] if self.grid is not None else 0.0
        self.history.append(self.grid)
        self._use(grid, at)

    def _use(self, grid: BeatGrid | None, at: float) -> None:
        self.grid = grid
        if grid is not None:
            self.selected = self._nearest(at)
        self._tell(lambda: self.player.set_grid(grid))
        self._show_grid()

    def _select(self, index: int) -> None:
        if self.grid is None:
            return
        self.selected = min(max(index, 0), len(self.grid.beats_s) - 1)
        at = self.grid.beats_s[self.selected]
        self._show_timeline(self.timeline.following(at))
        if not self.player.state.playing:
            self._tell(lambda: self.player.set("transport.seek", max(at, 0.0)))
        self._show_grid()

    @on(Beats.Pointed)
    @on(Ruler.Sought)
    def _pointed(self, event: Beats.Pointed | Ruler.Sought) -> None:
        if self.grid is not None:
            self._select(self._nearest(event.time_s))

    def do_play(self) -> None:
        """From the selected beat."""
        self._tell(lambda: self.player.toggle("transport.play"))

    def do_click(self) -> None:
        """On or off."""
        self._tell(lambda: self.player.toggle("click.on"))

    def do_previous(self) -> None:
        """The beat before."""
        self._select(self.selected - 1)

    def do_next(self) -> None:
        """The beat after."""
        self._select(self.selected + 1)

    def do_earlier(self) -> None:
        """5 ms."""
        self.edit(lambda grid: grid.shifted(-0.005))

    def do_later(self) -> None:
        """5 ms."""
        self.edit(lambda grid: grid.shifted(0.005))

    def do_much_earlier(self) -> None:
        """50 ms."""
        self.edit(lambda grid: grid.shifted(-0.05))

    def do_much_later(self) -> None:
        """50 ms."""
        self.edit(lambda grid: grid.shifted(0.05))

    def do_halve(self) -> None:
        """Half the tempo."""
        self.edit(BeatGrid.halved)

    def do_double(self) -> None:
        """Double the tempo."""
        self.edit(BeatGrid.doubled)

    def do_downbeat(self) -> None:
        """At the selected beat."""
        self.edit(lambda grid: grid.with_downbeat(grid.beats_s[self.selected]))

    def do_meter(self) -> None:
        """The next one."""

        def change(grid: BeatGrid) -> BeatGrid:
            now = grid.beats_per_bar
            following = _METERS[(_METERS.index(now) + 1) % len(_METERS)] if now in _METERS else 4
            first = grid.beats_s[grid.downbeats[0]]
            return grid.with_downbeat(first, beats_per_bar=following)

        self.edit(change)

    def do_steady(self) -> None:
        """The mean tempo."""
        self.edit(lambda grid: grid.with_tempo(grid.bpm))

    def do_tap(self) -> None:
        """A beat is now."""
        now = time.monotonic()
        state = self.player.state
        if not state.playing:
            self.notify("Play the song with space, and tap along.")
            return
        if now - self._tapped_at > _TAP_ENDS_S:
            self.taps.clear()
            self._taps_used = False
        self._tapped_at = now
        if self.taps and state.position_s <= self.taps[-1]:  # The loop has begun again.
            self.taps.clear()
            self._taps_used = False
        self.taps.append(state.position_s)
        if len(self.taps) >= 4:
            self._use_taps()
        self._show_grid()

    def _use_taps(self) -> None:
        """Taps give tempo and phase; the grid goes on with them through the whole song."""
        from workstation.studio.analysis import grid_of_taps

        per_bar = self.grid.beats_per_bar if self.grid is not None else 4
        try:
            grid = grid_of_taps(self.taps, self.session.song.source.duration_s, per_bar)
        except ValueError as error:
            self.notify(f"These taps make no grid: {error}.", severity="warning", markup=False)
            return
        if self._taps_used:  # One more tap of the same run is no change of its own.
            self._use(grid, self.taps[0])
        else:
            self._take(grid)
            self._taps_used = True

    def do_undo(self) -> None:
        """One change back."""
        self._taps_used = False
        if self.history:
            at = self.grid.beats_s[self.selected] if self.grid is not None else 0.0
            self._use(self.history.pop(), at)

    def do_zoom_in(self) -> None:
        """Half the time."""
        self._zoom(0.5)

    def do_zoom_out(self) -> None:
        """Twice the time."""
        self._zoom(2.0)

    def _zoom(self, factor: float) -> None:
        at = self.grid.beats_s[self.selected] if self.grid is not None else 0.0
        self._show_timeline(self.timeline.zoomed(factor, at))

    def do_keep(self) -> None:
        """Into the session."""
        grid = self.grid
        if grid is not None and grid != self.before:
            try:
                self.session.set_grid(grid)
            except WorkstationError as error:
                self.workstation.fail(error)
                return
        self._end()

    def do_leave(self) -> None:
        """Ask if something would be lost."""
        if self.history and self.grid != self.before:
            self.workstation.ask("Leave the grid as it was? Your changes go.", "Leave",
                                 self._give_up)  # fmt: skip
        else:
            self._end()

    def _give_up(self) -> None:
        self._tell(lambda: self.player.set_grid(self.before))
        self._end()

    def _end(self) -> None:
        with contextlib.suppress(WorkstationError):  # The session screen tells of its end.
            self.player.set("click.on", self._click_was)
        self.dismiss(None)
