"""Whatever a user points at opens as a session, or is refused in one clear line."""

import shutil

import numpy as np
import pytest

import workstation
from tests.audio.encode import encode, stem_file
from tests.audio.encode import noise as smooth_noise
from workstation.audio import Tags, read_audio, write_audio
from workstation.model import InputError, WorkstationError
from workstation.studio import open_session, opening


def noise(*, channels=2, frames=8000, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.3, 0.3, (channels, frames)).astype(np.float32)


def test_a_song_becomes_a_session_that_is_found_again(tmp_path):
    write_audio(tmp_path / "My Song.wav", noise(), 8000, "pcm24")
    session = open_session(tmp_path / "My Song.wav", parent=tmp_path)
    assert session.path == tmp_path / "My Song.remix"
    assert session.song.title == "My Song"
    assert session.source_path.read_bytes() == (tmp_path / "My Song.wav").read_bytes()
    assert session.song.source.frames == 8000
    assert open_session(tmp_path / "My Song.wav", parent=tmp_path).path == session.path
    assert open_session(session.path).song == session.song


def test_another_song_of_the_same_title_gets_its_own_session(tmp_path):
    for index in (1, 2):
        (tmp_path / str(index)).mkdir()
        write_audio(tmp_path / str(index) / "Song.wav", noise(seed=index), 8000, "pcm24")
        open_session(tmp_path / str(index) / "Song.wav", parent=tmp_path)
    assert {p.name for p in tmp_path.glob("*.remix")} == {"Song.remix", "Song 2.remix"}


def test_a_referenced_song_stays_where_it_is(tmp_path):
    write_audio(tmp_path / "a.wav", noise(), 8000, "pcm24")
    session = open_session(tmp_path / "a.wav", parent=tmp_path, copy_source=False)
    assert session.source_path == tmp_path / "a.wav"
    assert [p.name for p in session.path.iterdir() if p.name != ".lock"] == ["session.json"]


def test_a_session_can_be_moved(tmp_path):
    write_audio(tmp_path / "a.wav", noise(), 8000, "pcm24")
    session = open_session(tmp_path / "a.wav", parent=tmp_path)
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    shutil.move(session.path, moved)
    assert np.array_equal(read_audio(open_session(moved).source_path)[0].shape, (2, 8000))


def test_a_folder_of_stems_becomes_a_session_with_these_stems(tmp_path):
    folder = tmp_path / "Band"
    folder.mkdir()
    drums, bass = noise(seed=1), noise(channels=1, frames=6000, seed=2)
    write_audio(folder / "01 - Drums.wav", drums, 8000, "float32")
    write_audio(folder / "02_Bass.flac", bass, 8000, "flac")
    (folder / "notes.txt").write_text("hello")
    session = open_session(folder, parent=tmp_path)
    assert session.song.title == "Band"
    assert list(session.stems) == ["drums", "bass"]
    assert session.engine == "imported"
    assert np.array_equal(session.stem("drums"), drums)
    assert session.stem("bass").shape == (1, 8000)
    mix, _rate = read_audio(session.source_path)
    assert np.allclose(mix[:, :6000], drums[:, :6000] + bass, atol=1e-6)
    assert np.array_equal(mix[:, 6000:], drums[:, 6000:])
    assert session.separate() == session.stems
    assert open_session(folder, parent=tmp_path).path == session.path


def test_a_mix_beside_the_stems_is_the_song(tmp_path):
    folder = tmp_path / "Band"
    folder.mkdir()
    mix = noise(seed=3)
    for name, samples in {"drums": noise(seed=1), "vocals": noise(seed=2), "mix": mix}.items():
        write_audio(folder / f"{name}.wav", samples, 8000, "float32")
    session = open_session(folder, parent=tmp_path)
    assert list(session.stems) == ["drums", "vocals"]
    assert np.array_equal(read_audio(session.source_path)[0], mix)


def test_stems_of_one_name_are_told_apart(tmp_path):
    folder = tmp_path / "Band"
    folder.mkdir()
    write_audio(folder / "1 Vocals.wav", noise(), 8000, "float32")
    write_audio(folder / "2 vocals.wav", noise(), 8000, "float32")
    assert list(open_session(folder, parent=tmp_path).stems) == ["vocals", "vocals 2"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 16000}, "different sample rates"),
        ({"frames": 8000 * 30}, "not stems of one song"),
        ({"channels": 6}, "different numbers of channels"),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, change, words):
    folder = tmp_path / "Band"
    folder.mkdir()
    write_audio(folder / "a.wav", noise(), 8000, "float32")
    samples = noise(channels=change.get("channels", 2), frames=change.get("frames", 8000))
    write_audio(folder / "b.wav", samples, change.get("rate", 8000), "float32")
    with pytest.raises(InputError, match=words):
        open_session(folder, parent=tmp_path)
    assert not list(tmp_path.glob("*.remix"))


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="holds no stems"):
        open_session(tmp_path, parent=tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/b",
        "C:\\aux",
        "con",
        "..",
        "...",
        "\u202e\x00evil",
        "歌" * 200,
        "🎛️ mix",
        "-rf",
        "a" * 500,
        ".hidden",
    ],
)
def test_titles_never_leave_the_folder(tmp_path, name, monkeypatch):

    write_audio(tmp_path / "a.wav", noise(), 8000, "pcm24")
    monkeypatch.setattr(opening, "read_tags", lambda path: Tags(title=name))
    parent = tmp_path / "sessions"
    session = open_session(tmp_path / "a.wav", parent=parent)
    assert session.path.parent == parent
    assert session.path.is_dir()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.wav", "sessions"]


def test_a_read_only_place_is_an_error_in_words(tmp_path):
    write_audio(tmp_path / "a.wav", noise(), 8000, "pcm24")
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkstationError, match="cannot be written") as caught:
        open_session(tmp_path / "a.wav", parent=tmp_path / "file" / "below")
    assert caught.value.exit_code == 6


def test_asking_for_a_stem_that_is_not_there_says_what_is(tmp_path):
    folder = tmp_path / "Band"
    folder.mkdir()
    write_audio(folder / "drums.wav", noise(), 8000, "float32")
    session = workstation.open(folder, parent=tmp_path)
    with pytest.raises(WorkstationError, match='no stem "flute"') as caught:
        session.mix(["drums", "flute"])
    assert "drums" in caught.value.remedy


def test_a_stem_file_brings_its_stems_its_title_and_no_loss(tmp_path):

    stems = {
        name: smooth_noise(9000, seed=i, level=0.05)
        for i, name in enumerate(("Drums", "Bass", "Synths", "Vocals"))
    }
    mix = sum(stems.values())
    stem_file(tmp_path / "Track.stem.mp4", mix, stems, 44100)
    session = open_session(tmp_path / "Track.stem.mp4", parent=tmp_path)
    assert session.path.name == "Track.remix"
    assert session.source_path.name == "source.stem.mp4"
    assert list(session.stems) == ["drums", "bass", "Synths", "vocals"]
    for (name, samples), found in zip(stems.items(), session.stems, strict=True):
        assert np.array_equal(session.stem(found), samples), name
    assert session.separate("auto") == session.stems


def test_title_artist_and_cover_come_along(tmp_path):

    encode(
        tmp_path / "x.m4a",
        smooth_noise(9000),
        44100,
        "aac",
        metadata={"title": "Jóga", "artist": "Björk"},
    )
    session = open_session(tmp_path / "x.m4a", parent=tmp_path)
    assert (session.song.title, session.song.artist) == ("Jóga", "Björk")
    assert session.path.name == "Jóga.remix"


def test_a_cover_is_kept_beside_the_song_and_in_exports(tmp_path, monkeypatch):

    folder = tmp_path / "Band"
    folder.mkdir()
    write_audio(folder / "drums.wav", noise(), 8000, "float32")
    picture = b"\x89PNG\r\n a picture"
    monkeypatch.setattr(opening, "read_tags", lambda path: Tags(cover=picture, cover_suffix=".png"))
    session = open_session(folder, parent=tmp_path)
    assert session.cover_path.read_bytes() == picture
    session.analyze()
    assert "cover.png" in session.export("midi", out=tmp_path / "out").files
