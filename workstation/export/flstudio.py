"""The target `flstudio`: an FL Studio project (`.flp`) beside its stems, and both as a `.zip`.

The layout is that of FL Studio 20.8, which all newer versions open. Every stem is an audio clip
from time 0 on, played at its own speed, so no tempo can stretch it. A project has one tempo; the
song's mean tempo is taken, and markers are where they are in seconds. A time signature marker on
the first downbeat begins the bars there: no tempo is invented for the lead-in.

Sample paths are bare names, for FL Studio to find beside the project or in the same `.zip`. That
and the bars that begin at a marker are confirmed by readers of the format, not by FL Studio.
"""

from __future__ import annotations

import itertools
import math
import struct
import zipfile
from pathlib import Path

import msgspec

from workstation.export import flp_parts as parts
from workstation.export.archive import add_file
from workstation.export.flp import Event, Flp, encode, number, read_flp, text
from workstation.export.flp_own import fill_own
from workstation.export.markers import markers_of
from workstation.export.midi import FILE_NAME, write_tempo_map
from workstation.export.stem_files import ENCODINGS, StemFiles, write_stems
from workstation.export.target import Part, Plan, Target, Written
from workstation.export.text import one_line
from workstation.export.timeline import Timeline
from workstation.model import JobContext, UsageError
from workstation.model.names import ascii_name, shown

_VERSION = (20, 8, 4, 2576)
# Resolutions that FL Studio has, the finest first.
_TICKS_PER_QUARTER = (960, 768, 384, 192, 96, 48, 24)
# A grid that is nearer than this to every beat is as good as the song's own.
_HEARD_S = 0.001
# Days since 1899-12-30. A date of today would make every export of a song different.
_MADE_DAYS = 36526.0
_NO_PATTERNS = (
    bytes.fromhex("01000000 00000000 0190ff0f 04000000 d5010000"),
    bytes.fromhex("fd000000 00000000 8090ff0f 04000000 d5010000"),
    bytes.fromhex("ff000000 ff000000 0400ff0f 04000000 00feffff"),
)


def write_flstudio(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the project, its stems and both as a zip.

    Raises:
        UsageError: There are more stems than FL Studio has mixer inserts.
        InputError: A stem or the user's own project cannot be read, or has no room.
        OutputError: The folder cannot be written.
    """
    if len(plan.project.tracks) > parts.MOST_STEMS:
        raise UsageError(
            f"FL Studio has {parts.MOST_STEMS} mixer inserts; {one_line(plan.project.title)} has "
            f"{len(plan.project.tracks)} stems.",
            "Separate it into fewer stems, or choose another target.",
        )
    own = None if plan.options.own_project is None else _read_own(plan, plan.options.own_project)
    files = write_stems(plan.project, folder, plan.options, job.part(0.0, 0.7))
    if own is None or plan.options.own_project is None:
        flp, notes = new_project(plan, files), _tempo_notes(plan, folder)
    else:
        flp, notes = _filled(plan, own, files, shown(plan.options.own_project.name))
    name = ascii_name(plan.project.title, fallback="Song")
    (folder / f"{name}.flp").write_bytes(encode(flp))
    _write_zip(folder, name, files, job.part(0.7, 1.0))
    return Written(open_with=f"{name}.flp", notes=(*files.notes, *notes))


def _write_zip(folder: Path, name: str, files: StemFiles, job: JobContext) -> None:
    """Write the project and its stems as one file."""
    entries = (f"{name}.flp", *files.names)
    with zipfile.ZipFile(folder / f"{name}.zip", "w", zipfile.ZIP_STORED) as archive:
        for index, entry in enumerate(entries):
            step = job.part(index / len(entries), (index + 1) / len(entries))
            add_file(archive, entry, folder / entry, step)


# -- a new project ---------------------------------------------------------------------------


def new_project(plan: Plan, files: StemFiles) -> Flp:
    """The project with all stems in an empty project of FL Studio 20.8."""
    bpm = mean_bpm(plan)
    ticks = _ticks_per_quarter(plan, bpm)
    stems = [
        parts.Stem(one_line(track.name), track.colour, file, index, index + 1, index + 1)
        for index, (track, file) in enumerate(zip(plan.project.tracks, files.names, strict=True))
    ]
    channels = [event for stem in stems for event in parts.channel_events(stem)]
    events = (
        *_head_events(plan, bpm),
        *channels,
        *_arrangement_events(plan, stems, bpm * ticks / 60),
        *_mixer_events(stems),
    )
    return Flp(len(stems), ticks, events)


def mean_bpm(plan: Plan) -> float:
    """The one tempo that goes best from the first beat to the last, as FL Studio holds it."""
    grid, timeline = plan.project.grid, plan.timeline
    bpm = timeline.tempos[0].bpm
    if grid is not None and timeline.downbeat_s is not None:
        first, last = (max(0.0, time_s) for time_s in (grid.beats_s[0], grid.beats_s[-1]))
        quarters = timeline.quarter_at(last) - timeline.quarter_at(first)
        bpm = 60 * quarters / (last - first)
    return round(bpm, 3)


def _ticks_per_quarter(plan: Plan, bpm: float) -> int:
    """The finest resolution at which the last marker still fits."""
    quarters = plan.project.duration_s * bpm / 60
    fitting = (ticks for ticks in _TICKS_PER_QUARTER if quarters * ticks < parts.MOST_TICKS)
    return next(fitting, _TICKS_PER_QUARTER[-1])


def _head_events(plan: Plan, bpm: float) -> list[Event]:
    numerator, denominator = plan.timeline.meter
    return [
        Event(parts.VERSION, ".".join(map(str, _VERSION)).encode() + b"\0"),
        number(159, _VERSION[-1]),
        number(28, 1),
        number(37, 1),
        text(200, ""),
        number(parts.TEMPO, round(bpm * 1000)),
        number(67, 1),
        number(9, 1),
        number(11, 0),
        number(80, 0),
        number(17, numerator),
        number(18, denominator),
        number(35, 1),
        number(23, 0),
        number(30, 1),
        number(10, 0),
        text(194, one_line(plan.project.title)),
        text(206, ""),
        text(207, one_line(plan.project.artist)),
        text(202, ""),
        text(195, ""),
        Event(237, struct.pack("<dd", _MADE_DAYS, 0.0)),
        text(parts.GROUP_NAME, "Stems"),
        number(146, -1),
        Event(216, b""),
        *(Event(226, blob) for blob in _NO_PATTERNS),
    ]


def _arrangement_events(plan: Plan, stems: list[parts.Stem], ticks_per_s: float) -> list[Event]:
    length = math.ceil(plan.project.duration_s * ticks_per_s)
    clips = b"".join(parts.clip(stem, length, _VERSION, 0) for stem in stems)
    on_track = {stem.track: stem for stem in stems}
    tracks = (parts.track_events(k, on_track.get(k)) for k in range(1, parts.TRACKS + 1))
    return [
        number(parts.ARRANGEMENT, 0),
        text(241, "Arrangement"),
        number(36, 0),
        Event(parts.PLAYLIST, clips),
        *_marker_events(plan, ticks_per_s),
        *itertools.chain.from_iterable(tracks),
        number(parts.CURRENT_ARRANGEMENT, 0),
        number(29, 1),
        number(39, 1),
        number(40, 0),
        number(31, 0),
        number(38, 3),
    ]


def _marker_events(plan: Plan, ticks_per_s: float) -> list[Event]:
    """Time signatures where bars begin anew, and all other markers, in order of time."""
    found: list[tuple[int, int, list[Event]]] = []
    for meter in plan.timeline.meters[1:]:
        ticks, signature = round(meter.time_s * ticks_per_s), (meter.numerator, meter.denominator)
        words = f"{meter.numerator}/{meter.denominator}"
        found.append((ticks, 0, parts.marker_events(ticks, words, signature)))
    for marker in markers_of(plan.project, plan.timeline, plan.options):
        ticks = round(marker.time_s * ticks_per_s)
        found.append((ticks, 1, parts.marker_events(ticks, marker.name)))
    found.sort(key=lambda item: item[:2])
    return [event for *_, events in found for event in events]


def _mixer_events(stems: list[parts.Stem]) -> list[Event]:
    on_insert = {stem.insert: stem for stem in stems}
    inserts = (parts.insert_events(k, on_insert.get(k)) for k in range(parts.INSERTS))
    height = number(133, 126)
    return [*itertools.chain.from_iterable(inserts), parts.mixer_values(), height]


def _tempo_notes(plan: Plan, folder: Path) -> list[str]:
    """What a song whose tempo changes loses; its tempo map is put beside the project."""
    beside_s = _farthest_beat_s(plan)
    if beside_s < _HEARD_S:
        return []
    # MIDI knows no bars that are cut short.
    timeline = Timeline.of(plan.project.grid, plan.project.duration_s)
    write_tempo_map(msgspec.structs.replace(plan, timeline=timeline), folder / FILE_NAME)
    return [
        f"The changes of tempo: an FL Studio project has one tempo, here {mean_bpm(plan):.3f} bpm. "
        f"The audio is untouched; the grid is up to {beside_s * 1000:.0f} ms beside the beats. "
        f"{FILE_NAME} holds the exact map."
    ]


def _farthest_beat_s(plan: Plan) -> float:
    """How far the farthest beat is from a grid of one tempo through the first downbeat."""
    grid, timeline = plan.project.grid, plan.timeline
    if grid is None or timeline.downbeat_s is None:
        return 0.0
    downbeat = timeline.quarter_at(timeline.downbeat_s)
    quarter_s = 60 / mean_bpm(plan)
    return max(
        abs(at - timeline.downbeat_s - (timeline.quarter_at(at) - downbeat) * quarter_s)
        for at in grid.beats_s
        if at >= 0
    )


# -- the user's own project -------------------------------------------------------------------


def _read_own(plan: Plan, path: Path) -> Flp:
    """Read the user's own project, and find out before the work whether the stems fit in."""
    own = read_flp(path)
    count = len(plan.project.tracks)
    nobody = [("", "#000000", "")] * count
    fill_own(own, nobody, plan.project.duration_s, shown(path.name))
    return own


def _filled(plan: Plan, own: Flp, files: StemFiles, name: str) -> tuple[Flp, list[str]]:
    stems = [
        (one_line(track.name), track.colour, file)
        for track, file in zip(plan.project.tracks, files.names, strict=True)
    ]
    filled = fill_own(own, stems, plan.project.duration_s, name)
    notes = [
        f"The stems are on the playlist tracks {_numbers(filled.tracks)} and the mixer inserts "
        f"{_numbers(filled.inserts)} of {name}; everything else in it is as it was.",
        f"{name} keeps its tempo, {filled.bpm:.3f} bpm, its time signature and its markers. "
        + _song_tempo(plan),
        "The .zip holds the project and the stems; samples of your own that it uses are not in it.",
    ]
    return filled.flp, notes


def _song_tempo(plan: Plan) -> str:
    if plan.timeline.downbeat_s is None:
        return "No beats were found in the song."
    return (
        f"The song has {mean_bpm(plan):.3f} bpm, and its first downbeat is at "
        f"{plan.timeline.downbeat_s:.3f} s."
    )


def _numbers(values: tuple[int, ...]) -> str:
    return ", ".join(map(str, values))


FLSTUDIO = Target(
    name="flstudio",
    title="FL Studio",
    summary=".flp and stems, and both as .zip",
    opens_in="FL Studio 20.8 and newer",
    how_to=(
        "Open the .flp file in FL Studio. The stems lie beside it; keep them together. The .zip "
        "file is the same project with the stems inside: FL Studio opens it too. Should FL Studio "
        "ask where a stem is, show it this folder."
    ),
    carries=frozenset({Part.AUDIO, Part.ONE_TEMPO, Part.SECTIONS, Part.BARS, Part.COLOURS}),
    encodings=ENCODINGS,
    scratch_copies=1,
    links_stems=True,
    cut_bars=True,
    own_projects=(".flp",),
    confirmed=(
        "Not yet confirmed in FL Studio itself: other readers find the tracks, the markers and the "
        "stems where they should be."
    ),
    write=write_flstudio,
)
