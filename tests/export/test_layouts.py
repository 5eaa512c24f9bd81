"""Layouts: files that are read, projects that look like them, in programs that know them."""

import zipfile
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest
import rpp
import soundfile
import xmlschema
from hypothesis import given
from hypothesis import strategies as st

from tests.export.conftest import (
    FRAMES,
    GROUPED,
    RATE,
    layout_of,
    read_rpp,
    row,
    rpp_tempo_map,
    worst_beat_s,
)
from tests.export.test_ardour import Ardour, needs_ardour
from workstation.export import EmptyTrack, Layout, Track, lay_out, with_lead
from workstation.export.layouts import TrackRow, find_layout, layout_files, read_layout
from workstation.export.project import Project
from workstation.model import BeatGrid, InputError, Section, UsageError
from workstation.model.mixer import MixerState
from workstation.model.take import Take, TakeEvent, TakeStart

HERE = Path(__file__).parent
SHIPPED = ("dj-edit", "karaoke", "practice", "remix", "stage")


def song(*names):
    tracks = tuple(Track(name.capitalize(), Path(f"{name}.wav"), "#111111", name) for name in names)
    return Project(title="", artist="", tracks=tracks, sample_rate_hz=RATE, frames=FRAMES)


def test_all_that_are_shipped_can_be_read_and_are_described():
    assert set(SHIPPED) <= set(layout_files())
    words = (HERE.parents[1] / "templates" / "README.md").read_text()
    for name in SHIPPED:
        assert find_layout(name).summary
        assert f"`{name}`" in words
    for kind in (Layout, TrackRow):
        for key in set(kind.__struct_fields__) - {"track"}:
            assert f"| `{key}`" in words


def test_ones_own_hides_a_shipped_one(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKSTATION_CONFIG_DIR", str(tmp_path))
    (tmp_path / "templates").mkdir()
    text = 'template_version = 1\nsummary = "mine"\n[[track]]\nstems = ["*"]\n'
    (tmp_path / "templates" / "remix.toml").write_text(text)
    assert find_layout("remix").summary == "mine"
    assert find_layout(tmp_path / "templates" / "remix.toml").summary == "mine"
    with pytest.raises(UsageError) as error:
        find_layout("karoake")
    assert error.value.remedy == 'Did you mean "karaoke"?'


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("template_version = ", "not TOML"),
        ('sumary = "x"', 'Did you mean "summary"?'),
        ("template_version = 1\nsummary = 1", "summary"),
        ("template_version = 2", "template_version"),
        ("", "[[track]]"),
        ('[[track]]\nstem = ["a"]', 'Did you mean "stems"?'),
        ('[[track]]\nstems = ["a"]\ncolour = "red"', "colour"),
        ("[[track]]", "names no stems"),
        ('[[track]]\nkind = "bus"', "no name"),
        ('[[track]]\nkind = "bus"\nname = "B"\nstems = ["a"]', "names stems"),
        ('count_in_bars = 1\n[[track]]\nstems = ["*"]', "padding"),
        ('[[track]]\nkind = "count-in"\nname = "C"', "count_in_bars"),
        ('[[track]]\nkind = "click"\nname = "C"\n' * 2, "more than one"),
        ('[[track]]\nstems = ["*"]\noutput = 0', "output"),
        ("track = 3", "track"),
    ],
)
def test_mistakes_are_told(tmp_path, text, words):
    file = tmp_path / "mine.toml"
    if "version" not in text and "not TOML" not in words:
        head = "template_version = 1\n" if words != "template_version" else ""
        text = head + ('summary = ""\n' if "sum" not in text else "") + text
    file.write_text(text)
    with pytest.raises(InputError) as error:
        read_layout(file)
    assert "mine.toml" in error.value.problem
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a = " + "[" * 5000, "nested too deep"),
        ("a = " + "[" * 5000 + "]" * 5000, "nested too deep"),
        ("# " + "x" * (1 << 20), "larger than 1 MiB"),
    ],
    ids=["open", "closed", "large"],
)
def test_a_hostile_file_is_refused_in_one_clear_sentence(tmp_path, text, words):
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(InputError, match=words) as error:
        read_layout(file)
    assert "mine.toml" in error.value.problem


def test_every_stem_lands_on_a_track_and_a_name_goes_before_a_pattern():
    rows = (
        row("*_vocals", group="Voices"),
        row("*", colour="#222222"),
        row("lead_vocals", name="Lead", muted=True),
        TrackRow(kind="bus", name="Reverb"),
    )
    made = lay_out(song("drums", "lead_vocals", "backing_vocals", "x"), layout_of(*rows), {})
    assert [(t.name, t.stem) for t in made.tracks] == [
        ("Backing_vocals", "backing_vocals"),
        ("Drums", "drums"),
        ("X", "x"),
        ("Lead", "lead_vocals"),
    ]
    assert made.tracks[0].group == "Voices"
    assert made.tracks[1].colour == "#222222"
    assert made.tracks[3].muted
    assert made.empty == (EmptyTrack("Reverb", "#9aa0a6", bus=True),)
    few = lay_out(song("a", "b"), layout_of(row("b")), {})
    assert [t.stem for t in few.tracks] == ["b", "a"]


def test_intro_and_outro_are_marked_with_their_bars():
    grid = BeatGrid.constant(bpm=120, first_beat_s=0.0, duration_s=16)
    form = (Section(0, 4.01, "A"), Section(4.01, 8, "B"), Section(8, 16, "A"))
    project = msgspec.structs.replace(song("a"), grid=grid, sections=form)
    made = lay_out(project, layout_of(row("*"), markers="edges"), {})
    assert [s.label for s in made.sections] == ["Intro, 2 bars", "Main", "Outro, 4 bars"]
    assert lay_out(project, layout_of(row("*"), markers="none"), {}).sections == ()


@given(
    gaps=st.lists(st.floats(0.25, 1.5), min_size=8, max_size=30),
    first=st.floats(0, 9),
    per_bar=st.integers(2, 7),
    pickup=st.integers(0, 6),
    bars=st.integers(0, 4),
)
def test_silence_makes_whole_bars_before_the_first_downbeat(gaps, first, per_bar, pickup, bars):
    beats = tuple(float(t) for t in first + np.cumsum([0, *gaps]))
    grid = BeatGrid(beats, tuple(range(min(pickup, 6), len(beats), per_bar)), per_bar)
    form = (Section(0.0, 2.0, "A"),)
    made = with_lead(msgspec.structs.replace(song("a"), grid=grid, sections=form), bars)
    lead_s = made.lead_frames / RATE
    assert made.frames == FRAMES + made.lead_frames
    assert made.grid.beats_s[0] <= 1 / RATE  # The first bar begins with the project.
    assert made.grid.downbeats[0] == 0
    assert np.diff(made.grid.downbeats[:2])[0] == per_bar
    # Every beat of the song is there, later by the lead.
    np.testing.assert_allclose(made.grid.beats_s[-len(beats) :], np.add(beats, lead_s))
    song_bar = made.grid.downbeats.index(len(made.grid.beats_s) - len(beats) + grid.downbeats[0])
    assert song_bar >= bars
    assert lead_s >= bars * per_bar * (beats[1] - beats[0]) - 1 / RATE
    assert made.sections[0].start_s == lead_s


def test_a_take_moves_along_with_its_song(make_project):
    stems = tuple(t.name for t in make_project().tracks)
    start = TakeStart(100, False, (200, 300), MixerState.neutral(stems))
    events = (
        TakeEvent(0, "transport.play", 1.0),
        TakeEvent(5, "transport.seek", 1.0),
        TakeEvent(6, "Drums.stutter", 1.0, slice=(50, 10)),
        TakeEvent(7, "Drums.gain", -6.0),
    )
    take = Take("T", stems, "dsp", RATE, start, 1000, events)
    made = with_lead(make_project(take=take), 1)
    lead = made.lead_frames
    assert lead
    assert (made.take.start.frame, made.take.start.loop) == (100 + lead, (200 + lead, 300 + lead))
    assert [e.value for e in made.take.events] == [1.0, 1.0 + lead / RATE, 1.0, -6.0]
    assert made.take.events[2].slice == (50 + lead, 10)
    assert [e.frame for e in made.take.events] == [0, 5, 6, 7]


def test_reaper_has_folders_mutes_outputs_and_empty_tracks(make_project, export_to):
    report = export_to(lay_out(make_project(), GROUPED, {}), "reaper")
    root, _ = read_rpp((Path(report.folder) / report.open_with).read_text())
    found = []
    for track in root.findall("TRACK"):
        values = {line[0]: line[1:] for line in track.children if isinstance(line, list)}
        items = list(track.findall("ITEM"))
        found.append(
            (values["NAME"][0], values.get("ISBUS"), values["MUTESOLO"][0], len(items),
             values["MAINSEND"][0], values.get("HWOUT", [None])[0])
        )  # fmt: skip
    assert found == [
        ("Rhythm", ["1", "1"], "0", 0, "1", None),
        ("Drums", None, "0", 1, "1", None),
        ("Low & <b>", None, "0", 1, "1", None),
        ("New", ["2", "-1"], "0", 0, "1", None),
        ("Vocals", None, "1", 1, "0", "2"),
        ("Other", None, "0", 1, "1", None),
        ("Reverb", None, "0", 0, "1", None),
    ]
    assert not [words for words in report.dropped if "roups" in words or "utput" in words]
    assert isinstance(root, rpp.Element)
    text = (Path(report.folder) / "README.txt").read_text()
    assert "Muted at first: Vocals." in " ".join(text.split())


def test_a_dawproject_with_groups_obeys_the_official_schema(make_project, export_to):
    report = export_to(lay_out(make_project(), GROUPED, {}), "dawproject")
    with zipfile.ZipFile(Path(report.folder) / report.open_with) as archive:
        text = archive.read("project.xml").decode()
    xmlschema.XMLSchema(str(HERE / "schema" / "Project.xsd")).validate(text)
    structure = ElementTree.fromstring(text).find("Structure")
    group = structure.find("Track")
    assert (group.get("name"), group.get("contentType")) == ("Rhythm", "tracks")
    inside = group.findall("Track")
    assert [track.get("name") for track in inside] == ["Drums", "Low & <b>", "New"]
    destination = group.find("Channel").get("id")
    assert {t.find("Channel").get("destination") for t in inside} == {destination}
    muted = [t.get("name") for t in structure.iter("Track")
             if t.find("Channel/Mute").get("value") == "true"]  # fmt: skip
    assert muted == ["Vocals"]
    assert "An output for each track: all go to the master." in report.dropped


@pytest.mark.parametrize("target", ["flstudio", "nistems", "aaf"])
def test_what_a_target_does_not_have_is_told(make_project, export_to, target):
    dropped = export_to(lay_out(make_project(), GROUPED, {}), target).dropped
    assert "Groups of tracks: Rhythm." in dropped
    assert "Empty tracks: New, Reverb." in dropped
    assert "The mute of Vocals: mute it there yourself." in dropped


@pytest.mark.parametrize("target", ["reaper", "dawproject", "ableton", "flstudio", "ardour", "aaf"])
def test_stems_begin_after_the_silence_and_beats_stay_on_them(
    make_project, export_to, stem_files, target
):
    project = with_lead(make_project(), 1)
    report = export_to(lay_out(project, layout_of(row("*")), {}), target)
    assert "s of silence precede the song" in report.lead_in
    if target in {"reaper", "ableton", "flstudio", "ardour"}:
        lead = project.lead_frames
        stems = sorted(Path(report.folder).rglob("0? *.wav"))
        assert len(stems) == 4
        for path, (_, samples) in zip(stems, stem_files.values(), strict=True):
            found = soundfile.read(path, always_2d=True, dtype="float32")[0].T
            assert found.shape[1] == project.frames
            assert not found[:, :lead].any()
            assert np.abs(found[:, lead:] - samples).max() < 2**-22
    if target == "reaper":
        _, points = read_rpp((Path(report.folder) / report.open_with).read_text())
        assert worst_beat_s(project.grid, *rpp_tempo_map(points)) < 1e-6


@needs_ardour
def test_the_real_ardour_has_the_layout_and_plays_what_is_not_muted(
    make_project, export_to, stem_files, tmp_path
):
    rows = (*GROUPED.track[:1], row("vocals", muted=True), row("*"), *GROUPED.track[-2:])
    report = export_to(lay_out(make_project(), layout_of(*rows), {}), "ardour", encoding="float32")
    (tmp_path / "home").mkdir()
    ardour = Ardour(tmp_path / "home")
    path = Path(report.folder) / report.open_with
    names = [line[1] for line in ardour.read(path) if line[0] == "route"]
    names.remove("Master")
    assert names == ["Drums", "Vocals", "Bass", "Other", "New", "Reverb"]
    wanted = sum(
        np.broadcast_to(samples, (2, FRAMES))
        for name, (_, samples) in stem_files.items()
        if name != "vocals"
    )
    assert np.abs(ardour.export(path).T - wanted).max() < 1e-6
