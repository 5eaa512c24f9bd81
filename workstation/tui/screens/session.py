"""The screen of a session: its stems are played and mixed here."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.events import ScreenResume
from textual.widgets import Footer

from workstation.model import (
    BeatGrid,
    CancelledError,
    JobContext,
    UnavailableError,
    WorkstationError,
)
from workstation.model.controls import QUANTIZE, ControlChange
from workstation.model.mixer import SILENT_DB, Strip
from workstation.model.names import shown as printable
from workstation.model.names import stem_colour
from workstation.tui.actions import SESSION_ACTIONS, Action
from workstation.tui.messages import Failed, PeaksRead, PlayerOpened, Said
from workstation.tui.screens.base import TableScreen
from workstation.tui.timeline import Timeline
from workstation.tui.widgets.bars import (
    Master,
    MasterShown,
    TitleBar,
    Transport,
    TransportShown,
)
from workstation.tui.widgets.lanes import Lanes
from workstation.tui.widgets.ruler import Ruler
from workstation.tui.widgets.strip import Shown, meter_cells
from workstation.tui.words import clock, left_words, place

if TYPE_CHECKING:
    from workstation.model.midi_mapping import MidiMapping
    from workstation.studio import Session
    from workstation.studio.jobs import Job
    from workstation.studio.player import Levels, Player, PlayerState

_PLAYING_HZ = 16
_RESTING_HZ = 10
_HURRY_HZ = 60
_HURRIED_LOOKS = 4
_LISTEN_EVERY_S = 0.5
_METER_CELLS = 9


class SessionScreen(TableScreen):
    """Play the stems, ride them by keys, mouse or controller, and record takes.

    Args:
        session: With stems and analysis.
    """

    TABLE = SESSION_ACTIONS
    BINDINGS: ClassVar = [action.binding() for action in SESSION_ACTIONS]

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.title_bar = TitleBar(id="title")
        self.transport = Transport(id="transport")
        self.ruler = Ruler(id="ruler")
        self.lanes = Lanes(id="lanes")
        self.master = Master(id="master")
        self.player: Player | None = None
        self.timeline = Timeline(session.song.source.duration_s, 1)
        self.following = True
        self._seen = b""
        self._looks = 0
        self._touched = asyncio.Event()
        self._words = ""
        self._moved_by: dict[str, str] = {}
        self._mappings: dict[str, MidiMapping] = {}
        self._failed = False
        self._leaving = False
        self._new_stems = False
        self._opening = threading.Lock()

    # -- parts --------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """From top to bottom."""
        yield self.title_bar
        yield self.transport
        yield self.ruler
        yield self.lanes
        yield self.master
        yield Footer(compact=True, show_command_palette=False)

    @property
    def recording(self) -> bool:
        """Whether a take is being recorded."""
        return self.player is not None and self.player.failure is None and (
            self.player.state.recording
        )  # fmt: skip

    @property
    def plays(self) -> bool:
        """Whether somebody performs: the song runs, or a take is being recorded."""
        player = self.player
        return player is not None and player.failure is None and (
            player.state.playing or player.state.recording or player.state.counting_in
        )  # fmt: skip

    @property
    def stems(self) -> tuple[str, ...]:
        """The stems that are played; those of the session may be newer."""
        return self.player.stems if self.player is not None else tuple(self.session.stems)

    @property
    def stem(self) -> str:
        """Name of the selected stem."""
        return self.stems[min(self.lanes.selected, len(self.stems) - 1)]

    def on_mount(self) -> None:
        """Show the session, and start its player."""
        self._show_song()
        self.lanes.focus()
        self.call_after_refresh(self._fit)
        self._read_peaks()
        self.open_player()
        self.run_worker(self._watch(), group="watch", exclusive=True)
        self.set_interval(_LISTEN_EVERY_S, self._look_at_controllers)

    def on_resize(self) -> None:
        """The same part of the song, in more or fewer columns."""
        self.call_after_refresh(self._fit)

    def _fit(self) -> None:
        self._show_timeline(self.timeline.resized(self.lanes.wave_columns))

    @on(ScreenResume)
    def _resumed(self) -> None:
        self._seen = b""

    def _show_song(self) -> None:
        song = self.session.song
        analysis = song.analysis
        words = f"{len(self.session.stems)} stems · {self.session.engine}"
        if analysis is not None and analysis.loudness_lufs is not None:
            words += f" · {analysis.loudness_lufs:.1f} LUFS"
        title = f"{song.title} — {song.artist}" if song.artist else song.title
        self.title_bar.show(title, words)
        self.show_grid(analysis.grid if analysis else None)
        self.lanes.show([
            Shown(number, name, stem_colour(name, number - 1))
            for number, name in enumerate(self.session.stems, start=1)
        ])  # fmt: skip

    def show_grid(self, grid: BeatGrid | None) -> None:
        """Bars and sections by this grid."""
        analysis = self.session.analysis
        self.ruler.set_song(grid, analysis.sections if analysis else ())
        self.lanes.set_song(
            self.session.song.source.sample_rate_hz, grid.downbeats_s if grid else ()
        )
        self._seen = b""

    # -- the player ---------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="player", exit_on_error=False)
    def open_player(self) -> None:
        """Start the player; it takes a second."""
        with self._opening:  # One after another: none may be left open unseen.
            self._open_player()

    def _open_player(self) -> None:
        """Open a player on a thread, in place of one that may be there."""
        old, self.player = self.player, None
        if old is not None:
            old.close()
        app = self.workstation
        try:
            player = self.session.player(app.output, app.connections, say=self._tell)
        except WorkstationError as error:
            self.post_message(Failed(error))
            return
        if old is not None:
            with contextlib.suppress(WorkstationError):  # It has ended at once: `_poll` tells.
                player.go_on_from(old)
        self.player = player
        if self._leaving:
            player.close()
        else:
            self.post_message(PlayerOpened(player))

    def _tell(self, words: str) -> None:
        """Words of the player, from its thread."""
        self.post_message(Said(words))

    @on(PlayerOpened)
    def _player_opened(self, event: PlayerOpened) -> None:
        self._failed = False
        self._seen = b""
        self._say(event.player.output.words or event.player.output.name)

    @on(Failed)
    def _player_failed(self, event: Failed) -> None:
        again = self.open_player if self.player is None else self._restart_player
        self.workstation.fail(event.error, again)

    @on(Said)
    def _said(self, event: Said) -> None:
        self._say(event.words)

    def _say(self, words: str) -> None:
        """Words beside the master, until the next ones."""
        self._words = printable(words)
        self._seen = b""

    @work(thread=True, exclusive=True, group="player", exit_on_error=False)
    def _restart_player(self) -> None:
        assert self.player is not None
        try:
            self.player.restart()
        except WorkstationError as error:
            self.post_message(Failed(error))
            return
        self.post_message(PlayerOpened(self.player))

    def close_player(self) -> None:
        """End the player; from any thread."""
        self._leaving = True
        if self.player is not None:
            self.player.close()

    def change(self, change: ControlChange) -> None:
        """Send a change to the player, if there is one."""
        if self.player is None or self.player.failure is not None:
            self._say("The player is not ready yet.")
            return
        self._touched.set()
        try:
            self.player.change(change)
        except WorkstationError as error:
            self._say(str(error))

    def set(self, control: str, value: float) -> None:
        """Set a control."""
        self.change(ControlChange(control, value))

    # -- drawing ------------------------------------------------------------------------------

    async def _watch(self) -> None:
        """Look at the player as often as an eye can follow; more seldom while all is at rest."""
        hurry = 0
        while not self._leaving:
            self._poll()
            player = self.player
            moves = player is not None and player.failure is None and player.state.playing
            hz = _HURRY_HZ if hurry else _PLAYING_HZ if moves else _RESTING_HZ
            hurry = max(hurry - 1, 0)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._touched.wait(), 1 / hz)
                # What a key or the mouse has changed is there with the next block.
                self._touched.clear()
                hurry = _HURRIED_LOOKS
                await asyncio.sleep(1 / _HURRY_HZ)

    def _poll(self) -> None:
        """Draw what has changed since the last time."""
        player = self.player
        if player is None or self._leaving or not self.is_current:
            return
        if player.failure is not None:
            if not self._failed:
                self._failed = True
                self.workstation.fail(player.failure, self._restart_player)
            return
        if self._new_stems and not self.plays:
            self._play_new_stems()
            return
        seen = player.fingerprint()
        if seen == self._seen and not player.state.playing:
            return
        self._seen = seen
        state, levels = player.state, player.levels()
        if state.playing and self.following:
            self._show_timeline(self.timeline.following(state.position_s))
        self._show_state(player, state)
        self._show_strips(player, levels)
        self.master.show(
            MasterShown(
                player.value("master.gain"),
                *_meter(levels["master"], Master.cells),
                state.underflows,
                state.clipped,
                self._words,
            )
        )

    def _show_state(self, player: Player, state: PlayerState) -> None:
        grid, analysis = player.grid, self.session.analysis
        loop = ""
        if state.loop_s is not None:
            begin, end = state.loop_s
            if grid is None:
                loop = f"{clock(begin)}–{clock(end)}"
            else:
                loop = f"{place(grid.bar_at(begin + 0.001))}–{place(grid.bar_at(end + 0.001))}"
        self.lanes.show_loop(state.loop_s)
        self.ruler.show_loop(state.loop_s)
        # The line runs through every row of the screen: drawing it is most of the work, so it
        # moves at every other look.
        self._looks += 1
        if self._looks % 2 or not state.playing:
            self.lanes.show_playhead(state.position_s)
            self.ruler.show_playhead(state.position_s)
        self.transport.show(
            TransportShown(
                playing=state.playing,
                counting_in=state.counting_in,
                recording=state.recording,
                replaying=state.replaying,
                loop=loop,
                click=player.value("click.on") != 0,
                quantize=QUANTIZE[round(player.value("quantize.grid"))],
                position=clock(state.position_s),
                length=clock(player.duration_s, tenths=False),
                place=place(state.bar),
                tempo=f"{grid.bpm_at(state.position_s):.1f} bpm" if grid else "no beats",
                key=analysis.key.name if analysis and analysis.key else "",
            )
        )

    def _show_strips(self, player: Player, levels: dict[str, Levels]) -> None:
        mixer = player.mixer
        rows = []
        for number, stem in enumerate(player.stems, start=1):
            strip: Strip = mixer.strips[stem]
            rms, peak = _meter(levels[stem], _METER_CELLS)
            rows.append(
                Shown(
                    number,
                    stem,
                    stem_colour(stem, number - 1),
                    strip.gain_db,
                    strip.pan,
                    strip.muted,
                    strip.soloed,
                    strip.filter,
                    mixer.audible(stem) and strip.gain_db > SILENT_DB,
                    player.is_waiting(f"{stem}.mute") or player.is_waiting(f"{stem}.solo"),
                    rms,
                    peak,
                    self._moved_by.get(stem, ""),
                )
            )
        self.lanes.show(rows)

    def _show_timeline(self, timeline: Timeline) -> None:
        self.timeline = timeline
        self.lanes.show_timeline(timeline)
        self.ruler.show_timeline(timeline)
        self._seen = b""

    def show_job(self, job: Job) -> None:
        """Progress of the work in the background, in the title."""
        active = self.workstation.jobs.active
        words = ""
        if active:
            job = active[0]
            more = f" +{len(active) - 1}" if len(active) > 1 else ""
            words = f"{printable(job.title)} {job.fraction:.0%} {left_words(job.left_s)}{more}"
        self.title_bar.show(right=words)

    @work(thread=True, group="controllers", exclusive=True, exit_on_error=False)
    def _look_at_controllers(self) -> None:
        """What moves each strip, and where knobs stand apart from it."""
        player = self.player
        if player is None or player.failure is not None or self._leaving or not player.controllers:
            return
        from workstation.studio.controllers import mappings_in_use, strip_bindings

        try:
            if {state["mapping"] for state in player.controllers} != self._mappings.keys():
                self._mappings = mappings_in_use(player)
            found = strip_bindings(player, self._mappings)
        except WorkstationError:
            return  # The player has ended: `_poll` tells.
        if found != self._moved_by:
            self._moved_by = found
            self._seen = b""

    @work(thread=True, exclusive=True, group="peaks", exit_on_error=False)
    def _read_peaks(self) -> None:
        from textual.worker import get_current_worker

        from workstation.studio.waveforms import stem_peaks

        worker = get_current_worker()
        job = JobContext(cancelled=worker.cancelled_event)
        for stem in self.session.stems:
            try:
                self.post_message(PeaksRead(stem, stem_peaks(self.session, stem, job)))
            except CancelledError:
                return
            except WorkstationError as error:
                self.post_message(Said(str(error)))

    @on(PeaksRead)
    def _peaks_read(self, event: PeaksRead) -> None:
        self.lanes.set_peaks(event.stem, event.peaks)

    # -- mouse --------------------------------------------------------------------------------

    @on(Lanes.Changed)
    def _changed(self, event: Lanes.Changed) -> None:
        control = f"{event.stem}.{event.what}"
        if self.player is not None and control in self.player.table:
            value = self.player.table[control].default if event.value is None else event.value
            self.set(control, value)

    @on(Lanes.Pressed)
    def _pressed(self, event: Lanes.Pressed) -> None:
        self.change(ControlChange(f"{event.stem}.{event.what}", 1.0, "toggle"))

    @on(Lanes.Sought)
    @on(Ruler.Sought)
    def _sought(self, event: Lanes.Sought | Ruler.Sought) -> None:
        self.set("transport.seek", event.time_s)

    @on(Lanes.Looped)
    @on(Ruler.Looped)
    def _looped(self, event: Lanes.Looped | Ruler.Looped) -> None:
        if self.player is None:
            return
        try:
            self.player.loop(seconds=(event.start_s, event.end_s))
        except WorkstationError as error:
            self._say(str(error))

    @on(Lanes.Turned)
    def _turned(self, event: Lanes.Turned) -> None:
        if event.columns:
            self.following = False
            self._show_timeline(self.timeline.scrolled(event.columns))
        else:
            self._show_timeline(self.timeline.zoomed(event.zoom, event.around_s))

    # -- actions ------------------------------------------------------------------------------

    def perform(self, action: Action) -> None:
        """Change the action's control, or call its method."""
        if action.control:
            control = action.control.replace("{stem}", self.stem)
            self.change(ControlChange(control, action.value, action.op))
        elif action.id[:4] in {"mute", "solo"} and action.id[4:].isdigit():
            stems, number = self.stems, int(action.id[4:])
            if number <= len(stems):
                control = f"{stems[number - 1]}.{action.id[:4]}"
                self.change(ControlChange(control, 1.0, "toggle"))
        else:
            super().perform(action)

    def do_up(self) -> None:
        """Select the stem above."""
        self.lanes.select(self.lanes.selected - 1)

    def do_down(self) -> None:
        """Select the stem below."""
        self.lanes.select(self.lanes.selected + 1)

    def do_quantize(self) -> None:
        """The next unit."""
        if self.player is not None:
            self.set("quantize.grid", (self.player.value("quantize.grid") + 1) % len(QUANTIZE))

    def do_count_in(self) -> None:
        """None, one, two bars."""
        if self.player is not None:
            bars = (self.player.value("count_in.bars") + 1) % 3
            self.set("count_in.bars", bars)
            self._say(f"Count-in: {bars:.0f} bars." if bars != 1 else "Count-in: one bar.")

    def do_unmute(self) -> None:
        """All mutes and solos away."""
        for stem in self.stems:
            self.set(f"{stem}.mute", 0)
            self.set(f"{stem}.solo", 0)

    def _step(self, control: str, step: float) -> None:
        if self.player is not None:
            spec = self.player.table[control]
            # A step from silence leads to where the fader begins to be heard.
            now = max(self.player.value(control), -60.0 if step > 0 and spec.unit else spec.low)
            self.set(control, round(spec.clamp(now + step), 3))

    def do_gain_up(self) -> None:
        """1 dB."""
        self._step(f"{self.stem}.gain", 1.0)

    def do_gain_down(self) -> None:
        """1 dB."""
        self._step(f"{self.stem}.gain", -1.0)

    def do_pan_left(self) -> None:
        """A tenth."""
        self._step(f"{self.stem}.pan", -0.1)

    def do_pan_right(self) -> None:
        """A tenth."""
        self._step(f"{self.stem}.pan", 0.1)

    def do_filter_down(self) -> None:
        """A tenth."""
        self._step(f"{self.stem}.filter", -0.1)

    def do_filter_up(self) -> None:
        """A tenth."""
        self._step(f"{self.stem}.filter", 0.1)

    def do_master_up(self) -> None:
        """1 dB."""
        self._step("master.gain", 1.0)

    def do_master_down(self) -> None:
        """1 dB."""
        self._step("master.gain", -1.0)

    def do_reset(self) -> None:
        """The stem as it is."""
        for what in ("gain", "pan", "filter"):
            self.set(f"{self.stem}.{what}", 0.0)

    def _middle_s(self) -> float:
        """Where to zoom: at the playhead if it is on the screen."""
        at = self.player.state.position_s if self.player is not None else 0.0
        if self.timeline.start_s <= at <= self.timeline.end_s:
            return at
        return (self.timeline.start_s + self.timeline.end_s) / 2

    def do_zoom_in(self) -> None:
        """Half the time."""
        self._show_timeline(self.timeline.zoomed(0.5, self._middle_s()))

    def do_zoom_out(self) -> None:
        """Twice the time."""
        self._show_timeline(self.timeline.zoomed(2.0, self._middle_s()))

    def do_whole(self) -> None:
        """All of it."""
        self._show_timeline(self.timeline._replace(start_s=0.0, column_s=0.0))

    def do_scroll_left(self) -> None:
        """Half a screen."""
        self.following = False
        self._show_timeline(self.timeline.scrolled(-self.timeline.columns / 2))

    def do_scroll_right(self) -> None:
        """Half a screen."""
        self.following = False
        self._show_timeline(self.timeline.scrolled(self.timeline.columns / 2))

    def do_follow(self) -> None:
        """Follow the song, or stay."""
        self.following = not self.following
        self._say("The view follows the song." if self.following else "The view stays.")

    # -- other screens ------------------------------------------------------------------------

    def do_home(self) -> None:
        """Leave the session; its player ends."""
        if self.recording:
            self.workstation.ask(
                "A take is being recorded. End it and go? It is kept.", "End it", self._leave
            )
        elif self.plays:
            self.workstation.ask("The music plays. Stop it and go home?", "Go home", self._leave)
        else:
            self._leave()

    def _leave(self) -> None:
        self._leaving = True
        self.app.pop_screen()

    async def on_unmount(self) -> None:
        """Whatever ends the screen ends the player, before the application ends."""
        await asyncio.to_thread(self.close_player)

    def do_takes(self) -> None:
        """The takes."""
        from workstation.tui.screens.takes import TakesDialog

        self.app.push_screen(TakesDialog(self.session, self.player))

    def do_export(self) -> None:
        """Targets."""
        from workstation.tui.screens.export import ExportDialog

        self.app.push_screen(ExportDialog(self.session))

    def do_render(self) -> None:
        """To a file."""
        from workstation.tui.screens.export import RenderDialog

        mixer = self.player.mixer if self.player is not None else None
        if self.player is not None and set(self.player.stems) != set(self.session.stems):
            mixer = None
        self.app.push_screen(RenderDialog(self.session, mixer))

    def do_midi(self) -> None:
        """Controllers."""
        from workstation.tui.screens.midi import MidiScreen

        self.app.push_screen(MidiScreen(self.session, self.player, self._reload_controllers))

    def _reload_controllers(self) -> None:
        """Use what was learned; the music plays on."""
        self._mappings = {}
        if self.player is not None and self.player.failure is None:
            self.player.reload_controllers()

    def do_grid(self) -> None:
        """The editor of the beat grid."""
        from workstation.tui.screens.grid import GridScreen

        if self.player is not None:
            self.app.push_screen(GridScreen(self.session, self.player), self._grid_left)

    def _grid_left(self, _: object) -> None:
        analysis = self.session.analysis
        self.show_grid(analysis.grid if analysis else None)

    def do_separate(self) -> None:
        """Another engine."""
        from workstation.tui.screens.engines import EngineDialog

        self.app.push_screen(EngineDialog(self.session), self._separate)

    def _separate(self, engine: str | None) -> None:
        if engine is None:
            return
        call: Callable[[JobContext], Any] = partial(_separate_with, self.session, engine)
        self.workstation.run_job(
            f"Separate with {engine}", call, lambda _: self._use_new_stems(), long=True
        )

    def _use_new_stems(self) -> None:
        """Play the new stems; while somebody plays the old ones, that waits."""
        self._new_stems = True
        if self.plays:
            self._say("New stems are ready: they are played when the music stops.")

    def _play_new_stems(self) -> None:
        self._new_stems = False
        self._mappings = {}
        self.lanes.forget_peaks()
        self._show_song()
        self._read_peaks()
        self.open_player()


def _separate_with(session: Session, engine: str, job: JobContext) -> Path:
    session.separate(engine, job=job)
    if not session.stems:
        raise UnavailableError("No stems were made.", "Try another engine.")
    return session.path


def _meter(levels: Levels, cells: int) -> tuple[int, int]:
    """Where a meter stands: its bar in eighths of a cell, and the cell of its peak."""
    rms = round(meter_cells(max(levels.rms), cells) * 8)
    peak = meter_cells(max(levels.peak), cells)
    return rms, min(int(peak), cells - 1) if peak > 0 else -1
