"""The player in the hand of a script, the command line or the screen."""

from __future__ import annotations

import contextlib
import json
import math
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Literal, Self

import msgspec
import numpy as np

from workstation.audio import writing
from workstation.config import cache_dir
from workstation.model import BarPosition, BeatGrid, UnavailableError, UsageError, errors
from workstation.model.controls import (
    GROUPS,
    QUANTIZE,
    ControlChange,
    control_table,
    find_control,
)
from workstation.model.mixer import MixerState, Strip
from workstation.model.take import Take
from workstation.perform.outputs import OutputInfo, OutputOptions
from workstation.perform.shared import HISTOGRAM_STEP_S, SharedState
from workstation.session import TakeShelf
from workstation.studio.player_order import PlayerOrder, hexed

_START_WITHIN_S = 30.0
_WATCH_EVERY_S = 0.02
# A player that has not moved for so long has lost its audio server.
_DEAD_AFTER_S = 1.2
_CLOSE_WITHIN_S = 2.0
_ANSWER_WITHIN_S = 2.0
_SILENT = 1e-4


# What a player that starts again is set to as before, besides its mixer.
_KEPT = (
    "click.on", "click.gain", "count_in.bars", "quantize.grid",
    "loop.beats", "loop.start", "loop.end", "loop.on",
)  # fmt: skip


class PlayerState(msgspec.Struct, frozen=True):
    """Where the player stands.

    Attributes:
        position_s: What is heard now, in seconds of the song.
        bar: The same in bars and beats; None without a grid.
        playing: Whether the song runs.
        counting_in: Whether a count-in is under way.
        recording: Whether a take is being recorded, or will be once the song runs.
        replaying: Whether a take is played back.
        loop_s: Start and end of the loop in seconds, or None.
        underflows: Blocks that came too late for the device.
        clipped: Blocks with samples beyond full scale.
        frame: Frames of output so far.
    """

    position_s: float
    bar: BarPosition | None
    playing: bool
    counting_in: bool
    recording: bool
    replaying: bool
    loop_s: tuple[float, float] | None
    underflows: int
    clipped: int
    frame: int


class Levels(msgspec.Struct, frozen=True):
    """Level of one stem, or of the master: peak and RMS of left and right, 1 is full scale."""

    peak: tuple[float, float]
    rms: tuple[float, float]


class PlayerSetup(msgspec.Struct, frozen=True):
    """What a player needs to know of a session."""

    stems: dict[str, Path]
    engine: str
    sample_rate_hz: int
    frames: int
    grid: BeatGrid | None
    takes: TakeShelf
    mixer: MixerState | None = None
    groups: dict[int, tuple[str, ...]] = {}
    snapshots: dict[int, MixerState] = {}


class Connections(msgspec.Struct, frozen=True):
    """What a player is connected to.

    Attributes:
        controllers: Mappings to use, by name or file; empty takes those that fit.
        any_controller: Whether controllers are used at all where none is named.
        clock_ports: MIDI outputs that get MIDI clock; part of a name is enough.
        osc_listen: Address for OSC, for example ("127.0.0.1", 9000).
        osc_reply_to: Where OSC feedback goes to from the start.
    """

    controllers: tuple[str, ...] = ()
    any_controller: bool = True
    clock_ports: tuple[str, ...] = ()
    osc_listen: tuple[str, int] | None = None
    osc_reply_to: tuple[str, int] | None = None


def log_file() -> Path:
    """Where the player's libraries, and its own last words, go."""
    return cache_dir() / "player.log"


class Player:
    """Plays the stems of a session, in a process of its own. Made by `Session.player`.

    Used as a context manager, it is closed at the end. Everything is controlled by the table
    of controls: `player.set("vocals.mute", 1)`; the named methods are short for that.

    Args:
        setup: What is played.
        output: Device, rate and block.
        connections: Controllers, clock, OSC.
        say: Is told in words what the user should know: a controller that came, a take kept.
        keep: Is given the mixer, groups and snapshots when the player closes.

    Attributes:
        stems: Names of the stems, in the order of strips.
        table: Everything that can be controlled, by id.
        output: What was opened.
        controllers: The controllers that were seen, as plain values.
        takes: The recorded performances.

    Raises:
        UnavailableError: The device or controller that was named cannot be opened.
        InputError: A stem is missing or damaged.
    """

    output: OutputInfo

    def __init__(
        self,
        setup: PlayerSetup,
        output: OutputOptions | None = None,
        connections: Connections | None = None,
        *,
        say: Callable[[str], None] | None = None,
        keep: Callable[[MixerState, dict[int, tuple[str, ...]], dict[int, MixerState]], None]
        | None = None,
    ) -> None:
        self._setup = setup
        self._options = output or OutputOptions()
        self._connections = connections or Connections()
        self._say = say or (lambda _: None)
        self._keep = keep
        self.stems = tuple(setup.stems)
        self.table = control_table(self.stems)
        self.takes = setup.takes
        self.controllers: list[dict[str, Any]] = []
        self._index = {name: k for k, name in enumerate(self.table)}
        self._groups = dict(setup.groups)
        self._snapshots = dict(setup.snapshots)
        self._lock = threading.Lock()
        self._asking = threading.Lock()
        self._closing = threading.Lock()
        self._on_beat: list[Callable[[int, int], None]] = []
        self._on_bar: list[Callable[[int], None]] = []
        self._failure: errors.WorkstationError | None = None
        self._last_take: str | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False
        self._start(setup.mixer, 0)

    # -- life ---------------------------------------------------------------------------------

    def _start(self, mixer: MixerState | None, head: int) -> None:
        log = log_file()
        with writing(log):
            log.parent.mkdir(parents=True, exist_ok=True)
            output = log.open("wb")
        memory = Path("/dev/shm")  # noqa: S108  (shared memory, where the system has it)
        handle, name = tempfile.mkstemp(
            prefix="workstation-", dir=memory if memory.is_dir() else None
        )
        os.close(handle)
        shared = Path(name)
        try:
            self._shared = SharedState(
                shared, strips=len(self.stems), controls=len(self.table), create=True
            )
            order = PlayerOrder(
                shared=hexed(shared),
                stems=tuple(
                    (name, hexed(path.resolve())) for name, path in self._setup.stems.items()
                ),
                takes=hexed(self.takes.folder.resolve()),
                engine=self._setup.engine,
                sample_rate_hz=self._setup.sample_rate_hz,
                grid=self._setup.grid,
                output=self._options,
                mixer=mixer,
                head=head,
                groups=self._groups,
                snapshots=self._snapshots,
                **msgspec.structs.asdict(self._connections),
            )
            with output:
                self._process = subprocess.Popen(
                    [sys.executable, "-P", "-m", "workstation.studio.player_process"],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=output,
                    start_new_session=True,  # Ctrl-C in the terminal is for the parent.
                )
            self._request_bytes(msgspec.json.encode(order))
            self._wait_until_ready()
        finally:
            with contextlib.suppress(PermissionError):  # Windows keeps what is mapped.
                shared.unlink(missing_ok=True)  # Both sides have it mapped by now.

    def _wait_until_ready(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        self._answers: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._failure = None
        self._stalled = ""
        self._opened = threading.Event()
        threading.Thread(
            target=self._listen, args=(self._process, self._process.stdout), daemon=True
        ).start()
        if not self._opened.wait(_START_WITHIN_S) and self._failure is None:
            self._fail("The player did not start in time.")
        if self._failure is not None:
            failure = self._failure
            self._kill()
            raise failure
        threading.Thread(target=self._watch, args=(self._process,), daemon=True).start()

    def _listen(self, process: subprocess.Popen[bytes], stdout: IO[bytes]) -> None:
        with contextlib.suppress(ValueError):  # Half a line: the player died while it wrote.
            for line in stdout:
                self._take_event(json.loads(line))
        process.wait()
        if process is self._process and not self._closed:
            self._fail(
                self._stalled or f"The player ended unexpectedly (status {process.returncode})."
            )
            self._opened.set()

    def _take_event(self, event: dict[str, Any]) -> None:
        kind = event["event"]
        if kind == "ready":
            self.output = msgspec.convert(event["output"], OutputInfo)
            if self.output.words:
                self._say(self.output.words)
            self._opened.set()
        elif kind == "failed":
            failure = getattr(errors, event["kind"])(event["problem"], event["remedy"])
            self._failure = self._failure or failure
            self._opened.set()
        elif kind == "say":
            self._say(event["words"])
        elif kind == "take":
            self._last_take = event["name"]
            self._say(f'Take "{event["name"]}" is kept, {event["duration_s"]:.1f} s.')
        elif kind == "controllers":
            self.controllers = event["states"]
        else:
            self._answers.put(event)

    def _fail(self, problem: str) -> None:
        if self._failure is None:
            self._failure = UnavailableError(
                problem, f"The take so far is kept. Start it again; the log is {log_file()}."
            )

    def _watch(self, process: subprocess.Popen[bytes]) -> None:
        """Notice a player that stands still, and call back on beats."""
        seen, since = (-1, -1), time.monotonic()
        beat: int | None = None
        while process.poll() is None and process is self._process and not self._closed:
            now = time.monotonic()
            counts = (self._shared.get("alive"), self._shared.get("callbacks"))
            if counts[0] != seen[0] and counts[1] != seen[1]:
                seen, since = counts, now
            elif now - since > _DEAD_AFTER_S:
                what = "audio device" if counts[0] != seen[0] else "player"
                self._stalled = f"The {what} has stopped answering."
                process.kill()  # What `_listen` then sees is told with these words.
                return
            if self._on_beat or self._on_bar:
                beat = self._call_back(beat)
            time.sleep(_WATCH_EVERY_S if not (self._on_beat or self._on_bar) else 0.004)

    def _call_back(self, last: int | None) -> int | None:
        """Call what waits for beats and bars, once for each that was passed."""
        state = self.state
        if self._setup.grid is None or not state.playing:
            return None
        beat = math.floor(self._setup.grid.beat_at(state.position_s) + 1e-6)
        if beat == last:
            return last
        where = self._setup.grid.bar_at(self._setup.grid.time_at(beat))
        for on_beat in self._on_beat:
            on_beat(where.bar, round(where.beat))
        if round(where.beat) == 1:
            for on_bar in self._on_bar:
                on_bar(where.bar)
        return beat

    def _kill(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def restart(self) -> None:
        """Start again after a failure, with the mixer and the place in the song as they were.

        Raises:
            UnavailableError: The device is still not there, or the player was closed.
        """
        with self._closing:  # One that is closed meanwhile must not be left running.
            if self._closed:
                raise UnavailableError("The player is closed.", "Open another one.")
            mixer, head = self.mixer, self._shared.get("head")
            kept = self._settings()
            self._kill()
            self._start(mixer, head)
            self._set_all(kept)

    def _settings(self) -> dict[str, float]:
        """What a player that starts again is set to, besides its mixer."""
        return {name: self.value(name) for name in _KEPT}

    def _set_all(self, settings: dict[str, float]) -> None:
        for name, value in settings.items():
            if name != "loop.on" or value:
                self.set(name, value)

    def go_on_from(self, other: Player) -> None:
        """Stand where another player of the same song stood: place, loop, click, quantising.

        Raises:
            UnavailableError: This player has ended.
        """
        self._set_all(other._settings())
        self.seek(other.state.position_s)

    def close(self) -> None:
        """End the take, let go of the device, keep the mixer. Closing twice is fine."""
        with self._closing:  # Whoever comes second waits for the first.
            if not self._closed:
                self._close()

    def _close(self) -> None:
        if self._failure is None:
            with contextlib.suppress(errors.WorkstationError):
                answer = self._ask("snapshots", "snapshots")
                self._snapshots = msgspec.convert(
                    answer["states"], dict[int, MixerState], str_keys=True
                )
        self._closed = True
        process = self._process
        if process is not None and process.stdin is not None:
            with self._lock, contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            try:
                process.wait(_CLOSE_WITHIN_S)
            except subprocess.TimeoutExpired:
                self._kill()
        if self._keep is not None:
            try:
                self._keep(self.mixer, self._groups, self._snapshots)
            except errors.WorkstationError as error:
                self._say(f"The mixer was not kept for next time. {error.problem}")

    @property
    def is_closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def failure(self) -> errors.WorkstationError | None:
        """What ended the player; None while it is well."""
        return self._failure

    def _check(self) -> None:
        if self._failure is not None:
            raise self._failure
        if self._closed:
            raise UnavailableError("The player is closed.", "Open another one.")

    def _request(self, do: str, **values: Any) -> None:  # noqa: ANN401
        self._check()
        self._request_bytes(msgspec.json.encode({"do": do, **values}))

    def _request_bytes(self, line: bytes) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        # The end of the process is told by `_listen`; that of the player is asked for.
        with self._lock, contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(line + b"\n")
            self._process.stdin.flush()

    def _ask(self, do: str, event: str) -> dict[str, Any]:
        with self._asking:  # One after another: an answer does not say whom it is for.
            self._request(do)
            give_up = time.monotonic() + _ANSWER_WITHIN_S
            while True:
                try:
                    answer = self._answers.get(timeout=max(0.0, give_up - time.monotonic()))
                except queue.Empty:
                    raise UnavailableError(
                        "The player does not answer.", "Start it again."
                    ) from None
                if answer["event"] == event:
                    return answer

    # -- asking -------------------------------------------------------------------------------

    @property
    def duration_s(self) -> float:
        """Length of the song in seconds."""
        return self._setup.frames / self._setup.sample_rate_hz

    @property
    def state(self) -> PlayerState:
        """Where the player stands now."""
        shared, rate = self._shared, self._setup.sample_rate_hz
        playing = bool(shared.get("playing"))
        position = shared.get("head") / rate
        if playing:
            ahead = time.monotonic() - float(shared.header["heard_at"])
            position = max(0.0, position + min(max(ahead, -0.5), 0.5))
        loop = None
        if self.value("loop.on"):
            loop = (self.value("loop.start"), self.value("loop.end"))
            if shared.get("head") / rate < loop[1] <= position:
                position = loop[0] + (position - loop[1]) % (loop[1] - loop[0])
        return PlayerState(
            position_s=position,
            bar=None if self._setup.grid is None else self._setup.grid.bar_at(position),
            playing=playing,
            counting_in=bool(shared.get("counting_in")),
            recording=bool(shared.get("recording")),
            replaying=bool(shared.get("replaying")),
            loop_s=loop,
            underflows=shared.get("underflows"),
            clipped=shared.get("clipped"),
            frame=shared.get("frame"),
        )

    def value(self, control: str) -> float:
        """What a control is set to, in its unit.

        Raises:
            UsageError: There is no such control.
        """
        find_control(self.table, control)
        return float(self._shared.values[self._index[control]])

    def is_waiting(self, control: str) -> bool:
        """Whether a change of a control waits for its beat or bar."""
        find_control(self.table, control)
        return bool(self._shared.waiting[self._index[control]])

    @property
    def mixer(self) -> MixerState:
        """What every strip is set to."""
        strips = {
            stem: Strip(
                self.value(f"{stem}.gain"),
                self.value(f"{stem}.pan"),
                self.value(f"{stem}.mute") != 0,
                self.value(f"{stem}.solo") != 0,
                self.value(f"{stem}.filter"),
            )
            for stem in self.stems
        }
        return MixerState(strips, self.value("master.gain"))

    def fingerprint(self) -> bytes:
        """Something that is the same as before while nothing that can be seen has changed.

        Asking for it costs a few microseconds; a screen asks thirty times a second.
        """
        shared = self._shared
        names = ("head", "playing", "counting_in", "recording", "replaying", "underflows")
        peaks = np.where(shared.peaks > _SILENT, shared.peaks, 0.0)
        return b"".join(
            (
                *(shared.header[name].tobytes() for name in names),
                shared.values.tobytes(),
                shared.waiting.tobytes(),
                peaks.tobytes(),
            )
        )

    def levels(self) -> dict[str, Levels]:
        """Levels by the name of the stem; that of the sum is `master`."""
        peaks, rms = self._shared.peaks.tolist(), self._shared.rms.tolist()
        names = (*self.stems, "master")
        return {n: Levels(tuple(p), tuple(r)) for n, p, r in zip(names, peaks, rms, strict=True)}

    def callback_times(self, *percent: float) -> list[float]:
        """Time spent per block at some percentiles, in seconds (to 5 µs)."""
        counts = self._shared.histogram.astype(float).cumsum()
        if counts[-1] == 0:
            return [0.0 for _ in percent]
        slots = [int((counts < counts[-1] * p / 100.0).sum()) for p in percent]
        return [(slot + 1) * HISTOGRAM_STEP_S for slot in slots]

    @property
    def last_take(self) -> str | None:
        """Name of the take that was kept last."""
        return self._last_take

    def waiting_knobs(self) -> dict[str, tuple[float, float]]:
        """Knobs that stand apart from their control: where the knob and the control are, 0 to 1."""
        knobs = self._ask("knobs", "knobs")["knobs"]
        return {control: (knob, here) for control, (knob, here) in knobs.items()}

    # -- controlling --------------------------------------------------------------------------

    def change(self, change: ControlChange) -> None:
        """Send a change to the player; it takes effect with the next block or on its line.

        Raises:
            UsageError: There is no such control, or the value is none.
            UnavailableError: The player has ended.
        """
        find_control(self.table, change.control)
        if not (math.isfinite(change.value) and math.isfinite(change.over_beats)):
            raise UsageError(
                f"{change.control} cannot be set to {change.value}.", "Give a finite number."
            )
        if change.quantize is not None and change.quantize not in QUANTIZE:
            raise UsageError(
                f'There is no quantise "{change.quantize}".', f"Choose: {', '.join(QUANTIZE)}."
            )
        self._check()
        give_up = time.monotonic() + _DEAD_AFTER_S
        with self._lock:
            while not self._shared.send(self._index[change.control], change):
                if time.monotonic() > give_up:
                    raise UnavailableError("The player does not take commands.", "Start it again.")
                time.sleep(0.001)

    def set(self, control: str, value: float = 1.0, *, at: str | None = None) -> None:
        """Set a control, for example `player.set("vocals.mute", 1, at="bar")`.

        Args:
            control: Id in the table of controls.
            value: In its unit.
            at: `off`, `beat`, `bar` or `4 bars`; None as `quantize.grid` says.
        """
        self.change(ControlChange(control, value, quantize=at))

    def toggle(self, control: str, *, at: str | None = None) -> None:
        """Flip a switch."""
        self.change(ControlChange(control, 1.0, "toggle", at))

    def fade(self, stem: str, gain_db: float, *, beats: float = 0.0, bars: float = 0.0) -> None:
        """Move the gain of a stem, or of `master`, over some beats or bars."""
        if bars:
            beats += bars * self._grid().beats_per_bar
        self.change(ControlChange(f"{stem}.gain", gain_db, over_beats=beats))

    def play(self) -> None:
        """Play from where the head is, after the count-in."""
        self.set("transport.play", 1)

    def pause(self) -> None:
        """Stay where the head is."""
        self.set("transport.play", 0)

    def stop(self) -> None:
        """Pause and return to the start."""
        self.set("transport.stop", 1)

    def seek(
        self,
        seconds: float | None = None,
        *,
        beat: float | None = None,
        bar: float | None = None,
    ) -> None:
        """Go to a place: in seconds, to a beat (0 is the first of the grid) or to a bar (from 1).

        Raises:
            UsageError: Not exactly one place was given, or the song has no grid.
        """
        given = [(u, v) for u, v in (("s", seconds), ("beat", beat), ("bar", bar)) if v is not None]
        if len(given) != 1:
            raise UsageError("One place to go to is needed.", "Give seconds, a beat or a bar.")
        unit, value = given[0]
        self.set("transport.seek", max(0.0, self._seconds(unit, value)))

    def loop(
        self,
        *,
        seconds: tuple[float, float] | None = None,
        beats: tuple[float, float] | None = None,
        bars: tuple[float, float] | None = None,
        snap: Literal["beat", "bar"] | None = "beat",
    ) -> None:
        """Loop from one place up to another: `player.loop(bars=(5, 9))` loops four bars.

        Args:
            seconds: Start and end in seconds.
            beats: Start and end in beats; 0 is the first of the grid.
            bars: Start and end in bars, from 1; the end is where the last bar is over.
            snap: Move both ends to the nearest beat or bar; None leaves them.

        Raises:
            UsageError: Not exactly one pair was given, it is empty, or the song has no grid.
        """
        given = [
            (unit, pair)
            for unit, pair in (("s", seconds), ("beat", beats), ("bar", bars))
            if pair is not None
        ]
        if len(given) != 1:
            raise UsageError("One loop is needed.", "Give seconds, beats or bars: start and end.")
        unit, pair = given[0]
        start, end = (self._seconds(unit, value) for value in pair)
        if snap is not None and self._setup.grid is not None:
            start, end = (self._snapped(t, snap) for t in (start, end))
        start, end = max(start, 0.0), min(end, self.duration_s)
        if end - start < 0.02:
            raise UsageError("That loop is empty.", "Let it end at least a beat after its start.")
        self.set("loop.on", 0)
        self.set("loop.start", start)
        self.set("loop.end", end)
        self.set("loop.on", 1)

    def unloop(self) -> None:
        """Play on behind the loop."""
        self.set("loop.on", 0)

    def _grid(self) -> BeatGrid:
        if self._setup.grid is None:
            raise UsageError(
                "This song has no beat grid, so it has no beats and bars.",
                "Use seconds, or give it a grid: `workstation analyze SONG --tempo 120`.",
            )
        return self._setup.grid

    def _seconds(self, unit: str, value: float) -> float:
        if unit == "s":
            return value
        grid = self._grid()
        return grid.time_at(value if unit == "beat" else grid.beat_of_bar(value))

    def _snapped(self, time_s: float, unit: str) -> float:
        grid = self._grid()
        beat = grid.beat_at(time_s)
        if unit == "beat":
            return grid.time_at(round(beat))
        bar = grid.bar_at(time_s)
        lines = [grid.beat_of_bar(bar.bar), grid.beat_of_bar(bar.bar + 1)]
        return grid.time_at(min(lines, key=lambda line: abs(line - beat)))

    def group(self, number: int, stems: Sequence[str]) -> None:
        """Put stems into mute group 1 to 8; an empty list clears it.

        Raises:
            UsageError: There is no such group or stem.
        """
        unknown = [stem for stem in stems if stem not in self.stems]
        if unknown or not 1 <= number <= GROUPS:
            raise UsageError(
                f"Group {number} cannot hold {', '.join(unknown) or 'these'}.",
                f"Groups are 1 to {GROUPS}; the stems are {', '.join(self.stems)}.",
            )
        self._groups[number] = tuple(stems)
        self._request("group", number=number, stems=list(stems))

    def set_grid(self, grid: BeatGrid | None) -> None:
        """Go by another beat grid, or none: clicks, bars, loops, MIDI clock, quantising."""
        self._setup = msgspec.structs.replace(self._setup, grid=grid)
        self._request("grid", grid=grid)

    @property
    def grid(self) -> BeatGrid | None:
        """The beat grid that is gone by."""
        return self._setup.grid

    def reload_controllers(self) -> None:
        """Read the MIDI mappings again, after one was learned or edited; the music goes on."""
        self._request("controllers")

    # -- takes --------------------------------------------------------------------------------

    def record(self, name: str = "") -> None:
        """Record a take: from now on while the song runs, else from when it does."""
        self._request("name", name=name)
        self.set("transport.record", 1)

    def end_take(self) -> None:
        """End the take that is being recorded; it is kept within a quarter of a second."""
        self.set("transport.record", 0)

    def replay(self, take: str | Take, *, record: bool = False, name: str = "") -> None:
        """Play a take back from its start.

        Args:
            take: Its name or number, or the take itself.
            record: Record what is played over it as a new take: what is touched is replaced.
            name: Of that new take.
        """
        found = self.takes.find(take) if isinstance(take, str) else take
        here = (set(self.stems), self._setup.engine, self._setup.sample_rate_hz)
        if (set(found.stems), found.engine, found.sample_rate_hz) != here:
            raise UsageError(
                f'The take "{found.name}" was played on the stems of {found.engine}.',
                f"Play it with --engine {found.engine}.",
            )
        self._request("replay", take=found, record=record, name=name)

    # -- waiting and calling back -----------------------------------------------------------------

    def on_beat(self, call: Callable[[int, int], None]) -> None:
        """Have `call(bar, beat)` called at every beat that is heard, on a thread of its own."""
        self._grid()
        self._on_beat.append(call)

    def on_bar(self, call: Callable[[int], None]) -> None:
        """Have `call(bar)` called at every downbeat that is heard, on a thread of its own."""
        self._grid()
        self._on_bar.append(call)

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the song stops, or for some seconds.

        Raises:
            UnavailableError: The player has ended meanwhile.
        """
        end = None if seconds is None else time.monotonic() + seconds
        idle = 0
        while end is None or time.monotonic() < end:
            self._check()
            state = self.state
            idle = 0 if state.playing or state.counting_in or state.replaying else idle + 1
            if seconds is None and idle > 10:
                return
            time.sleep(0.02)
