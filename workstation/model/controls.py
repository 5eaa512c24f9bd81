"""The one table of everything that can be controlled.

MIDI mappings, learning, keys, OSC, scripts, takes and help all name controls by the ids of
this table. A control of a stem is `<stem>.<what>`: `vocals.gain`; controllers, which do not
know the song, say `strip1.gain` and mean the first stem of their bank.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from typing import Literal

import msgspec

from workstation.model.errors import UsageError
from workstation.model.mixer import MAX_DB, SILENT_DB, fader_db, fader_position

Kind = Literal["fader", "knob", "switch", "number", "trigger"]

STRIPS_PER_BANK = 8
GROUPS = 8
SNAPSHOTS = 8
STUTTERS = (4, 8, 16, 32)
QUANTIZE = ("off", "beat", "bar", "4 bars")


class ControlSpec(msgspec.Struct, frozen=True):
    """One thing that can be controlled.

    Attributes:
        id: `<where>.<what>`.
        label: What people read.
        kind: `fader` has the taper of a fader, `knob` is linear, `switch` is 0 or 1,
            `number` is any number in the range, `trigger` acts when it is set to anything
            but 0.
        low: Smallest value.
        high: Largest value.
        default: Value at the start, where a double click returns to.
        unit: Of the value; empty if it has none.
    """

    id: str
    label: str
    kind: Kind
    low: float = 0.0
    high: float = 1.0
    default: float = 0.0
    unit: str = ""

    def value_at(self, position: float) -> float:
        """Value of a fader, knob or button at a position from 0 to 1."""
        position = min(max(position, 0.0), 1.0)
        if self.kind == "fader":
            return fader_db(position)
        if self.kind in {"switch", "trigger"}:
            return float(position >= 0.5)
        return self.low + position * (self.high - self.low)

    def position_of(self, value: float) -> float:
        """Position from 0 to 1 of a value; the inverse of `value_at`."""
        if self.kind == "fader":
            return fader_position(value)
        if self.high == self.low:
            return 0.0
        return min(max((value - self.low) / (self.high - self.low), 0.0), 1.0)

    def clamp(self, value: float) -> float:
        """The nearest value that the control can have."""
        if self.kind in {"switch", "trigger"}:
            return float(value != 0)
        return min(max(float(value), self.low), self.high)


class ControlChange(msgspec.Struct, frozen=True):
    """The one message from fader, pad, key, mouse, OSC or script.

    Attributes:
        control: Id in the table.
        value: In the unit of the control; what it means depends on `op`.
        op: `set` gives the control the value, `toggle` flips it (a press of a pad; `value`
            is what it has when it is on), `move` shifts its position by the value (an
            endless encoder).
        quantize: When it takes effect: `off`, `beat`, `bar`, `4 bars`; None as
            `quantize.grid` says. Mutes, solos and snapshots only.
        over_beats: Time that a gain takes to get there; 0 is at once.
    """

    control: str
    value: float = 1.0
    op: Literal["set", "toggle", "move"] = "set"
    quantize: str | None = None
    over_beats: float = 0.0


_STEM = (
    ControlSpec("gain", "gain", "fader", SILENT_DB, MAX_DB, 0.0, "dB"),
    ControlSpec("pan", "pan", "knob", -1.0, 1.0),
    ControlSpec("mute", "mute", "switch"),
    ControlSpec("solo", "solo", "switch"),
    ControlSpec("filter", "filter", "knob", -1.0, 1.0),
    ControlSpec("others", "mute all but this", "switch"),
    ControlSpec("stutter", "stutter of 1/n note, 0 is off", "number", 0.0, 32.0),
    ControlSpec("fade_out", "fade out over n bars", "number", 0.0, 64.0, 4.0, "bars"),
    ControlSpec("fade_in", "fade in over n bars", "number", 0.0, 64.0, 4.0, "bars"),
)

_GLOBAL = (
    ControlSpec("master.gain", "master gain", "fader", SILENT_DB, MAX_DB, 0.0, "dB"),
    ControlSpec("transport.play", "play", "switch"),
    ControlSpec("transport.stop", "stop and return to the start", "trigger"),
    ControlSpec("transport.record", "record a take", "switch"),
    ControlSpec("transport.seek", "position", "number", 0.0, 1e6, 0.0, "s"),
    ControlSpec("transport.back", "one bar back", "trigger"),
    ControlSpec("transport.forward", "one bar forward", "trigger"),
    ControlSpec("loop.on", "loop", "switch"),
    ControlSpec("loop.in", "loop starts here", "trigger"),
    ControlSpec("loop.out", "loop ends here", "trigger"),
    ControlSpec("loop.start", "start of the loop", "number", 0.0, 1e6, 0.0, "s"),
    ControlSpec("loop.end", "end of the loop", "number", 0.0, 1e6, 0.0, "s"),
    ControlSpec("loop.beats", "loop n beats from here", "number", 0.0, 256.0, 4.0, "beats"),
    ControlSpec("loop.halve", "half the loop", "trigger"),
    ControlSpec("loop.double", "double the loop", "trigger"),
    ControlSpec("click.on", "click", "switch"),
    ControlSpec("click.gain", "gain of the click", "fader", SILENT_DB, MAX_DB, -6.0, "dB"),
    ControlSpec("count_in.bars", "count-in", "number", 0.0, 4.0, 0.0, "bars"),
    ControlSpec("quantize.grid", "quantise: 0 off, 1 beat, 2 bar, 3 four bars", "number", 0.0, 3.0),
    *(ControlSpec(f"group{n}.mute", f"mute of group {n}", "switch") for n in range(1, GROUPS + 1)),
    *(
        ControlSpec(f"snapshot{n}.{verb}", f"{verb} snapshot {n}", "trigger")
        for n in range(1, SNAPSHOTS + 1)
        for verb in ("recall", "store")
    ),
)

# What a control surface does with itself: the player never sees these.
_SURFACE = (
    ControlSpec("bank.next", "next eight stems", "trigger"),
    ControlSpec("bank.previous", "previous eight stems", "trigger"),
    ControlSpec("bank.right", "one stem to the right", "trigger"),
    ControlSpec("bank.left", "one stem to the left", "trigger"),
    ControlSpec("surface.shift", "second layer while it is held", "switch"),
)

_STRIP = re.compile(r"strip(\d+)\.(\w+)")


def stem_controls(stem: str) -> list[ControlSpec]:
    """The controls of one stem."""
    return [
        msgspec.structs.replace(spec, id=f"{stem}.{spec.id}", label=f"{stem} {spec.label}")
        for spec in _STEM
    ]


def control_table(stems: Sequence[str]) -> dict[str, ControlSpec]:
    """Everything that the player of some stems can be told, by id.

    A stem that is called like a part of the product (`master`) is reached as a strip of a
    controller; its name means the part.
    """
    specs = [spec for stem in stems for spec in stem_controls(stem)]
    return {spec.id: spec for spec in (*specs, *_GLOBAL)}


def mapping_targets() -> dict[str, ControlSpec]:
    """Everything that a controller can be mapped to without knowing the song, by id."""
    strips = [s for n in range(1, STRIPS_PER_BANK + 1) for s in stem_controls(f"strip{n}")]
    return {spec.id: spec for spec in (*strips, *_GLOBAL, *_SURFACE)}


def strip_control(control: str) -> tuple[int, str] | None:
    """Split `strip3.mute` into the index of the strip, from 0, and what of it; else None.

    >>> strip_control("strip3.mute"), strip_control("master.gain")
    ((2, 'mute'), None)
    """
    match = _STRIP.fullmatch(control)
    return (int(match[1]) - 1, match[2]) if match else None


def find_control(table: dict[str, ControlSpec], control: str) -> ControlSpec:
    """Look a control up.

    Raises:
        UsageError: There is none of that name; the remedy names one that is near.
    """
    spec = table.get(control)
    if spec is None:
        near = difflib.get_close_matches(control, table, n=1, cutoff=0.5)
        hint = f'Did you mean "{near[0]}"?' if near else "See `workstation controls`."
        raise UsageError(f'There is no control "{control}".', hint)
    return spec
