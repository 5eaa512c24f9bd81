"""FL Studio's project files (`.flp`) as lists of events, byte for byte.

A file is `FLhd` (6 bytes: kind, number of channels, ticks per quarter), then `FLdt` with a stream
of events up to the end. An event is an id and a payload, all little-endian; the id says how long
the payload is: a byte below 64, a word below 128, a double word below 192, else a length of 7
bits a byte, low bits first, and as much data. Nothing here knows what an event means.

Facts from reading files that FL Studio wrote; names of fields after PyFLP's documentation.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import msgspec

from workstation.model import InputError
from workstation.model.names import shown

# Beyond any project: those of FL Studio itself have some thousand events, in some megabytes.
MOST_BYTES = 128 << 20
MOST_EVENTS = 1_000_000
_HEADER = struct.Struct("<4sIhHH4sI")
_FIRST_WORD, _FIRST_DWORD, _FIRST_DATA = 64, 128, 192
# Among the double words, but with three bytes; FL Studio 25.2.3 and newer write it.
_THREE_BYTES = 172
# 5 bytes of 7 bits reach beyond any file that is read here.
_MOST_LENGTH_BYTES = 5
_REMEDY = "Open it in FL Studio and save it again, or give another project."


class Event(msgspec.Struct, frozen=True):
    """One event.

    Attributes:
        id: 0 to 255.
        data: Its payload, as it lies in the file.
        length_bytes: Bytes that its length takes in the file, if more than it needs; else 0.
    """

    id: int
    data: bytes
    length_bytes: int = 0

    @property
    def value(self) -> int:
        """The payload as a number without a sign."""
        return int.from_bytes(self.data, "little")

    @property
    def text(self) -> str:
        """The payload as text, which FL Studio 11.5 and newer write as UTF-16."""
        return self.data.decode("utf-16-le", "replace").split("\0")[0]


class Flp(msgspec.Struct, frozen=True):
    """A file.

    Attributes:
        channels: Number of channels, as the header says it.
        ticks_per_quarter: Resolution of all times in it.
        events: Everything else, in order.
        kind: What it is; 0 is a project.
    """

    channels: int
    ticks_per_quarter: int
    events: tuple[Event, ...]
    kind: int = 0


def number(event_id: int, value: int) -> Event:
    """An event with a number of the width that its id has; below 0 it is a complement of two."""
    width = fixed_width(event_id)
    assert width is not None
    return Event(event_id, (value % (1 << 8 * width)).to_bytes(width, "little"))


def text(event_id: int, words: str) -> Event:
    """An event with text in UTF-16 and its end."""
    return Event(event_id, (words + "\0").encode("utf-16-le"))


def fixed_width(event_id: int) -> int | None:
    """Bytes of the payload, as far as the id says it; None if its length is written."""
    if event_id >= _FIRST_DATA:
        return None
    if event_id == _THREE_BYTES:
        return 3
    if event_id >= _FIRST_DWORD:
        return 4
    return 2 if event_id >= _FIRST_WORD else 1


def encode(flp: Flp) -> bytes:
    """The bytes of a file."""
    body = b"".join(_encoded(event) for event in flp.events)
    head = _HEADER.pack(
        b"FLhd", 6, flp.kind, flp.channels, flp.ticks_per_quarter, b"FLdt", len(body)
    )
    return head + body


def _encoded(event: Event) -> bytes:
    width = fixed_width(event.id)
    if width is not None:
        assert len(event.data) == width
        return bytes((event.id,)) + event.data
    return bytes((event.id,)) + _length(len(event.data), event.length_bytes) + event.data


def _length(value: int, length_bytes: int) -> bytes:
    """A length; more bytes than it needs are filled up with bits that are 0."""
    count = max(_needed(value), length_bytes)
    sevens = [value >> 7 * k & 0x7F for k in range(count)]
    return bytes(seven | 0x80 for seven in sevens[:-1]) + bytes(sevens[-1:])


def _needed(length: int) -> int:
    return max(1, -(-length.bit_length() // 7))


def read_flp(path: Path) -> Flp:
    """Read a project.

    Raises:
        InputError: It cannot be read, or is no project.
    """
    try:
        with path.open("rb") as file:
            # Read no more than is there: a reserve of the most would cost that much memory.
            size = os.fstat(file.fileno()).st_size
            content = file.read(min(size, MOST_BYTES) + 1)
    except OSError as error:
        raise InputError(
            f"{shown(path)} cannot be read: {error.strerror}.", "Give a project that can be read."
        ) from error
    return decode(content, shown(path))


def decode(content: bytes, name: str) -> Flp:
    """Take a file apart.

    Args:
        content: All of it.
        name: What to call it in errors.

    Raises:
        InputError: It is no project of FL Studio, is not complete, or is beyond all measure.
    """
    if len(content) > MOST_BYTES:
        raise _damaged(name, f"has more than {MOST_BYTES >> 20} MiB")
    if not content.startswith(b"FLhd"):
        raise InputError(
            f"{name} is not an FL Studio project.",
            "Give a project that FL Studio saved as .flp; take one that is in a .zip out of it.",
        )
    if len(content) < _HEADER.size:
        raise _damaged(name, "ends within its header")
    _, size, kind, channels, ticks, magic, length = _HEADER.unpack_from(content)
    if size != 6 or magic != b"FLdt" or not ticks:
        raise _damaged(name, "has a broken header")
    if length != len(content) - _HEADER.size:
        raise _damaged(name, "is not as long as its header says")
    return Flp(channels, ticks, tuple(_events(content, name)), kind)


def _events(content: bytes, name: str) -> list[Event]:
    events: list[Event] = []
    at = _HEADER.size
    while at < len(content):
        if len(events) == MOST_EVENTS:
            raise _damaged(name, f"has more than {MOST_EVENTS} events")
        event_id = content[at]
        width, padded = fixed_width(event_id), 0
        at += 1
        if width is None:
            width, count = _read_length(content, at, name)
            at += count
            padded = count if count > _needed(width) else 0
        if width > len(content) - at:
            raise _damaged(name, "ends within an event")
        events.append(Event(event_id, content[at : at + width], padded))
        at += width
    return events


def _read_length(content: bytes, at: int, name: str) -> tuple[int, int]:
    """A length, and how many bytes it takes."""
    length = 0
    for count, byte in enumerate(content[at : at + _MOST_LENGTH_BYTES]):
        length |= (byte & 0x7F) << 7 * count
        if byte < 0x80:
            return length, count + 1
    raise _damaged(name, "has an event without a length")


def _damaged(name: str, what: str) -> InputError:
    return InputError(f"{name} is a damaged FL Studio project: it {what}.", _REMEDY)
