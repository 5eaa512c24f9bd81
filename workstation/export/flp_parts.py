"""The parts of an FL Studio project: channels, clips, markers, tracks and mixer inserts.

What the numbers mean that are not named here nobody outside Image-Line knows for sure. They are
what FL Studio 20.8 itself writes into an empty project, read from files that it saved. Names of
fields are after PyFLP's documentation.
"""

from __future__ import annotations

import struct

import msgspec

from workstation.export.flp import Event, number, text

# Events that are looked for in projects of FL Studio's own.
VERSION, TEMPO, GROUP_NAME = 199, 156, 231
CHANNEL, CHANNEL_TYPE, CHANNEL_GROUP, CHANNEL_INSERT, CHANNEL_SHAPE = 64, 21, 145, 22, 215
CHANNEL_LAST, SAMPLE_PATH = 20, 196
ARRANGEMENT, PLAYLIST, TRACK, TRACK_NAME, CURRENT_ARRANGEMENT = 99, 233, 238, 239, 100
INSERT_NAME, INSERT, INSERT_ROUTES, SLOT_PLUGIN = 204, 236, 235, 212

AUDIO_CLIP = 4
TRACKS = 500
# 0 is the master, the last one what FL Studio calls the current one.
INSERTS = 127
MOST_STEMS = INSERTS - 2
# Unity: 100 %. A channel that FL Studio makes is at 10000, which is 78 %.
_UNITY, _CENTRE = 12800, 6400
_NEVER = 0xFFFF_FFFF
_NO_COLOUR = 0x565148
# Of a clip in the playlist: what all have, and the whole sample from its start.
PATTERN_BASE = 20480
_CLIP = struct.Struct("<IHHIHHHHIff")
_WHOLE = (-1.0, -1.0)
# FL Studio 21 added an identifier, two fades of two numbers, a level and flags; 2025 some more.
_CLIP_21 = struct.Struct("<I4ffI")
_CLIP_2025 = struct.Struct("<fdQ")
_MARKER_TYPE_SIGNATURE = 8
# A marker has its time in 24 bits.
MOST_TICKS = (1 << 24) - 1


class Stem(msgspec.Struct, frozen=True):
    """A stem in a project: its channel, on one playlist track and one mixer insert.

    Attributes:
        name: As it is shown.
        colour: As `#rrggbb`.
        file: Name of its audio file, which lies beside the project.
        channel: Number of its channel, from 0.
        track: Number of its playlist track, from 1.
        insert: Number of its mixer insert; 0 is the master.
    """

    name: str
    colour: str
    file: str
    channel: int
    track: int
    insert: int


def colour_of(colour: str) -> int:
    """A colour as FL Studio has it: red in the lowest byte."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red | green << 8 | blue << 16


def channel_events(stem: Stem, *, group: int = 0, shape_tail: bytes = b"") -> list[Event]:
    """An audio clip at unity that plays its sample at its own speed, whatever the tempo is.

    Args:
        stem: What it plays.
        group: Which group of the channel rack shows it.
        shape_tail: What newer versions have at the end of a channel's shape.
    """
    return [
        number(CHANNEL, stem.channel),
        number(CHANNEL_TYPE, AUDIO_CLIP),
        text(201, ""),
        Event(212, struct.pack("<IIiII32x", 0, 0, -1, 0, 0x50)),
        text(203, stem.name),
        number(155, 0),
        number(128, colour_of(stem.colour)),
        number(0, 1),
        Event(209, struct.pack("<5I", 0, _CENTRE, 0, 4, 144)),
        *(number(event_id, value) for event_id, value in _CHANNEL_NUMBERS),
        number(CHANNEL_INSERT, stem.insert),
        Event(219, struct.pack("<6I", _CENTRE, _UNITY, 0, 256, 0, 0)),
        Event(229, struct.pack("<5I", 0, _UNITY, 0, 0, 0)),
        Event(221, struct.pack("<IIB", 0, 500, 0)),
        Event(CHANNEL_SHAPE, _shape() + shape_tail),
        number(132, 0),
        number(144, 0),
        number(CHANNEL_GROUP, group),
        number(32, 0),
        Event(228, struct.pack("<4i", 100, 0, 0, 0)),
        Event(228, struct.pack("<4i", 60, 0, 0, 0)),
        *(_envelope(tempo_flag=flag, last=last) for flag, last in _ENVELOPES),
        # The sample stays on the disk; bit 0, which would resample it, is clear.
        number(143, 0x102),
        number(CHANNEL_LAST, 0),
        # FL Studio refuses clips of a channel whose sample comes before the event above.
        text(SAMPLE_PATH, stem.file),
    ]


# Effects of a channel, all off.
_CHANNEL_NUMBERS = (
    (138, 0x800080), (139, 0x10000), (89, 0), (97, 128), (69, 128), (86, 256), (71, 1024),
    (83, 0), (74, 0), (75, 0), (76, 0), (85, 2048), (131, 0x800000), (70, 0),
)  # fmt: skip
_ENVELOPES = ((0, 0), (4, -101), (0, 0), (0, 0), (0, 0))


def _envelope(*, tempo_flag: int, last: int) -> Event:
    stages = (100, 20000, 20000, 30000, 50, 20000, 0, 100, 20000, 0, 32950, 0, 0, 0)
    return Event(218, struct.pack("<17i", tempo_flag, 0, *stages, last))


def _shape() -> bytes:
    """The largest part of a channel: arpeggiator, keys, stretching, region of the sample.

    As in all audio clips that FL Studio 20.8.3 to 24.1.1 made, but for the click remover: theirs
    fades transients in, this one only touches ends.
    """
    head = struct.pack("<ii4Bii5f", 140, 0, 1, 0, 0, 0, -1, 60, *(1.0,) * 5)
    keys = struct.pack("<5I4BHH3I4B", 0, 3, 0, 1024, 48, 0, 0, 1, 0, 1447, 0, 0, 256, 0,
                       0, 0, 0, 0)  # fmt: skip
    # The time of 0 and the mode of 0 are what keeps the sample at its own speed.
    stretch = struct.pack("<3IIiii", 0, 0, 1, 0, 0, 0, 0)
    region = struct.pack("<Iiii3diBB", 2, -2, -1, 0, 0.0, 1.0, 0.0, -1, 1, 1)
    return head + keys + stretch + region


SHAPE_BYTES = 158


def clip_bytes(version: tuple[int, ...]) -> int:
    """How many bytes a clip takes in the playlist of a version of FL Studio.

    Only the version says it: 32 until 20.8, 60 from 20.99, 80 from 24.2.99 on. Seen in files of
    20.8.4 and 24.1.1; for 2025 after a reader that knows them (a newer PyFLP).
    """
    if version < (20, 99):
        return 32
    return 60 if version < (24, 2) else 80


def clip(stem: Stem, ticks: int, version: tuple[int, ...], identifier: int) -> bytes:
    """A clip of the whole sample from time 0 on; `identifier` is its own in the playlist."""
    row = _CLIP.pack(
        0,
        PATTERN_BASE,
        stem.channel,
        ticks,
        TRACKS - stem.track,
        0,
        0x78,
        0x40,
        0x80806440,
        *_WHOLE,
    )
    size = clip_bytes(version)
    if size >= 60:
        row += _CLIP_21.pack(identifier, 0.0, 0.0, 0.0, 0.0, 1.0, 0)
    if size >= 80:
        row += _CLIP_2025.pack(0.0, 1.0, 0)
    return row


def marker_events(ticks: int, name: str, meter: tuple[int, int] | None = None) -> list[Event]:
    """A marker; with a meter it is a change of time signature."""
    kind = 0 if meter is None else _MARKER_TYPE_SIGNATURE
    numerator, denominator = meter or (4, 4)
    return [
        number(148, kind << 24 | min(ticks, MOST_TICKS)),
        number(33, numerator),
        number(34, denominator),
        text(205, name),
    ]


def track_events(index: int, stem: Stem | None) -> list[Event]:
    """A playlist track, from 1; one without a stem has neither name nor colour."""
    colour = _NO_COLOUR if stem is None else colour_of(stem.colour)
    row = struct.pack("<IIIBfiBIIIIIIBB", index, colour, 0, 1, 1.0, -1, 0, 0, 0, 5, 0, 1, 0, 0, 0)
    track = Event(TRACK, row + bytes(5) + b"\xff" * 8 + b"\x01" + bytes(4))
    return [track] if stem is None else [track, text(TRACK_NAME, stem.name)]


def insert_events(index: int, stem: Stem | None) -> list[Event]:
    """A mixer insert; all but the master and the last one go to the master."""
    special = index in {0, INSERTS - 1}
    named = [] if stem is None else [number(149, colour_of(stem.colour)),
                                     text(INSERT_NAME, stem.name)]  # fmt: skip
    return [
        *named,
        Event(INSERT, struct.pack("<III", 0, 0x0C if special else 0x4C, 0)),
        *(number(98, slot) for slot in range(10)),
        Event(INSERT_ROUTES, bytes((not special,)) + bytes(INSERTS - 1)),
        number(154, -1),
        number(147, 0 if index == 0 else -1),
    ]


def mixer_values() -> Event:
    """Where all controls of the mixer stand: everything at unity, equalisers flat."""
    rows = [_control(0x4000_0000, _UNITY)]
    for index in range(INSERTS):
        for slot in range(10):
            place = (0x2000 + (index << 6) + slot) << 16
            rows += [_control(place | 0x1F00, 1), _control(place | 0x1F01, _UNITY)]
        place = (0x2000 + (index << 6)) << 16
        rows += [_control(place | control, value) for control, value in _INSERT_CONTROLS]
    return Event(225, b"".join(rows))


# Level, pan and width, then level, frequency and width of the three bands of the equaliser.
_INSERT_CONTROLS = (
    (0x1FC0, _UNITY), (0x1FC1, 0), (0x1FC2, 0),
    (0x1FD0, 0), (0x1FD1, 0), (0x1FD2, 0),
    (0x1FD8, 5777), (0x1FD9, 33145), (0x1FDA, 55825),
    (0x1FE0, 17500), (0x1FE1, 17500), (0x1FE2, 17500),
    (0x1FBE, 0),
)  # fmt: skip


def _control(place: int, value: int) -> bytes:
    return struct.pack("<IIi", 0, place, value)
