"""Controllers: what is plugged in, what it sends, what it does, learning."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from rich.text import Text
from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.suggester import SuggestFromList
from textual.widgets import DataTable, Footer, Input, Label, RichLog, Static

from workstation.model import CancelledError, JobContext, WorkstationError
from workstation.model.controls import mapping_targets
from workstation.model.names import shown
from workstation.tui.actions import Action
from workstation.tui.messages import Failed
from workstation.tui.screens.base import TableScreen
from workstation.tui.widgets.bars import TitleBar

if TYPE_CHECKING:
    from workstation.studio import Session
    from workstation.studio.player import Player

MIDI_ACTIONS: tuple[Action, ...] = (
    Action("learn", "l", "Learn", "Name a control, then move the knob, fader or pad for it.",
           "MIDI", footer=True),
    Action("monitor", "m", "Monitor", "Show what controllers send, or stop.", "MIDI",
           footer=True),
    Action("look", "r", "Look again", "Look for devices again.", "MIDI", footer=True),
    Action("back", "d,escape,h", "Back", "Back to the session.", "MIDI", footer=True,
           shown_keys="d"),
)  # fmt: skip

_NONE = "No MIDI input is here. Plug a controller in; it is found by itself."
_LOOK_EVERY_S = 2.0


class MidiScreen(TableScreen):
    """Devices and their mappings, what they send, learning by moving a control.

    Args:
        session: Its stems can be learned by name.
        player: Knows the controllers in use.
        reload: Has the player use new mappings.
    """

    TABLE = MIDI_ACTIONS
    BINDINGS: ClassVar = [action.binding() for action in MIDI_ACTIONS]

    def __init__(
        self, session: Session, player: Player | None, reload: Callable[[], object]
    ) -> None:
        super().__init__()
        self._session, self._player, self._reload = session, player, reload
        self._mappings: list[str | None] = []
        self._knobs: dict[str, tuple[float, float]] = {}
        self._listening = threading.Event()
        self._learning: JobContext | None = None

    def compose(self) -> ComposeResult:
        """Devices, bindings, monitor."""
        yield TitleBar(id="title")
        with Vertical(id="midi"):
            yield Label("Devices", classes="heading")
            yield DataTable(id="ports", cursor_type="row")
            yield Static("", id="no-ports", classes="hint", markup=False)
            with Horizontal(id="midi-columns"):
                with Vertical():
                    yield Label("What it does", classes="heading")
                    yield DataTable(id="bindings", cursor_type="row")
                with Vertical():
                    yield Label("What arrives", classes="heading")
                    yield RichLog(id="monitor", max_lines=500, wrap=True, min_width=20)
            yield Input(
                placeholder="Control to learn: strip1.gain, vocals.mute, transport.play …",
                id="learn", suggester=SuggestFromList(self._targets(), case_sensitive=False),
            )  # fmt: skip
        yield Footer(compact=True, show_command_palette=False)

    def _targets(self) -> list[str]:
        whats = ("gain", "mute", "solo", "pan", "filter", "others", "stutter")
        names = [f"{stem}.{what}" for stem in self._session.stems for what in whats]
        return [*names, *mapping_targets()]

    def on_mount(self) -> None:
        """Look for devices; again every two seconds."""
        self.query_one(TitleBar).show("MIDI", "controllers of this machine")
        ports = self.query_one("#ports", DataTable)
        for name, cells in (("Input", 34), ("Mapping", 22), ("State", 30)):
            ports.add_column(name, width=cells)
        bindings = self.query_one("#bindings", DataTable)
        columns: tuple[tuple[str, int | None], ...] = (
            ("It sends", 20),
            ("Control", 16),
            ("How", None),
        )
        for title, width in columns:
            bindings.add_column(title, width=width)
        self.query_one("#learn").display = False
        ports.focus()
        self.query_one(RichLog).write(Text("m shows here what controllers send", "dim"))
        self.do_look()
        self.set_interval(_LOOK_EVERY_S, self.do_look)

    def on_unmount(self) -> None:
        """Let go of the ports."""
        self._listening.clear()
        if self._learning is not None:
            self._learning.cancel()

    # -- devices ------------------------------------------------------------------------------

    @work(thread=True, exclusive=True, group="ports", exit_on_error=False)
    def do_look(self) -> None:
        """Find the devices."""
        from workstation.studio.controllers import midi_ports

        try:
            ports = midi_ports()
        except WorkstationError as error:
            self.app.call_from_thread(self._show_ports, [], str(error))
            return
        knobs: dict[str, tuple[float, float]] = {}
        if self._player is not None and self._player.failure is None:
            with contextlib.suppress(WorkstationError):  # It has just ended.
                knobs = self._player.waiting_knobs()
        self.app.call_from_thread(self._show_ports, ports, "")
        self.app.call_from_thread(self._show_bindings, knobs)

    def _show_ports(self, ports: list[Any], problem: str) -> None:
        table = self.query_one("#ports", DataTable)
        at = table.cursor_row
        table.clear()
        used = {
            state["port"]: state for state in (self._player.controllers if self._player else ())
        }
        for facts in ports:
            state = used.get(facts.port)
            words = "no mapping: press l to learn one"
            if state is not None and state["connected"]:
                words = "in use" + (", with lights" if state["lights"] else "")
            elif facts.mapping is not None:
                words = "known"
            cells = (facts.port, facts.device or "–", words)
            table.add_row(*(Text(shown(cell)) for cell in cells))
        gone = [s for port, s in used.items() if port not in {f.port for f in ports}]
        for state in gone:
            cells = (state["port"], state["name"], "unplugged; it is waited for")
            table.add_row(*(Text(shown(cell)) for cell in cells))
        table.move_cursor(row=at)
        table.display = table.row_count > 0
        words = problem or ("" if table.row_count else _NONE)
        self.query_one("#no-ports", Static).update(Text(words))
        self._mappings = [facts.mapping for facts in ports]

    @property
    def _mapping(self) -> str | None:
        """The mapping of the device under the cursor."""
        row = self.query_one("#ports", DataTable).cursor_row
        return self._mappings[row] if row < len(self._mappings) else None

    @on(DataTable.RowHighlighted, "#ports")
    def _other_device(self) -> None:
        self._show_bindings(self._knobs)

    def _show_bindings(self, knobs: dict[str, tuple[float, float]]) -> None:
        from workstation.midi.mapping import find_mapping
        from workstation.studio.controllers import describe

        self._knobs = knobs
        table = self.query_one("#bindings", DataTable)
        at = table.cursor_row
        table.clear()
        mapping = self._mapping
        if mapping is None:
            return
        stems = tuple(self._session.stems)
        for binding in find_mapping(mapping).bindings:
            control = binding.to
            for number, stem in enumerate(stems, start=1):
                if control.startswith(f"strip{number}."):
                    control = f"{stem}.{control.split('.', 1)[1]}"
            how: str = binding.mode or binding.takeover or ""
            if control in knobs:
                knob, here = knobs[control]
                how = f"at {knob:.0%}, value {here:.0%} {'↑' if knob < here else '↓'}"
            cells = (describe(binding.message), control, how)
            table.add_row(*(Text(shown(cell)) for cell in cells))
        table.move_cursor(row=at)

    # -- monitor ------------------------------------------------------------------------------

    def do_monitor(self) -> None:
        """Begin or end."""
        if self._listening.is_set():
            self._listening.clear()
            self.query_one(RichLog).write(Text("stopped"))
        else:
            self._listening = threading.Event()  # The one before may not have ended yet.
            self._listening.set()
            self._listen(self._listening)

    @work(thread=True, exclusive=True, group="monitor", exit_on_error=False)
    def _listen(self, listening: threading.Event) -> None:
        from workstation.midi.messages import decode
        from workstation.studio.controllers import Listener

        log = self.query_one(RichLog)
        try:
            with Listener(None) as listener:
                self.app.call_from_thread(log.write, Text("listening to all inputs"))
                while listening.is_set():
                    found = listener.next(0.1)
                    if found is None:
                        continue
                    port, data = found
                    message = decode(data)
                    words = f"{data.hex(' '):<9} {message.kind:<9} {port}"
                    self.app.call_from_thread(log.write, Text(shown(words)))
        except WorkstationError as error:
            listening.clear()
            self.app.call_from_thread(log.write, Text(str(error)))

    # -- learning -----------------------------------------------------------------------------

    def do_learn(self) -> None:
        """Ask for the control."""
        field = self.query_one("#learn", Input)
        field.display = True
        field.focus()

    @on(Input.Submitted, "#learn")
    def _named(self, event: Input.Submitted) -> None:
        event.input.display = False
        self.query_one("#ports").focus()
        control = event.value.strip()
        if control:
            self._learn(control)

    @work(thread=True, exclusive=True, group="learn", exit_on_error=False)
    def _learn(self, control: str) -> None:
        from workstation.studio.controllers import LearnOptions, learn

        log = self.query_one(RichLog)

        def say(words: str) -> None:
            self.app.call_from_thread(log.write, Text(words.replace("Ctrl-C", "escape")))

        self._learning = JobContext()
        try:
            path = learn([control], None, None, LearnOptions(), say, self._learning)
        except CancelledError:
            return
        except WorkstationError as error:
            self.post_message(Failed(error))
            return
        finally:
            self._learning = None
        self.app.call_from_thread(log.write, Text(f"kept in {path}"))
        self.app.call_from_thread(self._reload)

    @on(Failed)
    def _failed(self, event: Failed) -> None:
        self.workstation.fail(event.error)

    def do_back(self) -> None:
        """Leave learning, or the screen."""
        field = self.query_one("#learn", Input)
        if self._learning is not None:
            self._learning.cancel()
            self.query_one(RichLog).write(Text("learning was left"))
        elif field.display:
            field.display = False
            self.query_one("#ports").focus()
        else:
            self.app.pop_screen()
