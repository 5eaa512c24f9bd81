"""What the knobs, faders and pads of a controller do."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

MessageKind = Literal["note", "cc", "cc14", "pitchbend", "relative", "program"]
Takeover = Literal["jump", "pickup", "scale"]
Channel = Annotated[int, msgspec.Meta(ge=1, le=16)]
Seven = Annotated[int, msgspec.Meta(ge=0, le=127)]


class MessageSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which MIDI messages a knob, fader or pad sends.

    Attributes:
        kind: `note`, `cc`, `cc14` (a pair: number and number + 32), `pitchbend`,
            `relative` (an endless encoder on a CC) or `program`.
        channel: 1 to 16.
        number: Note, CC or program from 0 to 127; pitch bend has none.
        encoding: How an endless encoder counts: `twos` (1 … 63 up, 127 … 65 down), `sign`
            (1 … 63 up, 65 … 127 down) or `offset` (64 is rest).
    """

    kind: MessageKind
    channel: Channel = 1
    number: Seven = 0
    encoding: Literal["twos", "sign", "offset"] = "twos"


class Led(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What lights a pad.

    Attributes:
        message: Note or CC that is sent; its kind, channel and number.
        off: Value sent while the control is off.
        on: Value sent while it is on.
        pending: Value sent while it waits for its beat or bar; None sends `on`.
        pending_channel: Channel for `pending` where that makes it blink.
        invert: Lit while the control is off: a mute pad that shows what is heard.
        by_stem: Values for `on` by the name of the stem, where pads have colours.
    """

    message: MessageSpec
    off: Seven = 0
    on: Seven = 127
    pending: Seven | None = None
    pending_channel: Channel | None = None
    invert: bool = False
    by_stem: dict[str, Seven] = {}


class Echo(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a motor fader or a ring of LEDs is told the position of its control.

    Attributes:
        message: `cc`, `cc14`, `pitchbend` or `note` that is sent.
        low: Value at position 0 (7 bit).
        high: Value at position 1 (7 bit).
    """

    message: MessageSpec
    low: Seven = 0
    high: Seven = 127


class Binding(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One knob, fader or pad and what it does.

    Attributes:
        message: What it sends.
        to: Control it moves: `strip1.gain`, `vocals.mute`, `transport.play`, `bank.next`.
        mode: For pads: `toggle` flips at every press, `hold` acts while it is held, `set`
            sets `value` at every press. None chooses by the control.
        value: What a press sets; None is 1.
        takeover: For knobs and faders; None is that of the mapping.
        invert: Upside down.
        shift: Works only while `surface.shift` is held.
        led: What lights it.
        echo: What moves it.
    """

    message: MessageSpec
    to: str
    mode: Literal["toggle", "hold", "set"] | None = None
    value: float | None = None
    takeover: Takeover | None = None
    invert: bool = False
    shift: bool = False
    led: Led | None = None
    echo: Echo | None = None


class MidiMapping(msgspec.Struct, frozen=True):
    """The mapping of one controller.

    Attributes:
        id: Name of its file without the suffix.
        name: Of the device.
        ports: A MIDI port whose name contains one of these, in any case, is this device.
        not_ports: Unless it contains one of these: another port of the device, or another model.
        verified: A person has tried the mapping on the hardware.
        source: Where its numbers come from.
        takeover: What knobs and faders do while they stand apart from their control.
        init: Messages sent when the port opens, as bytes.
        reset: Messages sent before it is closed.
        display: `mackie` writes names and meters as Mackie Control shows them.
        bindings: The knobs, faders and pads.
    """

    id: str
    name: str
    ports: tuple[str, ...]
    bindings: tuple[Binding, ...]
    verified: bool = False
    source: str = ""
    takeover: Takeover = "pickup"
    init: tuple[bytes, ...] = ()
    reset: tuple[bytes, ...] = ()
    display: Literal["mackie"] | None = None
    not_ports: tuple[str, ...] = ()
