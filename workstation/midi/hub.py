"""All controllers at once: found by name, opened, watched, opened again when they return."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol

import msgspec

from workstation.midi.mapping import mapping_for_port
from workstation.midi.ports import MidiSystem, OutputPort, output_of, stable_name
from workstation.midi.surface import Surface
from workstation.model import WorkstationError
from workstation.model.controls import ControlChange, ControlSpec
from workstation.model.midi_mapping import MidiMapping

SCAN_EVERY_S = 0.5
FEEDBACK_EVERY_S = 0.02


class ControllerState(msgspec.Struct, frozen=True):
    """A controller as faces show it.

    Attributes:
        port: Name of its input, without changing numbers.
        mapping: Id of its mapping.
        name: Of the device.
        connected: Whether it is there now.
        lights: Whether it has an output.
    """

    port: str
    mapping: str
    name: str
    connected: bool
    lights: bool


class Desk(Protocol):
    """What controllers move and show: the player, seen from its controls.

    Attributes:
        table: The controls.
        stems: Names of the stems, in the order of strips.
    """

    table: dict[str, ControlSpec]
    stems: tuple[str, ...]

    def send(self, change: ControlChange) -> None:
        """Take a change; called on the threads of the ports."""
        ...

    def value(self, control: str) -> float:
        """What a control is set to."""
        ...

    def is_waiting(self, control: str) -> bool:
        """Whether a change of a control waits for its line."""
        ...

    def levels_db(self) -> Sequence[float]:
        """Peak of every stem in dB of full scale."""
        ...

    def say(self, words: str) -> None:
        """Tell the user what came and went."""
        ...


class OpenedInput(Protocol):
    """An input that is open."""

    def close(self) -> None:
        """Close it."""
        ...


OpenInput = Callable[[str, Callable[[bytes], None]], OpenedInput]


class _Open:
    """A controller that was seen: its surface lives on while it is unplugged."""

    def __init__(self, surface: Surface) -> None:
        self.surface = surface
        self.input: OpenedInput | None = None
        self.output: OutputPort | None = None


class ControllerHub:
    """Connects controllers to the player.

    Args:
        system: The MIDI system.
        mappings: Mappings to choose from by the name of the port.
        desk: What they move and show.
        everything: A mapping for every port that no other fits: a generic one.
        open_input: Opens inputs instead of the MIDI system: see `MidiSystem.open_input`.
    """

    def __init__(
        self,
        system: MidiSystem,
        mappings: Sequence[MidiMapping],
        desk: Desk,
        *,
        everything: MidiMapping | None = None,
        open_input: OpenInput | None = None,
    ) -> None:
        self._system = system
        self._mappings = list(mappings)
        self._desk = desk
        self._everything = everything
        self._open_input = open_input or system.open_input
        self._open: dict[str, _Open] = {}
        self._refused: set[str] = set()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="controllers", daemon=True)

    def start(self) -> None:
        """Open what is there, then go on in a thread of its own."""
        self.scan()
        self._thread.start()

    def states(self) -> list[ControllerState]:
        """The controllers that were seen."""
        with self._lock:
            return [
                ControllerState(
                    port,
                    seen.surface.mapping.id,
                    seen.surface.mapping.name,
                    seen.input is not None,
                    seen.output is not None,
                )
                for port, seen in self._open.items()
            ]

    def waiting_knobs(self) -> dict[str, tuple[float, float]]:
        """Knobs that stand apart from their controls: see `Surface.waiting_knobs`."""
        with self._lock:
            surfaces = [seen.surface for seen in self._open.values() if seen.input is not None]
        return {k: v for surface in surfaces for k, v in surface.waiting_knobs().items()}

    def _run(self) -> None:
        rounds = round(SCAN_EVERY_S / FEEDBACK_EVERY_S)
        count = 0
        while not self._ended.wait(FEEDBACK_EVERY_S):
            count += 1
            if count % rounds == 0:
                self.scan()
            self.feedback()

    def scan(self) -> None:
        """Open the controllers that have come, and let go of those that have gone."""
        names = self._system.names()
        with self._lock:
            there: dict[str, tuple[str, int]] = {}
            for name in names.inputs:
                same = sum(stable_name(n) == stable_name(name) for n, _ in there.values())
                again = f" ({same + 1})" if same else ""
                there[stable_name(name) + again] = (name, same)
            for port, seen in self._open.items():
                if seen.input is not None and port not in there:
                    self._drop(seen)
                    self._desk.say(f"{seen.surface.mapping.name} was unplugged.")
            for port, (name, nth) in there.items():
                known = self._open.get(port)
                if known is not None and known.input is not None:
                    continue
                mapping = mapping_for_port(port, self._mappings) or self._everything
                if mapping is not None:
                    self._connect(port, name, output_of(name, names.outputs, nth), mapping)

    def _connect(self, port: str, name: str, output: str | None, mapping: MidiMapping) -> None:
        seen = self._open.get(port)
        again = seen is not None
        if seen is None:
            seen = _Open(Surface(mapping, self._desk.table, self._desk.stems, self._desk.value))
        surface = seen.surface
        try:
            seen.output = self._system.open_output(output) if output else None
            for message in surface.opening():
                self._emit(seen, message)
            seen.input = self._open_input(name, lambda data: self._receive(surface, data))
        except WorkstationError as error:
            self._drop(seen)
            if port not in self._refused:  # It is tried again; once is enough to say it.
                self._refused.add(port)
                self._desk.say(f"{error.problem} {error.remedy}")
            return
        self._refused.discard(port)
        self._open[port] = seen
        self._desk.say(f"{mapping.name} is {'back' if again else 'connected'}.")

    def _receive(self, surface: Surface, data: bytes) -> None:
        for change in surface.receive(data):
            self._desk.send(change)

    def feedback(self) -> None:
        """Let every device show how things stand."""
        levels = self._desk.levels_db()
        with self._lock:
            for seen in self._open.values():
                if seen.output is not None:
                    for message in seen.surface.feedback(self._desk.is_waiting, levels):
                        self._emit(seen, message)

    @staticmethod
    def _emit(seen: _Open, message: bytes) -> None:
        if seen.output is not None:
            try:
                seen.output.send(message)
            except OSError:
                seen.output = None  # Unplugged: the next scan sees it.

    @staticmethod
    def _drop(seen: _Open) -> None:
        if seen.input is not None:
            seen.input.close()
        if seen.output is not None:
            seen.output.close()
        seen.input = seen.output = None

    def close(self) -> None:
        """Put the lights out and close the ports."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(1.0)
        with self._lock:
            for seen in self._open.values():
                for message in seen.surface.closing():
                    self._emit(seen, message)
                self._drop(seen)
