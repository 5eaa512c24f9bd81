"""A session folder is saved whole, loaded strictly, locked against two writers."""

import json
import os
import signal
import subprocess
import sys

import msgspec
import pytest

from workstation.model import (
    Analysis,
    AudioRef,
    BeatGrid,
    InputError,
    Key,
    LockedError,
    Section,
    Song,
    Stem,
)
from workstation.session import SCHEMA_VERSION, SessionFolder, SessionState, find_session


def state(title="Song", sha256="ab"):
    grid = BeatGrid.constant(bpm=121.37, first_beat_s=0.213, duration_s=30)
    analysis = Analysis(grid, Key("Bb major", 0.5), (Section(0.0, 30.0, "A"),), -14.2, -0.3)
    source = AudioRef("source.wav", sha256, 44100, 2, 1323000)
    stem = Stem("drums", AudioRef("stems/dsp/drums.wav", "cd", 44100, 2, 1323000), "dsp")
    return SessionState(
        song=Song(title, "Artist", source, analysis),
        stems=(stem,),
        engine="dsp",
        stem_keys={"dsp": "key"},
    )


def test_a_saved_session_loads_equal(tmp_path):
    folder = SessionFolder(tmp_path / "Song.remix")
    folder.save(state())
    assert folder.load() == state()


def test_the_file_is_json_that_people_can_read(tmp_path):
    folder = SessionFolder(tmp_path / "Song.remix")
    folder.save(state("Jóga – 歌"))
    text = (folder.path / "session.json").read_text(encoding="utf-8")
    assert "Jóga – 歌" in text
    assert text.count("\n") > 20
    assert json.loads(text)["schema_version"] == SCHEMA_VERSION


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"schema_version": "1"}',
        '{"schema_version": 1}',
        '{"schema_version": 0}',
        '{"schema_version": 1, "song": {"title": 3}}',
    ],
)
def test_a_damaged_session_is_refused_in_words(tmp_path, text):
    folder = SessionFolder(tmp_path)
    (tmp_path / "session.json").write_text(text)
    with pytest.raises(InputError, match="is damaged"):
        folder.load()


def test_a_grid_that_is_none_is_refused_on_loading(tmp_path):
    folder = SessionFolder(tmp_path)
    values = msgspec.to_builtins(state())
    values["song"]["analysis"]["grid"]["beats_s"] = [3.0, 1.0]
    (tmp_path / "session.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match="is damaged"):
        folder.load()


def test_a_session_of_a_newer_version_says_so(tmp_path):
    values = msgspec.to_builtins(state()) | {"schema_version": SCHEMA_VERSION + 1}
    (tmp_path / "session.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match="newer version"):
        SessionFolder(tmp_path).load()


def test_no_session_is_an_error_with_a_remedy(tmp_path):
    with pytest.raises(InputError, match="cannot be opened as a session") as caught:
        SessionFolder(tmp_path / "nothing").load()
    assert "audio file" in caught.value.remedy


def test_the_second_writer_is_told_who_the_first_is(tmp_path):
    folder = SessionFolder(tmp_path / "a.remix")
    with folder.locked(), pytest.raises(LockedError, match=f"number {os.getpid()}"):
        SessionFolder(tmp_path / "a.remix").locked().__enter__()
    with folder.locked():
        pass


def test_a_killed_writer_leaves_no_lock(tmp_path):
    program = (
        "import sys, time\nfrom pathlib import Path\n"
        "from workstation.session import SessionFolder\n"
        "with SessionFolder(Path(sys.argv[1])).locked():\n    print('held', flush=True)\n"
        "    time.sleep(60)\n"
    )
    path = tmp_path / "a.remix"
    with subprocess.Popen(
        [sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout.readline().strip() == "held"
        with pytest.raises(LockedError):
            SessionFolder(path).locked().__enter__()
        process.send_signal(signal.SIGKILL)
        process.wait()
    with SessionFolder(path).locked():
        pass


def test_a_session_that_names_a_file_outside_itself_is_refused(tmp_path):
    folder = SessionFolder(tmp_path / "a.remix")
    folder.save(state())
    (tmp_path / "secret.wav").write_bytes(b"x")
    with pytest.raises(InputError, match="outside itself"):
        folder.audio_path(AudioRef("../secret.wav", "", 44100, 2, 1))


def test_a_missing_file_is_named(tmp_path):
    folder = SessionFolder(tmp_path / "a.remix")
    folder.save(state())
    with pytest.raises(InputError, match=r"misses its file source\.wav"):
        folder.audio_path(state().song.source)


def test_a_song_finds_its_own_session_and_no_other(tmp_path):
    first, there = find_session(tmp_path, "Song", "aa")
    assert not there
    first.save(state(sha256="aa"))
    second, there = find_session(tmp_path, "Song", "bb")
    assert not there
    assert second.path.name == "Song 2.remix"
    second.save(state(sha256="bb"))
    assert find_session(tmp_path, "Song", "aa")[0].path == first.path
    assert find_session(tmp_path, "Song", "bb")[1]


def test_what_a_killed_start_left_behind_is_used_again(tmp_path):
    folder = SessionFolder(tmp_path / "Song.remix")
    with folder.locked():
        (folder.path / "source.mp3").write_bytes(b"x")
        folder.work.mkdir()
    assert find_session(tmp_path, "Song", "aa")[0].path == folder.path


def test_a_folder_of_somebody_else_is_left_alone(tmp_path):
    (tmp_path / "Song.remix").mkdir()
    (tmp_path / "Song.remix" / "thesis.txt").write_text("mine")
    assert find_session(tmp_path, "Song", "aa")[0].path.name == "Song 2.remix"


def test_publishing_replaces_what_was_there(tmp_path):
    folder = SessionFolder(tmp_path / "a.remix")
    for text in ("old", "new"):
        work = folder.work / "dsp"
        work.mkdir(parents=True)
        (work / "drums.wav").write_text(text)
        folder.publish(work, folder.stem_folder("dsp"))
    assert (folder.stem_folder("dsp") / "drums.wav").read_text() == "new"
    assert not folder.work.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda v: v["stems"][0].update(name="../../evil"),
        lambda v: v["stems"][0].update(engine=".."),
        lambda v: v["song"].update(cover="README.txt"),
        lambda v: v["song"].update(cover="cover.png/../../x"),
        lambda v: v["song"]["source"].update(sample_rate_hz=0),
        lambda v: v["song"]["source"].update(frames=-1),
        lambda v: v["song"].update(title="\ud800"),
    ],
)
def test_a_session_from_a_stranger_is_checked(tmp_path, change):
    values = msgspec.to_builtins(state())
    change(values)
    (tmp_path / "session.json").write_text(json.dumps(values))
    with pytest.raises(InputError, match="is damaged"):
        SessionFolder(tmp_path).load()


def test_a_stem_may_not_lie_outside_even_with_an_absolute_path(tmp_path):
    folder = SessionFolder(tmp_path / "a.remix")
    folder.save(state())
    outside = tmp_path / "secret.wav"
    outside.write_bytes(b"x")
    ref = AudioRef(str(outside), "", 44100, 2, 1)
    with pytest.raises(InputError, match="outside itself"):
        folder.audio_path(ref)
    assert folder.audio_path(ref, may_be_outside=True) == outside


@pytest.mark.parametrize("left", [".0123456789abcdef.partial", "source.stem.mp4", "cover.png"])
def test_every_trace_of_a_killed_start_is_known(tmp_path, left):
    folder = SessionFolder(tmp_path / "Song.remix")
    folder.path.mkdir()
    (folder.path / left).write_bytes(b"x")
    assert find_session(tmp_path, "Song", "aa")[0].path == folder.path
