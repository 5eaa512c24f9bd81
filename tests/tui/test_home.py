"""The list of sessions, the ways to a new one, and what a user drops onto the terminal."""

import json
import shutil
import time

import pytest
from textual import events

from tests.cli.conftest import make_song
from tests.tui.conftest import drive, text_of, until
from workstation.studio.jobs import Jobs
from workstation.studio.recent import forget, recent_sessions, remember
from workstation.tui.screens.home import pasted_paths


def test_an_empty_machine_is_led_to_the_demo_song(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKSTATION_CONFIG_DIR", "config")

    async def script(app, pilot):
        await pilot.pause(0.3)
        assert "Press  d  to make the demo song" in text_of(app)

    drive(script)


@pytest.mark.slow
def test_one_key_leads_to_the_demo_song(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKSTATION_CONFIG_DIR", "config")

    async def script(app, pilot):
        await pilot.press("d")
        await until(pilot, lambda: type(app.screen).__name__ == "SessionScreen", 120)
        assert app.screen.session.song.title == "Terminal Velocity"

    drive(script)


def test_a_session_opens_with_enter_and_is_remembered(folder):
    async def script(app, pilot):
        await until(pilot, lambda: app.screen.table.row_count == 1)
        assert "120.0" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: type(app.screen).__name__ == "SessionScreen")

    drive(script)
    listed = json.loads((folder / "config" / "recent.json").read_text())
    assert listed == [str(folder / "Night Drive.remix")]


def test_search_finds_by_title_and_key(folder):
    async def script(app, pilot):
        await until(pilot, lambda: app.screen.table.row_count == 1)
        await pilot.press("/", *"drive")
        assert app.screen.table.row_count == 1
        await pilot.press(*"zzz")
        assert app.screen.table.row_count == 0
        await pilot.press("escape")
        assert app.screen.table.row_count == 1
        assert app.screen.table.has_focus

    drive(script)


def test_a_session_that_vanished_says_so_and_can_be_forgotten(folder):
    remember(folder / "gone.remix")

    async def script(app, pilot):
        await until(pilot, lambda: app.screen.table.row_count == 2)
        assert "not there any more" in text_of(app)
        await pilot.press("enter")
        await until(pilot, lambda: type(app.screen).__name__ == "ErrorDialog")
        await pilot.press("escape", "delete")
        await until(pilot, lambda: app.screen.table.row_count == 1)

    drive(script)


def test_songs_that_are_dropped_queue(folder):
    for n in range(3):
        make_song(folder / f"song {n}.wav", seconds=3 + n)
    text = "\n".join(f"'{folder}/song {n}.wav'" for n in range(3))

    async def script(app, pilot):
        app.screen.post_message(events.Paste(text))
        await until(pilot, lambda: len(app.jobs.all) == 3)
        assert [job.state for job in app.jobs.all].count("running") <= 1
        await until(pilot, lambda: all(job.ended for job in app.jobs.all), 120)
        assert [job.state for job in app.jobs.all] == ["done"] * 3
        # The first is open; the others are ready at home.
        assert type(app.screen).__name__ == "SessionScreen"

    drive(script)
    assert {f.title for f in recent_sessions()} == {"song 0", "song 1", "song 2"}


def test_what_cannot_be_opened_says_why(folder):
    (folder / "noise.wav").write_bytes(b"no audio at all")

    async def script(app, pilot):
        await until(pilot, lambda: type(app.screen).__name__ == "ErrorDialog")
        assert "noise.wav" in app.screen.error.problem
        await pilot.press("enter")
        assert type(app.screen).__name__ == "HomeScreen"

    drive(script, folder / "noise.wav")


def test_the_file_browser_shows_only_what_opens(folder):
    make_song(folder / "song.wav", seconds=2)
    (folder / "notes.txt").write_text("x")

    async def script(app, pilot):
        await pilot.press("o")
        await until(pilot, lambda: "song.wav" in text_of(app))
        assert "notes.txt" not in text_of(app)
        assert "Night Drive.remix" in text_of(app)
        app.screen.query_one("#path").focus()
        await pilot.press(*"Night Dr")
        await pilot.pause(0.2)
        await pilot.press("right")
        assert app.screen.query_one("#path").value == "Night Drive.remix/"

    drive(script)


@pytest.mark.parametrize("style", ["plain", "quoted", "escaped", "url", "two in a line"])
def test_pasted_paths_of_all_terminals(tmp_path, style):
    song = tmp_path / "a song (1).wav"
    song.touch()
    text = {
        "plain": str(song),
        "quoted": f"'{song}' ",
        "escaped": str(song).replace(" ", "\\ ").replace("(", "\\(").replace(")", "\\)"),
        "url": song.as_uri(),
        "two in a line": f"'{song}' '{song}'",
    }[style]
    assert pasted_paths(text) == [song] * (2 if style == "two in a line" else 1)


def test_text_that_is_no_path_opens_nothing():
    assert pasted_paths("hello\n'unbalanced\n\0\n" + "x" * 5000) == []


def test_the_list_is_bounded_and_survives_damage(folder):
    for n in range(120):
        remember(folder / f"{n}.remix")
    listed = folder / "config" / "recent.json"
    assert len(json.loads(listed.read_text())) == 100
    forget(folder / "119.remix")
    assert len(json.loads(listed.read_text())) == 99
    listed.write_text("{broken")
    assert recent_sessions() == []


def test_sessions_of_one_title_are_told_apart(folder):
    shutil.copytree(folder / "Night Drive.remix", folder / "Night Drive 2.remix")

    async def script(app, pilot):
        await until(pilot, lambda: "Night Drive 2.remix" in text_of(app))
        assert "Night Drive.remix" in text_of(app)

    drive(script)


def test_only_so_many_ended_jobs_are_kept():
    jobs = Jobs(lambda job: None)
    for number in range(230):
        job = jobs.start(f"Job {number}", lambda job: None)
        while not job.ended:
            time.sleep(0.001)
    assert len(jobs.all) in range(195, 205)
    assert jobs.all[-1].title == "Job 229"
    few = Jobs(lambda job: None)
    for _ in range(3):
        few.start("Job", lambda job: None)
    assert len(few.all) == 3
