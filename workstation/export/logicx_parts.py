"""Records and events of Logic's projects, field by field.

Offsets are those in the payload of a record or in an event. Facts from the description in
PROJECTDATA_FORMAT.md of the project LogicProFormatWriter and from comparing projects that Logic
11 and 12 saved; what is said here beyond that description holds in all of those: a file's list
of regions and its next file, its offset of samples, the bar of a meter, the region of a placement.
"""

from __future__ import annotations

import hashlib
import struct
import uuid

import msgspec

from workstation.export.logicx import Record
from workstation.export.timeline import Timeline, bar_numbers

TICKS_PER_QUARTER = 960
# Objects are numbered in these steps.
NUMBER = 4 << 16
# Kinds (and numbers) of the sequences.
METERS, TEMPOS, MARKERS = 0x01, 0x03, (0x16, 0x40000)
BAR_1, _BAR_1_OF_REGIONS = 38400, 34560
_TEMPO_UNITS = 10_000
# Beside every tempo its time of day.
_CLOCK_UNITS_PER_S = 2000
# In the first record: the tempo at the start, twice, and the one at the playhead.
_SONG_TEMPOS, _PLAYHEAD_TEMPO = (0xC6, 0x382), 0x6E
_SONG_RATE, _SONG_RATE_WORDS = 0xDF, (0x11E, 0x120)
KNOWN_RATES = {44100: (0x00, 0xE970), 48000: (0x16, 0xF8AC)}
# Of a channel: what it is, then its name, then what its strip is found by.
_CHANNEL_KIND, _AUDIO_KIND = 0x9B, b"\x10"
_CHANNEL_NAME, _IDENTITY_AFTER_NAME = 0x9E, 0x11F
# Of a strip: what is one thing in mono and another in stereo, then that identity.
_STRIP_SIDES = ((0x4E, b"\xd3", b"\xd7"), (0x56, b"\0", b"\x01"), (0x7B, b"\x01", b"\x02"))
_STRIP_IDENTITY, _PLAIN_STRIP_BYTES = 0x99, 169
# Of an audio file: after its name its format; before that its folder and its size.
_FILE_HEAD = bytes.fromhex(
    "6c467541 04000b00 00000000 0000ffff ffffffff ffff0200 00000200"
) + bytes(8)
_FORMAT, _FORMAT_BYTES = 0x1C8, 122
_PATH, _BYTES, _NEXT = -0x13E, -0x32, 0x3E
_FOLDER = b"Audio Files"
_NO_NEXT = 0xFFFF_FFFF
# Of a region: its name, and after that its identity.
_REGION_HEAD = bytes.fromhex(
    "67527541 02000b00 00000000 00000000 0000ffff ffff0200 00000200"
) + bytes(8)
_REGION_NAME, _IDENTITY_OF_REGION = 0x4A, 0x56
_MADE = 0x1F0E6A4D0C3C000  # 2026-01-01 in 100 ns since 1582-10-15; a time of today would differ.
_RTF = (
    "{{\\rtf1\\ansi\\ansicpg1252\\cocoartf2867\n"
    "{{\\fonttbl\\f0\\fnil\\fcharset0 HelveticaNeue;}}\n"
    "{{\\colortbl;\\red255\\green255\\blue255;\\red255\\green255\\blue255;}}\n"
    "\\f0\\fs24 \\cf2 {}}}"
)
_TEXT_START = 0x62


class Stem(msgspec.Struct, frozen=True):
    """A stem as its WAV lies in the bundle.

    Attributes:
        name: As its track and its region are called, in ASCII.
        called: As the song calls it.
        file: Name of the file.
        file_bytes: Its size.
        data_start: Where its samples begin.
        overview_bytes: Size of the overview chunk in it.
        frames: Its length.
        rate_hz: Its sample rate.
        channels: 1 or 2.
        bits: Of a sample.
    """

    name: str
    called: str
    file: str
    file_bytes: int
    data_start: int
    overview_bytes: int
    frames: int
    rate_hz: int
    channels: int
    bits: int


def _tick(quarter: float) -> int:
    return round(quarter * TICKS_PER_QUARTER)


# -- tempos and meters ----------------------------------------------------------------------------


def tempo_events(timeline: Timeline, first: bytes) -> list[bytes]:
    """A tempo wherever it changes; bar 1 keeps the time of day that the first one has.

    Tempos are whole 1/10000 bpm: each is chosen from where rounding has brought the time so far.
    """
    events, reached_s = [], 0.0
    points = timeline.tempos
    for index, point in enumerate(points):
        units = round(point.bpm * _TEMPO_UNITS)
        clock = (_word(first, 24) + round(reached_s * _CLOCK_UNITS_PER_S)) & 0xFFFF_FFFF
        if index + 1 < len(points):
            quarters = (_tick(points[index + 1].quarter) - _tick(point.quarter)) / TICKS_PER_QUARTER
            left_s = max(points[index + 1].time_s - reached_s, 1e-6)
            units = max(1, round(60 * quarters / left_s * _TEMPO_UNITS))
            reached_s += 60 * quarters * _TEMPO_UNITS / units
        flags = 0x7F | (0x0100_0000 if index else 0)
        position = BAR_1 + _tick(point.quarter)
        events.append(struct.pack("<8I", 0x60, position, 0, flags, units, 0x8840_0000, clock, 0))
    return events


def with_initial_tempo(song: bytes, before: bytes, first: bytes) -> bytes | None:
    """The first record with another tempo; None if it does not hold the one before."""
    if any(song[at : at + 4] != before[16:20] for at in _SONG_TEMPOS):
        return None
    for at in (_PLAYHEAD_TEMPO, *_SONG_TEMPOS):
        song = _patched(song, at, first[16:20])
    return song


def meter_events(timeline: Timeline, first: bytes) -> tuple[bytes, list[bytes]]:
    """The meter at the start, as a change of what is there, and those after it."""
    head, *later = timeline.meters
    initial = _patched(first, 11, bytes((head.denominator.bit_length() - 1, head.numerator)))
    events = []
    for meter, number in zip(later, bar_numbers(timeline)[1:], strict=True):
        position = BAR_1 + _tick(meter.quarter)
        signature = bytes((meter.denominator.bit_length() - 1, meter.numerator))
        events.append(
            struct.pack("<II3x2s3x", 0x30, position, signature)
            + struct.pack("<IIII", 0x30, 0x8800_0000, number - 1, position)
            + struct.pack("<IIII", 0, 0x8800_0000, 0, 0)
        )
    return initial, events


def rate_of(song: bytes) -> int | None:
    """The sample rate of a project, from its first record; None if it is none that is known."""
    words = {struct.unpack_from("<H", song, at)[0] for at in _SONG_RATE_WORDS}
    for rate_hz, (code, word) in KNOWN_RATES.items():
        if song[_SONG_RATE] == code and words == {word}:
            return rate_hz
    return None


def with_rate(song: bytes, rate_hz: int) -> bytes:
    """The first record with another sample rate, one of `KNOWN_RATES`."""
    code, word = KNOWN_RATES[rate_hz]
    for at in _SONG_RATE_WORDS:
        song = _patched(song, at, struct.pack("<H", word))
    return _patched(song, _SONG_RATE, bytes((code,)))


# -- markers --------------------------------------------------------------------------------------


def marker_event(quarter: float, link: int) -> bytes:
    """A marker, whose name is in the text of that number."""
    position = BAR_1 + max(0, _tick(quarter))
    return (
        struct.pack("<IIII", 0x12, position, 0, 0)
        + struct.pack("<IIII", link, 0x8800_0000, 0, 1)
        + struct.pack("<IIII", 0, 0x8800_0000, 0, 0)
    )


def marker_text(name: str) -> bytes:
    """The text of a marker: its name as RTF."""
    units = struct.iter_unpack("<h", name.encode("utf-16-le"))
    escaped = "".join(
        chr(u) if 32 <= u < 127 and chr(u) not in "\\{}" else f"\\uc1\\u{u}?" for (u,) in units
    )
    rtf = _RTF.format(escaped).encode("ascii")
    size = _TEXT_START + len(rtf)
    head = struct.pack("<I12xIII", size, _TEXT_START, size, 0x13) + b"\x1b\x1b//RR"
    return head.ljust(_TEXT_START, b"\0") + rtf


# -- channels -------------------------------------------------------------------------------------


def is_audio_channel(channel: bytes) -> bool:
    """Whether a channel is that of an audio track."""
    return channel[_CHANNEL_KIND : _CHANNEL_KIND + 1] == _AUDIO_KIND and (
        _name_end(channel, _CHANNEL_NAME) <= len(channel)
    )


def name_of_channel(channel: bytes) -> str:
    """Its name, which is that of the track."""
    count = struct.unpack_from("<H", channel, _CHANNEL_NAME)[0]
    return channel[_CHANNEL_NAME + 2 :][:count].decode("utf-8", "replace")


def with_channel_name(channel: bytes, name: str) -> bytes:
    """A channel with another name."""
    return channel[:_CHANNEL_NAME] + _name(name) + channel[_name_end(channel, _CHANNEL_NAME) :]


def identity_of_channel(channel: bytes) -> bytes:
    """What its strip in the mixer is found by."""
    at = _name_end(channel, _CHANNEL_NAME) + _IDENTITY_AFTER_NAME
    return channel[at : at + 16]


def identity_of_strip(strip: bytes) -> bytes:
    """What the channel of a strip is found by; empty if it has none."""
    identity = strip[_STRIP_IDENTITY : _STRIP_IDENTITY + 16]
    return identity if any(identity) else b""


def is_mono(strip: bytes) -> bool:
    """Whether a strip has one channel."""
    return all(strip[at : at + 1] == before for at, before, _ in _STRIP_SIDES)


def with_two_sides(strip: bytes) -> bytes | None:
    """A mono strip as a stereo one; None if more is in it than an empty one has."""
    if len(strip) != _PLAIN_STRIP_BYTES:
        return None
    for at, _, after in _STRIP_SIDES:
        strip = _patched(strip, at, after)
    return strip


# -- audio ----------------------------------------------------------------------------------------


def file_record(stem: Stem, number: int, ordinal: int, following: int | None) -> Record:
    """The audio file of a stem.

    Args:
        stem: What it is.
        number: Of the file.
        ordinal: Its place in the list of files, from 1.
        following: The number of the next file; None at the end of the list.
    """
    name = stem.file.encode("utf-16-le")
    start = 10 + len(name)
    payload = bytearray(start + _FORMAT + _FORMAT_BYTES)
    struct.pack_into("<IIH", payload, 0, 0x370, 0x370, len(name) // 2)
    payload[10:start] = name
    payload[start : start + 6] = b"LFUA\x01\x01"
    at = start + _FORMAT
    payload[at + _PATH : at + _PATH + len(_FOLDER)] = _FOLDER
    payload[at - 0x3E], payload[at - 0x38] = 1, 2
    struct.pack_into("<I", payload, at + _BYTES, stem.file_bytes)
    payload[at : at + 4] = b"EVAW"
    struct.pack_into("<II", payload, at + 0x08, stem.data_start, stem.frames)
    struct.pack_into("<IHH", payload, at + 0x14, stem.rate_hz, stem.channels, stem.bits)
    struct.pack_into("<II", payload, at + 0x34, 1, ordinal)
    struct.pack_into("<I", payload, at + _NEXT, _NO_NEXT if following is None else following * 4)
    struct.pack_into("<I", payload, at + 0x4A, stem.overview_bytes)
    return Record(_FILE_HEAD, bytes(payload)).numbered(number * NUMBER)


def region_record(stem: Stem, number: int) -> Record:
    """The region that plays all of a stem: region 0 of the file of that number."""
    name = _name(stem.name)
    payload = bytearray(_REGION_NAME) + name + bytes(_IDENTITY_OF_REGION + 16 + 24)
    payload[0:4] = b"\x01\0\0\x10"
    struct.pack_into("<I", payload, 0x16, stem.frames)
    identity = _identity(stem)
    struct.pack_into("<Q", payload, 0x2A, identity.time)
    at = _REGION_NAME + len(name) + _IDENTITY_OF_REGION
    payload[at : at + 20] = identity.bytes + b"\xff" * 4
    return Record(_REGION_HEAD, bytes(payload)).numbered(number * NUMBER)


def _identity(stem: Stem) -> uuid.UUID:
    """Of time and place, as Logic makes it, but of one time and the same whenever it is made."""
    words = f"{stem.file} {stem.file_bytes} {stem.frames} {stem.rate_hz}"
    # The bit marks a place that is no network card's.
    node = int.from_bytes(hashlib.sha256(words.encode()).digest()[:6], "big") | 1 << 40
    low, middle, high = _MADE & 0xFFFF_FFFF, _MADE >> 32 & 0xFFFF, _MADE >> 48
    return uuid.UUID(fields=(low, middle, high | 0x1000, 0x80, 0, node))


def name_of_file(file: bytes) -> str:
    """The name of an audio file of a project."""
    return file[10 : 10 + 2 * int.from_bytes(file[8:10], "little")].decode("utf-16-le", "replace")


def with_next_file(file: bytes, following: int) -> tuple[bytes, int] | None:
    """The last file of the list with a next one, and its ordinal; None if it is not the last."""
    at = len(file) - _FORMAT_BYTES
    if at < 0 or _word(file, at + _NEXT) != _NO_NEXT:
        return None
    return _patched(file, at + _NEXT, struct.pack("<I", following * 4)), _word(file, at + 0x38)


def region_event(row: int, channel: int, number: int) -> bytes:
    """Region 0 of the file of that number, from bar 1 on.

    Args:
        row: The track in the arrangement, from 1.
        channel: Number of its channel.
        number: Of the file.
    """
    return (
        struct.pack("<IIII", 0x24, _BAR_1_OF_REGIONS, 0, 0)
        + struct.pack("<IIII", channel >> 16, 0x8900_0000 | row, 0, 0x3FFF_FFFF)
        + struct.pack("<IIII", 0xFFFF_FFFF, 0xBC00_0000, 0, number * 4)
        + struct.pack("<IIII", 0x600, 0x8A06_0000, 0, 0)
        + struct.pack("<IIII", 0, 0x8900_0000, 0, 0)
    )


# -- names and numbers ----------------------------------------------------------------------------


def _name(name: str) -> bytes:
    letters = name.encode("ascii")
    return struct.pack("<H", len(letters)) + letters + bytes(len(letters) % 2)


def _name_end(content: bytes, at: int) -> int:
    """Where what follows a name begins, which is an even number of bytes after its length."""
    count = int.from_bytes(content[at : at + 2], "little")
    return at + 2 + count + count % 2


def _patched(content: bytes, at: int, value: bytes) -> bytes:
    assert 0 <= at <= len(content) - len(value)
    return content[:at] + value + content[at + len(value) :]


def _word(content: bytes, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "little")
