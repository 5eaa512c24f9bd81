"""The player: a process of its own that owns the sound and the controllers.

Run as `python -m workstation.studio.player_process`. The parent writes one line of JSON, the
order, to standard input, and later rare requests, one line each; when the pipe closes, because
the parent is gone, the player keeps the take and ends. What happens is told on standard
output, one line of JSON per event. What must be quick, every control, goes through shared
memory. Whatever native libraries print goes to a log file.
"""

from __future__ import annotations

import contextlib
import gc
import json
import math
import os
import queue
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from typing import IO, TYPE_CHECKING, Any

import msgspec
import numpy as np

from workstation.audio import map_samples
from workstation.midi.hub import ControllerHub
from workstation.midi.mapping import all_mappings, find_mapping, mapping_for_port
from workstation.midi.messages import MidiParser
from workstation.midi.ports import MidiSystem, OutputPort, stable_name
from workstation.model import BeatGrid, UnavailableError, UsageError, WorkstationError
from workstation.model.controls import ControlChange
from workstation.model.take import Take, TakeEvent
from workstation.perform.deck import Deck, FloatArray, Track
from workstation.perform.jack_output import JackMidiInput, JackOutput
from workstation.perform.lines import GridLines
from workstation.perform.outputs import Output, OutputInfo, open_output
from workstation.perform.pages import PageKeeper
from workstation.perform.performer import Began, Ended, Performer
from workstation.perform.resampled import Resampled
from workstation.perform.shared import HISTOGRAM_SLOTS, HISTOGRAM_STEP_S, SharedState
from workstation.session import TakeJournal, TakeShelf, begin_take
from workstation.studio.player_order import PlayerOrder, pathname

if TYPE_CHECKING:
    from workstation.midi.clock import MidiClock
    from workstation.perform.osc import OscServer

_TICK_S = 0.05
_JOURNAL_EVERY_S = 0.25
_CLOSE_WITHIN_S = 1.0
# How long a peak takes to fall by 20 dB, and over what time the RMS is taken.
_PEAK_FALL_S = 0.5
_RMS_S = 0.3


class _Events:
    """Tells the parent what happens, from any thread."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._lock = threading.Lock()

    def send(self, event: str, **values: Any) -> None:  # noqa: ANN401
        line = msgspec.json.encode({"event": event, **values}).decode()
        with self._lock, contextlib.suppress(BrokenPipeError):
            self._out.write(line + "\n")
            self._out.flush()


class PlayerProcess:
    """Stems, performer, output and controllers, wired together."""

    def __init__(self, order: PlayerOrder, events: _Events) -> None:
        self._events = events
        self._order = order
        tracks = [Track(name, map_samples(pathname(path))) for name, path in order.stems]
        self.deck = Deck(tracks, order.sample_rate_hz)
        if order.mixer is not None:
            self.deck.set_mixer(order.mixer)
        self.deck.head = min(max(order.head, 0), self.deck.frames)
        lines = None
        if order.grid is not None:
            lines = GridLines(order.grid, order.sample_rate_hz, self.deck.frames)
        self.performer = Performer(self.deck, lines, groups=order.groups, snapshots=order.snapshots)
        self.table = self.performer.table
        self.stems = self.performer.stems
        self._index = {name: k for k, name in enumerate(self.performer.ids)}
        self._shared = SharedState(
            pathname(order.shared), strips=len(tracks), controls=len(self.performer.ids)
        )
        self._shared.values[:] = self.performer.values
        self.performer.values = self._shared.values
        self.performer.waiting = self._shared.waiting
        self._inbox: deque[ControlChange] = deque()
        self._power = np.zeros((len(tracks) + 1, 2))
        self._failure: BaseException | None = None
        self._take_name = ""
        self._shelf = TakeShelf(pathname(order.takes))
        self._journal: TakeJournal | None = None
        self._journal_lock = threading.Lock()
        self._pages = PageKeeper(tracks, order.sample_rate_hz, self._wanted_frames)
        self._midi: MidiSystem | None = None
        self._hub: ControllerHub | None = None
        self._clock: MidiClock | None = None
        self._clock_ports: list[OutputPort] = []
        self._osc: OscServer | None = None
        self._output: Output | None = None
        self._ended = threading.Event()

    # -- what controllers see: see `midi.hub.Desk` --------------------------------------------

    def send(self, change: ControlChange) -> None:
        """Take a change from a controller, OSC or anything else in this process."""
        self._inbox.append(change)

    def value(self, control: str) -> float:
        """What a control is set to."""
        return float(self._shared.values[self._index[control]])

    def is_waiting(self, control: str) -> bool:
        """Whether a change of a control waits for its line."""
        return bool(self._shared.waiting[self._index[control]])

    def levels_db(self) -> Sequence[float]:
        """Peak of every stem in dB of full scale."""
        peaks = self._shared.peaks[:-1].max(axis=1)
        return [20 * math.log10(peak) if peak > 1e-6 else -120.0 for peak in peaks.tolist()]

    def say(self, words: str) -> None:
        """Tell the user something."""
        self._events.send("say", words=words)

    # -- sound --------------------------------------------------------------------------------

    def render(self, mix: FloatArray, click: FloatArray | None, heard_at: float) -> None:
        """Fill one block; called by the output, on its thread."""
        begun = time.perf_counter()
        shared, performer, deck = self._shared, self.performer, self.deck
        try:
            for change in shared.receive(performer.ids):
                performer.change(change)
            while self._inbox:
                performer.change(self._inbox.popleft())
            head = deck.head
            performer.render(mix, click)
            self._show_levels(len(mix))
            shared.put("head", head)
            shared.put("heard_at", heard_at)
            shared.put("playing", deck.playing)
            shared.put("counting_in", performer.counting_in)
            shared.put("recording", performer.recording)
            shared.put("replaying", performer.replaying is not None)
            shared.put("frame", performer.frame)
        except Exception as error:  # noqa: BLE001  (the sound goes on as silence, and it is told)
            mix[:] = 0.0
            if self._failure is None:
                self._failure = error
        if self._output is not None:
            shared.put("underflows", self._output.underflows)
        shared.put("callbacks", shared.get("callbacks") + 1)
        slot = int((time.perf_counter() - begun) / HISTOGRAM_STEP_S)
        shared.histogram[min(slot, HISTOGRAM_SLOTS - 1)] += 1

    def _show_levels(self, frames: int) -> None:
        meters, shared = self.deck.meters, self._shared
        seconds = frames / self.deck.rate
        np.multiply(shared.peaks, 10.0 ** (-seconds / _PEAK_FALL_S), out=shared.peaks)
        np.maximum(shared.peaks, meters[:, :2], out=shared.peaks)
        keep = math.exp(-seconds / _RMS_S)
        self._power *= keep
        self._power += meters[:, 2:] * ((1.0 - keep) / frames)
        np.sqrt(self._power, out=shared.rms)
        if meters[-1, :2].max() > 1.0:
            shared.put("clipped", shared.get("clipped") + 1)
        meters[:] = 0.0

    def _wanted_frames(self) -> list[int]:
        loop = self.deck.loop
        return [self.deck.head, 0 if loop is None else loop[0]]

    def _heard(self) -> tuple[bool, float, float]:
        """For the clock: whether it plays, what is heard, and when."""
        shared = self._shared
        at = float(shared.header["heard_at"])
        return bool(shared.get("playing")), shared.get("head") / self.deck.rate, at

    # -- life ---------------------------------------------------------------------------------

    def open(self) -> OutputInfo:
        """Open the output and the controllers; sound begins, as silence.

        Raises:
            WorkstationError: What the user named cannot be opened.
        """
        order = self._order
        self._output = open_output(order.output, order.sample_rate_hz)
        info = self._output.info
        if order.osc_listen is not None:
            from workstation.perform.osc import OscServer

            self._osc = OscServer(
                self.table, self.stems, self.send, self._values_by_name,
                listen=order.osc_listen, reply_to=order.osc_reply_to,
            )  # fmt: skip
        self._pages.start()
        gc.collect()
        gc.freeze()
        if info.rate_hz == order.sample_rate_hz:
            self._output.start(self.render)
        else:
            self.say(
                f"The song has {order.sample_rate_hz} Hz, the device {info.rate_hz} Hz: "
                "it is resampled."
            )
            self._output.start(
                Resampled(
                    self.render,
                    order.sample_rate_hz,
                    info.rate_hz,
                    info.block_frames,
                    click=order.output.click_channels is not None,
                )
            )
        threading.Thread(target=self._write_takes, name="takes", daemon=True).start()
        self._open_controllers()
        return info

    def _values_by_name(self) -> dict[str, float]:
        return dict(zip(self.performer.ids, self._shared.values.tolist(), strict=True))

    def _open_controllers(self) -> None:
        order = self._order
        if not (order.controllers or order.any_controller or order.clock_ports):
            return
        for name in order.controllers:
            find_mapping(name)  # A name that is none is told also where there is no MIDI.
        try:
            self._midi = MidiSystem()
        except UnavailableError as error:
            if order.controllers or order.clock_ports:
                raise
            self.say(f"{error.problem} {error.remedy}")
            return
        self._open_hub(self._midi)
        if order.clock_ports:
            self._start_clock(self._midi)

    def _open_hub(self, system: MidiSystem) -> None:
        named = [find_mapping(name) for name in self._order.controllers]
        generic = next((m for m in named if not m.ports), None)
        choice = named or all_mappings(lambda error: self.say(f"{error.problem} {error.remedy}"))
        open_input = self._open_jack_input if isinstance(self._output, JackOutput) else None
        self._hub = ControllerHub(system, choice, self, everything=generic, open_input=open_input)
        self._hub.start()
        here = [stable_name(name) for name in system.names().inputs]
        for mapping in named:
            if mapping.ports and not any(mapping_for_port(name, [mapping]) for name in here):
                self.say(f"{mapping.name} is not plugged in; it is waited for.")

    def _reload_controllers(self) -> None:
        """Read the mappings again; the music goes on."""
        if self._midi is None:
            return
        if self._hub is not None:
            self._hub.close()
            self._hub = None
        try:
            self._open_hub(self._midi)
        except WorkstationError as error:
            self.say(f"{error.problem} {error.remedy}")

    def _open_jack_input(self, name: str, receive: Callable[[bytes], None]) -> JackMidiInput:
        """Hear a controller within the callback of the sound."""
        assert isinstance(self._output, JackOutput)
        parser = MidiParser()

        def take(data: bytes) -> None:
            for message in parser.feed(data):
                receive(message)

        return self._output.open_midi_input(name, take)

    def _start_clock(self, system: MidiSystem) -> None:
        if self._order.grid is None:
            raise UsageError(
                "MIDI clock needs a beat grid, and this song has none.",
                "Give it one: `workstation analyze SONG --tempo 120`.",
            )
        from workstation.midi.clock import MidiClock

        outputs = system.names().outputs
        for wanted in self._order.clock_ports:
            name = next((n for n in outputs if wanted.lower() in n.lower()), wanted)
            self._clock_ports.append(system.open_output(name))
        self._clock = MidiClock(self._order.grid, self._heard, self._send_clock)
        self._clock.start()

    def _send_clock(self, message: bytes) -> None:
        for port in self._clock_ports:
            with contextlib.suppress(OSError):
                port.send(message)

    def run(self, requests: queue.SimpleQueue[dict[str, Any] | None]) -> None:
        """Serve until the parent says so, or is gone."""
        controllers: object = None
        while not self._ended.is_set():
            with contextlib.suppress(queue.Empty):
                request = requests.get(timeout=_TICK_S)
                if request is None:
                    self._catch_up()
                    return
                self._serve(request)
            self._shared.put("alive", self._shared.get("alive") + 1)
            if self._failure is not None:
                raise self._failure
            while self.performer.notices:
                self.say(self.performer.notices.popleft())
            if self._hub is not None:
                states = self._hub.states()
                if states != controllers:
                    controllers = states
                    self._events.send("controllers", states=states)

    def _serve(self, request: dict[str, Any]) -> None:
        performer = self.performer
        do = request["do"]
        if do == "replay":
            self._replay(msgspec.convert(request["take"], Take), request)
        elif do == "name":
            self._take_name = request["name"]
        elif do == "group":
            performer.groups[int(request["number"])] = tuple(request["stems"])
        elif do == "grid":
            self._follow(msgspec.convert(request["grid"], BeatGrid | None))
        elif do == "controllers":
            self._reload_controllers()
        elif do == "snapshots":
            self._events.send("snapshots", states=performer.snapshots)
        elif do == "knobs":
            knobs = {} if self._hub is None else self._hub.waiting_knobs()
            self._events.send("knobs", knobs=knobs)

    def _catch_up(self) -> None:
        """Let what was asked for last be done: the mixer is kept as it was set."""
        give_up = time.monotonic() + 2 * _TICK_S
        enough = self._shared.get("callbacks") + 2  # The one under way may have begun before.
        while self._shared.get("callbacks") < enough and time.monotonic() < give_up:
            time.sleep(0.001)

    def _replay(self, take: Take, request: dict[str, Any]) -> None:
        try:
            take.check()
            self.deck.check_start(take.start)
        except ValueError as error:
            self.say(f'The take "{take.name}" cannot be played: {error}.')
            return
        record = bool(request["record"])
        if record:
            self._take_name = request["name"]
        self.performer.post(lambda: self.performer.replay(take, record=record))

    def _follow(self, grid: BeatGrid | None) -> None:
        lines = None if grid is None else GridLines(grid, self.deck.rate, self.deck.frames)
        self.performer.post(lambda: setattr(self.performer, "lines", lines))
        if self._clock is not None and grid is not None:
            self._clock.follow(grid)

    # -- takes --------------------------------------------------------------------------------

    def _write_takes(self) -> None:
        while not self._ended.wait(_JOURNAL_EVERY_S):
            self.write_take()

    def write_take(self) -> None:
        """Write down what happened since the last time."""
        with self._journal_lock:
            length = self.performer.recorded_frames
            events: list[TakeEvent] = []
            happened = self.performer.happened
            while happened:
                item = happened.popleft()
                if isinstance(item, Began):
                    self._begin_journal(item)
                elif isinstance(item, Ended):
                    self._end_journal(events, item.length_frames)
                    events = []
                else:
                    events.append(item)
            if self._journal is not None and length is not None:
                self._try(lambda journal: journal.append(events, length))

    def _begin_journal(self, began: Began) -> None:
        take = begin_take(
            began.start,
            stems=self.stems,
            engine=self._order.engine,
            sample_rate_hz=self._order.sample_rate_hz,
        )
        take = msgspec.structs.replace(take, name=self._take_name, over=began.over)
        self._take_name = ""
        try:
            self._journal = TakeJournal(self._shelf, take)
        except WorkstationError as error:
            self.say(f"This take cannot be recorded. {error.problem} {error.remedy}")

    def _end_journal(self, events: Sequence[TakeEvent], length_frames: int) -> None:
        if self._journal is not None:
            self._try(lambda journal: journal.append(events, length_frames))
            try:
                take = self._journal.finish(length_frames)
                self._events.send("take", name=take.name, duration_s=take.duration_s)
            except WorkstationError as error:
                self.say(f"The take was not kept. {error.problem} {error.remedy}")
            self._journal = None

    def _try(self, write: Any) -> None:  # noqa: ANN401
        assert self._journal is not None
        try:
            write(self._journal)
        except WorkstationError as error:
            self.say(f"The take is in memory only. {error.problem} {error.remedy}")

    def close(self) -> None:
        """Keep the take, put the lights out, let go of the device."""
        if self._output is not None and self.performer.recording:
            done = threading.Event()

            def end() -> None:
                self.performer.end_recording()
                done.set()

            self.performer.post(end)
            done.wait(0.3)
            if not done.is_set():
                self.performer.end_recording()  # The device asks for nothing any more.
        self._ended.set()
        self.write_take()
        for part in (self._clock, self._hub, self._osc, self._output):
            if part is not None:
                part.close()
        self._pages.close()


def _listen(stdin: IO[bytes], requests: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    for line in stdin:
        requests.put(json.loads(line))
    requests.put(None)


def main() -> None:
    """Take an order from standard input and play until it closes."""
    events = _Events(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)
    # A thread of Python that waits for the lock while another counts must not wait long.
    sys.setswitchinterval(0.0005)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=PlayerOrder)
    requests: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(sys.stdin.buffer, requests), daemon=True).start()
    try:
        player = PlayerProcess(order, events)
        info = player.open()
        events.send("ready", output=info, pid=os.getpid())
        try:
            player.run(requests)
        finally:
            _close_in_time(player)
    except WorkstationError as error:
        kind = type(error).__name__
        events.send("failed", kind=kind, problem=error.problem, remedy=error.remedy)
        os._exit(1)
    except Exception as error:  # noqa: BLE001  (the parent tells the user)
        traceback.print_exc()
        words = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        problem, remedy = f"The player failed: {words}.", "Its last words are in the log."
        events.send("failed", kind="UnavailableError", problem=problem, remedy=remedy)
        os._exit(1)
    # Closing PortAudio at the end of the interpreter hangs where its server has died.
    os._exit(0)


def _close_in_time(player: PlayerProcess) -> None:
    """Close, but never wait for a server that does not answer."""
    closing = threading.Thread(target=player.close, daemon=True)
    closing.start()
    closing.join(_CLOSE_WITHIN_S)


if __name__ == "__main__":
    main()
