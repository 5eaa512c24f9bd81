"""Live Sets, read back with nothing but gzip and an XML parser."""

import copy
import gzip
import itertools
import os
import shutil
import tracemalloc
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from lxml import etree

from tests.export.conftest import FRAMES, ONES_OWN, RATE, TempoMap, worst_beat_s
from tests.export.test_lead_in import grids
from workstation.audio import write_audio
from workstation.export import ExportOptions, Project, Timeline, Track, lay_out
from workstation.export.ableton import ABLETON, nearest_colour, set_times
from workstation.export.als import MAX_XML_BYTES, LiveSet, new_set
from workstation.export.target import Plan
from workstation.model import BeatGrid, InputError, Section, UsageError

GOLDEN = Path(__file__).parent / "golden" / "live-set.xml"
DRIFTING = BeatGrid(tuple(0.05 + 0.5 * k + 0.01 * (k % 3) for k in range(8)), (1, 4, 7), 3)
SHORTEST_S = 60 / 999 / 4
ODD = "A \"q\" 's' `b` <x>&\x00\n>歌🎛️ \ud83d\uffff\u202e ../x"
ARRANGEMENT = "DeviceChain/MainSequencer/Sample/ArrangerAutomation/Events"


def read_set(path):
    """The `LiveSet` element of an `.als`."""
    return parse_set(Path(path).read_bytes())


def parse_set(data):
    assert data[:2] == b"\x1f\x8b"
    text = gzip.decompress(data)
    assert text.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n<Ableton MajorVersion="5"')
    return etree.fromstring(text).find("LiveSet")


def value(element, path):
    return element.find(path).get("Value")


def number(element, path):
    return float(value(element, path))


def main_of(live_set):
    main = live_set.find("MasterTrack")
    return live_set.find("MainTrack") if main is None else main


def envelope(track, parameter):
    """Events (quarter, value) of the one envelope of a mixer's parameter, and its first value."""
    target = track.find(f"DeviceChain/Mixer/{parameter}/AutomationTarget").get("Id")
    (found,) = [
        e
        for e in track.find("AutomationEnvelopes/Envelopes")
        if value(e, "EnvelopeTarget/PointeeId") == target
    ]
    events = [(float(e.get("Time")), e.get("Value")) for e in found.find("Automation/Events")]
    assert events[0][0] == -63072000
    assert [t for t, _ in events] == sorted(t for t, _ in events)
    assert events[0][1] == value(track, f"DeviceChain/Mixer/{parameter}/Manual")
    return events


def tempo_map(live_set):
    """The tempo map: events are joined by lines, so a tempo holds only between equal ones."""
    events = [(t, float(v)) for t, v in envelope(main_of(live_set), "Tempo")]
    for (start, a), (end, b) in itertools.pairwise(events):
        assert a == b or start == end
    for time, bpm in events:
        assert 19.9999 < bpm <= 999.0001
        assert bpm == pytest.approx(float(np.float32(bpm)), rel=1e-8)
        assert time % 0.25 == 0  # Live looks at the tempo on sixteenths only.
    steps = {max(0.0, time): bpm for time, bpm in events}
    return TempoMap(list(steps.items()))


def meters_of(live_set):
    meters = []
    for time, code in envelope(main_of(live_set), "TimeSignature"):
        numerator, denominator = int(code) % 99 + 1, 2 ** (int(code) // 99)
        assert denominator <= 16
        meters.append((max(0.0, time), numerator, denominator))
    return meters


def pointees(live_set):
    return [
        int(e.get("Id"))
        for e in live_set.iter()
        if e.get("Id") and (e.tag.endswith("Target") or e.tag == "Pointee")
    ]


def tracks_of(live_set):
    return live_set.find("Tracks").findall("AudioTrack")


def clip_in(track):
    (clip,) = track.find(ARRANGEMENT)
    return clip


@pytest.fixture
def exported(make_project, export_to):
    """Exports, and gives the report, the project folder and the Set."""

    def run(project=None, **options):
        report = export_to(project or make_project(), "ableton", **options)
        file = Path(report.folder) / report.open_with
        return report, file.parent, read_set(file)

    return run


# -- the Set ---------------------------------------------------------------------------------


def test_every_stem_is_a_named_coloured_track_at_unity_with_one_clip(exported):
    report, folder, live_set = exported()
    assert report.open_with == "Song one two Project/Song one two.als"
    assert (folder / "Ableton Project Info").is_dir()
    tracks = tracks_of(live_set)
    assert [value(t, "Name/EffectiveName") for t in tracks] == ["Drums", "Bass", "Other", "Vocals"]
    assert [value(t, "Name/UserName") for t in tracks] == ["Drums", "Bass", "Other", "Vocals"]
    assert len({value(t, "Color") for t in tracks}) == 4
    tempos = tempo_map(live_set)
    for track in tracks:
        assert value(track, "DeviceChain/Mixer/Volume/Manual") == "1"
        assert value(track, "DeviceChain/Mixer/Pan/Manual") == "0"
        assert value(track, "DeviceChain/Mixer/Speaker/Manual") == "true"
        assert len(track.find("DeviceChain/Mixer/Sends")) == 0
        clip = clip_in(track)
        assert clip.get("Time") == value(clip, "CurrentStart") == "0"
        assert tempos.time_at(number(clip, "CurrentEnd")) == pytest.approx(FRAMES / RATE, abs=1e-5)
        for end in ("LoopEnd", "OutMarker", "HiddenLoopEnd"):
            assert number(clip, f"Loop/{end}") == pytest.approx(FRAMES / RATE, abs=1e-9)
        assert value(clip, "IsWarped") == value(clip, "Loop/LoopOn") == "false"
        assert value(clip, "Fade") == "false"
        assert (value(clip, "SampleVolume"), value(clip, "PitchCoarse")) == ("1", "0")
        assert value(clip, "Color") == value(track, "Color")
        assert value(clip, "SampleRef/DefaultDuration") == str(FRAMES)
        assert value(clip, "SampleRef/DefaultSampleRate") == str(RATE)


def test_the_audio_is_that_of_the_stems_to_the_bit(exported, stem_files):
    _, folder, live_set = exported(encoding="float32")
    for track, (_, samples) in zip(tracks_of(live_set), stem_files.values(), strict=True):
        file = clip_in(track).find("SampleRef/FileRef")
        assert (value(file, "RelativePathType"), value(file, "Path")) == ("3", "")
        path = folder / value(file, "RelativePath")
        assert value(file, "OriginalFileSize") == str(path.stat().st_size)
        read, rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert rate == RATE
        assert np.array_equal(read.T, samples)


def test_all_encodings_are_found_by_the_set(exported):
    for encoding in ABLETON.encodings:
        _, folder, live_set = exported(encoding=encoding, overwrite=True)
        for track in tracks_of(live_set):
            path = value(clip_in(track), "SampleRef/FileRef/RelativePath")
            assert (folder / path).is_file()


def test_a_moved_folder_finds_its_stems_and_nothing_names_the_old_place(exported, tmp_path):
    report, folder, _ = exported()
    moved = tmp_path / "else where" / "歌"
    moved.parent.mkdir()
    shutil.move(folder, moved)
    text = gzip.decompress((moved / Path(report.open_with).name).read_bytes())
    assert str(tmp_path).encode() not in text
    for track in tracks_of(etree.fromstring(text).find("LiveSet")):
        assert (moved / value(clip_in(track), "SampleRef/FileRef/RelativePath")).is_file()


def test_ids_are_unique_and_below_the_next_one(exported, make_project):
    tracks = make_project().tracks * 6
    _, _, live_set = exported(make_project(tracks=tracks))
    ids = pointees(live_set) + [int(t.get("Id")) for t in live_set.find("Tracks")]
    assert len(set(ids)) == len(ids)
    assert max(ids) < int(value(live_set, "NextPointeeId"))
    for parent in live_set.iter("Events", "WarpMarkers", "Envelopes", "Locators"):
        local = [child.get("Id") for child in parent if child.get("Id")]
        assert len(set(local)) == len(local)


def test_the_schema_holds_together(exported):
    _, _, live_set = exported()
    scenes = len(live_set.find("Scenes"))
    for slots in live_set.find("Tracks").iter("ClipSlotList"):
        assert len(slots) == scenes
    assert live_set.find("Tracks").findall("ReturnTrack") == []
    assert len(live_set.find("SendsPre")) == 0


@pytest.mark.parametrize("grid", [None, DRIFTING, BeatGrid.constant(bpm=93.7, first_beat_s=3.1,
                                  duration_s=4, beats_per_bar=3)])  # fmt: skip
def test_beats_and_sections_are_where_they_are_in_the_song(exported, make_project, grid):
    project = make_project(grid=grid)
    _, _, live_set = exported(project)
    tempos, meters = tempo_map(live_set), meters_of(live_set)
    if grid is not None:
        assert worst_beat_s(grid, tempos, meters) < 30e-6
    else:
        assert (tempos.points, meters) == ([(0.0, 120.0)], [(0.0, 4, 4)])
    locators = live_set.findall("Locators/Locators/Locator")
    assert [value(x, "Name") for x in locators] == ["A", "B"]
    for locator, section in zip(locators, project.sections, strict=True):
        assert tempos.time_at(number(locator, "Time")) == pytest.approx(section.start_s, abs=1e-4)
    assert len(live_set.findall("MasterTrack/AutomationEnvelopes/Envelopes/*")) == 2


def test_bars_become_locators_when_asked_for(exported):
    _, _, live_set = exported(bar_markers=True)
    names = [value(x, "Name") for x in live_set.findall("Locators/Locators/Locator")]
    assert names == ["A", "B", "Bar 3"]


def test_warp_markers_hold_the_grid_for_whoever_switches_warp_on(exported, make_project):
    _, _, live_set = exported(make_project(grid=DRIFTING))
    tempos = tempo_map(live_set)
    for track in tracks_of(live_set):
        markers = [(float(m.get("SecTime")), float(m.get("BeatTime")))
                   for m in clip_in(track).find("WarpMarkers")]  # fmt: skip
        assert markers[0] == (0, 0)
        for (s, b), (t, c) in itertools.pairwise(markers):
            assert s < t
            assert b < c
        for second, beat in markers:
            assert tempos.time_at(beat) == pytest.approx(second, abs=1e-5)
        assert markers[-2][0] == pytest.approx(FRAMES / RATE, abs=1e-9)


def test_a_first_beat_too_early_for_a_sixteenth_of_300_bpm_is_met_all_the_same(
    exported, make_project
):
    grid = BeatGrid.constant(bpm=120, first_beat_s=0.02, duration_s=4)
    report, _, live_set = exported(make_project(grid=grid))
    assert worst_beat_s(grid, tempo_map(live_set), meters_of(live_set)) < 1e-6
    assert meters_of(live_set)[0] == (0.0, 1, 16)
    assert "runs at 750.0 bpm" in report.lead_in
    assert "will not follow" not in report.lead_in


@settings(deadline=None, max_examples=100)
@given(grid=grids())
@example(grid=BeatGrid.constant(bpm=120, first_beat_s=0.0151, duration_s=8))
@example(grid=BeatGrid.constant(bpm=120, first_beat_s=0.0149, duration_s=8))
@example(grid=BeatGrid.constant(bpm=1100, first_beat_s=0.3, duration_s=3, beats_per_bar=32))
def test_every_set_meets_every_beat(grid):
    frames = round((grid.beats_s[-1] + 1) * RATE)
    project = Project(title="T", artist="", tracks=(), sample_rate_hz=RATE, frames=frames,
                      grid=grid)  # fmt: skip
    timeline = Timeline.of(grid, project.duration_s, limits=ABLETON.lead_in)
    live_set, _, _ = new_set()
    set_times(live_set, Plan(project, timeline, ExportOptions()))
    read = parse_set(live_set.to_bytes())
    lost = grid.beats_s[0] if grid.beats_s[0] < SHORTEST_S else 0.0
    assert worst_beat_s(grid, tempo_map(read), meters_of(read)) < lost + 1e-4


def test_a_long_song_does_not_drift(make_project):
    rng = np.random.default_rng(3)
    beats = 0.31 + np.cumsum(0.5 * (1 + 0.04 * rng.uniform(-1, 1, 3000)))
    grid = BeatGrid(tuple(beats.tolist()), tuple(range(0, 3000, 4)), 4)
    project = make_project(grid=grid, frames=1510 * RATE, sections=())
    live_set, _, _ = new_set()
    timeline = Timeline.of(grid, 1510.0, limits=ABLETON.lead_in)
    set_times(live_set, Plan(project, timeline, ExportOptions()))
    read = parse_set(live_set.to_bytes())
    points = tempo_map(read).points
    spans = [(b - a) * 60 / bpm for (a, bpm), (b, _) in itertools.pairwise(points)]
    found = np.cumsum(spans)  # The lead-in ends on the first beat, and so on.
    assert np.abs(found - beats[: len(found)]).max() < 20e-6


@pytest.mark.parametrize("name", [ODD, "鼓と声 🥁", "x" * 300, "& < > \" ' ]]>", "#"])
def test_odd_names_arrive_as_text(exported, make_project, name):
    tracks = tuple(Track(name, t.path, t.colour) for t in make_project().tracks)
    sections = (Section(0.0, 4.0, name),)
    _, folder, live_set = exported(make_project(title=name, tracks=tracks, sections=sections))
    shown = [value(t, "Name/EffectiveName") for t in tracks_of(live_set)]
    assert len(shown) == 4
    assert len(set(shown)) == 1
    if name != ODD:
        assert shown[0] == name == value(live_set, "Locators/Locators/Locator/Name")
    paths = {value(clip_in(t), "SampleRef/FileRef/RelativePath") for t in tracks_of(live_set)}
    assert len(paths) == 4
    assert all((folder / path).is_file() for path in paths)


def test_colours_are_the_nearest_of_the_palette():
    assert nearest_colour("#ff94a6") == 0
    assert nearest_colour("#3c3c3c") == 69
    assert nearest_colour("#000000") == 69
    assert nearest_colour("#fe3737") == 14


def test_the_set_equals_the_golden_one(exported, make_project):
    report, folder, _ = exported(make_project(grid=DRIFTING, title="Golden"), bar_markers=True)
    text = gzip.decompress((folder / "Golden.als").read_bytes())
    assert report.open_with == "Golden Project/Golden.als"
    if os.environ.get("UPDATE_GOLDEN"):  # After a change that is wanted; read the diff.
        GOLDEN.write_bytes(text)
    assert text == GOLDEN.read_bytes(), f"{GOLDEN.name} has changed"


def test_the_same_project_gives_the_same_bytes(exported):
    _, folder, _ = exported()
    first = (folder / "Song one two.als").read_bytes()
    _, folder, _ = exported(overwrite=True)
    assert (folder / "Song one two.als").read_bytes() == first


# -- the user's own Set ------------------------------------------------------------------------


def own_set(tmp_path, *names, change=None, version="11"):
    """A Set as a user may have it: two returns, a MIDI track, a device, and audio tracks."""
    live_set, plain, clip = new_set()
    for name in names:
        track = live_set.add_track(plain, name)
        track.find("Color").set("Value", "42")
        track.find("DeviceChain/Mixer/Volume/Manual").set("Value", "0.5")
        devices = track.find("DeviceChain/DeviceChain/Devices")
        devices.append(etree.fromstring('<Reverb Id="3"><On Value="true"/></Reverb>'))
        track.find("DeviceChain/MainSequencer/Recorder/IsArmed").set("Value", "true")
        etree.SubElement(track.find("DeviceChain/Mixer/Volume"), "KeyMidi").append(
            etree.Element("Channel", Value="1")
        )
        track.find(ARRANGEMENT).append(copy.deepcopy(clip))
        for number in range(2):
            holder = etree.SubElement(
                track.find("DeviceChain/Mixer/Sends"), "TrackSendHolder", Id=str(number)
            )
            send = copy.deepcopy(track.find("DeviceChain/Mixer/Pan"))
            send.tag = "Send"
            for target in send.iter("AutomationTarget", "ModulationTarget"):
                target.set("Id", live_set.new_id())
            send.find("Manual").set("Value", "0.7")
            holder.append(send)
    for tag, name in (("MidiTrack", "Keys"), ("ReturnTrack", "B"), ("ReturnTrack", "A")):
        live_set.add_track(plain, name).tag = tag
    root = etree.fromstring(gzip.decompress(live_set.to_bytes()))
    if version == "12":
        root.set("MinorVersion", "12.0_12117")
        root.find("LiveSet/MasterTrack").tag = "MainTrack"
    if change:
        change(root)
    path = tmp_path / "Mine.als"
    path.write_bytes(gzip.compress(b'<?xml version="1.0" encoding="UTF-8"?>\n'
                                   + etree.tostring(root, encoding="UTF-8")))  # fmt: skip
    return path


def without_what_may_change(live_set, filled, added):
    """The Set as text without the places that an export sets."""
    live_set = copy.deepcopy(live_set)
    main = main_of(live_set)
    for path in ("NextPointeeId", "Locators"):
        live_set.remove(live_set.find(path))
    for path in ("Tempo", "TimeSignature"):
        main.find(f"DeviceChain/Mixer/{path}/Manual").set("Value", "")
    targets = {main.find(f"DeviceChain/Mixer/{p}/AutomationTarget").get("Id")
               for p in ("Tempo", "TimeSignature")}  # fmt: skip
    envelopes = main.find("AutomationEnvelopes/Envelopes")
    for found in list(envelopes):
        if value(found, "EnvelopeTarget/PointeeId") in targets:
            envelopes.remove(found)
    for track in tracks_of(live_set):
        name = value(track, "Name/EffectiveName")
        if name in added:
            track.getparent().remove(track)
        elif name in filled:
            track.find(ARRANGEMENT)[:] = []
    parser = etree.XMLParser(remove_blank_text=True)
    return etree.tostring(etree.fromstring(etree.tostring(live_set), parser), method="c14n2")


@pytest.mark.parametrize("version", ["11", "12"])
def test_an_own_set_is_filled_and_everything_else_stays(exported, tmp_path, version):
    own = own_set(tmp_path, "Guitar", "BASS", "vocals", version=version)
    before = own.read_bytes()
    report, folder, live_set = exported(own_project=own)
    assert own.read_bytes() == before
    was = read_set(own)
    assert [(t.tag, value(t, "Name/EffectiveName")) for t in live_set.find("Tracks")] == [
        ("AudioTrack", "Guitar"), ("AudioTrack", "BASS"), ("AudioTrack", "vocals"),
        ("MidiTrack", "Keys"), ("AudioTrack", "Drums"), ("AudioTrack", "Other"),
        ("ReturnTrack", "A"), ("ReturnTrack", "B"),
    ]  # fmt: skip
    added, filled = {"Drums", "Other"}, {"BASS", "vocals"}
    assert without_what_may_change(live_set, filled, added) == without_what_may_change(
        was, filled, ()
    )
    for track in tracks_of(live_set):
        name = value(track, "Name/EffectiveName")
        if name in added | filled:
            clip = clip_in(track)
            assert (folder / value(clip, "SampleRef/FileRef/RelativePath")).is_file()
            assert (clip.find("IsInKey") is not None) == (version == "12")
        if name in added:
            assert value(track, "DeviceChain/Mixer/Volume/Manual") == "1"
            assert value(track, "DeviceChain/MainSequencer/Recorder/IsArmed") == "false"
            assert len(track.find("DeviceChain/DeviceChain/Devices")) == 0
            assert track.find(".//KeyMidi") is None
            sends = track.findall("DeviceChain/Mixer/Sends/TrackSendHolder/Send")
            assert [value(s, "Manual") for s in sends] == ["0.0003162277571"] * 2
            out = "Main" if version == "12" else "Master"
            assert value(track, "DeviceChain/AudioOutputRouting/Target") == f"AudioOut/{out}"
    ids = pointees(live_set)
    assert len(set(ids)) == len(ids)
    assert max(ids) < int(value(live_set, "NextPointeeId"))
    grid = BeatGrid.constant(bpm=120, first_beat_s=0.3, duration_s=4, first_downbeat=2)
    assert worst_beat_s(grid, tempo_map(live_set), meters_of(live_set)) < 30e-6
    assert sum("gave way: 1" in words for words in report.dropped) == 2
    readme = (Path(report.folder) / "README.txt").read_text(encoding="utf-8")
    assert "keep their levels" in readme
    assert "unity gain" not in readme


def test_automation_and_locators_that_were_there_are_replaced(exported, make_project, tmp_path):
    _, folder, _ = exported(make_project(grid=DRIFTING, title="First"))
    own = shutil.copy(folder / "First.als", tmp_path / "own.als")
    report, _, live_set = exported(overwrite=True, own_project=own)
    assert len(tempo_map(live_set).points) == 2
    assert len(live_set.findall("Locators/Locators/Locator")) == 2
    assert len(tracks_of(live_set)) == 4
    assert "Clips in the arrangement of the track Vocals gave way: 1." in report.dropped


def samples(*references):
    """Puts samples into a device of the first track."""

    def change(root):
        devices = root.find("LiveSet/Tracks/AudioTrack/DeviceChain/DeviceChain/Devices")
        for kind, path in references:
            file = etree.SubElement(etree.SubElement(devices, "SampleRef"), "FileRef")
            etree.SubElement(file, "RelativePathType", Value=kind)
            etree.SubElement(file, "RelativePath", Value=path)

    return change


def test_the_audio_of_an_own_set_comes_along_but_nothing_from_outside_its_project(
    exported, tmp_path
):
    (tmp_path / "secret.txt").write_text("secret")
    home = tmp_path / "Home Project"
    (home / "Ableton Project Info").mkdir(parents=True)
    (home / "Samples" / "Imported").mkdir(parents=True)
    (home / "Backup").mkdir()
    (home / "Samples" / "kick.wav").write_bytes(b"kick")
    (home / "Samples" / "Imported" / "01 Drums.wav").write_bytes(b"not the stem")
    (home / "Samples" / "link.wav").symlink_to(tmp_path / "secret.txt")
    own = own_set(home / "Backup", "Guitar", change=samples(
        ("3", "Samples/kick.wav"), ("3", "Samples/gone.wav"), ("1", "../../other.wav"),
        ("3", "../secret.txt"), ("3", str(tmp_path / "secret.txt")), ("3", "Samples/link.wav"),
        ("3", "Samples"), ("3", "x" * 5000), ("5", "Factory/x.wav"),
        ("3", "Samples/Imported/01 Drums.wav"),
    ))  # fmt: skip
    report, folder, _ = exported(own_project=own, encoding="float32")
    assert (folder / "Samples" / "kick.wav").read_bytes() == b"kick"
    assert sorted(p.name for p in folder.rglob("*") if p.is_file()) == [
        "01 Drums.wav", "01 Drums.wav", "02 Bass.wav", "03 Other.wav", "04 Vocals.wav",
        "About this folder.txt", "Song one two.als", "kick.wav",
    ]  # fmt: skip
    assert any("Mine.als that was not copied: 7." in w for w in report.dropped)


@pytest.mark.parametrize("there", [True, False])
def test_a_sample_of_the_name_of_a_stem_stays_itself(exported, tmp_path, there):
    home = tmp_path / "Home Project"
    (home / "Ableton Project Info").mkdir(parents=True)
    (home / "Samples" / "Imported").mkdir(parents=True)
    sample = "Samples/Imported/01 DRUMS.wav"
    if there:
        (home / sample).write_bytes(b"mine")
    own = own_set(home, "Guitar", change=samples(("3", sample)))
    report, folder, live_set = exported(own_project=own)
    paths = [value(clip_in(track), "SampleRef/FileRef/RelativePath")
             for track in tracks_of(live_set)[1:]]  # fmt: skip
    assert paths == [f"Samples/Imported-of-the-song/{name}.wav"
                     for name in ("01 Drums", "02 Bass", "03 Other", "04 Vocals")]  # fmt: skip
    for path in paths:
        assert soundfile.info(folder / path).frames == FRAMES
    kept = [path.read_bytes() for path in (folder / "Samples" / "Imported").glob("*")]
    assert kept == ([b"mine"] if there else [])
    words = " ".join(report.dropped)
    assert "The stems lie in Samples/Imported-of-the-song" in words
    assert ("was not copied: 1." in words) == (not there)


def test_a_layout_mutes_tracks_that_are_there_and_what_they_keep_is_told(
    exported, make_project, tmp_path
):
    project = lay_out(make_project(), ONES_OWN, {})
    own = own_set(tmp_path, "Drums", "Reverb")
    report, _, live_set = exported(project, own_project=own)
    found = {
        value(track, "Name/EffectiveName"): (
            value(track, "DeviceChain/Mixer/Speaker/Manual"),
            value(track, "DeviceChain/AudioOutputRouting/Target"),
        )
        for track in tracks_of(live_set)
    }
    assert list(found.items()) == [
        ("Drums", ("false", "AudioOut/Master")),
        ("Reverb", ("true", "AudioOut/Master")),
        ("Bass", ("false", "AudioOut/Master")),
        ("Vocals", ("true", "AudioOut/External/S2")),
        ("Other", ("true", "AudioOut/Master")),
        ("New", ("true", "AudioOut/Master")),
    ]
    assert len(tracks_of(live_set)) == len(found)
    assert "The output of Drums: your project keeps its own." in report.dropped
    assert "Groups of tracks: Rhythm." in report.dropped


@pytest.mark.parametrize("output", [1, 2, 4, 5])
def test_outputs_that_live_does_not_pair_are_told(exported, make_project, output):
    tracks = [msgspec.structs.replace(make_project().tracks[0], output=output)]
    report, _, live_set = exported(make_project(tracks=(*tracks, *make_project().tracks[1:])))
    (first, *_) = tracks_of(live_set)
    pair = {1: "1/2", 2: "3/4", 4: "5/6", 5: "5/6"}[output]
    routing = "DeviceChain/AudioOutputRouting"
    assert value(first, f"{routing}/LowerDisplayString") == pair
    assert value(first, f"{routing}/Target") == f"AudioOut/External/S{int(pair[0]) // 2}"
    told = [words for words in report.dropped if f"so it goes to {pair}" in words]
    assert len(told) == (output % 2 == 0)


def test_two_stems_of_one_name_take_two_tracks_of_that_name(exported, make_project, tmp_path):
    first = make_project().tracks[0]
    own = own_set(tmp_path, "Drums", "Drums")
    _, _, live_set = exported(make_project(tracks=(first, first, first)), own_project=own)
    assert len(tracks_of(live_set)) == 3
    paths = {value(clip_in(t), "SampleRef/FileRef/RelativePath") for t in tracks_of(live_set)}
    assert len(paths) == 3


def freeze(root):
    for element in root.iter("Freeze"):
        element.set("Value", "true")


def drop(path):
    def change(root):
        element = root.find(f"LiveSet/{path}")
        element.getparent().remove(element)

    return change


@pytest.mark.parametrize(
    ("names", "change", "problem", "remedy"),
    [
        ((), None, "no audio track", "Insert Audio Track"),
        (("Drums",), freeze, "no audio track that is not frozen", "Insert Audio Track"),
        (("X",), drop("MasterTrack"), "has no MasterTrack", "save it"),
        (("X",), drop("Locators"), "has no Locators/Locators", "save it"),
        (("X",), drop("NextPointeeId"), "has no NextPointeeId", "save it"),
        (("X",), drop("MasterTrack/DeviceChain/Mixer/Tempo"), "has no DeviceChain", "save it"),
        (("X",), lambda r: r.set("MinorVersion", "10.0_377"), "was saved by", "Live 11 or 12"),
        (("X",), lambda r: r.set("MajorVersion", "4"), "is not a Live Set", "save it"),
        (("X",), lambda r: r.find("LiveSet/NextPointeeId").set("Value", "9" * 5000), "Id", ""),
        (("X",), lambda r: r.find("LiveSet/NextPointeeId").set("Value", "2147483647"), "Ids", ""),
    ],
)
def test_what_is_missing_is_said(exported, tmp_path, names, change, problem, remedy):
    own = own_set(tmp_path, *names, change=change)
    with pytest.raises(InputError) as caught:
        exported(own_project=own)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert not (tmp_path / "ableton").exists()


def test_a_frozen_track_is_not_filled(exported, tmp_path):
    def change(root):
        root.find("LiveSet/Tracks/AudioTrack/Freeze").set("Value", "true")

    own = own_set(tmp_path, "Drums", "Free", change=change)
    with pytest.raises(InputError, match="Drums of the Live Set is frozen"):
        exported(own_project=own)


def test_only_a_set_is_taken_for_one(exported, tmp_path):
    (tmp_path / "x.rpp").write_text("x")
    with pytest.raises(UsageError, match="cannot put stems into"):
        exported(own_project=tmp_path / "x.rpp")
    (tmp_path / "folder.als").mkdir()
    with pytest.raises(InputError, match="damaged or is not"):
        exported(own_project=tmp_path / "folder.als")


# -- hostile files -----------------------------------------------------------------------------


def read_bytes(folder, data):
    path = folder / "hostile.als"
    path.write_bytes(data)
    return LiveSet.read(path)


ENTITIES = (
    '<!DOCTYPE a [<!ENTITY x "xxxxxxxxxx"><!ENTITY y "&x;&x;&x;&x;&x;&x;&x;&x;">]>'
    '<Ableton MajorVersion="5" MinorVersion="11.0_1">&y;</Ableton>'
)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x1f\x8b",
        b"RIFF....WAVE",
        b"<Ableton/>",
        gzip.compress(b""),
        gzip.compress(b"not xml"),
        gzip.compress(b"<Ableton>"),
        gzip.compress(b"<LiveSet/>"),
        gzip.compress(b"<Ableton/>"),
        gzip.compress(b"<Ableton MajorVersion='5' MinorVersion='11.0_1'/>"),
        gzip.compress(ENTITIES.encode()),
        gzip.compress(ENTITIES.encode("utf-16")),
        gzip.compress(b"<?xml version='1.0' encoding='utf-16'?><Ableton/>"),
        gzip.compress(b"<!DOCTYPE a SYSTEM 'file:///etc/passwd'><Ableton/>"),
        gzip.compress(b"<a>" * 100_000),
        gzip.compress(b"<a b='" + b"x" * 20_000_000 + b"'/>"),
        gzip.compress(b"<Ableton/>") + b"trailing",
        gzip.compress(b"<Ableton/>")[:-5],
    ],
    ids=itertools.count(),  # gzip has the time in its bytes.
)
def test_hostile_files_are_refused_in_one_sentence(tmp_path, data):
    with pytest.raises(InputError) as caught:
        read_bytes(tmp_path, data)
    assert caught.value.remedy
    assert len(caught.value.problem) < 200


@pytest.mark.parametrize("content", [b"\0", b"<a b='' c=''/>"])
def test_a_bomb_is_refused_before_it_fills_the_memory(tmp_path, content):
    path = tmp_path / "bomb.als"
    with gzip.open(path, "wb", compresslevel=1) as file:
        block = content * ((1 << 20) // len(content))
        for _ in range(400):
            file.write(block)
    tracemalloc.start()
    with pytest.raises(InputError, match="larger than any Live Set"):
        LiveSet.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * MAX_XML_BYTES


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("hostile")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.binary(max_size=300), zipped=st.booleans())
def test_any_bytes_are_a_set_or_are_refused(place, data, zipped):
    with pytest.raises(InputError):
        read_bytes(place, gzip.compress(data) if zipped else data)


@settings(deadline=None, max_examples=150)
@given(
    flips=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=4),
    cut=st.integers(0, 10**6),
    inside=st.booleans(),
)
def test_a_damaged_set_is_filled_or_refused(place, flips, cut, inside):
    text = GOLDEN.read_bytes()
    data = bytearray(text if inside else gzip.compress(text, mtime=0))
    for at, byte in flips:
        data[at % len(data)] = byte
    if cut % 3 == 0:
        del data[cut % len(data) :]
    path = place / "damaged.als"
    path.write_bytes(gzip.compress(bytes(data)) if inside else bytes(data))
    project = Project(title="T", artist="", tracks=(), sample_rate_hz=RATE, frames=RATE)
    try:
        live_set = LiveSet.read(path)
        live_set.add_track(live_set.plain_track(), "New")
        set_times(live_set, Plan(project, Timeline.of(None, 1.0), ExportOptions()))
    except InputError:
        return
    parse_set(live_set.to_bytes())


def test_a_volume_can_be_automated_on_any_track(exported):
    """What a take will need: an envelope on a track's own volume."""
    live_set, plain, _ = new_set()
    track = live_set.add_track(plain, "Drums")
    live_set.set_envelope(
        track, "Volume", "FloatEvent", [("-63072000", "1"), ("4", "1"), ("4", "0")]
    )
    read = tracks_of(parse_set(live_set.to_bytes()))[0]
    assert envelope(read, "Volume") == [(-63072000, "1"), (4, "1"), (4, "0")]


def test_a_stem_beyond_full_scale_is_lowered_with_all(exported, make_project, stem_files, tmp_path):
    loud = stem_files["drums"][1] * np.float32(10)
    write_audio(tmp_path / "loud.wav", loud, RATE, "float32")
    tracks = (Track("Drums", tmp_path / "loud.wav", "#ff0000"), *make_project().tracks[1:])
    report, _, live_set = exported(make_project(tracks=tracks))
    assert any("dB lower" in words for words in report.dropped)
    assert value(clip_in(tracks_of(live_set)[0]), "SampleVolume") == "1"
