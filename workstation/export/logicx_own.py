"""Putting stems into a project that Logic saved, leaving everything else byte for byte.

What is replaced: the tempo map, the meters, the markers, and what lies in the arrangement on the
tracks that get a stem. What is added: an audio file and a region for every stem, after the
project's own. No track is made: each would need a channel strip, an object of the environment and
a place in several tables. Logic builds its own lists of regions and of audio anew when it opens a
project.

An object is numbered times 4 << 16, and what refers to it holds the number times 4. Positions
are ticks, 960 a quarter; bar 1 is at 38400 for tempos, meters and markers, at 34560 for regions.
"""

from __future__ import annotations

import bisect
import struct
from collections import Counter

import msgspec

from workstation.export.logicx import ProjectData, Record, events_of, with_events
from workstation.export.logicx_parts import (
    BAR_1,
    KNOWN_RATES,
    MARKERS,
    METERS,
    NUMBER,
    TEMPOS,
    Stem,
    file_record,
    identity_of_channel,
    identity_of_strip,
    is_audio_channel,
    is_mono,
    marker_event,
    marker_text,
    meter_events,
    name_of_channel,
    name_of_file,
    rate_of,
    region_event,
    region_record,
    tempo_events,
    with_channel_name,
    with_initial_tempo,
    with_next_file,
    with_rate,
    with_two_sides,
)
from workstation.export.markers import Marker
from workstation.export.text import one_line
from workstation.export.timeline import Timeline
from workstation.model import InputError

_ARRANGEMENT = (0x17, 0x40000)
_MOST_TRACKS = 0xFFFF
_MOST_NUMBER = 0x3FFF
_ROW_BYTES = 57
_ROW_CHANNEL = slice(6, 10)
_TEMPO, _METER, _KEY, _MARKER, _AUDIO = 0x60, 0x30, 0x32, 0x12, 0x24
_UNKNOWN = "Open it in Logic Pro 11 or newer, save a copy, and give that."
_MORE_TRACKS = (
    "Open it in Logic Pro, choose Track > New Audio Track, make {} more, save, and export again."
)
_FEWER_FILES = "In Logic Pro delete the unused files in the Project Audio browser, and save."


class Filled(msgspec.Struct, frozen=True):
    """A project with stems in.

    Attributes:
        data: Its records.
        tracks: For every stem the track it is on: the name it had, and the name it has.
        gone: Names of tracks whose regions gave way, and how many.
        markers_gone: How many markers gave way; None if it has no place for markers.
        widened: Names of mono tracks that are stereo now, as their stems are.
        mono: Names of mono tracks that have a stereo stem.
    """

    data: ProjectData
    tracks: tuple[tuple[str, str], ...]
    gone: tuple[tuple[str, int], ...]
    markers_gone: int | None
    widened: tuple[str, ...]
    mono: tuple[str, ...]


class _Track(msgspec.Struct, frozen=True):
    """An audio track: its row in the arrangement, from 1, its channel, and how much is on it."""

    row: int
    channel: int
    name: str
    regions: int


class _Placed(msgspec.Struct, frozen=True):
    """A stem and its track, and whether that is called like it."""

    stem: Stem
    track: _Track
    same: bool

    @property
    def name(self) -> str:
        """What the track is called with the stem on it."""
        return self.track.name if self.same else self.stem.name


class _Own:
    """The records of a project, as they are changed one after another."""

    def __init__(self, data: ProjectData, name: str) -> None:
        self.records, self.name = list(data.records), name

    def find(self, tag: str, kind: int | None = None, index: int | None = None) -> list[int]:
        """Where the records of a tag, a kind and a number are."""
        return [
            k
            for k, record in enumerate(self.records)
            if record.tag == tag and kind in {None, record.kind} and index in {None, record.index}
        ]

    def sequence(self, kind: int, index: int = 0) -> int:
        """Where the one sequence of an object is."""
        found = self.find("EvSq", kind, index)
        if len(found) != 1:
            raise self.unknown("its tempo map, its meters or its arrangement")
        return found[0]

    def events(self, at: int) -> list[bytes]:
        return events_of(self.records[at], self.name)

    def channels(self) -> dict[int, int]:
        """Where the channel of a number is."""
        return {self.records[k].index: k for k in self.find("Envi")}

    def unknown(self, what: str) -> InputError:
        return InputError(f"{self.name} has {what} in a form that is not known here.", _UNKNOWN)


def fill_own(
    data: ProjectData,
    stems: list[Stem],
    timeline: Timeline,
    markers: list[Marker],
    rate_hz: int,
    name: str,
) -> Filled:
    """Put stems, tempo map, meters and markers into a project.

    Args:
        data: The user's project.
        stems: What to put in, from bar 1 on.
        timeline: Tempos and meters of the song.
        markers: Its markers in order of time.
        rate_hz: Its sample rate.
        name: What to call the project in errors.

    Raises:
        InputError: Something in it is not known here, or there is no room for the stems.
    """
    own = _Own(data, name)
    placed = _tracks_for(own, stems)
    _set_tempos(own, timeline)
    _set_meters(own, timeline)
    _set_rate(own, rate_hz)
    gone = _set_arrangement(own, placed, _add_regions(own, stems))
    widened, mono = _widen(own, placed)
    _set_names(own, placed)
    markers_gone = _set_markers(own, timeline, markers)
    names = tuple((item.track.name, item.name) for item in placed)
    filled = ProjectData(data.head, tuple(own.records))
    return Filled(filled, names, gone, markers_gone, widened, mono)


def files_of(data: ProjectData) -> set[str]:
    """The names of the audio files of a project, in small letters."""
    return {name_of_file(r.payload).casefold() for r in data.records if r.tag == "AuFl"}


# -- tempos, meters, sample rate ------------------------------------------------------------------


def _set_tempos(own: _Own, timeline: Timeline) -> None:
    at = own.sequence(TEMPOS)
    before = own.events(at)
    song = own.records[0]
    if not before or any((e[0], len(e)) != (_TEMPO, 32) for e in before) or song.tag != "Song":
        raise own.unknown("its tempo map")
    if _position(before[0]) != BAR_1:
        raise own.unknown("a start before bar 1")
    events = tempo_events(timeline, before[0])
    own.records[at] = with_events(own.records[at], events)
    initial = with_initial_tempo(song.payload, before[0], events[0])
    if initial is None:
        raise own.unknown("its first tempo")
    own.records[0] = song.with_payload(initial)


def _set_meters(own: _Own, timeline: Timeline) -> None:
    at = own.sequence(METERS)
    before = own.events(at)
    shapes = {(event[0], len(event)) for event in before}
    first = next((event for event in before if event[0] == _METER), b"")
    if not shapes <= {(_METER, 48), (_KEY, 32)} or not first or _position(first):
        raise own.unknown("its meters")
    initial, changes = meter_events(timeline, first)
    kept = [initial if e is first else e for e in before if e is first or e[0] != _METER]
    own.records[at] = with_events(own.records[at], _merged(kept, changes))


def _set_rate(own: _Own, rate_hz: int) -> None:
    song = own.records[0].payload
    if rate_of(song) == rate_hz:
        return
    if rate_of(song) is None or rate_hz not in KNOWN_RATES:
        raise InputError(
            f"{own.name} has another sample rate than the song, {rate_hz} Hz, and it cannot be "
            "changed here.",
            "Choose that rate in Logic Pro under File > Project Settings > Audio, save, and "
            "export again.",
        )
    own.records[0] = own.records[0].with_payload(with_rate(song, rate_hz))


# -- tracks and regions ---------------------------------------------------------------------------


def _tracks_for(own: _Own, stems: list[Stem]) -> list[_Placed]:
    """A track for every stem: by its name, else the next empty one, else the next one."""
    free = _audio_tracks(own)
    if len(free) < len(stems):
        missing = len(stems) - len(free)
        raise InputError(
            f"{own.name} has too few audio tracks: {len(free)} for {len(stems)} stems.",
            _MORE_TRACKS.format(missing),
        )
    found: dict[int, _Placed] = {}
    for k, stem in enumerate(stems):
        names = {one_line(stem.called).casefold(), stem.name.casefold()}
        same = [track for track in free if one_line(track.name).casefold() in names]
        if same:
            found[k] = _Placed(stem, same[0], same=True)
            free.remove(same[0])
    free.sort(key=lambda track: bool(track.regions))
    for k, stem in enumerate(stems):
        if k not in found:
            found[k] = _Placed(stem, free.pop(0), same=False)
    return [found[k] for k in range(len(stems))]


def _audio_tracks(own: _Own) -> list[_Track]:
    """The audio tracks in the order of the arrangement."""
    counts = Counter(map(_row, own.events(own.sequence(*_ARRANGEMENT))))
    channels = {number: own.records[k].payload for number, k in own.channels().items()}
    # Before the first and after the last row there is one without content.
    rows = [own.records[k].payload for k in own.find("Trak", *_ARRANGEMENT)]
    rows = [row for row in rows if row]
    if any(len(row) != _ROW_BYTES for row in rows) or len(rows) > _MOST_TRACKS:
        raise own.unknown("its tracks")
    tracks = []
    for row, payload in enumerate(rows, start=1):
        channel = int.from_bytes(payload[_ROW_CHANNEL], "little")
        if is_audio_channel(channels.get(channel, b"")):
            name = name_of_channel(channels[channel])
            tracks.append(_Track(row, channel, name, counts[row]))
    # Two rows of one channel would share its name and its format.
    uses = Counter(track.channel for track in tracks)
    return [track for track in tracks if uses[track.channel] == 1]


def _add_regions(own: _Own, stems: list[Stem]) -> list[int]:
    """Add a file and a region for every stem; gives the numbers of the files."""
    files, regions = own.find("AuFl"), own.find("AuRg")
    taken = [own.records[k].index // NUMBER for k in (*files, *regions)]
    first = max(taken, default=-1) + 1
    if first + len(stems) > _MOST_NUMBER:
        raise InputError(f"{own.name} has no room for more audio files.", _FEWER_FILES)
    numbers = list(range(first, first + len(stems)))
    ordinal = _link_after_last(own, files, first) if files else 0
    added: list[Record] = []
    for k, (stem, number) in enumerate(zip(stems, numbers, strict=True), start=1):
        following = number + 1 if k < len(stems) else None
        added.append(file_record(stem, number, ordinal + k, following))
        added.append(region_record(stem, number))
    own.records[_audio_end(own) : _audio_end(own)] = added
    return numbers


def _audio_end(own: _Own) -> int:
    """Where the next audio file has its place: after all others, before the staff styles."""
    audio, styles = own.find("AuFl") + own.find("AuRg"), own.find("Styl")
    if not audio and not styles:
        raise own.unknown("its list of audio files")
    return max(audio) + 1 if audio else styles[0]


def _link_after_last(own: _Own, files: list[int], following: int) -> int:
    """Let the last audio file name the first new one as its next; gives its ordinal."""
    last = [
        (k, found)
        for k in files
        if (found := with_next_file(own.records[k].payload, following)) is not None
    ]
    if len(last) != 1:
        raise own.unknown("its list of audio files")
    at, (payload, ordinal) = last[0]
    own.records[at] = own.records[at].with_payload(payload)
    return ordinal


def _set_arrangement(
    own: _Own, placed: list[_Placed], numbers: list[int]
) -> tuple[tuple[str, int], ...]:
    """Place the regions in place of all that lies on their tracks; tells what is gone."""
    at = own.sequence(*_ARRANGEMENT)
    before = own.events(at)
    rows = {item.track.row for item in placed}
    if any(_row(event) in rows and event[0] != _AUDIO for event in before):
        raise own.unknown("what lies on its audio tracks")
    added = [
        region_event(item.track.row, item.track.channel, number)
        for item, number in zip(placed, numbers, strict=True)
    ]
    kept = [event for event in before if _row(event) not in rows]
    merged = _merged(kept, sorted(added, key=_row))
    own.records[at] = with_events(own.records[at], merged)
    return tuple((i.track.name, i.track.regions) for i in placed if i.track.regions)


def _widen(own: _Own, placed: list[_Placed]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Make mono tracks stereo that have a stereo stem; tells which are, and which stay mono.

    A strip with plug-ins in it stays as it is: they would be mono in a stereo strip.
    """
    channels = own.channels()
    strips = {identity_of_strip(own.records[k].payload): k for k in own.find("AuCO")}
    widened, mono = [], []
    for item in placed:
        at = strips.get(identity_of_channel(own.records[channels[item.track.channel]].payload))
        if at is None or item.stem.channels == 1 or not is_mono(own.records[at].payload):
            continue
        payload = with_two_sides(own.records[at].payload)
        if payload is None:
            mono.append(item.name)
        else:
            own.records[at] = own.records[at].with_payload(payload)
            widened.append(item.name)
    return tuple(widened), tuple(mono)


def _set_names(own: _Own, placed: list[_Placed]) -> None:
    channels = own.channels()
    for item in placed:
        if not item.same:
            k = channels[item.track.channel]
            payload = with_channel_name(own.records[k].payload, item.name)
            own.records[k] = own.records[k].with_payload(payload)


# -- markers --------------------------------------------------------------------------------------


def _set_markers(own: _Own, timeline: Timeline, markers: list[Marker]) -> int | None:
    """Replace the markers; tells how many gave way, or None if there is no place for them."""
    found, texts = own.find("EvSq", *MARKERS), own.find("TxSq")
    if len(found) != 1 or not texts:
        return None
    before = own.events(found[0])
    if any((event[0], len(event)) != (_MARKER, 48) for event in before):
        return None
    gone = {int.from_bytes(event[16:20], "little") << 16 for event in before}
    numbers = [own.records[k].index for k in texts]
    first = max(numbers) // NUMBER + 1
    if first + len(markers) > _MOST_NUMBER:
        return None
    names = [
        Record(own.records[texts[0]].head, marker_text(marker.name)).numbered((first + k) * NUMBER)
        for k, marker in enumerate(markers)
    ]
    events = [
        marker_event(timeline.quarter_at(marker.time_s), (first + k) * 4)
        for k, marker in enumerate(markers)
    ]
    own.records[found[0]] = with_events(own.records[found[0]], events)
    end = texts[-1] + 1
    own.records[end:end] = names
    for k in reversed(texts):
        if own.records[k].index in gone:
            del own.records[k]
    return len(before)


# -- events ---------------------------------------------------------------------------------------


def _position(event: bytes) -> int:
    return int.from_bytes(event[4:8], "little")


def _row(event: bytes) -> int:
    """The track of a region, from 1; 0 for what is on none."""
    return struct.unpack_from("<H", event, 20)[0] if len(event) > 22 else 0


def _merged(kept: list[bytes], added: list[bytes]) -> list[bytes]:
    """Events in order of time; what was there comes first, and keeps its order."""
    merged = list(kept)
    for event in added:
        merged.insert(bisect.bisect_right(merged, _position(event), key=_position), event)
    return merged
