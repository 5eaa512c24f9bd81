"""Learning: find out from its messages what a knob or pad sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Literal

from workstation.midi.messages import decode
from workstation.model.midi_mapping import MessageKind, MessageSpec

# Knobs are swept; fewer messages than this are a press.
_FEW = 4

Encoding = Literal["twos", "sign", "offset"]
_KINDS: dict[str, MessageKind] = {"note": "note", "pitchbend": "pitchbend", "program": "program"}
_UP = set(range(1, 16))
# What an encoder sends when it is turned not too fast. A turn one way only can mean two
# encodings; the first that fits is the more usual one.
_STEPS: dict[Encoding, set[int]] = {
    "twos": _UP | set(range(113, 128)),
    "offset": set(range(49, 80)) - {64},
    "sign": _UP | set(range(65, 80)),
}


def recognise(messages: Sequence[bytes]) -> MessageSpec | None:
    """Tell what was moved.

    The more of its range a knob is swept through, both ways, the surer the answer: an endless
    encoder repeats small steps, a 14-bit one sends a second controller 32 above the first.

    Args:
        messages: Whole MIDI messages, in their order.

    Returns:
        What the knob or pad sends, or None if nothing of that was in the messages.
    """
    decoded = [m for m in map(decode, messages) if m.kind != "other"]
    if not decoded:
        return None
    counts = Counter((m.kind, m.channel, m.number) for m in decoded)
    # Motor faders tell that they are touched with a note; the sweep is what counts.
    kind, channel, number = max(counts, key=lambda key: (counts[key], key[0] != "note"))
    if kind != "cc":
        return MessageSpec(_KINDS[kind], channel, number)
    upper = number if number < 32 else number - 32
    pair = [counts.get(("cc", channel, n), 0) for n in (upper, upper + 32)]
    if number < 64 and min(pair) * 2 >= max(pair):
        return MessageSpec("cc14", channel, upper)
    values = [m.value for m in decoded if (m.kind, m.channel, m.number) == (kind, channel, number)]
    encoding = _encoding(values)
    if encoding is not None:
        return MessageSpec("relative", channel, number, encoding)
    return MessageSpec("cc", channel, number)


def _encoding(values: Sequence[int]) -> Encoding | None:
    """How an endless encoder counts; None if the values are those of a knob with ends."""
    if len(values) < _FEW or len(set(values)) * 2 > len(values):
        return None  # Places along a way differ; steps are a few that come again.
    for encoding, steps in _STEPS.items():
        if set(values) <= steps:
            return encoding
    return None
