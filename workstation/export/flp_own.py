"""Putting stems into a project that FL Studio saved, leaving everything else byte for byte.

Only four kinds of things are added: channels after the last channel, clips in the playlist of the
arrangement that is open, names of playlist tracks below all that are in use, and names of mixer
inserts that nothing uses.
"""

from __future__ import annotations

import itertools
import math
import re
import struct

import msgspec

from workstation.export import flp_parts as parts
from workstation.export.flp import Event, Flp, text
from workstation.model import InputError

_OLDEST = 20
_MOST = 0xFFFF_FFFF
_SAVE_IT = "Open it in FL Studio 20.8 or newer, save a copy, and give that."


class Filled(msgspec.Struct, frozen=True):
    """A project with stems in: its tempo, and on which tracks and inserts they are."""

    flp: Flp
    bpm: float
    tracks: tuple[int, ...]
    inserts: tuple[int, ...]


class _Places(msgspec.Struct, frozen=True):
    """Where in the events things are: indices, the ends not included."""

    arrangement: int
    arrangement_end: int
    playlist: int
    channels_end: int


def fill_own(own: Flp, stems: list[tuple[str, str, str]], duration_s: float, name: str) -> Filled:
    """Put stems into a project.

    Args:
        own: The user's project.
        stems: Name, colour and file name of each.
        duration_s: Their length in seconds.
        name: What to call the project in errors.

    Raises:
        InputError: It is too old, is not whole, or has no room.
    """
    events = own.events
    version, bpm = _version(events, name), _bpm(events, name)
    places = _places(events, name)
    tracks = _free_tracks(events, places, version, len(stems), name)
    inserts = _free_inserts(events, places, len(stems), name)
    first = _next_channel(own, len(stems), name)
    made = [
        parts.Stem(*stem, channel=first + k, track=track, insert=insert)
        for k, (stem, track, insert) in enumerate(zip(stems, tracks, inserts, strict=True))
    ]
    length = min(math.ceil(duration_s * bpm / 60 * own.ticks_per_quarter), _MOST)
    changed = list(events)
    changed[places.playlist] = _with_clips(events[places.playlist], made, length, version)
    added = _additions(events, places, made)
    filled = itertools.chain.from_iterable(
        (*added.get(index, ()), event) for index, event in enumerate(changed)
    )
    flp = msgspec.structs.replace(own, channels=own.channels + len(made), events=tuple(filled))
    return Filled(flp, bpm, tuple(tracks), tuple(inserts))


def _version(events: tuple[Event, ...], name: str) -> tuple[int, ...]:
    words = next((e.data for e in events if e.id == parts.VERSION), b"")
    found = re.match(rb"\d{1,4}(\.\d{1,9})+", words)
    if found is None:
        raise InputError(f"{name} does not say which FL Studio saved it.", _SAVE_IT)
    version = tuple(map(int, found[0].split(b".")))
    if version[0] < _OLDEST:
        raise InputError(f"{name} was saved by FL Studio {found[0].decode()}.", _SAVE_IT)
    return version


def _bpm(events: tuple[Event, ...], name: str) -> float:
    thousandths = next((e.value for e in events if e.id == parts.TEMPO), 0)
    if not 0 < thousandths < 1_000_000:
        raise InputError(f"{name} has no tempo.", _SAVE_IT)
    return thousandths / 1000


def _next_channel(own: Flp, count: int, name: str) -> int:
    first = 1 + max((e.value for e in own.events if e.id == parts.CHANNEL), default=-1)
    # From there on numbers in the playlist mean patterns.
    if max(first, own.channels) + count > parts.PATTERN_BASE:
        raise InputError(f"{name} has no room for {count} more channels.", _SAVE_IT)
    return first


def _places(events: tuple[Event, ...], name: str) -> _Places:
    """Find the arrangement that is open, its playlist, and the end of the channels."""
    starts = [k for k, e in enumerate(events) if e.id == parts.ARRANGEMENT]
    current = [k for k, e in enumerate(events) if e.id == parts.CURRENT_ARRANGEMENT]
    if not starts or not current or current[-1] < starts[-1]:
        raise InputError(f"{name} has no arrangement.", _SAVE_IT)
    open_one = events[current[-1]].value
    start = next((k for k in starts if events[k].value == open_one), starts[0])
    end = next((k for k in starts if k > start), current[-1])
    playlist = next((k for k in range(start, end) if events[k].id == parts.PLAYLIST), None)
    if playlist is None:
        raise InputError(f"{name} has no playlist in its arrangement.", _SAVE_IT)
    last = {parts.CHANNEL_LAST, parts.SAMPLE_PATH}
    channels = [k for k in range(starts[0]) if events[k].id == parts.CHANNEL]
    ends = [k for k in range(channels[-1], starts[0]) if events[k].id in last] if channels else []
    return _Places(start, end, playlist, ends[-1] + 1 if ends else starts[0])


def _rows(playlist: Event, version: tuple[int, ...], name: str) -> list[bytes]:
    """The clips of a playlist.

    Raises:
        InputError: They are not as this version of FL Studio is known to write them.
    """
    size = parts.clip_bytes(version)
    rows = [playlist.data[k : k + size] for k in range(0, len(playlist.data), size)]
    base = struct.pack("<H", parts.PATTERN_BASE)
    if any(len(row) != size or row[4:6] != base for row in rows):
        raise InputError(
            f"{name} has clips in its playlist of a kind that is not known here.",
            "In FL Studio delete all clips from its playlist, save a copy, and give that.",
        )
    return rows


def _free_tracks(
    events: tuple[Event, ...], places: _Places, version: tuple[int, ...], count: int, name: str
) -> list[int]:
    """Playlist tracks below all that have a clip or a name."""
    rows = _rows(events[places.playlist], version, name)
    last = max((parts.TRACKS - struct.unpack_from("<H", row, 12)[0] for row in rows), default=0)
    last = max(last, 0)
    known, current = set(), 0
    for event in events[places.arrangement : places.arrangement_end]:
        if event.id == parts.TRACK:
            current = int.from_bytes(event.data[:4], "little")
            known.add(current)
        if event.id == parts.TRACK_NAME:
            last = max(last, current)
    tracks = list(range(last + 1, last + 1 + count))
    if not known.issuperset(tracks):
        raise InputError(
            f"{name} has no {count} free tracks below the last one it uses in its playlist.",
            "In FL Studio move its clips to tracks further up, save a copy, and give that.",
        )
    return tracks


def _free_inserts(events: tuple[Event, ...], places: _Places, count: int, name: str) -> list[int]:
    """Mixer inserts without a name, an effect, or a channel that plays through them."""
    used = {event.value for event in events if event.id == parts.CHANNEL_INSERT}
    inserts = _insert_places(events, places)
    for index, (start, place, end) in enumerate(inserts):
        named = any(event.id == parts.INSERT_NAME for event in events[start:place])
        if named or any(event.id == parts.SLOT_PLUGIN for event in events[place:end]):
            used.add(index)
    free = [k for k in range(1, len(inserts) - 1) if k not in used and k <= parts.MOST_STEMS]
    if len(free) < count:
        raise InputError(
            f"{name} has {len(free)} free mixer inserts; the song has {count} stems.",
            "In FL Studio take name, effects and channels off some, save a copy, and give that.",
        )
    return free[:count]


def _insert_places(events: tuple[Event, ...], places: _Places) -> list[tuple[int, int, int]]:
    """For each insert: where what is before it starts, its own event, and its routes."""
    found, start, place = [], places.arrangement_end, None
    for index in range(places.arrangement_end, len(events)):
        if events[index].id == parts.INSERT:
            place = index
        if events[index].id == parts.INSERT_ROUTES and place is not None:
            found.append((start, place, index))
            start, place = index, None
    return found


def _with_clips(
    playlist: Event, stems: list[parts.Stem], length: int, version: tuple[int, ...]
) -> Event:
    """Put a clip of every stem after all clips at time 0."""
    size = parts.clip_bytes(version)
    rows = [playlist.data[k : k + size] for k in range(0, len(playlist.data), size)]
    identifiers = {struct.unpack_from("<I", row, 32)[0] for row in rows} if size > 32 else set()
    free = (k for k in itertools.count(1) if k not in identifiers)
    at = next((k for k, row in enumerate(rows) if any(row[:4])), len(rows))
    clips = [parts.clip(stem, length, version, next(free)) for stem in stems]
    return Event(playlist.id, b"".join([*rows[:at], *clips, *rows[at:]]))


def _additions(
    events: tuple[Event, ...], places: _Places, stems: list[parts.Stem]
) -> dict[int, list[Event]]:
    """Events to be put in, by the index of the event that they come before."""
    group, tail = _group(events), _shape_tail(events)
    channels = [
        event
        for stem in stems
        for event in parts.channel_events(stem, group=group, shape_tail=tail)
    ]
    added = {places.channels_end: channels}
    names = {stem.track: stem.name for stem in stems}
    for index in range(places.arrangement, places.arrangement_end):
        track = int.from_bytes(events[index].data[:4], "little")
        if events[index].id == parts.TRACK and track in names:
            added[index + 1] = [text(parts.TRACK_NAME, names[track])]
    inserts = _insert_places(events, places)
    for stem in stems:
        added[inserts[stem.insert][1]] = [text(parts.INSERT_NAME, stem.name)]
    return added


def _group(events: tuple[Event, ...]) -> int:
    """The group of the channel rack for audio clips, or the first one."""
    names = [event.text for event in events if event.id == parts.GROUP_NAME]
    return names.index("Audio") if "Audio" in names else 0


def _shape_tail(events: tuple[Event, ...]) -> bytes:
    """What this version of FL Studio has at the end of a channel, after what 20.8 had."""
    shapes = [event.data for event in events if event.id == parts.CHANNEL_SHAPE]
    return shapes[0][parts.SHAPE_BYTES :] if shapes else b""
