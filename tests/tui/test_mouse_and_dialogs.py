"""The mouse on the lanes and the ruler, the beat grid editor, exporting, rendering, settings."""

import time

import pytest
from textual import events

from tests.cli.conftest import RATE
from tests.tui.conftest import drive, drive_session, text_of, until
from workstation.audio import read_audio
from workstation.config import load_settings
from workstation.tui.widgets.bars import Transport
from workstation.tui.widgets.beats import Beats
from workstation.tui.widgets.lanes import Lanes
from workstation.tui.widgets.ruler import Ruler
from workstation.tui.widgets.strip import WIDTH, fader_at


async def drag(pilot, widget, begin, end):
    await pilot.mouse_down(widget, offset=begin)
    await pilot.hover(widget, offset=end)
    await pilot.mouse_up(widget, offset=end)


def test_clicks_on_a_strip(folder):
    async def script(app, pilot, screen):
        player, rows = screen.player, screen.lanes._rows
        await pilot.click(Lanes, offset=(18, rows))
        await until(pilot, lambda: player.value("drums.mute") == 1)
        assert screen.stem == "drums"
        await pilot.click(Lanes, offset=(21, 2 * rows))
        await until(pilot, lambda: player.value("other.solo") == 1)
        assert player.value("bass.mute") == 0

    drive_session(script, folder / "Night Drive.remix")


def test_a_fader_is_dragged_and_a_double_click_resets_it(folder):
    async def script(app, pilot, screen):
        player = screen.player
        await drag(pilot, Lanes, (21, 1), (17, 1))
        await until(pilot, lambda: player.value("bass.gain") == pytest.approx(fader_at(17)))
        assert player.value("bass.gain") < -10
        await drag(pilot, Lanes, (14, 1), (0, 1))
        await until(pilot, lambda: player.value("bass.gain") == -90)
        await pilot.click(Lanes, offset=(28, 0), times=2)
        await until(pilot, lambda: player.value("bass.gain") == 0)
        await drag(pilot, Lanes, (25, 1), (28, 1))
        await until(pilot, lambda: player.value("bass.pan") == pytest.approx(0.3))

    drive_session(script, folder / "Night Drive.remix")


def test_pointing_at_the_song(folder):
    async def script(app, pilot, screen):
        player, timeline = screen.player, screen.timeline
        at = WIDTH + timeline.column(6.0)
        await pilot.click(Lanes, offset=(at, 1))
        await until(pilot, lambda: player.state.position_s == pytest.approx(6.0, abs=0.2))
        await pilot.click(Ruler, offset=(WIDTH + timeline.column(3.0), 1))
        await until(pilot, lambda: player.state.position_s == pytest.approx(3.0, abs=0.2))
        await drag(pilot, Lanes, (WIDTH + timeline.column(4.0), 1), (at, 1))
        await until(pilot, lambda: player.state.loop_s is not None)
        assert player.state.loop_s == pytest.approx((4.0, 6.0))  # Snapped to beats.
        await drag(
            pilot, Ruler, (WIDTH + timeline.column(8.0), 1), (WIDTH + timeline.column(9.9), 1)
        )
        await until(pilot, lambda: player.state.loop_s == pytest.approx((8.0, 10.0)))

    drive_session(script, folder / "Night Drive.remix")


def test_the_wheel(folder):
    async def script(app, pilot, screen):
        player = screen.player
        await pilot._post_mouse_events([events.MouseScrollDown], Lanes, offset=(18, 1), button=0)
        await until(pilot, lambda: player.value("bass.gain") == -1)

    drive_session(script, folder / "Night Drive.remix")


def test_the_transport_is_clicked(folder):
    async def script(app, pilot, screen):
        player = screen.player
        await pilot.click(Transport, offset=(4, 0))
        await until(pilot, lambda: player.state.playing)
        await pilot.click(Transport, offset=(4, 0))
        await until(pilot, lambda: not player.state.playing)
        await pilot.click(Transport, offset=(33, 0))
        await until(pilot, lambda: player.value("click.on") == 1)

    drive_session(script, folder / "Night Drive.remix")


def test_the_grid_is_edited_heard_and_kept(folder):
    async def script(app, pilot, screen):
        session, player = screen.session, screen.player
        before = session.analysis.grid
        await pilot.press("g")
        await pilot.pause(0.3)
        grid = app.screen
        await pilot.press("]")
        assert grid.grid.bpm == pytest.approx(240)
        await pilot.press("[", "[")
        assert grid.grid.bpm == pytest.approx(60)
        await pilot.press("u", "u", "u")
        assert grid.grid == before
        await pilot.press(".", ".")
        assert grid.grid.beats_s[0] == pytest.approx(before.beats_s[0] + 0.01)
        await pilot.press("<")
        assert grid.grid.beats_s[1] == pytest.approx(before.beats_s[1] - 0.04)
        await pilot.press("u", "u", "u", "right", "d")
        assert grid.grid.downbeats[0] == 1
        await pilot.press("m")
        assert grid.grid.beats_per_bar == 5
        assert player.grid == grid.grid
        await pilot.press("escape")
        await pilot.pause(0.1)
        assert type(app.screen).__name__ == "Question"  # Changes would be lost.
        await pilot.press("escape", "enter")
        await until(pilot, lambda: app.screen is screen)
        assert session.analysis.grid.beats_per_bar == 5
        assert session.analysis.grid.downbeats[0] == 1
        await pilot.press("right")  # From the beat that was selected: a bar of five on.
        await until(pilot, lambda: player.state.position_s == pytest.approx(3.0, abs=0.01))

    drive_session(script, folder / "Night Drive.remix")


def test_a_grid_that_is_left_is_as_before(folder):
    async def script(app, pilot, screen):
        before = screen.player.grid
        await pilot.press("g")
        await pilot.pause(0.2)
        await pilot.press("]", "escape")
        await pilot.pause(0.1)
        await pilot.press("shift+tab", "enter")
        await until(pilot, lambda: app.screen is screen)
        assert screen.player.grid == before
        assert screen.session.analysis.grid == before

    drive_session(script, folder / "Night Drive.remix")


def test_taps_make_a_grid(folder, monkeypatch):
    async def script(app, pilot, screen):
        await pilot.press("g")
        await pilot.pause(0.2)
        grid = app.screen
        await pilot.press("t")
        assert grid.taps == []  # Nothing plays.
        grid.taps = [1.0, 1.601, 2.199, 3.4, 4.0]  # One was left out.
        grid._use_taps()
        assert grid.grid.bpm == pytest.approx(100, abs=0.2)
        assert grid.grid.beats_s[-1] > 11
        await pilot.click(Beats, offset=(10, 3))
        await pilot.press("s", "u", "z", "Z", "c", "space")
        await until(pilot, lambda: screen.player.state.playing)
        await pilot.press("t")
        assert len(grid.taps) == 1

    drive_session(script, folder / "Night Drive.remix")


def test_an_export_from_the_first_key_to_the_file(folder):
    async def script(app, pilot, screen):
        await pilot.press("e")
        await pilot.pause(0.2)
        app.screen.query_one("#out").value = "projects"
        app.screen.query_one("#export").press()
        await until(pilot, lambda: type(app.screen).__name__ == "ReportDialog", 30)
        await pilot.pause(0.2)
        assert "projects/reaper" in text_of(app).replace("\n", "")
        await pilot.press("enter")
        assert app.screen is screen
        await pilot.press("e")
        await pilot.pause(0.2)
        app.screen.query_one("#out").value = "projects"
        app.screen.query_one("#export").press()
        await until(pilot, lambda: type(app.screen).__name__ == "ErrorDialog")  # It is there.
        await pilot.pause(0.1)
        assert "there already" in text_of(app)

    drive_session(script, folder / "Night Drive.remix")
    assert list((folder / "projects" / "reaper").glob("*.rpp"))


def test_a_mix_is_rendered_while_the_music_plays(folder):
    async def script(app, pilot, screen):
        await pilot.press("space", "ctrl+r")
        await pilot.pause(0.2)
        app.screen.query_one("#out").value = "mix.wav"
        app.screen.query_one("#render").press()
        await until(pilot, (folder / "mix.wav").exists, 20)
        assert screen.player.state.playing

    drive_session(script, folder / "Night Drive.remix")
    mix, rate_hz = read_audio(folder / "mix.wav")
    assert (mix.shape, rate_hz) == ((2, 12 * RATE), RATE)


def test_settings_are_kept_with_their_comments(folder):
    config = folder / "config"
    config.mkdir()
    (config / "settings.toml").write_text('# mine\ntheme = "dark"  # at night\n')

    async def script(app, pilot):
        await pilot.press("ctrl+s")
        await pilot.pause(0.2)
        app.screen.query_one("#theme").value = "light"
        app.screen.query_one("#engine").value = "dps"
        app.screen.query_one("#save").press()
        await until(pilot, lambda: type(app.screen).__name__ == "ErrorDialog")
        await pilot.pause(0.1)
        assert 'Did you mean "dsp"?' in text_of(app)
        await pilot.press("enter")
        app.screen.query_one("#engine").value = "dsp"
        app.screen.query_one("#save").press()
        await until(pilot, lambda: type(app.screen).__name__ == "HomeScreen")
        assert app.theme == "workstation-light"

    drive(script)
    assert (load_settings().engine, load_settings().theme) == ("dsp", "light")
    text = (config / "settings.toml").read_text()
    assert "# mine" in text
    assert "# at night" in text


def test_unknown_settings_are_told_with_the_near_name(folder):
    (folder / "config").mkdir()
    (folder / "config" / "settings.toml").write_text('them = "dark"\n')

    async def script(app, pilot):
        await until(pilot, lambda: type(app.screen).__name__ == "ErrorDialog")
        await pilot.pause(0.1)
        assert 'Did you mean "theme"?' in text_of(app)
        await pilot.press("escape")
        await until(pilot, lambda: type(app.screen).__name__ == "HomeScreen")
        await pilot.press("ctrl+s")  # No form, which would replace what is in the file.
        await until(pilot, lambda: type(app.screen).__name__ == "ErrorDialog")

    drive(script)


def test_leaving_while_a_take_is_recorded_asks(folder):
    async def script(app, pilot, screen):
        await pilot.press("r", "space")
        await until(pilot, lambda: screen.recording and screen.player.state.playing)
        await pilot.press("ctrl+q")
        await pilot.pause(0.1)
        assert "A take is being recorded" in text_of(app)
        await pilot.press("escape")
        assert screen.recording
        await pilot.press("ctrl+q")
        await pilot.pause(0.1)
        app.screen.query_one("#yes").press()
        await until(pilot, lambda: app._exit)

    drive_session(script, folder / "Night Drive.remix")
    assert list((folder / "Night Drive.remix" / "takes").glob("*.json"))


def test_a_player_that_dies_is_told_and_starts_again(folder):
    async def script(app, pilot, screen):
        screen.player._process.kill()
        await until(pilot, lambda: type(app.screen).__name__ == "ErrorDialog")
        await pilot.pause(0.1)
        assert "Try again" in text_of(app)
        app.screen.query_one("#again").press()
        await until(pilot, lambda: app.screen is screen and screen.player.failure is None)
        await pilot.press("space")
        await until(pilot, lambda: screen.player.state.playing)

    drive_session(script, folder / "Night Drive.remix")


def test_jobs_are_listed_and_cancelled(folder):
    async def script(app, pilot):
        def work(job):
            while True:
                job.check()
                time.sleep(0.01)

        job = app.run_job("Endless", work, lambda _: None, long=True)
        waiting = app.run_job("Next", lambda job: 1, lambda _: None, long=True)
        await until(pilot, lambda: job.state == "running")
        assert waiting.state == "waiting"
        await pilot.press("b")
        await until(pilot, lambda: "Endless" in text_of(app))
        await pilot.press("down", "c")
        await until(pilot, lambda: job.state == "cancelled")
        await until(pilot, lambda: waiting.state == "done")

    drive(script)


def test_only_the_stems_that_are_wanted_are_made(folder):
    async def script(app, pilot, screen):
        await pilot.press("x")
        await until(pilot, lambda: type(app.screen).__name__ == "EngineDialog")
        await pilot.pause(0.3)
        stems = app.screen.query_one("#stems")
        assert stems.selected == ["drums", "bass", "other", "vocals"]  # Of dsp, the first engine.
        for stem in ("drums", "bass", "other", "vocals"):
            stems.deselect(stem)
        app.screen.query_one("#separate").press()
        await until(pilot, lambda: type(app.screen).__name__ == "ErrorDialog")
        await pilot.press("escape")
        await until(pilot, lambda: type(app.screen).__name__ == "EngineDialog")
        app.screen.query_one("#stems").select("vocals")
        app.screen.query_one("#separate").press()
        await until(pilot, lambda: "vocals" in screen.stems and len(screen.stems) == 2, 60)

    drive_session(script, folder / "Night Drive.remix")
