"""The event stream of FL Studio projects (`.flp`), read and written byte for byte.

A file is `FLhd` with a format, the number of channels and the ticks per quarter, then `FLdt` with
events: an id, and a payload whose size follows from the id. Ids below 64 have one byte, below 128
two, below 192 four, the others a length (seven bits a byte, low first) and so many bytes. Text is
UTF-16, but for the version, which is ASCII. After the public descriptions of the format by PyFLP
and DawVert.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import msgspec

from workstation.model import InputError
from workstation.model.names import shown

_HEADER = struct.Struct("<4sIhHH4sI")
_MOST_BYTES = 256 << 20
_VERSION = 199


class Event(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        id: What it is.
        data: Its payload.
        length_code: How the length was written, if not in the shortest way; else empty.
    """

    id: int
    data: bytes
    length_code: bytes = b""

    def encode(self) -> bytes:
        """The event as it stands in a file."""
        if self.id < 192:
            return bytes([self.id]) + self.data
        return bytes([self.id]) + (self.length_code or _varint(len(self.data))) + self.data


class Flp(msgspec.Struct, frozen=True):
    """A whole file.

    Attributes:
        channels: Number of channels, as the header has it.
        ppq: Ticks per quarter note.
        events: In their order.
        format: 0 for projects.
    """

    channels: int
    ppq: int
    events: tuple[Event, ...]
    format: int = 0

    def encode(self) -> bytes:
        """The file."""
        body = b"".join(event.encode() for event in self.events)
        head = _HEADER.pack(b"FLhd", 6, self.format, self.channels, self.ppq, b"FLdt", len(body))
        return head + body


def byte(event: int, value: int) -> Event:
    """An event of one byte; negative values are allowed."""
    return Event(event, struct.pack("<B", value & 0xFF))


def word(event: int, value: int) -> Event:
    """An event of two bytes."""
    return Event(event, struct.pack("<H", value & 0xFFFF))


def dword(event: int, value: int) -> Event:
    """An event of four bytes."""
    return Event(event, struct.pack("<I", value & 0xFFFFFFFF))


def text(event: int, words: str) -> Event:
    """An event with text."""
    if event == _VERSION:
        return Event(event, words.encode("ascii") + b"\0")
    return Event(event, words.encode("utf-16-le", "replace") + b"\0\0")


def blob(event: int, data: bytes) -> Event:
    """An event with bytes."""
    return Event(event, data)


def words_of(event: Event) -> str:
    """The text of an event."""
    if event.id == _VERSION:
        return event.data.rstrip(b"\0").decode("ascii", "replace")
    return event.data.decode("utf-16-le", "replace").rstrip("\0")


def _varint(value: int) -> bytes:
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_flp(path: Path) -> Flp:
    """Read a file of FL Studio.

    Raises:
        InputError: It cannot be read, is none, or is damaged.
    """
    try:
        with path.open("rb") as file:
            data = file.read(_MOST_BYTES + 1)
        return decode_flp(data)
    except OSError as error:
        raise InputError(
            f"{shown(path)} cannot be read: {error.strerror}.", "Check the file."
        ) from error
    except ValueError as error:
        raise InputError(
            f"{shown(path)} is not a whole FL Studio project: {error}.",
            "Open it in FL Studio and save it again.",
        ) from error


def decode_flp(data: bytes) -> Flp:
    """Take a file apart.

    Raises:
        ValueError: It is none, or ends too early.
    """
    if not _HEADER.size <= len(data) <= _MOST_BYTES:
        raise ValueError("no project has this size")
    magic, size, kind, channels, ppq, body, length = _HEADER.unpack_from(data)
    if magic != b"FLhd" or size != 6 or body != b"FLdt":
        raise ValueError("it does not begin like one")
    if length != len(data) - _HEADER.size:
        raise ValueError("its length is not what it says")
    return Flp(channels, ppq, tuple(_events(data)), kind)


def _events(data: bytes) -> Iterable[Event]:
    at, three_bytes = _HEADER.size, False
    while at < len(data):
        number, at = data[at], at + 1
        code = b""
        if number >= 192:
            size, end = _length(data, at)
            code = data[at:end]
            if code == _varint(size):
                code = b""
            at = end
        else:
            # From 25.2.3 on, one event of four bytes has three.
            size = 3 if number == 172 and three_bytes else (1, 2, 4)[number // 64]
        if at + size > len(data):
            raise ValueError("it ends in the midst of an event")
        event = Event(number, data[at : at + size], code)
        if number == _VERSION:
            three_bytes = _version(words_of(event)) >= (25, 2, 3)
        yield event
        at += size


def _length(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for index in range(5):
        if at + index >= len(data):
            break
        value |= (data[at + index] & 0x7F) << 7 * index
        if data[at + index] < 0x80:
            return value, at + index + 1
    raise ValueError("a length in it does not end")


def _version(words: str) -> tuple[int, ...]:
    return tuple(int(part) for part in words.split(".") if part.isascii() and part.isdigit())
