"""A controller in use: its mapping, its bank, where its knobs stand, what its lights show."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from workstation.midi import mackie
from workstation.midi.messages import Message, decode, encode
from workstation.midi.takeover import SoftTakeover
from workstation.model.controls import (
    STRIPS_PER_BANK,
    ControlChange,
    ControlSpec,
    mapping_targets,
    strip_control,
)
from workstation.model.midi_mapping import Binding, MessageSpec, MidiMapping
from workstation.model.stem_roles import lineage, stems_with_role

# A motor must not pull on a fader that a hand is moving.
_HANDS_OFF_S = 0.5
# What a knob has sent may not have reached the player yet: until then it counts as done.
_ON_ITS_WAY_S = 0.1
_PRESSED = 64

_BANK_STEPS = {
    "bank.next": STRIPS_PER_BANK,
    "bank.previous": -STRIPS_PER_BANK,
    "bank.right": 1,
    "bank.left": -1,
}


class Surface:
    """Turns the messages of one controller into changes, and the state into its lights.

    Args:
        mapping: Of the controller.
        table: The controls of the player.
        stems: Names of the stems, in the order of strips.
        value: Gives what a control is set to.
        clock: Time in seconds, monotonic.

    Attributes:
        bank: Index of the stem that is strip 1.
    """

    def __init__(
        self,
        mapping: MidiMapping,
        table: dict[str, ControlSpec],
        stems: Sequence[str],
        value: Callable[[str], float],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.mapping = mapping
        self.bank = 0
        self._table = table
        self._stems = tuple(stems)
        self._value = value
        self._clock = clock
        self._surface_specs = mapping_targets()
        self._shift = False
        self._bindings: dict[tuple[str, int, int, bool], list[int]] = {}
        self._takeovers = [SoftTakeover(b.takeover or mapping.takeover) for b in mapping.bindings]
        self._sent: dict[int, tuple[float, float]] = {}
        self._held: dict[int, str] = {}
        self._upper: dict[tuple[int, int], int] = {}
        self._has_lower: set[tuple[int, int]] = set()
        self._shown: dict[tuple[int, ...], bytes] = {}
        for index, binding in enumerate(mapping.bindings):
            for key in _keys(binding.message):
                self._bindings.setdefault((*key, binding.shift), []).append(index)

    # -- in -----------------------------------------------------------------------------------

    def receive(self, data: bytes) -> list[ControlChange]:
        """Take one whole message; give the changes that it asks for."""
        message = decode(data)
        changes = []
        for index in self._find(message):
            changes += self._act(index, self.mapping.bindings[index], message)
        return changes

    def _find(self, message: Message) -> list[int]:
        key = (message.kind, message.channel, message.number)
        shifted = self._bindings.get((*key, True), []) if self._shift else []
        # A pad that is held lets go of what it holds, whatever shift says by now.
        held = [
            i
            for i in self._bindings.get((*key, not self._shift), [])
            if i in self._held and message.value == 0
        ]
        return held or shifted or self._bindings.get((*key, False), [])

    def _target(self, to: str) -> str | None:
        """The control of the player that a binding means now, or None if there is none."""
        strip = strip_control(to)
        if strip is None:
            return self._named(to)
        index = self.bank + strip[0]
        return f"{self._stems[index]}.{strip[1]}" if index < len(self._stems) else None

    def _named(self, to: str) -> str | None:
        """A control by its name; `vocals.mute` also finds the one stem that is a part of vocals."""
        if to in self._table or to in self._surface_specs:
            return to
        stem, _, what = to.rpartition(".")
        parts = stems_with_role(self._stems, stem)
        found = f"{parts[0]}.{what}" if len(parts) == 1 else None
        return found if found in self._table else None

    def _act(self, index: int, binding: Binding, message: Message) -> list[ControlChange]:
        control = self._held.get(index) or self._target(binding.to)
        if control is None:
            return []
        spec = self._table.get(control) or self._surface_specs[control]
        if binding.message.kind == "relative":
            return self._step(binding, spec, message.value)
        position = self._position(binding.message, message)
        if position is None:
            return []
        if binding.invert:
            position = 1.0 - position
        if self._is_button(binding, spec):
            return self._press(index, binding, spec, pressed=position > 0)
        return self._turn(index, spec, position)

    def _step(self, binding: Binding, spec: ControlSpec, value: int) -> list[ControlChange]:
        step = relative_step(binding.message.encoding, value)
        if spec.id in _BANK_STEPS:
            if step > 0:
                self._move_bank(spec.id)
            return []
        step = -step if binding.invert else step
        return [ControlChange(spec.id, step / 127.0, "move")] if step else []

    @staticmethod
    def _is_button(binding: Binding, spec: ControlSpec) -> bool:
        if binding.mode is not None or binding.value is not None:
            return True
        return spec.kind in {"switch", "trigger"} or binding.message.kind == "program"

    def _position(self, spec: MessageSpec, message: Message) -> float | None:
        """Where a knob stands, or how hard a pad was pressed, 0 to 1."""
        if spec.kind == "pitchbend":
            return message.value / 16383.0
        if spec.kind != "cc14":
            return message.value / 127.0
        key = (spec.channel, spec.number)
        if message.number == spec.number:
            self._upper[key] = message.value
            # The lower half follows, unless this device never sends one.
            return None if key in self._has_lower else message.value / 127.0
        self._has_lower.add(key)
        return (self._upper.get(key, 0) << 7 | message.value) / 16383.0

    def _press(
        self, index: int, binding: Binding, spec: ControlSpec, *, pressed: bool
    ) -> list[ControlChange]:
        on = 1.0 if binding.value is None else binding.value
        if spec.id == "surface.shift":
            self._shift = pressed
            return []
        if not pressed:
            if self._held.pop(index, None) is None:
                return []
            rest = spec.default if spec.kind != "number" else 0.0
            return [ControlChange(spec.id, rest)]
        if spec.id in _BANK_STEPS:
            self._move_bank(spec.id)
            return []
        mode = binding.mode or ("toggle" if spec.kind == "switch" else "set")
        if mode == "hold":
            self._held[index] = spec.id
            return [ControlChange(spec.id, on)]
        return [ControlChange(spec.id, on, "toggle" if mode == "toggle" else "set")]

    def _move_bank(self, control: str) -> None:
        step = _BANK_STEPS[control]
        last = max(0, len(self._stems) - 1)
        if abs(step) > 1:
            last -= last % abs(step)
        bank = min(max(self.bank + step, 0), last)
        if bank != self.bank:
            self.bank = bank
            self.forget_knobs()

    def _turn(self, index: int, spec: ControlSpec, position: float) -> list[ControlChange]:
        now = self._clock()
        sent, at = self._sent.get(index, (0.0, -1.0))
        current = spec.position_of(self._value(spec.id))
        if now - at < _ON_ITS_WAY_S:
            current = sent
        target = self._takeovers[index].move(position, current)
        if target is None:
            return []
        self._sent[index] = (target, now)
        return [ControlChange(spec.id, spec.value_at(target))]

    def forget_knobs(self) -> None:
        """The knobs may stand anywhere: each has to meet its control again."""
        self._sent.clear()
        for takeover in self._takeovers:
            takeover.forget()

    def waiting_knobs(self) -> dict[str, tuple[float, float]]:
        """Knobs that stand apart: control, where the knob is and where the control is, 0 to 1."""
        apart = {}
        for binding, takeover in zip(self.mapping.bindings, self._takeovers, strict=True):
            control = self._target(binding.to)
            if takeover.position is not None and not takeover.engaged and control in self._table:
                here = self._table[control].position_of(self._value(control))
                apart[control] = (takeover.position, here)
        return apart

    # -- out ----------------------------------------------------------------------------------

    def opening(self) -> list[bytes]:
        """What to send when the port has been opened, before any light."""
        self._shown.clear()
        self.forget_knobs()
        self._held.clear()
        self._shift = False
        return list(self.mapping.init)

    def closing(self) -> list[bytes]:
        """What to send before the port is closed: every light off."""
        off = []
        for binding in self.mapping.bindings:
            if binding.led is not None:
                m = binding.led.message
                off += encode(m.kind, m.channel, m.number, 0)
        return [*off, *self.mapping.reset]

    def feedback(self, waiting: Callable[[str], bool], levels: Sequence[float] = ()) -> list[bytes]:
        """Messages for what looks otherwise than the device shows.

        Args:
            waiting: Whether a control waits for its line.
            levels: Peak of every stem in dB of full scale, for devices with meters.
        """
        now = self._clock()
        out: list[bytes] = []
        for index, binding in enumerate(self.mapping.bindings):
            control = self._target(binding.to)
            if binding.led is not None:
                out += self._light(binding, control, waiting)
            if binding.echo is not None:
                moved_at = self._sent.get(index, (0.0, -1.0))[1]
                if now - moved_at >= _HANDS_OFF_S:
                    out += self._move(binding, control)
        if self.mapping.display == "mackie":
            stems = self._stems[self.bank : self.bank + STRIPS_PER_BANK]
            gains = [self._value(f"{stem}.gain") for stem in stems]
            shown = [*mackie.texts(stems, gains), *mackie.meters(levels[self.bank :][: len(stems)])]
            out += [m for key, m in shown if self._differs(key, m)]
        return out

    def _differs(self, key: tuple[int, ...], message: bytes) -> bool:
        if self._shown.get(key) == message:
            return False
        self._shown[key] = message
        return True

    def _light(
        self, binding: Binding, control: str | None, waiting: Callable[[str], bool]
    ) -> list[bytes]:
        led = binding.led
        assert led is not None
        message = led.message
        channel, value = message.channel, led.off
        if control is not None and control in self._table:
            stem = control.rpartition(".")[0]
            lit = _colour(led.by_stem, stem, led.on)
            state = self._value(control)
            on = state == binding.value if binding.value is not None else state != 0
            if waiting(control) and (led.pending is not None or led.pending_channel is not None):
                value = lit if led.pending is None else led.pending
                channel = led.pending_channel or channel
            elif on != led.invert:
                value = lit
        elif control == "surface.shift":
            value = led.on if self._shift else led.off
        out = encode(message.kind, channel, message.number, value)
        kind = 0 if message.kind == "note" else 1
        return out if self._differs((kind, message.channel, message.number), out[0]) else []

    def _move(self, binding: Binding, control: str | None) -> list[bytes]:
        echo = binding.echo
        assert echo is not None
        position = 0.0
        if control is not None and control in self._table:
            position = self._table[control].position_of(self._value(control))
        if binding.invert:
            position = 1.0 - position
        message = echo.message
        if message.kind in {"pitchbend", "cc14"}:
            value = round(position * 16383)
        else:
            value = echo.low + round(position * (echo.high - echo.low))
        out = encode(message.kind, message.channel, message.number, value)
        key = (2, message.channel, message.number, int(message.kind == "pitchbend"))
        return out if self._differs(key, b"".join(out)) else []


def _keys(message: MessageSpec) -> list[tuple[str, int, int]]:
    """Kind, channel and number of the messages that belong to a knob."""
    if message.kind == "cc14":
        return [("cc", message.channel, n) for n in (message.number, message.number + 32)]
    if message.kind == "relative":
        return [("cc", message.channel, message.number)]
    number = 0 if message.kind == "pitchbend" else message.number
    return [(message.kind, message.channel, number)]


def relative_step(encoding: str, value: int) -> int:
    """Steps that an endless encoder says it was turned.

    >>> [relative_step(e, v) for e, v in (("twos", 127), ("sign", 65), ("offset", 63))]
    [-1, -1, -1]
    """
    if encoding == "twos":
        return value if value < 64 else value - 128
    if encoding == "sign":
        return value if value < 64 else -(value - 64)
    return value - 64


def _colour(by_stem: dict[str, int], stem: str, otherwise: int) -> int:
    """Value for a stem: its own, else that of the nearest role that it is a part of."""
    if stem in by_stem:
        return by_stem[stem]
    return next((by_stem[role] for role in lineage(stem) if role in by_stem), otherwise)
