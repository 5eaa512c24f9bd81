"""Every named screen, as text, at two sizes; sizes and songs that are hard to draw.

The pictures in `golden/` are what a user sees, without its colours: nothing on a screen may need
colour to be understood. After a wanted change: `WORKSTATION_GOLDEN=write pytest tests/tui`.
"""

import os
from pathlib import Path

import msgspec
import numpy as np
import pytest

import workstation
from tests.tui.conftest import drive, drive_session, text_of, until
from workstation.audio import write_audio
from workstation.model import UnavailableError
from workstation.studio.recent import remember
from workstation.tui.screens.engines import EngineDialog

GOLDEN = Path(__file__).parent / "golden"
SIZES = [(80, 24), (140, 45)]


@pytest.fixture
def still(folder, sections, monkeypatch):
    """A session whose screen is the same on every machine."""
    session = workstation.open(folder / "Night Drive.remix")
    analysis = msgspec.structs.replace(session.analysis, sections=sections)
    with session._editing():
        session._save_analysis(analysis)
    monkeypatch.setattr(EngineDialog, "_cost", lambda self, card: "~0:01")
    return Path("Night Drive.remix")


async def check(app, pilot, name):
    """Compare with the picture in the repository, once all is drawn."""
    width, height = app.size
    path = GOLDEN / f"{name}-{width}x{height}.txt"
    if os.environ.get("WORKSTATION_GOLDEN") == "write":
        await pilot.pause(0.5)
        path.write_text(text_of(app), encoding="utf-8")
    wanted = path.read_text(encoding="utf-8")
    for _ in range(100):
        if text_of(app) == wanted:
            return
        await pilot.pause(0.05)
    assert text_of(app) == wanted


@pytest.mark.parametrize("size", SIZES)
def test_home(still, size):
    for name in ("Blue Hour", "夜のドライブ 🚗"):
        remember(Path(f"/nowhere/{name}.remix"))

    async def script(app, pilot):
        await until(pilot, lambda: app.screen.table.row_count == 3)
        await pilot.pause(0.2)
        await check(app, pilot, "home")
        await pilot.press("?")
        await pilot.pause(0.2)
        await check(app, pilot, "home-help")

    drive(script, None, size)


@pytest.mark.parametrize("size", SIZES)
def test_empty_home(tmp_path, monkeypatch, size):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKSTATION_CONFIG_DIR", "config")

    async def script(app, pilot):
        await pilot.pause(0.4)
        await check(app, pilot, "home-empty")

    drive(script, None, size)


@pytest.mark.parametrize("size", SIZES)
def test_session(still, size):
    async def script(app, pilot, screen):
        player = screen.player
        await check(app, pilot, "session")
        await pilot.press("m", "down", "s", "down", "-", "-", "<", "}", "c", "q", "right", "l")
        await until(pilot, lambda: player.state.loop_s is not None)
        await until(pilot, lambda: player.value("other.filter") > 0 and player.value("bass.mute"))
        await pilot.pause(0.4)
        await check(app, pilot, "session-mixed")
        await pilot.press("z", "z")
        await pilot.pause(0.3)
        await check(app, pilot, "session-zoomed")

    drive_session(script, still, size)


@pytest.mark.parametrize("size", SIZES)
def test_dialogs(still, size):
    async def script(app, pilot, screen):
        for key, name in (
            ("e", "export"), ("x", "engines"), ("t", "takes"), ("ctrl+r", "render"), ("b", "jobs"),
            ("g", "grid"), ("?", "session-help"), ("ctrl+s", "settings"),
        ):  # fmt: skip
            await pilot.press(key)
            await pilot.pause(0.4)
            await check(app, pilot, name)
            await pilot.press("escape")
            await until(pilot, lambda: app.screen is screen)
        app.fail(UnavailableError("The device is gone.", "Put it back."), lambda: None)
        await pilot.pause(0.2)
        await check(app, pilot, "error")

    drive_session(script, still, size)


def test_sizes_in_which_nothing_fits_and_back(still):
    async def script(app, pilot, screen):
        before = text_of(app)
        for width, height in ((40, 10), (20, 5), (200, 60), (1, 1), (40, 10)):
            await pilot.resize_terminal(width, height)
            await pilot.pause(0.2)
            assert all(len(line) <= max(width, 1) * 2 for line in text_of(app).splitlines())
            await pilot.press("m", "z", "down", "g")
            await pilot.pause(0.1)
            await pilot.press("escape", "w")
            await pilot.press("u", "up")
        await pilot.resize_terminal(100, 30)
        await pilot.pause(0.4)
        await pilot.press("u")
        await pilot.pause(0.4)
        assert text_of(app) == before

    drive_session(script, still)


@pytest.mark.parametrize("theme", ["workstation-light", "ansi-dark", "textual-light"])
def test_every_theme_draws(still, theme):
    async def script(app, pilot, screen):
        before = text_of(app)
        app.theme = theme
        await pilot.pause(0.3)
        assert text_of(app) == before

    drive_session(script, still)


@pytest.fixture
def many(folder):
    """300 stems, with names that are hard to draw."""
    stems = folder / "三百の音 🎧"
    stems.mkdir()
    for n in range(300):
        samples = np.full((1, 11025), n / 600, np.float32)
        write_audio(stems / f"{n:03} ドラム🥁 é.wav", samples, 22050, "float32")
    session = workstation.open(stems, parent=folder)
    session.analyze()
    return session.path


def test_three_hundred_stems(many):
    async def script(app, pilot, screen):
        assert len(screen.session.stems) == 300
        assert "ドラム" in text_of(app)
        for _ in range(40):
            await pilot.press("down")
        assert screen.lanes.selected == 40
        assert " 41 " in text_of(app) or "41 040" in text_of(app)
        await pilot.press("m")
        stem = screen.stem
        await until(pilot, lambda: screen.player.value(f"{stem}.mute") == 1)

    drive_session(script, many)


def test_a_song_of_two_hours(folder):
    rate = 8000
    stems = folder / "Long"
    stems.mkdir()
    for name in ("drums", "bass"):
        write_audio(stems / f"{name}.wav", np.zeros((1, 7200 * rate), np.float32), rate, "float32")
    session = workstation.open(stems, parent=folder)
    session.set_grid(workstation.BeatGrid.constant(bpm=120, first_beat_s=0, duration_s=7200))

    async def script(app, pilot, screen):
        assert "/2:00:00" in text_of(app)
        for _ in range(12):
            await pilot.press("z")
        assert screen.timeline.each_s < 0.05
        screen.set("transport.seek", 7000.0)
        await pilot.press("space")
        await until(pilot, lambda: screen.timeline.start_s > 6900)

    drive_session(script, session.path)


def test_a_session_whose_stems_vanished(folder):
    path = folder / "Night Drive.remix"
    for stem in path.glob("stems/*/*.wav"):
        stem.unlink()

    async def script(app, pilot):
        await until(pilot, lambda: type(app.screen).__name__ == "ErrorDialog")
        await pilot.press("escape")
        assert type(app.screen).__name__ == "HomeScreen"

    drive(script, path)


def test_the_picture_of_the_readme_is_true(tmp_path, monkeypatch):
    from tests.tui.picture import PICTURE, draw, words

    monkeypatch.setenv("WORKSTATION_CONFIG_DIR", str(tmp_path / "config"))
    assert words(draw(tmp_path)) == words(PICTURE.read_text(encoding="utf-8"))
