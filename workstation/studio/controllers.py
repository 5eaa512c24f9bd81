"""Controllers outside of a performance: what is plugged in, what it sends, learning it."""

from __future__ import annotations

import contextlib
import os
import queue
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from workstation.audio import atomic_file
from workstation.midi.learn import recognise
from workstation.midi.mapping import (
    all_mappings,
    find_mapping,
    mapping_for_port,
    mapping_text,
    user_presets,
)
from workstation.midi.messages import decode, encode
from workstation.midi.ports import InputPort, MidiSystem, OutputPort, output_of, stable_name
from workstation.midi.surface import Surface
from workstation.model import CancelledError, JobContext, UsageError
from workstation.model.controls import (
    STRIPS_PER_BANK,
    ControlChange,
    ControlSpec,
    control_table,
    find_control,
    mapping_targets,
    strip_control,
)
from workstation.model.midi_mapping import Binding, Echo, Led, MessageSpec, MidiMapping, Takeover
from workstation.model.names import file_name, shown

if TYPE_CHECKING:
    from workstation.studio.player import Player

# A knob has been moved when nothing came for so long after it.
_QUIET_S = 0.7
_POLL_S = 0.05
_LIGHT_S = 0.12


class PortFacts(msgspec.Struct, frozen=True):
    """A MIDI input, and what the product makes of it."""

    port: str
    output: str | None
    mapping: str | None
    device: str | None
    verified: bool


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Keep what native libraries print on file descriptor 2 off the terminal."""
    sys.stderr.flush()
    saved, nothing = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nothing)


def midi_ports() -> list[PortFacts]:
    """The MIDI inputs of this machine.

    Raises:
        UnavailableError: There is no MIDI system.
    """
    with quiet_libraries():
        names = MidiSystem().names()
    mappings = all_mappings()
    facts = []
    for name in names.inputs:
        mapping = mapping_for_port(stable_name(name), mappings)
        facts.append(
            PortFacts(
                stable_name(name),
                output_of(name, names.outputs),
                None if mapping is None else mapping.id,
                None if mapping is None else mapping.name,
                mapping is not None and mapping.verified,
            )
        )
    return facts


class Listener:
    """Open MIDI inputs, and what they send; a context manager.

    Args:
        wanted: Part of the name of a port; None opens all.

    Attributes:
        ports: Names of the open ports.

    Raises:
        UsageError: There is no such port, or none at all.
        UnavailableError: There is no MIDI system.
    """

    def __init__(self, wanted: str | None) -> None:
        self._messages: queue.SimpleQueue[tuple[str, bytes]] = queue.SimpleQueue()
        self._inputs: list[InputPort] = []
        self._outputs: dict[str, OutputPort] = {}
        with quiet_libraries():
            system = MidiSystem()
            names = system.names()
            chosen = [n for n in names.inputs if wanted is None or wanted.lower() in n.lower()]
            if not chosen:
                there = ", ".join(map(stable_name, names.inputs)) or "none"
                raise UsageError(
                    f'There is no MIDI input "{shown(wanted)}".'
                    if wanted
                    else "There is no MIDI input.",
                    f"Plug the controller in. Inputs: {there}.",
                )
            self.ports = [stable_name(name) for name in chosen]
            for name in chosen:
                self._inputs.append(system.open_input(name, self._take(stable_name(name))))
                output = output_of(name, names.outputs)
                if output is not None:
                    self._outputs[stable_name(name)] = system.open_output(output)

    def _take(self, port: str) -> Callable[[bytes], None]:
        return lambda message: self._messages.put((port, message))

    def next(self, timeout_s: float) -> tuple[str, bytes] | None:
        """The next message and its port, or None after a time without one."""
        with contextlib.suppress(queue.Empty):
            return self._messages.get(timeout=timeout_s)
        return None

    def send(self, port: str, messages: Sequence[bytes]) -> bool:
        """Send to the output that belongs to an input; False if there is none."""
        output = self._outputs.get(port)
        for message in messages if output is not None else ():
            assert output is not None
            output.send(message)
        return output is not None

    def movement(self, job: JobContext) -> tuple[str, list[bytes]]:
        """Wait until something was moved, and is at rest again.

        Returns:
            The port, and all that it sent.

        Raises:
            CancelledError: The job was cancelled.
        """
        while (found := self.next(_POLL_S)) is None or decode(found[1]).kind == "other":
            job.check()
        port, first = found
        messages, last = [first], time.monotonic()
        while time.monotonic() - last < _QUIET_S:
            job.check()
            found = self.next(_POLL_S)
            if found is not None and found[0] == port:
                messages.append(found[1])
                last = time.monotonic()
        return port, messages

    def __enter__(self) -> Listener:
        return self

    def __exit__(self, *_: object) -> None:
        with quiet_libraries():
            for source in self._inputs:
                source.close()
            for output in self._outputs.values():
                output.close()


class LearnOptions(msgspec.Struct, frozen=True):
    """What learning cannot hear.

    Attributes:
        takeover: For knobs and faders.
        invert: They work upside down.
        mode: For pads: `toggle`, `hold` or `set`.
        value: What a pad sets.
        light: Value that lights a pad; None learns no light.
    """

    takeover: Takeover | None = None
    invert: bool = False
    mode: str | None = None
    value: float | None = None
    light: int | None = 127


def expand_targets(controls: Sequence[str]) -> list[str]:
    """Names of controls, where `strip#.gain` stands for those of eight strips.

    Raises:
        UsageError: There is no such control.
    """
    names = []
    for control in controls:
        if "#" in control:
            names += [control.replace("#", str(n)) for n in range(1, STRIPS_PER_BANK + 1)]
        else:
            names.append(control)
    targets = mapping_targets()
    of_stem = {name.split(".", 1)[1] for name in targets if name.startswith("strip1.")}
    for name in names:
        if name.rpartition(".")[2] not in of_stem or name.startswith("strip"):
            find_control(targets, name)
    return names


def learned_binding(message: MessageSpec, control: str, options: LearnOptions) -> Binding:
    """The binding of what was moved to a control."""
    what = control.rpartition(".")[2]
    spec = mapping_targets().get(control) or mapping_targets()[f"strip1.{what}"]
    pad = message.kind == "note" or spec.kind in {"switch", "trigger"}
    led = echo = None
    if options.light is not None and pad and message.kind in {"note", "cc"}:
        led = Led(message, 0, options.light)
    if message.kind == "pitchbend":
        echo = Echo(message)  # Only motor faders send it.
    return Binding(
        message,
        control,
        mode=options.mode,  # type: ignore[arg-type]
        value=options.value,
        takeover=options.takeover,
        invert=options.invert,
        led=led,
        echo=echo,
    )


def learn(
    controls: Sequence[str],
    port: str | None,
    name: str | None,
    options: LearnOptions,
    say: Callable[[str], None],
    job: JobContext,
) -> Path:
    """Ask for a movement for every control, and write a mapping of the user's own.

    What a mapping of the same name holds already stays, but for what is learned anew.

    Args:
        controls: Ids; `strip#.gain` asks for eight.
        port: Part of the name of the port; None takes the one that moves first.
        name: Of the mapping; None is that of the port.
        options: What learning cannot hear.
        say: Is told what to do and what was understood.
        job: Cancelling it keeps what was learned so far.

    Returns:
        The file.

    Raises:
        UsageError: There is no such control or port.
        OutputError: The file cannot be written.
    """
    targets = expand_targets(controls)
    bindings: list[Binding] = []
    with Listener(port) as listener:
        source = port if port is None else listener.ports[0]
        for target in targets:
            say(f"Move the knob, fader or pad for {target} (Ctrl-C ends).")
            message = None
            while message is None and not job.cancelled:
                with contextlib.suppress(CancelledError):
                    moved, messages = listener.movement(job)
                    if source is None or moved == source:
                        source = moved
                        message = recognise(messages)
            if message is None:
                break
            for taken in (b for b in bindings if b.message == message):
                say(f"  It was learned for {taken.to} before, which it does no longer move.")
            bindings = [b for b in bindings if b.message != message]
            bindings.append(learned_binding(message, target, options))
            say(f"  {target} is {describe(message)}.")
    if not bindings or source is None:
        job.check()
        raise UsageError("Nothing was learned.", "Move a control when it is asked for.")
    return _save(bindings, source, name)


def _save(bindings: list[Binding], port: str, name: str | None) -> Path:
    # "nanoKONTROL2:MIDI_1": the whole name, as the part behind the colon can be anybody's.
    client, _, own = port.rpartition(":")
    device = port if client and client.strip().lower() not in own.lower() else own.strip() or port
    identity = file_name(name or device, fallback="controller")
    path = user_presets() / f"{identity}.toml"
    before: tuple[Binding, ...] = ()
    if path.exists():
        before = find_mapping(identity).bindings
    new = {b.to for b in bindings} | {b.message for b in bindings}
    kept = tuple(b for b in before if b.to not in new and b.message not in new)
    mapping = MidiMapping(
        id=identity,
        name=name or device,
        ports=(device,),
        bindings=(*kept, *bindings),
        verified=True,
        source="learned",
    )
    with atomic_file(path) as partial:
        partial.write_text(mapping_text(mapping), encoding="utf-8")
    return path


def describe(message: MessageSpec) -> str:
    """What a knob sends, in words."""
    where = f"on channel {message.channel}"
    if message.kind == "pitchbend":
        return f"pitch bend {where}"
    kinds = {
        "cc": "CC",
        "cc14": "14-bit CC",
        "note": "note",
        "program": "program",
        "relative": f"endless encoder ({message.encoding}), CC",
    }
    return f"{kinds[message.kind]} {message.number} {where}"


class ControllerTest:
    """A controller without a player: its lights one after another, then what it sends.

    Args:
        mapping: Of the controller.
        strips: Names for the strips; what they would do is told with these.
    """

    def __init__(self, mapping: MidiMapping, strips: int = STRIPS_PER_BANK) -> None:
        # A knob is heard wherever it stands.
        self.mapping = msgspec.structs.replace(
            mapping,
            takeover="jump",
            bindings=tuple(msgspec.structs.replace(b, takeover=None) for b in mapping.bindings),
        )
        self._stems = tuple(f"strip{n}" for n in range(1, strips + 1))
        self.table: dict[str, ControlSpec] = control_table(self._stems)
        self._values = {name: spec.default for name, spec in self.table.items()}
        self._surface = Surface(self.mapping, self.table, self._stems, self._values.__getitem__)

    def lights(self, send: Callable[[Sequence[bytes]], bool], job: JobContext) -> int:
        """Light everything once; give how many lights there are."""
        send(self._surface.opening())
        count = 0
        for binding in self.mapping.bindings:
            if binding.led is None:
                continue
            job.check()
            led = binding.led
            m = led.message
            send(encode(m.kind, m.channel, m.number, led.on))
            time.sleep(_LIGHT_S)
            send(encode(m.kind, m.channel, m.number, led.off))
            count += 1
        return count

    def receive(self, message: bytes) -> list[str]:
        """What a message does, in words."""
        said = []
        for change in self._surface.receive(message):
            self._apply(change)
            unit = self.table[change.control].unit if change.control in self.table else ""
            said.append(f"{change.control} = {self._values[change.control]:.4g} {unit}".rstrip())
        return said

    def _apply(self, change: ControlChange) -> None:
        spec, now = self.table[change.control], self._values[change.control]
        if change.op == "toggle":
            self._values[spec.id] = 0.0 if now == change.value else change.value
        elif change.op == "move":
            self._values[spec.id] = spec.value_at(spec.position_of(now) + change.value)
        else:
            self._values[spec.id] = change.value

    def feedback(self) -> list[bytes]:
        """The lights as they now have to be."""
        return self._surface.feedback(lambda _: False)


def mappings_in_use(player: Player) -> dict[str, MidiMapping]:
    """The mappings of the controllers that a player has seen, by their ids."""
    used = {state["mapping"] for state in player.controllers}
    return {mapping.id: mapping for mapping in all_mappings() if mapping.id in used}


def strip_bindings(player: Player, known: Mapping[str, MidiMapping]) -> dict[str, str]:
    """For every stem, in words, what of the connected controllers moves it.

    A knob that stands apart from its control, and so has to be turned to it first, is told with
    the way it has to go: `gain CC0/1↑`.

    Args:
        player: Knows the controllers and the knobs.
        known: Their mappings, by id.
    """
    waiting = player.waiting_knobs()
    words: dict[str, list[str]] = {stem: [] for stem in player.stems}
    for state in player.controllers:
        mapping = known.get(state["mapping"])
        if mapping is None or not state["connected"]:
            continue
        for binding in mapping.bindings:
            where = strip_control(binding.to)
            stem, _, what = binding.to.rpartition(".")
            if where is not None and where[0] < len(player.stems):
                stem, what = player.stems[where[0]], where[1]
            if stem not in words or what not in {"gain", "mute", "solo", "pan", "filter"}:
                continue
            text = f"{what} {_short(binding.message)}"
            if f"{stem}.{what}" in waiting:
                knob, here = waiting[f"{stem}.{what}"]
                text += "↑" if knob < here else "↓"
            words[stem].append(text)
    return {stem: " · ".join(found) for stem, found in words.items()}


def _short(message: MessageSpec) -> str:
    kinds = {"note": "N", "cc": "CC", "cc14": "CC", "relative": "CC", "program": "PC"}
    if message.kind == "pitchbend":
        return f"PB/{message.channel}"
    return f"{kinds[message.kind]}{message.number}/{message.channel}"
