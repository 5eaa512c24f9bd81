"""Logic's `ProjectData` as a list of records, byte for byte.

The file inside a `.logicx` bundle is a head of 24 bytes (magic, version, the length of what
follows) and records up to the end. A record is a head of 36 bytes and a payload, all
little-endian; the head begins with a tag of four letters in reverse, holds the kind of object at
6, its number at 8 (times 4 << 16) and the length of the payload at 28. Nothing here knows what a
record means.

The payload of a sequence (`EvSq`) is a list of events of one or more units of 16 bytes. The
eighth byte of a unit is the top of a position, below 0x40, where an event begins; in the units
that continue it its top bit is set. The last event is an end mark.

Facts from reading projects that Logic 11 and 12 wrote; the framing after the description in
PROJECTDATA_FORMAT.md of the project LogicProFormatWriter.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path

import msgspec

from workstation.model import InputError
from workstation.model.names import shown

# Beyond any project: one of a thousand tracks has some ten thousand records in a few megabytes.
MOST_BYTES = 256 << 20
MOST_RECORDS = 200_000
MOST_EVENTS = 500_000
END_MARK = bytes.fromhex("f1000000 ffffff3f 00000000 00000000")
_MAGIC = b"\x23\x47\xc0\xab"
_HEAD_BYTES = 24
_LENGTH_AT = 0x10
_RECORD_HEAD_BYTES = 36
_SIZE_AT = 0x1C
_UNIT_BYTES = 16
_CONTINUES = 0x80
_REMEDY = "Open it in Logic Pro and save it again, or give another project."


class Record(msgspec.Struct, frozen=True):
    """One record.

    Attributes:
        head: Its 36 bytes; the length in them is that of the payload once it is encoded.
        payload: What it holds.
    """

    head: bytes
    payload: bytes

    @property
    def tag(self) -> str:
        """Its four letters, in reading order."""
        return self.head[3::-1].decode("latin-1")

    @property
    def kind(self) -> int:
        """The kind of object that it belongs to."""
        return int.from_bytes(self.head[6:8], "little")

    @property
    def index(self) -> int:
        """The number of its object within the kind."""
        return int.from_bytes(self.head[8:12], "little")

    def numbered(self, index: int) -> Record:
        """The same for another object."""
        return Record(self.head[:8] + struct.pack("<I", index) + self.head[12:], self.payload)

    def with_payload(self, payload: bytes) -> Record:
        """The same with other content."""
        return Record(self.head, payload)


class ProjectData(msgspec.Struct, frozen=True):
    """A file: its head, and all records in order."""

    head: bytes
    records: tuple[Record, ...]


def read_project_data(path: Path, name: str) -> ProjectData:
    """Read a file.

    Args:
        path: The `ProjectData` in a bundle.
        name: What to call the project in errors.

    Raises:
        InputError: It cannot be read, or is none.
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
    return decode(content, name)


def decode(content: bytes, name: str) -> ProjectData:
    """Take a file apart.

    Args:
        content: All of it.
        name: What to call the project in errors.

    Raises:
        InputError: It is none of Logic Pro, is not complete, or is beyond all measure.
    """
    if len(content) > MOST_BYTES:
        raise _damaged(name, f"has more than {MOST_BYTES >> 20} MiB")
    if not content.startswith(_MAGIC):
        raise InputError(
            f"{name} is not a project of Logic Pro 10 or newer.",
            "Give a .logicx project that Logic Pro saved.",
        )
    if len(content) < _HEAD_BYTES:
        raise _damaged(name, "ends within its head")
    if _number(content, _LENGTH_AT) != len(content) - _HEAD_BYTES:
        raise _damaged(name, "is not as long as its head says")
    records: list[Record] = []
    at = _HEAD_BYTES
    while at < len(content):
        start = at + _RECORD_HEAD_BYTES
        if len(records) == MOST_RECORDS:
            raise _damaged(name, f"has more than {MOST_RECORDS} records")
        if start > len(content) or start + _number(content, at + _SIZE_AT) > len(content):
            raise _damaged(name, "ends within a record")
        end = start + _number(content, at + _SIZE_AT)
        records.append(Record(content[at:start], content[start:end]))
        at = end
    return ProjectData(content[:_HEAD_BYTES], tuple(records))


def encode(data: ProjectData) -> bytes:
    """The bytes of a file."""
    body = b"".join(
        _with_number(record.head, _SIZE_AT, len(record.payload)) + record.payload
        for record in data.records
    )
    return _with_number(data.head, _LENGTH_AT, len(body)) + body


def events_of(sequence: Record, name: str) -> list[bytes]:
    """The events of a sequence, without the end mark.

    Raises:
        InputError: It is none that is known here.
    """
    payload = sequence.payload
    if len(payload) > MOST_EVENTS * _UNIT_BYTES:
        raise _damaged(name, f"has a sequence of more than {MOST_EVENTS} events")
    units = [payload[k : k + _UNIT_BYTES] for k in range(0, len(payload), _UNIT_BYTES)]
    if not units or units[-1] != END_MARK:
        raise _damaged(name, "has a sequence without an end")
    events: list[bytearray] = []
    for unit in units[:-1]:
        if not unit[7] & _CONTINUES:
            events.append(bytearray(unit))
        elif events:
            events[-1] += unit
        else:
            raise _damaged(name, "has a sequence that begins within an event")
    return [bytes(event) for event in events]


def with_events(sequence: Record, events: list[bytes]) -> Record:
    """A sequence with other events."""
    return sequence.with_payload(b"".join(events) + END_MARK)


def _number(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "little")


def _with_number(head: bytes, at: int, value: int) -> bytes:
    return head[:at] + struct.pack("<I", value) + head[at + 4 :]


def _damaged(name: str, what: str) -> InputError:
    return InputError(f"{name} is a damaged Logic Pro project: it {what}.", _REMEDY)
