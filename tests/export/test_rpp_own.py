"""Stems in a REAPER project of the user's own, read back with the package `rpp`."""

import re
from pathlib import Path

import pytest
import rpp
import soundfile

from tests.export.conftest import FRAMES, ONES_OWN, read_rpp, rpp_tempo_map, worst_beat_s
from tests.export.test_takes import DRIFTING, STRAIGHT
from workstation.export import lay_out
from workstation.model import InputError, UsageError

OWN = """<REAPER_PROJECT 0.1 "7.22/win64" 1731000000
  <NOTES 0 2
    |a note with <angles> and > signs
    |>
  >
  RIPPLE 0
  SAMPLERATE 44100 0 0
  TEMPO 97.5 3 4
  <TEMPOENVEX
    EGUID {00000000-0000-0000-0000-000000000001}
    ACT 1 -1
    PT 0.000000000000 97.5000000000 1
  >
  MARKER 1 2.5 "Mine" 0
  <PROJBAY
  >
  <TRACK {00000000-0000-0000-0000-0000000000AA}
    NAME DRUMS
    PEAKCOL 16576
    VOLPAN 0.5 0.25 -1 -1 1
    NCHAN 2
    <VOLENV2
      ACT 1 -1
      PT 0 0.3 0
    >
    <FXCHAIN
      <VST "VST: ReaComp (Cockos)" reacomp.dll 0 "" 1919247213<> ""
        bWNlcu5e7f4EAAAAAQAAAAAAAAACAAAAAAAAAAQAAAAAAAAACAAAAAAAAAACAAAAAQAAAAAAAAACAAAA
      >
    >
    <ITEM
      POSITION 1
      <SOURCE WAVE
        FILE "old.wav"
      >
    >
  >
  <TRACK {00000000-0000-0000-0000-0000000000BB}
    NAME 'My "keys"'
    <ITEM
      POSITION 0
      <SOURCE WAVE
        FILE "Media\\keys.wav"
      >
    >
    <ITEM
      POSITION 4
      <SOURCE WAVE
        FILE "../outside.wav"
      >
    >
  >
>
"""


@pytest.fixture
def own(tmp_path):
    """Writes a project of the user's own, with its media."""
    home = tmp_path / "own" / "inner"
    (home / "Media").mkdir(parents=True)
    soundfile.write(home / "Media" / "keys.wav", [0.0] * 100, 44100)
    soundfile.write(home.parent / "outside.wav", [0.0] * 100, 44100)

    def write(text=OWN, name="Mine.rpp"):
        path = home / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def filled(report):
    return (Path(report.folder) / report.open_with).read_bytes().decode()


def tracks_of(text):
    root = rpp.loads(text)
    return {next(c[1] for c in t.children if c[0] == "NAME"): t for t in root.findall("TRACK")}


def files_of(track):
    return [next(c[1] for c in item.find("SOURCE").children if c[0] == "FILE")
            for item in track.findall("ITEM")]  # fmt: skip


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_stems_land_on_tracks_of_their_name_and_the_others_behind(
    make_project, export_to, own, end
):
    path = own(OWN.replace("\n", end))
    before = path.read_bytes()
    report = export_to(make_project(grid=DRIFTING), "reaper", own_project=path)
    text = filled(report)
    assert path.read_bytes() == before
    assert text.count("\n") == text.count(end)
    tracks = tracks_of(text)
    assert list(tracks) == ["DRUMS", 'My "keys"', "Bass", "Other", "Vocals"]
    assert files_of(tracks["DRUMS"]) == ["stems/01 Drums.wav"]
    assert files_of(tracks['My "keys"']) == ["Media\\keys.wav", "../outside.wav"]
    for name in ("DRUMS", "Bass", "Other", "Vocals"):
        (file,) = files_of(tracks[name])
        assert (Path(report.folder) / file).is_file()
    root, points = read_rpp(text)
    tempos, meters = rpp_tempo_map(points)
    assert worst_beat_s(DRIFTING, tempos, meters) < 30e-6
    marks = [c[1:4] for c in root.children if isinstance(c, list) and c[0] == "MARKER"]
    assert [(float(m[1]), m[2]) for m in marks] == [(0.0, "A"), (1.3, "B")]


def test_every_other_line_stays_as_it_was(make_project, export_to, own):
    text = filled(export_to(make_project(), "reaper", own_project=own()))
    gone = re.compile(
        r'  TEMPO 97.*\n|  <TEMPOENVEX\n(    .*\n)*  >\n|  MARKER .*\n'
        r'|    <ITEM\n      POSITION 1\n(      .*\n)*    >\n'
    )  # fmt: skip
    wanted = gone.sub("", OWN).split("\n")
    lines = iter(text.split("\n"))
    assert all(line in lines for line in wanted)  # All of them, in their order.


def test_media_beside_the_project_come_along_and_others_are_told(make_project, export_to, own):
    report = export_to(make_project(), "reaper", own_project=own())
    folder = Path(report.folder)
    assert (folder / "Media" / "keys.wav").is_file()
    assert not (folder.parent / "outside.wav").exists()
    words = " ".join(report.dropped)
    assert "were not copied: 1." in words
    assert "Items on the track DRUMS gave way: 1." in words
    assert "Lines of markers of your project gave way to those of the song: 1." in words
    readme = " ".join((folder / "README.txt").read_text().split())
    assert "Tracks that were there keep their levels" in readme


@pytest.mark.parametrize("there", [True, False])
def test_media_of_the_name_of_a_stem_stay_themselves(make_project, export_to, own, there):
    path = own(OWN.replace("Media\\keys.wav", "Stems\\01 Drums.wav"))
    if there:
        (path.parent / "Stems").mkdir()
        (path.parent / "Stems" / "01 Drums.wav").write_bytes(b"mine")
    report = export_to(make_project(), "reaper", own_project=path)
    folder, tracks = Path(report.folder), tracks_of(filled(report))
    assert files_of(tracks["DRUMS"]) == ["stems-of-the-song/01 Drums.wav"]
    assert soundfile.info(folder / "stems-of-the-song" / "01 Drums.wav").frames == FRAMES
    assert files_of(tracks['My "keys"'])[0] == "Stems\\01 Drums.wav"
    assert [p.read_bytes() for p in folder.glob("[Ss]tems/*")] == [b"mine"] * there
    words = " ".join(report.dropped)
    assert "The stems lie in stems-of-the-song/" in words
    assert ("were not copied: 1." in words) == there  # Else two: that is outside, too.


def test_a_project_within_a_project_is_not_replaced_by_ours(make_project, export_to, own):
    path = own(OWN.replace("Media\\keys.wav", "song one two.rpp"))
    (path.parent / "song one two.rpp").write_bytes(b"mine")
    report = export_to(make_project(), "reaper", own_project=path)
    assert (Path(report.folder) / "song one two.rpp").read_bytes() == b"mine"
    assert report.open_with == "Song one two-of-the-song.rpp"
    assert len(tracks_of(filled(report))) == 5


@pytest.mark.parametrize("mute", ["", "    MUTESOLO 0 2 0\n"])
def test_a_layout_comes_behind_the_tracks_that_are_there_and_mutes_them(
    make_project, export_to, own, mute
):
    path = own(OWN.replace("    PEAKCOL 16576\n", "    PEAKCOL 16576\n" + mute))
    project = lay_out(make_project(), ONES_OWN, {})
    report = export_to(project, "reaper", own_project=path)
    found = {}
    for name, track in tracks_of(filled(report)).items():
        values = {line[0]: line[1:] for line in track.children if isinstance(line, list)}
        found[name] = (values.get("ISBUS"), values.get("MUTESOLO", [""])[0],
                       values.get("HWOUT", [None])[0], len(track.findall("ITEM")))  # fmt: skip
    assert list(found.items()) == [
        ("DRUMS", (None, "1", None, 1)),
        ('My "keys"', (None, "", None, 2)),
        ("Rhythm", (["1", "1"], "0", None, 0)),
        ("Bass", (None, "1", None, 1)),
        ("New", (["2", "-1"], "0", None, 0)),
        ("Vocals", (None, "0", "4", 1)),
        ("Other", (None, "0", None, 1)),
        ("Reverb", (None, "0", None, 0)),
    ]
    assert not mute or "    MUTESOLO 1 2 0\n" in filled(report)
    assert "The group of Drums: your project keeps its own." in report.dropped
    assert "The output of Drums: your project keeps its own." in report.dropped


def test_an_earlier_export_with_a_layout_is_filled_in_its_place(make_project, export_to, tmp_path):
    project = lay_out(make_project(), ONES_OWN, {})
    first = export_to(project, "reaper")
    path = tmp_path / "first.rpp"
    path.write_text(filled(first))
    text = filled(export_to(project, "reaper", own_project=path, overwrite=True))
    assert list(tracks_of(text)) == list(tracks_of(path.read_text()))


def test_an_earlier_export_can_be_filled_again_and_keeps_its_identifiers_apart(
    make_project, export_to, tmp_path
):
    first = export_to(make_project(), "reaper")
    path = tmp_path / "first.rpp"
    path.write_text(filled(first).replace('NAME "Drums"', 'NAME "Beats"', 1))
    text = filled(export_to(make_project(), "reaper", own_project=path, overwrite=True))
    assert list(tracks_of(text)) == ["Beats", "Bass", "Other", "Vocals", "Drums"]
    for kind in ("TRACKID", "IGUID", "GUID", "EGUID"):
        found = re.findall(rf"^ +{kind} (\S+)", text, re.MULTILINE)
        assert len(set(found)) == len(found)


def test_a_take_moves_the_users_own_track(make_project, export_to, own):
    project = make_project(take=STRAIGHT)
    report = export_to(project, "reaper", own_project=own())
    drums = tracks_of(filled(report))["DRUMS"]
    (volume,) = drums.findall("VOLENV2")
    assert len(volume.children) > 20
    kinds = [child.tag for child in drums.children if hasattr(child, "tag")]
    assert kinds == ["VOLENV2", "MUTEENV", "FXCHAIN", "ITEM"]
    words = " ".join(report.dropped)
    assert "Envelopes of the track DRUMS gave way to the take: 1." in words
    assert "The master fader of the take: the master of your project stays." in words


@pytest.mark.parametrize("name", ["empty.RPP", "vst.RPP"])
def test_projects_that_reaper_saved_are_filled(make_project, export_to, shared_data, name):
    path = shared_data / "daw" / "rpp" / "tests" / "data" / name
    text = filled(export_to(make_project(), "reaper", own_project=path))
    before, after = tracks_of(path.read_text()), tracks_of(text)
    assert list(after) == [*before, "Drums", "Bass", "Other", "Vocals"]
    lines = iter(text.splitlines())
    kept = [x for x in path.read_text().splitlines() if not x.startswith(("  TEMPO ",))]
    tempo = "\n".join(kept)
    tempo = re.sub(r"  <TEMPOENVEX\n(    .*\n)*  >\n|  MARKER .*\n", "", tempo)
    assert all(line in lines for line in tempo.split("\n"))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "is not a REAPER project"),
        (b"RIFF\x00\x00", "is not a REAPER project"),
        (b"<REAPER_PROJECT 0.1\n  <TRACK\n    NAME x\n", "is damaged"),
        (b"<REAPER_PROJECT 0.1\n>\n>\n", "is damaged"),
        (b"<REAPER_PROJECT 0.1\n>\n<REAPER_PROJECT 0.1\n>\n", "is damaged"),
        (b"<REAPER_PROJECT 0.1\n" + b"<A\n" * 100_000 + b">\n" * 100_001, "is damaged"),
        (b"<REAPER_PROJECT \xff\xfe\x00", "is not a REAPER project"),
    ],
)  # fmt: skip
def test_a_hostile_file_is_refused_in_one_clear_sentence(
    make_project, export_to, own, tmp_path, data, words
):
    with pytest.raises(InputError, match=words):
        export_to(make_project(), "reaper", own_project=own(data))
    assert not (tmp_path / "reaper").exists()


def test_a_folder_is_not_taken_for_a_project(make_project, export_to, tmp_path):
    (tmp_path / "folder.rpp").mkdir()
    with pytest.raises(InputError, match=r"folder\.rpp cannot be read"):
        export_to(make_project(), "reaper", own_project=tmp_path / "folder.rpp")
    assert not (tmp_path / "reaper").exists()


def test_bytes_that_are_no_utf8_stay(make_project, export_to, own):
    path = own(OWN.replace("a note", "caf\xe9").encode("latin-1"))
    report = export_to(make_project(), "reaper", own_project=path)
    assert b"caf\xe9 with" in (Path(report.folder) / report.open_with).read_bytes()


def test_other_files_are_refused_before_the_work(make_project, export_to, own):
    with pytest.raises(UsageError, match="cannot put stems into"):
        export_to(make_project(), "reaper", own_project=own(name="Mine.txt"))
