"""MIDI bytes to messages and back.

After the MIDI 1.0 Detailed Specification (M1): running status, real-time bytes anywhere, also
within other messages, system exclusive of any length.
"""

from __future__ import annotations

from typing import NamedTuple

NOTE_OFF, NOTE_ON, CC, PROGRAM, PITCHBEND = 0x80, 0x90, 0xB0, 0xC0, 0xE0
_DATA_BYTES = {0x80: 2, 0x90: 2, 0xA0: 2, 0xB0: 2, 0xC0: 1, 0xD0: 1, 0xE0: 2}
_KINDS = {
    NOTE_OFF: "note",
    NOTE_ON: "note",
    CC: "cc",
    PROGRAM: "program",
    PITCHBEND: "pitchbend",
}
_SYSTEM_DATA_BYTES = {0xF1: 1, 0xF2: 2, 0xF3: 1}
_SYSEX, _END = 0xF0, 0xF7
_LONGEST_SYSEX = 4096

NOTES = ("C", "C#", "D", "D#", "E", "F", "F#", "G", "G#", "A", "A#", "B")


class Message(NamedTuple):
    """A channel message.

    Attributes:
        kind: `note`, `cc`, `pitchbend`, `program`, or `other`.
        channel: 1 to 16.
        number: Note, CC or program; 0 for pitch bend.
        value: Velocity (0 is off), value of a CC, or pitch bend from 0 to 16383.
    """

    kind: str
    channel: int
    number: int
    value: int


class MidiParser:
    """Turns the bytes of one port into messages; bytes that are none are passed over.

    Attributes:
        skipped: Bytes that belonged to no message.
    """

    def __init__(self) -> None:
        self.skipped = 0
        self._status = 0
        self._data = bytearray()
        self._in_sysex = False

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in, give the messages that they complete, each with its status byte."""
        messages: list[bytes] = []
        for byte in data:
            if byte >= 0xF8:
                messages.append(bytes([byte]))  # Real time: it interrupts nothing.
            elif byte >= 0x80:
                self._begin(byte, messages)
            else:
                self._continue(byte, messages)
        return messages

    def _begin(self, byte: int, messages: list[bytes]) -> None:
        if byte == _END and self._in_sysex:
            messages.append(bytes([_SYSEX, *self._data, _END]))
        elif self._data:
            self.skipped += len(self._data)
        self._data.clear()
        self._in_sysex = byte == _SYSEX
        known = byte < 0xF0 or byte in _SYSTEM_DATA_BYTES or byte == _SYSEX
        self._status = byte if known else 0
        if byte == 0xF6:
            messages.append(b"\xf6")

    def _continue(self, byte: int, messages: list[bytes]) -> None:
        if self._in_sysex:
            if len(self._data) < _LONGEST_SYSEX:
                self._data.append(byte)
            else:
                self._in_sysex = False  # No device says so much: the end was lost.
                self._status = 0
                self.skipped += len(self._data)
                self._data.clear()
            return
        if self._status == 0:
            self.skipped += 1
            return
        self._data.append(byte)
        system = self._status >= 0xF0
        needed = (_SYSTEM_DATA_BYTES if system else _DATA_BYTES)[
            self._status if system else self._status & 0xF0
        ]
        if len(self._data) == needed:
            messages.append(bytes([self._status, *self._data]))
            self._data.clear()
            if system:
                self._status = 0  # Running status is for channel messages only.


def decode(data: bytes) -> Message:
    """Read one whole message.

    >>> decode(bytes([0x90, 60, 0]))
    Message(kind='note', channel=1, number=60, value=0)
    """
    status, channel = data[0] & 0xF0, (data[0] & 0x0F) + 1
    if data[0] >= 0xF0 or status not in _KINDS:
        return Message("other", 1, data[0], 0)
    number, value = data[1], data[-1]
    if status == NOTE_OFF:
        value = 0
    elif status == PROGRAM:
        value = 127
    elif status == PITCHBEND:
        number, value = 0, data[1] | data[2] << 7
    return Message(_KINDS[status], channel, number, value)


def encode(kind: str, channel: int, number: int, value: int) -> list[bytes]:
    """Write a message; a 14-bit CC takes two.

    Args:
        kind: `note`, `cc`, `cc14`, `pitchbend` or `program`.
        channel: 1 to 16.
        number: Note, CC or program.
        value: 0 to 127; for `cc14` and `pitchbend` 0 to 16383.
    """
    low = channel - 1
    if kind == "note":
        return [bytes([NOTE_ON | low, number, value])]
    if kind == "pitchbend":
        return [bytes([PITCHBEND | low, value & 0x7F, value >> 7])]
    if kind == "cc14":
        second = [bytes([CC | low, number + 32, value & 0x7F])] if number < 32 else []
        return [bytes([CC | low, number, value >> 7]), *second]
    if kind == "program":
        return [bytes([PROGRAM | low, number])]
    return [bytes([CC | low, number, value])]


def words(data: bytes) -> str:
    """A message as people read it: `channel 1  CC 7 = 100`."""
    if data[0] == _SYSEX:
        return "SysEx  " + data.hex(" ").upper()
    message = decode(data)
    where = f"channel {message.channel:<2} "
    if message.kind == "note":
        name = f"{NOTES[message.number % 12]}{message.number // 12 - 1}"
        state = f"on, velocity {message.value}" if message.value else "off"
        return f"{where} note {message.number} ({name}) {state}"
    if message.kind == "cc":
        return f"{where} CC {message.number} = {message.value}"
    if message.kind == "pitchbend":
        return f"{where} pitch bend = {message.value}"
    if message.kind == "program":
        return f"{where} program {message.number}"
    return data.hex(" ").upper()
