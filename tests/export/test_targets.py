"""Every target, read back by readers that are not ours."""

import os
import shutil
import wave
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import xmlschema
from lxml import etree

from tests.export.conftest import (
    FRAMES,
    RATE,
    read_dawproject,
    read_midi,
    read_rpp,
    rpp_tempo_map,
    worst_beat_s,
)
from workstation.audio import write_audio
from workstation.export import TARGETS, ExportOptions, Track, export, find_target
from workstation.model import (
    BeatGrid,
    CancelledError,
    ExistsError,
    JobContext,
    Section,
    UsageError,
)

HERE = Path(__file__).parent
GOLDEN = HERE / "golden"
DRIFTING = BeatGrid(tuple(0.05 + 0.5 * k + 0.01 * (k % 3) for k in range(8)), (1, 4, 7), 3)
LATE = BeatGrid.constant(bpm=93.7, first_beat_s=3.1, duration_s=4, beats_per_bar=3)
ODD = "A \"q\" 's' `b` <x>&\x00\n>歌🎛️ \ud83d\uffff\u202e ../x"


# -- stems --------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["pcm24", "float32", "flac"])
def test_stems_sum_to_the_mix(make_project, export_to, stem_files, encoding):
    report = export_to(make_project(), "stems", encoding=encoding)
    files = sorted(p for p in Path(report.folder).iterdir() if p.suffix in {".wav", ".flac"})
    total = np.zeros((FRAMES, 2), np.float32)
    for file in files:
        samples, rate = soundfile.read(file, dtype="float32", always_2d=True)
        assert (len(samples), rate) == (FRAMES, RATE)
        total += samples
    mix = sum(np.broadcast_to(s, (2, FRAMES)) for _, s in stem_files.values()).T
    half_a_step = 0 if encoding == "float32" else len(files) * 0.5 / 2**23
    assert np.abs(total - mix).max() <= half_a_step + 2e-7


def test_pcm24_stems_are_plain_wav_that_the_oldest_reader_opens(make_project, export_to):
    report = export_to(make_project(), "stems")
    for name in report.files:
        if name.endswith(".wav"):
            with wave.open(str(Path(report.folder) / name)) as file:
                assert (file.getsampwidth(), file.getnframes()) == (3, FRAMES)
    assert [n for n in report.files if n.endswith(".wav")] == [
        "01 Drums.wav",
        "02 Bass.wav",
        "03 Other.wav",
        "04 Vocals.wav",
    ]


def test_stems_carry_their_sections_as_cues_and_a_time_stamp(make_project, export_to):
    wavinfo = pytest.importorskip("wavinfo")
    report = export_to(make_project(), "stems")
    info = wavinfo.WavInfoReader(str(Path(report.folder) / "01 Drums.wav"))
    assert info.bext.originator == "workstation"
    assert info.bext.time_reference == 0
    cues = [cue.position for cue in info.cues.cues]
    assert cues == [0, round(1.3 * RATE)]
    assert b"acid" not in (Path(report.folder) / "01 Drums.wav").read_bytes()[:2000]


def test_a_stem_beyond_full_scale_lowers_all_by_one_gain_and_says_so(
    make_project, export_to, stem_files, tmp_path
):
    loud = stem_files["drums"][1] * np.float32(10)
    write_audio(tmp_path / "loud.wav", loud, RATE, "float32")
    tracks = (Track("Drums", tmp_path / "loud.wav", "#ff0000"), *make_project().tracks[1:])
    report = export_to(make_project(tracks=tracks), "stems")
    assert any("dB lower" in words for words in report.dropped)
    read = [
        soundfile.read(Path(report.folder) / n, dtype="float32", always_2d=True)[0]
        for n in ("01 Drums.wav", "03 Other.wav")
    ]
    gain = np.abs(read[0]).max() / np.abs(loud).max()
    assert np.abs(read[0]).max() <= 1
    assert np.allclose(read[1].T, stem_files["other"][1] * gain, atol=1e-6)
    assert "unity gain; together" not in (Path(report.folder) / "README.txt").read_text()
    kept = export_to(make_project(tracks=tracks), "stems", encoding="float32", overwrite=True)
    assert not any("dB lower" in words for words in kept.dropped)


def test_mp3_stems_have_the_length_of_the_song(make_project, export_to):
    report = export_to(make_project(tracks=make_project().tracks[:1]), "stems", encoding="mp3")
    assert soundfile.info(Path(report.folder) / "01 Drums.mp3").frames == FRAMES


# -- tempo maps ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "grid", [None, DRIFTING, LATE, BeatGrid.constant(bpm=120, first_beat_s=0, duration_s=4)]
)
def test_beats_sections_and_bars_agree_in_all_formats(make_project, export_to, grid):
    project = make_project(grid=grid)
    midi = export_to(project, "midi")
    daw = export_to(project, "dawproject")
    reaper = export_to(project, "reaper")
    midi_map, midi_meters, midi_markers = read_midi(Path(midi.folder) / midi.open_with)
    _, daw_map, daw_meters = read_dawproject(Path(daw.folder) / daw.open_with)
    text = (Path(reaper.folder) / reaper.open_with).read_text(encoding="utf-8")
    rpp_map, rpp_meters = rpp_tempo_map(read_rpp(text)[1])
    assert midi_meters == daw_meters
    maps = ((midi_map, midi_meters), (daw_map, daw_meters), (rpp_map, rpp_meters))
    for tempos, meters in maps:
        if grid is not None:
            assert worst_beat_s(grid, tempos, meters) < 30e-6
        else:
            assert (tempos.points, meters) == ([(0.0, 120.0)], [(0.0, 4, 4)])
    for (quarter, name), section in zip(midi_markers, project.sections, strict=True):
        assert name == section.label
        assert abs(midi_map.time_at(quarter) - section.start_s) < 1e-3


def test_the_midi_file_names_the_key_and_ends_after_the_song(make_project, export_to):
    import mido

    report = export_to(make_project(), "midi")
    file = mido.MidiFile(Path(report.folder) / report.open_with)
    keys = [m.key for m in file.tracks[0] if m.type == "key_signature"]
    assert keys == ["Am"]
    assert file.length > FRAMES / RATE + 1
    assert len(file.tracks) == 2


def test_bar_markers_are_made_when_asked_for(make_project, export_to):
    report = export_to(make_project(), "midi", bar_markers=True)
    _, _, markers = read_midi(Path(report.folder) / report.open_with)
    assert [name for _, name in markers] == ["A", "B", "Bar 3"]


# -- reaper ----------------------------------------------------------------------------------


def test_the_reaper_project_has_named_coloured_tracks_at_unity(make_project, export_to):
    report = export_to(make_project(), "reaper")
    root, _ = read_rpp((Path(report.folder) / report.open_with).read_text(encoding="utf-8"))
    tracks = root.findall("TRACK")
    names = [next(c[1] for c in t.children if c[0] == "NAME") for t in tracks]
    assert names == ["Drums", "Bass", "Other", "Vocals"]
    first = {c[0]: c[1:] for c in tracks[0].children if isinstance(c, list)}
    assert int(first["PEAKCOL"][0]) == 0x1000000 | 0xE9 | 0x5A << 8 | 0x5A << 16
    assert first["VOLPAN"][:2] == ["1", "0"]
    for track in tracks:
        item = track.find("ITEM")
        values = {c[0]: c[1:] for c in item.children if isinstance(c, list)}
        assert float(values["POSITION"][0]) == 0
        assert float(values["LENGTH"][0]) == pytest.approx(FRAMES / RATE, abs=1e-9)
        path = next(c[1] for c in item.find("SOURCE").children if c[0] == "FILE")
        assert not Path(path).is_absolute()
        assert (Path(report.folder) / path).is_file()
    markers = [c for c in root.children if isinstance(c, list) and c[0] == "MARKER"]
    assert [(float(m[2]), m[3]) for m in markers] == [(0.0, "A"), (1.3, "B")]


# -- dawproject ------------------------------------------------------------------------------


def test_the_dawproject_obeys_the_official_schema(make_project, export_to):
    for project in (
        make_project(),
        make_project(grid=None, sections=(), key=None),
        make_project(title=ODD, artist=ODD, grid=DRIFTING),
    ):
        report = export_to(project, "dawproject", overwrite=True)
        with zipfile.ZipFile(Path(report.folder) / report.open_with) as archive:
            for name, schema in (("project.xml", "Project.xsd"), ("metadata.xml", "MetaData.xsd")):
                text = archive.read(name)
                xmlschema.XMLSchema(str(HERE / "schema" / schema)).validate(text.decode())
                lxml_schema = etree.XMLSchema(etree.parse(str(HERE / "schema" / schema)))
                lxml_schema.assertValid(etree.fromstring(text))


def test_the_dawproject_holds_its_audio_untouched(make_project, export_to, stem_files, tmp_path):
    report = export_to(make_project(), "dawproject", encoding="float32")
    root, _, _ = read_dawproject(Path(report.folder) / report.open_with)
    with zipfile.ZipFile(Path(report.folder) / report.open_with) as archive:
        for element, (_, samples) in zip(root.iter("Audio"), stem_files.values(), strict=True):
            path = element.find("File").get("path")
            assert archive.getinfo(path).compress_type == zipfile.ZIP_STORED
            with archive.open(path) as file:
                read, rate = soundfile.read(file, dtype="float32", always_2d=True)
            assert rate == RATE
            assert np.array_equal(read.T, samples)
    for channel in root.iter("Channel"):
        assert channel.find("Volume").get("value") == "1"
        assert channel.find("Pan").get("value") == "0.5"
    assert [t.get("name") for t in root.find("Structure")][:4] == [
        "Drums",
        "Bass",
        "Other",
        "Vocals",
    ]
    assert report.files == ("README.txt", report.open_with)


# -- all -------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", TARGETS)
def test_a_moved_export_still_opens(make_project, export_to, tmp_path, target):
    report = export_to(make_project(), target)  # The stems lie elsewhere, in a folder of no export.
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    shutil.move(report.folder, moved)
    for name in report.files:
        assert (moved / name).is_file()
    for path in moved.rglob("*"):
        if path.is_file():
            assert str(tmp_path).encode() not in path.read_bytes()
    if target == "reaper":
        root, _ = read_rpp((moved / report.open_with).read_text(encoding="utf-8"))
        for track in root.findall("TRACK"):
            source = track.find("ITEM").find("SOURCE")
            assert (moved / next(c[1] for c in source.children if c[0] == "FILE")).is_file()


@pytest.mark.parametrize("target", TARGETS)
def test_odd_titles_and_labels_work_everywhere(make_project, export_to, target):
    tracks = tuple(Track(ODD, track.path, track.colour) for track in make_project().tracks)
    project = make_project(title=ODD, artist=ODD, tracks=tracks, sections=(Section(0.0, 4.0, ODD),))
    report = export_to(project, target)
    assert (Path(report.folder) / report.open_with).is_file()
    assert all(".." not in Path(name).parts for name in report.files)
    if target == "reaper":
        root, _ = read_rpp((Path(report.folder) / report.open_with).read_text(encoding="utf-8"))
        assert len(root.findall("TRACK")) == 4
    if target == "midi":
        read_midi(Path(report.folder) / report.open_with)


@pytest.mark.parametrize("target", TARGETS)
def test_an_export_that_is_there_is_replaced_only_when_asked(make_project, export_to, target):
    first = export_to(make_project(), target)
    (Path(first.folder) / "mine.txt").write_text("mine")
    with pytest.raises(ExistsError, match="is there already"):
        export_to(make_project(), target)
    assert (Path(first.folder) / "mine.txt").exists()
    second = export_to(make_project(), target, overwrite=True)
    assert second.files == first.files
    assert not (Path(first.folder) / "mine.txt").exists()


@pytest.mark.parametrize("target", TARGETS)
def test_cancelling_leaves_nothing_behind(make_project, tmp_path, target):
    job = JobContext()
    job.cancel()
    with pytest.raises(CancelledError):
        export(make_project(), target, tmp_path / "out", ExportOptions(), job)
    assert list((tmp_path / "out").iterdir()) == []


def test_what_a_killed_export_left_is_taken_away(make_project, export_to, tmp_path):
    (tmp_path / ".stems.partial").mkdir()
    (tmp_path / ".stems.partial" / "half.wav").write_bytes(b"x")
    report = export_to(make_project(), "stems")
    assert "half.wav" not in report.files
    assert [p.name for p in tmp_path.iterdir()] == ["stems"]


@pytest.mark.parametrize("target", TARGETS)
def test_the_readme_says_what_to_open_and_what_is_missing(make_project, export_to, target):
    report = export_to(make_project(), target)
    text = (Path(report.folder) / "README.txt").read_text(encoding="utf-8")
    assert report.lead_in.split(",")[0] in " ".join(text.split())
    for words in report.dropped:
        assert " ".join(words.split()) in " ".join(text.split())
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize(("target", "encoding"), [("dawproject", "flac"), ("dawproject", "mp3")])
def test_an_encoding_that_a_target_cannot_carry_is_refused(
    make_project, export_to, target, encoding
):
    with pytest.raises(UsageError, match="cannot carry"):
        export_to(make_project(), target, encoding=encoding)


def test_a_target_is_found_by_name_and_a_near_name_is_suggested():
    assert find_target("midi").name == "midi"
    with pytest.raises(UsageError) as caught:
        find_target("reeper")
    assert '"reaper"' in caught.value.remedy


def test_the_cover_goes_along(make_project, export_to, tmp_path):
    (tmp_path / "cover.png").write_bytes(b"\x89PNG not really")
    report = export_to(make_project(cover=tmp_path / "cover.png"), "stems")
    assert "cover.png" in report.files


@pytest.mark.parametrize("target", ["midi", "reaper", "dawproject"])
def test_files_equal_the_golden_ones_byte_for_byte(make_project, export_to, target):
    report = export_to(make_project(grid=DRIFTING, title="Golden"), target, bar_markers=True)
    folder = Path(report.folder)
    found = {f"{target}-README.txt": (folder / "README.txt").read_bytes()}
    if target == "dawproject":
        with zipfile.ZipFile(folder / report.open_with) as archive:
            found["project.xml"] = archive.read("project.xml")
    else:
        found[report.open_with] = (folder / report.open_with).read_bytes()
    for name, content in found.items():
        if os.environ.get("UPDATE_GOLDEN"):  # After a change that is wanted; read the diff.
            (GOLDEN / name).write_bytes(content)
        assert content == (GOLDEN / name).read_bytes(), f"{name} has changed"
