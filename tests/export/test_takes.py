"""Takes in projects, read back by readers of the formats and played with nothing but numpy."""

import io
import itertools
import re
import subprocess
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import aaf2
import msgspec
import numpy as np
import pytest
import soundfile
import xmlschema
from lxml import etree

from tests.export.conftest import FRAMES, RATE, read_dawproject, read_rpp
from tests.export.test_aaf import AAFTOOL, samples_of
from tests.export.test_ableton import (
    ARRANGEMENT,
    clip_in,
    envelope,
    main_of,
    number,
    own_set,
    read_set,
    tempo_map,
    tracks_of,
    value,
)
from workstation.export import TARGETS, Part
from workstation.model import BeatGrid
from workstation.model.mixer import MixerState, Strip
from workstation.model.take import Take, TakeEvent, TakeStart
from workstation.perform.deck import Track as DeckTrack
from workstation.perform.render import render_take

HERE = Path(__file__).parent
NAMES = ("Drums", "Bass", "Other", "Vocals")
RAMP = round(0.005 * RATE)
CARRIERS = ["reaper", "dawproject", "ableton", "ardour", "aaf"]
# A stem's fader and the master's, each at its interpolation error of 0.1 dB.
ERROR = 10 ** (0.2 / 20) - 1
# Live's faders end at -70 dB.
FLOOR = {"reaper": 1e-4, "dawproject": 1e-4, "ableton": 4e-4, "ardour": 1e-4, "aaf": 1e-4}
DRIFTING = BeatGrid(tuple(0.05 + 0.5 * k + 0.01 * (k % 3) for k in range(8)), (1, 4, 7), 3)


def at(seconds, control, amount=1.0, over_s=0.0):
    return TakeEvent(round(seconds * RATE), control, amount, round(over_s * RATE))


def take_of(*events, start_s=0.0, length_s=4.0, mixer=None):
    start = TakeStart(round(start_s * RATE), False, None, mixer or MixerState.neutral(NAMES))
    ordered = tuple(sorted(events, key=lambda e: e.frame))
    take = Take("Night", NAMES, "dsp", RATE, start, round(length_s * RATE), ordered)
    take.check()
    return take


MOVES = (
    at(0.2, "Drums.gain", -90.0, 0.8),
    at(0.3, "Bass.pan", -0.7),
    at(0.5, "Vocals.solo"),
    at(0.7, "Vocals.solo", 0.0),
    at(0.9, "Other.mute"),
    at(1.0, "master.gain", -6.0, 0.5),
    at(1.1, "Drums.gain", 6.0, 0.4),
    at(1.2, "Other.mute", 0.0),
    at(1.25, "Vocals.gain", -3.0),
    at(1.26, "Vocals.gain", -4.0),
    at(1.4, "Other.pan", 0.4),
)
SET_BEFORE = MixerState(
    {**MixerState.neutral(NAMES).strips, "Bass": Strip(-9.0, 0.3), "Other": Strip(muted=True)}, -1.0
)
STRAIGHT = take_of(at(0.1, "transport.play"), *MOVES, start_s=0.8, length_s=2.5, mixer=SET_BEFORE)
JUMPS = take_of(
    at(0.1, "transport.play"), *MOVES, at(0.0, "loop.end", 1.8), at(0.0, "loop.start", 0.8),
    at(1.7, "loop.on", 0.0), at(1.9, "transport.seek", 0.2), at(2.2, "transport.play", 0.0),
    at(2.4, "transport.play"), at(3.1, "transport.seek", 3.0), start_s=0.8, length_s=3.6,
)  # fmt: skip


# -- reading back ---------------------------------------------------------------------------


class Strips:
    """What was read: clips (seconds), curves over some clock, and the clock of every frame."""

    def __init__(self, clock):
        self.clock = clock
        self.tracks = []
        self.master = []

    def add(self, samples, clips, volume, pan, mute):
        self.tracks.append((samples, clips, volume, pan, mute))

    def sound(self, frames, fader=lambda gains: gains):
        """The mix (frames, 2), and the sum of all absolute values in it.

        `fader` is how a program goes along the gains of one fader.
        """
        clock = self.clock(np.arange(frames) / RATE)
        mix, loudness = np.zeros((frames, 2)), np.zeros((frames, 2))
        for samples, clips, volume, pan, mute in self.tracks:
            lane = np.zeros((frames, 2))
            for start_s, offset_s, length_s in clips:
                start, offset = round(start_s * RATE), round(offset_s * RATE)
                length = min(round(length_s * RATE), frames - start)
                piece = samples[offset : offset + length]
                assert len(piece) == length
                lane[start : start + length] += piece
            position = curve_at(pan, clock, 0.0)
            gain = fader(curve_at(volume, clock, 1.0)) * fader(curve_at(self.master, clock, 1.0))
            gain = gain * (1 - held_at(mute, clock))
            sides = np.stack([np.minimum(1, 1 - position), np.minimum(1, 1 + position)], 1)
            lane *= gain[:, None] * sides
            mix += lane
            loudness += np.abs(lane)
        return mix, loudness


def curve_at(points, clock, neutral):
    if not points:
        return np.full(len(clock), neutral)
    places, values = zip(*points, strict=True)
    assert list(places) == sorted(places)
    return np.interp(clock, places, values)


def held_at(points, clock):
    if not points:
        return np.zeros(len(clock))
    places, values = zip(*points, strict=True)
    index = np.searchsorted(places, clock + 1e-9, side="right") - 1
    return np.array(values, float)[np.maximum(index, 0)]


def as_stereo(file):
    samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
    assert rate == RATE
    return np.broadcast_to(samples, (len(samples), 2))


def beats_of(tempos):
    """The quarter note of times in seconds, by a tempo map."""
    quarters = [quarter for quarter, _ in tempos.points] + [tempos.points[-1][0] + 1000]
    times = [tempos.time_at(quarter) for quarter in quarters]
    return lambda time_s: np.interp(time_s, times, quarters)


def read_reaper(report):
    folder = Path(report.folder)
    root, _ = read_rpp((folder / report.open_with).read_text(encoding="utf-8"))
    strips = Strips(lambda time_s: time_s)

    def points(parent, name, shape):
        found = parent.find(name)
        if found is None:
            return []
        lines = [line for line in found.children if line[0] == "PT"]
        assert {line[3] for line in lines} == {shape}
        assert ["ACT", "1", "-1"] in found.children
        if "VOL" in name:
            assert ["VOLTYPE", "0"] in found.children  # Straight in amplitude.
        return [(float(line[1]), float(line[2])) for line in lines]

    strips.master = points(root, "MASTERVOLENV2", "0")
    for track in root.findall("TRACK"):
        clips = []
        for item in track.findall("ITEM"):
            values = {c[0]: c[1:] for c in item.children if isinstance(c, list)}
            clips.append([float(values[k][0]) for k in ("POSITION", "SOFFS", "LENGTH")])
            path = next(c[1] for c in item.find("SOURCE").children if c[0] == "FILE")
        strips.add(
            as_stereo(folder / path),
            clips,
            points(track, "VOLENV2", "0"),
            [(t, -v) for t, v in points(track, "PANENV2", "0")],  # 1 is left there.
            [(t, 1 - v) for t, v in points(track, "MUTEENV", "1")],
        )
    return strips


def read_daw(report):
    path = Path(report.folder) / report.open_with
    root, tempos, _ = read_dawproject(path)
    strips = Strips(beats_of(tempos))
    audio = zipfile.ZipFile(path)

    def points(lane, parameter, kind):
        for element in lane.findall("Points"):
            if element.find("Target").get("parameter") == parameter:
                found = element.findall(kind)
                assert {p.get("interpolation") for p in found} <= {None, "linear"}
                return [(float(p.get("time")), p.get("value")) for p in found]
        return []

    for lane in root.find("Arrangement/Lanes"):
        track = lane.get("track")
        volume = points(lane, f"{track.removesuffix('track')}volume", "RealPoint")
        if track == "mastertrack":
            strips.master = [(t, float(v)) for t, v in volume]
            continue
        clips = []
        for clip in lane.find("Clips"):
            inner = clip.find("Clips/Clip")
            assert (inner.get("contentTimeUnit"), clip.get("playStart")) == ("seconds", "0")
            begin, length = float(clip.get("time")), float(clip.get("duration"))
            start_s = tempos.time_at(begin)
            clips.append(
                (start_s, float(inner.get("playStart")), tempos.time_at(begin + length) - start_s)
            )
        file = io.BytesIO(audio.read(inner.find("Audio/File").get("path")))
        strips.add(
            as_stereo(file),
            clips,
            [(t, float(v)) for t, v in points(lane, f"{track}volume", "RealPoint")],
            [(t, 2 * float(v) - 1) for t, v in points(lane, f"{track}pan", "RealPoint")],
            [(t, v == "true") for t, v in points(lane, f"{track}mute", "BoolPoint")],
        )
    return strips


def read_live(report):
    path = Path(report.folder) / report.open_with
    live_set = read_set(path)
    tempos = tempo_map(live_set)
    strips = Strips(beats_of(tempos))

    def events(track, parameter):
        target = track.find(f"DeviceChain/Mixer/{parameter}/AutomationTarget").get("Id")
        ids = [value(e, "EnvelopeTarget/PointeeId")
               for e in track.find("AutomationEnvelopes/Envelopes")]  # fmt: skip
        assert len(set(ids)) == len(ids)
        return envelope(track, parameter) if target in ids else []

    strips.master = [(t, float(v)) for t, v in events(main_of(live_set), "Volume")]
    for track in tracks_of(live_set):
        clips = []
        pieces = list(track.find(ARRANGEMENT))
        assert len({p.get("Id") for p in pieces}) == len(pieces)
        for clip in pieces:
            assert clip.get("Time") == value(clip, "CurrentStart")
            start_s = tempos.time_at(number(clip, "CurrentStart"))
            end_s = tempos.time_at(number(clip, "CurrentEnd"))
            begin, end = number(clip, "Loop/LoopStart"), number(clip, "Loop/LoopEnd")
            assert end - begin == pytest.approx(end_s - start_s, abs=2e-5)
            clips.append((start_s, begin, end - begin))
        strips.add(
            as_stereo(path.parent / value(pieces[0], "SampleRef/FileRef/RelativePath")),
            clips,
            [(t, float(v)) for t, v in events(track, "Volume")],
            [(t, float(v)) for t, v in events(track, "Pan")],
            [(t, v == "false") for t, v in events(track, "Speaker")],
        )
    return strips


def read_ardour(report):
    path = Path(report.folder) / report.open_with
    root = ElementTree.parse(path).getroot()
    strips = Strips(lambda time_s: time_s)
    audio = path.parent / "interchange" / path.stem / "audiofiles"
    sources = {s.get("id"): s.get("name") for s in root.find("Sources")}
    playlists = {p.get("orig-track-id"): p for p in root.find("Playlists")}

    def seconds(text):
        assert text[0] == "a"
        return int(text[1:]) / 282_240_000

    def points(parent, kind):
        found = parent.find(f"Automation/AutomationList[@automation-id='{kind}']")
        if found is None:
            return []
        assert (found.get("state"), found.get("interpolation-style")) == ("Play", "Linear")
        lines = [line.split() for line in found.find("events").text.splitlines()]
        assert all(a != b for (a, _), (b, _) in itertools.pairwise(lines))
        return [(seconds(at), float(value)) for at, value in lines]

    for route in root.find("Routes"):
        gain = points(route.find("Processor[@type='amp']"), "gain")
        if route.get("name") == "Master":
            strips.master = gain
            continue
        panner, pan = route.find("Processor/PannerShell"), []
        if panner.get("bypassed") == "0":
            assert panner.get("user-panner").endswith("panner_balance")
            assert len(route.findall("IO[@direction='Input']/Port")) == 2
            pan = [(t, 2 * v - 1) for t, v in points(route.find("Pannable"), "pan-azimuth")]
        regions = list(playlists[route.get("id")])
        clips = []
        for region in regions:
            length, at_ = region.get("length").split("@")
            clips.append(tuple(map(seconds, (at_, region.get("start"), length))))
        file = audio / sources[regions[0].get("source-0")]
        strips.add(as_stereo(file), clips, gain, pan, [])
    return strips


def read_aaf(report):
    strips = Strips(lambda time_s: time_s)
    with aaf2.open(str(Path(report.folder) / report.open_with)) as file:
        (composition,) = file.content.toplevel()
        for slot in composition.slots:
            if slot.media_kind == "Sound":
                strips.add(*track_in_aaf(slot), [], [])
    return strips


def track_in_aaf(slot):
    """Samples, clips and level of a track; a level belongs to its clip."""
    clips, volume, at_frame = [], [], 0
    for part in slot.segment.components:
        inner, length = part, part.length
        if isinstance(inner, aaf2.components.Filler):
            at_frame += length
            continue
        if getattr(inner, "operation", None) and inner.operation.name == "Mono Audio Gain":
            (parameter,) = inner.parameters
            assert parameter.parameterdef.name == "Amplitude"
            assert parameter.interpolationdef.name == "LinearInterp"
            points = [(p.time, p.value) for p in parameter.pointlist]
            assert (points[0][0], points[-1][0]) == (0, 1)
            assert all(a < b for (a, _), (b, _) in itertools.pairwise(points))
            volume += [((at_frame + t * length) / RATE, value) for t, value in points]
            (inner,) = inner.segments
        sources = list(inner.segments) if hasattr(inner, "segments") else [inner]
        clips.append((at_frame / RATE, sources[0].start / RATE, length / RATE))
        at_frame += length
    assert at_frame == slot.segment.length
    samples = np.stack([samples_of(clip) / 2**23 for clip in sources], 1)
    return np.broadcast_to(samples, (len(samples), 2)), clips, volume


READERS = {
    "aaf": read_aaf,
    "reaper": read_reaper,
    "dawproject": read_daw,
    "ableton": read_live,
    "ardour": read_ardour,
}


def rendered(take, stem_files):
    tracks = [
        DeckTrack(name, np.ascontiguousarray(samples.T))
        for name, (_, samples) in zip(NAMES, stem_files.values(), strict=True)
    ]
    return np.concatenate(list(render_take(tracks, take)))


def fading(take, edges):
    """Frames at which the take fades what a project switches at once."""
    blurred = np.zeros(take.length_frames, bool)
    frames = [e.frame for e in take.events if e.control.endswith(("mute", "solo", "play", "seek"))]
    for frame in (*frames, *edges):
        blurred[max(0, frame - RAMP - 2) : frame + RAMP + 2] = True
    return blurred


def exact(target):
    return "float32" if "float32" in TARGETS[target].encodings else "pcm24"


def carried(take, target):
    """What of a take can be carried: a stereo clip in an AAF has no place."""
    if target != "aaf":
        return take
    strips = {name: Strip(s.gain_db, 0.0, s.muted) for name, s in take.start.mixer.strips.items()}
    mixer = MixerState(strips, take.start.mixer.master_db)
    return msgspec.structs.replace(
        take,
        start=msgspec.structs.replace(take.start, mixer=mixer),
        events=tuple(e for e in take.events if not e.control.endswith("pan")),
    )


# -- the sound --------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", [None, DRIFTING])
@pytest.mark.parametrize("target", CARRIERS)
def test_a_straight_take_sounds_as_it_was_rendered(
    make_project, export_to, stem_files, target, grid
):
    take = carried(STRAIGHT, target)
    project = make_project(take=take, grid=grid)
    strips = READERS[target](export_to(project, target, encoding=exact(target)))
    assert all(len(clips) == 1 for _, clips, *_ in strips.tracks)
    wanted = rendered(take, stem_files)[round(0.1 * RATE) :]
    mix, loudness = strips.sound(FRAMES)
    start = round(0.8 * RATE)
    found, loudness = (a[start : start + len(wanted)] for a in (mix, loudness))
    steady = ~fading(STRAIGHT, [])[-len(wanted) :]
    error = np.abs(found - wanted)[steady]
    assert np.all(error <= loudness[steady] * ERROR + FLOOR[target])
    left = np.sqrt(np.mean((found - wanted)[steady] ** 2) / np.mean(wanted[steady] ** 2))
    assert 20 * np.log10(left) < -46  # Hardly any of it is as bad as the bound.


@pytest.mark.parametrize("grid", [None, DRIFTING])
@pytest.mark.parametrize("target", CARRIERS)
def test_a_take_with_jumps_sounds_as_it_was_rendered(
    make_project, export_to, stem_files, target, grid
):
    take = carried(JUMPS, target)
    report = export_to(make_project(take=take, grid=grid), target, encoding=exact(target))
    strips = READERS[target](report)
    clips = strips.tracks[0][1]
    assert len(clips) == 5  # The song, the return of the loop, two seeks, the pause.
    wanted = rendered(take, stem_files)[round(0.1 * RATE) :]
    found, loudness = strips.sound(len(wanted))
    edges = [round((0.1 + start_s) * RATE) for start_s, _, _ in clips]
    steady = ~fading(JUMPS, edges)[-len(wanted) :]
    assert steady.mean() > 0.8
    error = np.abs(found - wanted)[steady]
    assert np.all(error <= loudness[steady] * ERROR + FLOOR[target])
    assert "where the take starts to play" in report.lead_in
    assert any("5 pieces" in words for words in report.dropped)


@pytest.mark.parametrize("target", CARRIERS)
def test_markers_and_meters_follow_the_jumps(make_project, export_to, target):
    project = make_project(
        take=take_of(
            at(0, "transport.play"), at(0, "loop.end", 3.3), at(0, "loop.start", 1.3),
            start_s=1.3, length_s=6.0,
        )
    )  # fmt: skip
    report = export_to(project, target)
    folder = Path(report.folder)
    if target == "reaper":
        root, points = read_rpp((folder / report.open_with).read_text(encoding="utf-8"))
        marks = [float(m[2]) for m in root.children if isinstance(m, list) and m[0] == "MARKER"]
        assert {round(bpm, 3) for _, bpm, *_ in points} == {120.0}
    elif target == "dawproject":
        root, tempos, meters = read_dawproject(folder / report.open_with)
        marks = [tempos.time_at(float(m.get("time"))) for m in root.iter("Marker")]
        assert meters == [(0.0, 4, 4)]
    elif target == "aaf":
        with aaf2.open(str(folder / report.open_with)) as file:
            (composition,) = file.content.toplevel()
            marks = [e["Position"].value / RATE for slot in composition.slots
                     if slot.media_kind == "DescriptiveMetadata"
                     for e in slot.segment.components]  # fmt: skip
    elif target == "ardour":
        root = ElementTree.parse(folder / report.open_with).getroot()
        marks = [int(x.get("start")[1:]) / 282_240_000 for x in root.iter("Location")
                 if x.get("flags") == "IsMark"]  # fmt: skip
        assert [float(t.get("npm")) for t in root.iter("Tempo")] == pytest.approx([120])
    else:
        live_set = read_set(folder / report.open_with)
        tempos = tempo_map(live_set)
        marks = [tempos.time_at(number(x, "Time"))
                 for x in live_set.findall("Locators/Locators/Locator")]  # fmt: skip
    assert marks == pytest.approx([0, 2, 4], abs=1e-4)  # The section that is looped.


# -- the files -------------------------------------------------------------------------------


@pytest.mark.parametrize("take", [STRAIGHT, JUMPS])
def test_a_take_in_a_dawproject_obeys_the_official_schema(make_project, export_to, take):
    report = export_to(make_project(take=take), "dawproject")
    with zipfile.ZipFile(Path(report.folder) / report.open_with) as archive:
        text = archive.read("project.xml")
    xmlschema.XMLSchema(str(HERE / "schema" / "Project.xsd")).validate(text.decode())
    etree.XMLSchema(etree.parse(str(HERE / "schema" / "Project.xsd"))).assertValid(
        etree.fromstring(text)
    )


def test_a_take_in_a_live_set_keeps_it_whole(make_project, export_to):
    report = export_to(make_project(take=JUMPS), "ableton")
    live_set = read_set(Path(report.folder) / report.open_with)
    targets = [int(e.get("Id")) for e in live_set.iter() if str(e.tag).endswith("Target")
               and e.get("Id")]  # fmt: skip
    for envelopes in live_set.iter("Envelopes"):
        for pointee in envelopes.iter("PointeeId"):
            assert int(pointee.get("Value")) in targets
    for events in live_set.iter("Events"):
        times = [float(e.get("Time")) for e in events if e.get("Value")]
        assert times == sorted(times)
        ids = [e.get("Id") for e in events]
        assert len(set(ids)) == len(ids)
    # Warp markers hold the song's own grid in every piece.
    markers = [[(m.get("SecTime"), m.get("BeatTime")) for m in clip.find("WarpMarkers")]
               for track in tracks_of(live_set) for clip in track.find(ARRANGEMENT)]  # fmt: skip
    assert all(found == markers[0] for found in markers)
    assert float(markers[0][-2][0]) == pytest.approx(FRAMES / RATE, abs=1e-9)


def test_an_own_set_keeps_its_main_track_and_tells_what_gave_way(make_project, export_to, tmp_path):
    own = own_set(tmp_path, "Drums", "Bass")
    report = export_to(make_project(take=STRAIGHT), "ableton", own_project=own)
    live_set = read_set(Path(report.folder) / report.open_with)
    main = main_of(live_set)
    volume = main.find("DeviceChain/Mixer/Volume/AutomationTarget").get("Id")
    assert volume not in [p.get("Value") for p in main.iter("PointeeId")]
    words = " ".join(report.dropped)
    assert "main track of your Set stays" in words
    assert "your own tracks" in words
    drums = next(t for t in tracks_of(live_set) if value(t, "Name/EffectiveName") == "Drums")
    assert clip_in(drums) is not None
    assert len(envelope(drums, "Volume")) > 20


@pytest.mark.parametrize("target", TARGETS)
def test_the_report_tells_what_becomes_of_a_take(make_project, export_to, target):
    take = take_of(at(0.1, "transport.play"), at(0.5, "Drums.filter", 0.5), *MOVES)
    report = export_to(make_project(take=take), target)
    text = " ".join((Path(report.folder) / "README.txt").read_text(encoding="utf-8").split())
    words = " ".join(report.dropped)
    if Part.AUTOMATION in TARGETS[target].carries:
        assert "The filters of the take, on Drums. Moves: 1." in words
        assert "The take Night." not in words
        assert "Take Night: its mixer moves from 0:00.0 to 0:03.9 of the project" in text
        assert "sum to the song" not in text
    else:
        assert "The take Night." in words
        assert "Take Night:" not in text
    assert " ".join(words.split()[:4]) in text


def test_without_a_take_nothing_is_said_of_one(make_project, export_to):
    for target in TARGETS:
        report = export_to(make_project(), target)
        assert not any("take" in words for words in report.dropped)


@pytest.mark.parametrize("target", CARRIERS)
def test_a_lane_that_never_moves_is_not_written(make_project, export_to, target):
    take = take_of(at(0, "transport.play"), at(1, "Bass.mute"))
    strips = READERS[target](export_to(make_project(take=take), target))
    assert not strips.master
    if target in ("ardour", "aaf"):  # A mute is silence of the fader.
        volumes = [[v for _, v in volume] for _, _, volume, _, _ in strips.tracks]
        assert volumes == [[], [1, 1, 0, *[0] * (target == "aaf")], [], []]
        assert strips.tracks[1][2][2][0] == pytest.approx(1, abs=1e-9)
        return
    for index, (_, _, volume, pan, mute) in enumerate(strips.tracks):
        assert (volume, pan) == ([], [])
        assert bool(mute) == (index == 1)
    ((_, first), (place, second)) = strips.tracks[1][4]
    assert (first, second) == (0, 1)
    assert strips.clock(1.0) == pytest.approx(place, abs=1e-6)


def test_identifiers_of_a_reaper_project_with_pieces_are_unique(make_project, export_to):
    report = export_to(make_project(take=JUMPS), "reaper")
    text = (Path(report.folder) / report.open_with).read_text(encoding="utf-8")
    lines = [line.split() for line in text.splitlines()]
    for kind in ("IGUID", "GUID", "EGUID"):
        found = [words[1] for words in lines if words[0] == kind]
        assert len(set(found)) == len(found)
    assert all(a != b for a, b in itertools.pairwise(text.splitlines()) if "PT " in a)


@pytest.mark.skipif(AAFTOOL is None, reason="aaftool of libaaf is not installed")
@pytest.mark.parametrize("take", [STRAIGHT, JUMPS])
def test_libaaf_reads_the_levels_of_a_take(make_project, export_to, take):
    report = export_to(make_project(take=take), "aaf")
    path = Path(report.folder) / report.open_with
    done = subprocess.run(
        [AAFTOOL, "--no-color", "--aaf-clips", "--show-automation", "--pos-format=samples", path],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    tracks = done.stdout.split("AudioTrack[")[1:]
    for text, (_, clips, volume, _, _) in zip(tracks, read_aaf(report).tracks, strict=True):
        parts = text.split("Clip (")[1:]
        for part, (start_s, _, length_s) in zip(parts, clips, strict=True):
            start, length = (int(re.search(rf"{k}: (\d+)", part)[1]) for k in ("Start", "Len"))
            assert (start, length) == (round(start_s * RATE), round(length_s * RATE))
            if held := re.search(r"Gain: ([-+\d.]+) dB", part):  # A level that never moves.
                found = np.array([start, start + length]), [10 ** (float(held[1]) / 20)] * 2
            elif points := re.findall(r"_time: ([\d.]+) +_value: ([\d.]+)", part):
                times, values = np.array(points, float).T
                found = start + times * length, values
            else:
                found = [start], [1]
            frames = np.arange(start + 3, start + length - 3, 7)
            wanted = curve_at(volume, frames / RATE, 1.0)
            near = np.abs(np.interp(frames, *found) - wanted)
            # Places are printed to a millionth of the clip, held levels to a tenth of a dB.
            assert np.quantile(near, 0.99) < 0.01
