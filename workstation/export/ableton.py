"""The target `ableton`: a project folder of Ableton Live, or the user's own Set with the stems.

The clips are not warped. Live's manual (Audio Fact Sheet) calls playback of an unstretched file
at the Set's sample rate neutral, which its makers verify by cancellation; warping in Complex or
Complex Pro never is, and in the other modes only while the tempo of clip and Set are equal to the
last bit, which a tempo map of 32-bit floats cannot promise. So the samples stay as they are and
the Set follows them: its tempo is automated from the beat grid. Every clip still holds the grid as
warp markers, for whoever switches Warp on to make the song follow another tempo.

Live evaluates tempo automation on 16th notes (measured by the project dawtool) and has no meter
finer than sixteenths, so no tempo begins off a 16th and no bar is shorter than one.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

import numpy as np

from workstation.export.ableton_own import PROJECT_INFO, copy_samples
from workstation.export.als import (
    BEFORE_START,
    SILENT,
    LiveSet,
    as_in_live_12,
    is_on,
    new_set,
    put,
    value_of,
)
from workstation.export.automation import Curve, Point, StemAutomation, Switch, in_quarters
from workstation.export.lead_in import LeadInLimits
from workstation.export.markers import markers_of
from workstation.export.own_files import unused_name
from workstation.export.pieces import Clip
from workstation.export.project import Track
from workstation.export.stem_files import ENCODINGS, StemFiles, write_stems
from workstation.export.target import LayoutPart, Part, Plan, Target, Written
from workstation.export.text import one_line
from workstation.export.timeline import MeterPoint, Timeline
from workstation.model import InputError, JobContext
from workstation.model.names import ascii_name

if TYPE_CHECKING:
    from lxml.etree import _Element

_STEMS = "Samples/Imported"
_ABOUT_INFO = "Live knows its projects by this folder. Leave it here.\n"
# The beats from the last warp marker to the one that only gives the tempo after it.
_AFTER_LAST = 1 / 32
# Live's palette, which tracks and clips name by number; seen in Live 11.
_PALETTE = bytes.fromhex(
    "ff94a6 ffa529 cc9927 f7f47c bffb00 1aff2f 25ffa8 5cffe8 8bc5ff 5480e4 92a7ff d86ce4 e553a0 "
    "ffffff ff3636 f66c03 99724b fff034 87ff67 3dc300 00bfaf 19e9ff 10a4ee 007dc0 886ce4 b677c6 "
    "ff39d4 d0d0d0 e2675a ffa374 d3ad71 edffae d2e498 bad074 9bc48d d4fde1 cdf1f8 b9c1e3 cdbbe4 "
    "ae98e5 e5dce1 a9a9a9 c6928b b78256 99836a bfba69 a6be00 7db04d 88c2ba 9bb3c4 85a5c2 8393cc "
    "a595b5 bf9fbe bc7196 7b7b7b af3333 a95131 724f41 dbc300 85961f 539f31 0a9c8e 236384 1a2f96 "
    "2f52a2 624bad a34bad cc2e6e 3c3c3c"
)


def write_ableton(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the project folder: the Set and its stems.

    Raises:
        InputError: The user's own Set cannot be read, or lacks what the stems need.
    """
    live_set, tracks, plain_clip, filled = _tracks_for(plan)
    notes = [*_make_way(live_set, tracks), *_words_on_take(plan)]
    added = [stem for index, stem in enumerate(plan.project.tracks) if index not in filled]
    notes += [_words_on_pair(stem) for stem in added if stem.output and stem.output % 2 == 0]
    samples = sorted(live_set.samples())
    title = ascii_name(plan.project.title, fallback="Song")
    project = folder / f"{title} Project"
    info = project / PROJECT_INFO
    info.mkdir(parents=True)
    (info / "About this folder.txt").write_text(_ABOUT_INFO, encoding="utf-8", newline="\n")
    files, words = _write_stems(plan, project, [path for _, path in samples], job)
    notes += words
    if plan.options.own_project is not None:
        notes += copy_samples(samples, plan.options.own_project, project, job)
    for index, track in enumerate(tracks):
        size = (project / files.names[index]).stat().st_size
        clips = clips_of(plain_clip, plan, files, index)
        for clip in clips:
            put(clip, "SampleRef/FileRef/OriginalFileSize", str(size))
        live_set.set_clips(track, clips)
        set_automation(live_set, track, plan, plan.arrangement.of(plan.project.tracks[index]))
    if plan.options.own_project is None:
        set_volume(live_set, live_set.main, plan, plan.arrangement.master)
    set_times(live_set, plan)
    name = f"{project.name}/{title}.als"
    (folder / name).write_bytes(live_set.to_bytes())
    return Written(open_with=name, notes=(*files.notes, *notes), filled=filled)


def _write_stems(
    plan: Plan, project: Path, samples: list[str], job: JobContext
) -> tuple[StemFiles, list[str]]:
    """Write the stems to where Live puts what is imported, if the Set plays none of their name."""
    files = write_stems(plan.project, project / _STEMS, plan.options, job)
    played = {PurePosixPath(path).name.casefold() for path in samples}
    if played.isdisjoint(name.casefold() for name in files.names):
        return files.within(_STEMS), []
    usual = PurePosixPath(_STEMS)
    place = usual.with_name(unused_name(usual.name, samples))
    (project / _STEMS).rename(project / place)
    words = f"The stems lie in {place}: your Set has audio that is called like one."
    return files.within(str(place)), [words]


def _make_way(live_set: LiveSet, tracks: Iterable[_Element]) -> list[str]:
    """Empty the arrangement of the tracks that get a stem; tells what is gone."""
    notes = []
    for track in tracks:
        gone = live_set.set_clips(track, [])
        if gone:
            name = one_line(value_of(track, "Name/EffectiveName"))
            notes.append(f"Clips in the arrangement of the track {name} gave way: {gone}.")
    return notes


def _tracks_for(plan: Plan) -> tuple[LiveSet, list[_Element], _Element, tuple[int, ...]]:
    """A Set with a track for every stem, these in order, a plain clip, and which it had."""
    live_set, plain, clip = new_set()
    free: list[_Element] = []
    if plan.options.own_project is not None:
        live_set = LiveSet.read(plan.options.own_project)
        free, plain = live_set.audio_tracks(), live_set.plain_track()
        if live_set.version == "12":
            clip = as_in_live_12(clip)
    tracks, filled = [], []
    for index, stem in enumerate(plan.project.tracks):
        name = one_line(stem.name)
        track = next((t for t in free if name.casefold() in _names(t)), None)
        if track is None:
            track = live_set.add_track(plain, name)
            put(track, "Color", str(nearest_colour(stem.colour)))
            put(track, "DeviceChain/Mixer/Speaker/Manual", str(not stem.muted).lower())
            _set_output(track, stem.output)
        else:
            free.remove(track)
            _refuse_frozen(track, name)
            filled.append(index)
            if stem.muted:
                put(track, "DeviceChain/Mixer/Speaker/Manual", "false")
        tracks.append(track)
    for empty in plan.project.empty:
        name = one_line(empty.name)
        if not any(name.casefold() in _names(track) for track in free):
            track = live_set.add_track(plain, name)
            put(track, "Color", str(nearest_colour(empty.colour)))
    return live_set, tracks, clip, tuple(filled)


def _set_output(track: _Element, output: int | None) -> None:
    """Send a track to two outputs of the device instead of the main track."""
    if output is None:
        return
    routing = "DeviceChain/AudioOutputRouting"
    first = _first_of_pair(output)
    put(track, f"{routing}/Target", f"AudioOut/External/S{first // 2}")
    put(track, f"{routing}/UpperDisplayString", "Ext. Out")
    put(track, f"{routing}/LowerDisplayString", f"{first}/{first + 1}")


def _first_of_pair(output: int) -> int:
    """Live knows no pair that begins on an even output: the next one, then."""
    return output + 1 - output % 2


def _words_on_pair(stem: Track) -> str:
    assert stem.output is not None
    first = _first_of_pair(stem.output)
    return (
        f"The outputs {stem.output}/{stem.output + 1} of {one_line(stem.name)}: Live has pairs "
        f"that begin with an odd one, so it goes to {first}/{first + 1}."
    )


def _names(track: _Element) -> set[str]:
    """What a track is called: as it is shown, and as it was typed."""
    shown = (value_of(track, path) for path in ("Name/EffectiveName", "Name/UserName"))
    return {one_line(name).casefold() for name in shown}


def _refuse_frozen(track: _Element, name: str) -> None:
    if is_on(track, "Freeze"):
        raise InputError(
            f"The track {name} of the Live Set is frozen, so it would not play the stem.",
            "In Live choose Edit > Unfreeze Track, save the Set, and export again.",
        )


def nearest_colour(colour: str) -> int:
    """Number of the colour in Live's palette that is nearest to `#rrggbb`."""
    palette = np.frombuffer(_PALETTE, np.uint8).reshape(-1, 3).astype(int)
    wanted = np.frombuffer(bytes.fromhex(colour[1:]), np.uint8)
    return int(np.argmin(((palette - wanted) ** 2).sum(axis=1)))


def _words_on_take(plan: Plan) -> list[str]:
    """In words, what of a take Live has otherwise."""
    laid_out = plan.arrangement
    notes = list(laid_out.notes)
    if any(strip.pan for strip in laid_out.stems.values()):
        notes.append(
            "The exact level of pans: Live raises what is panned, by 3 dB at the far side; in the "
            "take that side stays as it is and the other goes down."
        )
    if plan.options.own_project is not None and laid_out.stems:
        notes.append("Volume, pan and mute of your own tracks where the take moves them.")
        if laid_out.master:
            notes.append("The master gain of the take: the main track of your Set stays as it is.")
    return notes


def clips_of(plain: _Element, plan: Plan, files: StemFiles, index: int) -> list[_Element]:
    """The clips of a stem: one from its first sample to its last, or the pieces of a take."""
    song = plan.timeline
    if plan.arrangement.unrolled:
        song = Timeline.of(plan.project.grid, plan.project.duration_s, limits=ABLETON.lead_in)
    whole = clip_of(plain, plan, files, index)
    _add_warp_markers(whole, plan, song)
    clips = []
    for number, piece in enumerate(plan.arrangement.clips):
        clip = copy.deepcopy(whole)
        clip.set("Id", str(number))
        _place(clip, plan, piece)
        clips.append(clip)
    return clips


def _place(clip: _Element, plan: Plan, piece: Clip) -> None:
    """Let a clip play a piece of its file.

    Its place in the arrangement is in quarter notes; within the file, as in every clip that is
    not warped, Live counts seconds.
    """
    rate, timeline = plan.project.sample_rate_hz, plan.timeline
    start = _number(timeline.quarter_at(piece.project_frame / rate))
    begin, end = _number(piece.song_frame / rate), _number(piece.song_end / rate)
    clip.set("Time", start)
    put(clip, "CurrentStart", start)
    end_s = (piece.project_frame + piece.frames) / rate
    put(clip, "CurrentEnd", _number(timeline.quarter_at(end_s)))
    put(clip, "Loop/LoopStart", begin)
    put(clip, "Loop/LoopEnd", end)
    put(clip, "Loop/OutMarker", end)


def set_automation(live_set: LiveSet, track: _Element, plan: Plan, strip: StemAutomation) -> None:
    """Let volume, pan and mute of a track move as in the take."""
    set_volume(live_set, track, plan, strip.volume)
    _set_curve(live_set, track, plan, "Pan", strip.pan)
    if strip.mute:
        events = [(BEFORE_START, _speaker(strip.mute[0]))]
        for switch in strip.mute[1:]:
            at = plan.timeline.quarter_at(switch.frame / plan.project.sample_rate_hz)
            events.append((_number(at), _speaker(switch)))
        put(track, "DeviceChain/Mixer/Speaker/Manual", events[0][1])
        live_set.set_envelope(track, "Speaker", "BoolEvent", events)


def _speaker(muted: Switch) -> str:
    """Live's track activator, which is on where a track is heard."""
    return "false" if muted.on else "true"


def set_volume(live_set: LiveSet, track: _Element, plan: Plan, curve: Curve) -> None:
    """Automate the volume of a track; Live's faders end a hair above silence."""
    audible = tuple(Point(p.frame, max(p.value, SILENT)) for p in curve)
    _set_curve(live_set, track, plan, "Volume", audible)


def _set_curve(
    live_set: LiveSet, track: _Element, plan: Plan, parameter: str, curve: Curve
) -> None:
    if not curve:
        return
    points = in_quarters(curve, plan.project.sample_rate_hz, plan.timeline)
    events = [(BEFORE_START, _number(points[0][1]))]
    events += [(_number(quarter), _number(value)) for quarter, value in points]
    put(track, f"DeviceChain/Mixer/{parameter}/Manual", events[0][1])
    live_set.set_envelope(track, parameter, "FloatEvent", events)


def clip_of(plain: _Element, plan: Plan, files: StemFiles, index: int) -> _Element:
    """A clip of a stem, without its place and its warp markers."""
    project, stem = plan.project, plan.project.tracks[index]
    clip = copy.deepcopy(plain)
    seconds = _number(project.duration_s)
    numerator, denominator = plan.timeline.meter
    values = {
        "Loop/HiddenLoopStart": "0",
        "Loop/HiddenLoopEnd": seconds,
        "Name": one_line(stem.name),
        "Color": str(nearest_colour(stem.colour)),
        "TimeSignature/TimeSignatures/RemoteableTimeSignature/Numerator": str(numerator),
        "TimeSignature/TimeSignatures/RemoteableTimeSignature/Denominator": str(denominator),
        "ScrollerTimePreserver/RightTime": seconds,
        "SampleRef/FileRef/RelativePath": files.names[index],
        "SampleRef/DefaultDuration": str(project.frames),
        "SampleRef/DefaultSampleRate": str(project.sample_rate_hz),
    }
    for path, value in values.items():
        put(clip, path, value)
    return clip


def _add_warp_markers(clip: _Element, plan: Plan, timeline: Timeline) -> None:
    """The tempo map of the song as warp markers: between two of them the tempo is constant."""
    from lxml import etree

    end_s = plan.project.duration_s
    places = [(t.time_s, t.quarter) for t in timeline.tempos if t.time_s < end_s - 1e-6]
    last = timeline.quarter_at(end_s)
    places += [(end_s, last), (timeline.time_at(last + _AFTER_LAST), last + _AFTER_LAST)]
    parent = clip.find("WarpMarkers")
    assert parent is not None
    for number, (time_s, quarter) in enumerate(places):
        etree.SubElement(
            parent,
            "WarpMarker",
            Id=str(number),
            SecTime=_number(time_s),
            BeatTime=_number(quarter),
        )


def set_times(live_set: LiveSet, plan: Plan) -> None:
    """Set the tempos, the meters and the locators of a Set."""
    tempos, meters = tempo_steps(plan.timeline), plan.timeline.meters
    put(live_set.main, "DeviceChain/Mixer/Tempo/Manual", tempos[0][1])
    put(live_set.main, "DeviceChain/Mixer/TimeSignature/Manual", str(meter_code(meters[0])))
    events = [(BEFORE_START, tempos[0][1])]
    for (_, before), (time, value) in itertools.pairwise(tempos):
        events += [(time, before), (time, value)]
    live_set.set_envelope(live_set.main, "Tempo", "FloatEvent", events)
    codes = [(BEFORE_START, str(meter_code(meters[0])))]
    codes += [(_number(meter.quarter), str(meter_code(meter))) for meter in meters[1:]]
    live_set.set_envelope(live_set.main, "TimeSignature", "EnumEvent", codes)
    live_set.set_locators(
        (_number(plan.timeline.quarter_at(marker.time_s)), marker.name)
        for marker in markers_of(plan.arrangement, plan.timeline, plan.options)
    )


def tempo_steps(timeline: Timeline) -> list[tuple[str, str]]:
    """Quarter notes, and the tempos in bpm that hold from there on.

    Live keeps tempos as 32-bit floats. What rounding one loses, the next makes good.
    """
    steps, elapsed_s = [], 0.0
    for point, following in itertools.pairwise([*timeline.tempos, None]):
        assert point is not None
        bpm = point.bpm
        if following is not None:
            quarters = following.quarter - point.quarter
            bpm = float(np.float32(60 * quarters / (following.time_s - elapsed_s)))
            elapsed_s += 60 * quarters / bpm
        steps.append((_number(point.quarter), f"{np.float32(bpm):.9g}"))
    return steps


def meter_code(meter: MeterPoint) -> int:
    """A meter as Live numbers them: 201 is 4/4."""
    return meter.numerator - 1 + 99 * (meter.denominator.bit_length() - 1)


def _number(value: float) -> str:
    """A number without an exponent."""
    return f"{value:.12f}".rstrip("0").rstrip(".")


ABLETON = Target(
    name="ableton",
    title="Ableton Live",
    summary="a Live project folder, or your own Live Set with the stems in it",
    opens_in="Ableton Live 11 and newer",
    how_to=(
        "Open the .als file in Live, and leave it in its folder: the stems lie in Samples/Imported "
        "there. Let Live run at the sample rate of the song. The clips are not warped, so they "
        "play sample for sample, and the tempo of the Set follows the song. To give the song "
        "another tempo, select all clips, switch on Warp, and take the tempo automation away."
    ),
    carries=frozenset(
        {Part.AUDIO, Part.TEMPO, Part.SECTIONS, Part.BARS, Part.COLOURS, Part.AUTOMATION}
    ),
    encodings=ENCODINGS,
    links_stems=True,
    layout=frozenset(LayoutPart) - {LayoutPart.GROUPS},
    lead_in=LeadInLimits(shortest_quarters=1 / 4, fastest_bpm=999.0),
    own_projects=(".als",),
    confirmed=(
        "Not yet confirmed in Live itself: the Set has all that a Set of Live 11 has, and tempos, "
        "locators and clips are where they should be."
    ),
    write=write_ableton,
)
