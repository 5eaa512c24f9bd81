"""`workstation batch`: it goes on after every interruption, and no song stops another."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

import workstation
from tests.cli.conftest import make_song
from tests.cli.test_commands import check_error


@pytest.fixture
def songs(tmp_path):
    """Three songs, one of them in a folder of its own and called like another."""
    (tmp_path / "songs" / "live").mkdir(parents=True)
    make_song(tmp_path / "songs" / "one.wav", seconds=4)
    make_song(tmp_path / "songs" / "two.wav", seconds=5)
    make_song(tmp_path / "songs" / "live" / "one.wav", seconds=6)
    return tmp_path


def start(folder, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "workstation", "batch", "songs", "--engine", "dsp", *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        stdin=subprocess.DEVNULL,
    )


def states(out):
    """State and attempts of every song by the name of its file and folder."""
    try:
        with sqlite3.connect(f"file:{out / 'batch.sqlite'}?mode=ro", uri=True) as queue:
            rows = queue.execute("SELECT path, state, attempts FROM songs").fetchall()
    except sqlite3.OperationalError:  # It is only being made.
        return {}
    return {"/".join(os.fsdecode(p).split("/")[-2:]): (state, n) for p, state, n in rows}


def wait_until(condition, seconds=60):
    give_up = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.01)


def processes_in(folder):
    """Processes that have a folder as their working folder: the batch and all its children."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if (process / "cwd").readlink() == folder:
                found.append(process.name)
        except OSError:
            continue
    return found


def changes(out):
    return {
        path.relative_to(out): path.stat().st_mtime_ns
        for path in out.rglob("*")
        if path.is_file() and ".remix" in str(path) and path.name != ".lock"
    }


def test_every_song_is_separated_analysed_and_exported(songs, program):
    made = program(
        "batch", "songs", "--engine", "dsp", "--to", "midi", "--jobs", "2", "--json", cwd=songs
    )
    assert made.returncode == 0, made.stderr
    report = json.loads(made.stdout)
    assert report == json.loads((songs / "songs-batch" / "report.json").read_text())
    assert [song["song"] for song in report["songs"]] == ["one.wav", "two.wav", "live/one.wav"]
    assert (report["done"], report["failed"]) == (3, 0)
    for song in report["songs"]:
        session = workstation.open(song["result"]["session"])
        assert set(session.stems) == {"drums", "bass", "other", "vocals"}
        assert abs(song["result"]["bpm"] - 120) < 0.5
        assert list(Path(song["result"]["exports"]["midi"]).iterdir())
    assert (songs / "songs-batch" / "live" / "one.remix").is_dir()


def test_a_damaged_song_among_good_ones_is_listed_and_stops_none(songs, program):
    whole = (songs / "songs" / "two.wav").read_bytes()
    (songs / "songs" / "two.wav").write_bytes(whole[:50_000])
    made = program("batch", "songs", "--engine", "dsp", cwd=songs)
    assert made.returncode == 3
    assert "Traceback" not in made.stderr
    assert "Failed  two.wav" in made.stderr
    assert "2 of 3 songs are done" in made.stderr
    assert "live/one.wav" in made.stdout
    report = json.loads((songs / "songs-batch" / "report.json").read_text())
    failed = [song for song in report["songs"] if song["state"] == "failed"]
    assert [song["song"] for song in failed] == ["two.wav"]
    # Its file is to blame: trying again at once would change nothing.
    assert failed[0]["attempts"] == 1
    assert "cut off" in failed[0]["problem"]
    # Mended, it is done, and the others are not done again.
    before = changes(songs / "songs-batch")
    (songs / "songs" / "two.wav").write_bytes(whole)
    again = program("batch", "songs", "--engine", "dsp", cwd=songs)
    assert again.returncode == 0, again.stderr
    assert "3 of 3 songs are done, 2 of them before" in again.stderr
    assert before.items() <= changes(songs / "songs-batch").items()


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system kills otherwise")
def test_a_batch_that_was_killed_goes_on_and_does_nothing_twice(songs, program):
    out = songs / "songs-batch"
    running = start(songs)
    wait_until(lambda: [s for s, _ in states(out).values()].count("done") == 1)
    wait_until(lambda: "running" in [s for s, _ in states(out).values()])
    time.sleep(0.3)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    killed = states(out)
    done = next(song for song, (state, _) in killed.items() if state == "done")
    cut = next(song for song, (state, _) in killed.items() if state == "running")
    if Path("/proc").is_dir():
        wait_until(lambda: not processes_in(songs), seconds=5)
    finished = {p: t for p, t in changes(out).items() if p.parts[0] == "one.remix"}
    assert finished
    again = program("batch", "songs", "--engine", "dsp", cwd=songs)
    assert again.returncode == 0, again.stderr
    assert {state for state, _ in states(out).values()} == {"done"}
    assert states(out)[done] == ("done", 1)
    assert states(out)[cut] == ("done", 2)
    assert finished.items() <= changes(out).items()


def test_ctrl_c_stops_within_a_second(songs):
    out = songs / "songs-batch"
    running = start(songs, "--jobs", "2")
    wait_until(lambda: [s for s, _ in states(out).values()].count("running") == 2)
    time.sleep(0.5)
    asked = time.monotonic()
    running.send_signal(signal.SIGINT)
    _, words = running.communicate(timeout=10)
    assert time.monotonic() - asked < 1.5  # One second, and a slow machine.
    assert running.returncode == 130, words
    assert "Stopped" in words
    assert "Traceback" not in words
    if Path("/proc").is_dir():
        wait_until(lambda: not processes_in(songs), seconds=3)


def test_a_second_batch_on_the_same_folder_says_so(songs, program):
    out = songs / "songs-batch"
    running = start(songs)
    try:
        wait_until(lambda: "running" in [s for s, _ in states(out).values()])
        second = program("batch", "songs", "--engine", "dsp", cwd=songs)
        check_error(second, 7, "Another batch", str(running.pid))
    finally:
        running.send_signal(signal.SIGINT)
        running.communicate(timeout=10)


def test_a_song_whose_engine_fails_is_tried_again(songs, program, tmp_path):
    site = tmp_path / "site"
    (site / "moody-1.0.dist-info").mkdir(parents=True)
    (site / "moody-1.0.dist-info" / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: moody\nVersion: 1.0\n"
    )
    (site / "moody-1.0.dist-info" / "entry_points.txt").write_text(
        "[workstation.separators]\nmoody = moody:Moody\n"
    )
    (site / "moody.py").write_text(
        "import os, pathlib\n"
        "from workstation.separate import EngineCard\n"
        "class Moody:\n"
        "    chunk_s, overlap_s = 2.0, 0.1\n"
        "    card = EngineCard(name='moody', summary='', stems=('all',), code_licence='MIT',\n"
        "                      realtime_factor=0.0, source='')\n"
        "    def __init__(self, options): pass\n"
        "    def separate(self, mix, rate_hz, job):\n"
        "        tried = pathlib.Path(__file__).with_name('tried')\n"
        "        if not tried.exists():\n"
        "            tried.touch()\n"
        "            os._exit(9)\n"
        "        return {'all': mix}\n"
    )
    path = os.pathsep.join([str(site), *sys.path])
    made = program("batch", "songs", "--engine", "moody", "--json", cwd=songs, PYTHONPATH=path)
    assert made.returncode == 0, made.stderr
    assert [song["attempts"] for song in json.loads(made.stdout)["songs"]] == [2, 1, 1]
    (site / "tried").unlink()
    shutil.rmtree(songs / "songs-batch")
    made = program(
        "batch", "songs", "--engine", "moody", "--retry", "0", cwd=songs, PYTHONPATH=path
    )
    assert made.returncode == 8
    assert "2 of 3 songs are done" in made.stderr


def test_another_wish_is_another_task(songs, program):
    shutil.rmtree(songs / "songs" / "live")
    assert program("batch", "songs", "--engine", "dsp", cwd=songs).returncode == 0
    stems = {p: t for p, t in changes(songs / "songs-batch").items() if "stems" in p.parts}
    made = program("batch", "songs", "--engine", "dsp", "--to", "midi", "--json", cwd=songs)
    report = json.loads(made.stdout)
    assert report["done_before"] == 0
    assert all(set(song["result"]["exports"]) == {"midi"} for song in report["songs"])
    assert stems.items() <= changes(songs / "songs-batch").items()


def test_only_the_mix_of_a_folder_of_stems_is_a_song(tmp_path):
    from workstation.studio.batch import find_songs

    for name in ("a/mixture.wav", "a/drums.wav", "b.flac", ".hidden.wav", "out/c.wav", "text.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "d.remix").mkdir()
    (tmp_path / "d.remix" / "session.json").write_text("{}")
    (tmp_path / "d.remix" / "source.wav").write_bytes(b"x")
    found = find_songs(tmp_path, tmp_path / "out")
    assert [path.relative_to(tmp_path).as_posix() for path in found] == ["b.flac", "a/mixture.wav"]


def test_links_are_followed_and_lead_in_no_circle(tmp_path):
    from workstation.studio.batch import find_songs

    (tmp_path / "songs" / "album").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    for name in ("songs/album/a.wav", "elsewhere/b.wav"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "songs" / "album" / "up").symlink_to(tmp_path / "songs")
    (tmp_path / "songs" / "more").symlink_to(tmp_path / "elsewhere")
    found = find_songs(tmp_path / "songs", tmp_path / "out")
    assert [p.relative_to(tmp_path / "songs").as_posix() for p in found] == [
        "album/a.wav",
        "more/b.wav",
    ]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (("nothing",), 3, ("nothing",)),
        (("empty",), 3, ("no songs",)),
        (("songs/one.wav",), 3, ("one.wav",)),
        (("songs", "--engine", "dps"), 2, ('"dsp"',)),
        (("songs", "--to", "repaer"), 2, ('"reaper"',)),
    ],
)
def test_what_cannot_work_is_said_before_the_work(songs, program, arguments, code, words):
    (songs / "empty").mkdir()
    check_error(program("batch", *arguments, cwd=songs), code, *words)
    assert not list(songs.glob("*-batch"))


def test_a_damaged_queue_is_told_in_words(songs, program):
    (songs / "songs-batch").mkdir()
    (songs / "songs-batch" / "batch.sqlite").write_text("not a database" * 100)
    check_error(program("batch", "songs", "--engine", "dsp", cwd=songs), 3, "batch.sqlite")


def test_the_python_call_gives_the_report(songs, monkeypatch):
    monkeypatch.chdir(songs)
    shutil.rmtree("songs/live")
    report = workstation.batch("songs", engine="dsp", options=workstation.BatchOptions(retry=0))
    assert [song.state for song in report.songs] == ["done", "done"]
