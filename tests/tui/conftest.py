"""The screen without a terminal: a session on disk, a real player on the silent clock."""

import asyncio
import shutil

import numpy as np
import pytest

import workstation
from tests.cli.conftest import RATE, make_song
from workstation.audio import write_audio
from workstation.model import Section
from workstation.perform.outputs import OutputOptions
from workstation.studio.player import Connections

SILENT = OutputOptions(device="none", block_frames=128)


@pytest.fixture(scope="session")
def made_session(tmp_path_factory):
    """A session of four stems on a grid of 120 bpm, 12 s long."""
    folder = tmp_path_factory.mktemp("tui")
    rng = np.random.default_rng(1)
    stems = folder / "Night Drive"
    stems.mkdir()
    mix = make_song(folder / "drums.wav", seconds=12)
    shutil.move(folder / "drums.wav", stems / "drums.wav")
    swell = np.linspace(0.02, 0.3, mix.shape[1], dtype=np.float32)
    for name in ("bass", "other", "vocals"):
        noise = rng.uniform(-1, 1, mix.shape).astype(np.float32)
        write_audio(stems / f"{name}.wav", noise * swell, RATE, "float32")
    session = workstation.open(stems, parent=folder)
    session.analyze()
    grid = workstation.BeatGrid.constant(bpm=120, first_beat_s=0.0, duration_s=12)
    session.set_grid(grid)
    return session.path


@pytest.fixture
def folder(made_session, tmp_path, monkeypatch):
    """The working folder of a user who has one session and no settings."""
    shutil.copytree(made_session, tmp_path / "Night Drive.remix")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORKSTATION_CONFIG_DIR", "config")
    monkeypatch.setenv("WORKSTATION_CACHE_DIR", "cache")
    return tmp_path


@pytest.fixture
def sections():
    return (Section(0.0, 4.0, "A"), Section(4.0, 8.0, "B"), Section(8.0, 12.0, "A"))


async def until(pilot, condition, seconds=30.0):
    """Wait until something is so."""
    for _ in range(round(seconds / 0.02)):
        if condition():
            return
        await pilot.pause(0.02)
    raise AssertionError("it did not happen")


def drive(script, path=None, size=(100, 30), *, any_controller=False):
    """Run the application without a terminal, and a script that presses its keys."""
    from workstation.tui.app import WorkstationApp

    async def run():
        app = WorkstationApp(path, SILENT, Connections(any_controller=any_controller))
        async with app.run_test(size=size) as pilot:
            await script(app, pilot)

    asyncio.run(run())


def drive_session(script, path, size=(100, 30), *, any_controller=False):
    """The same, with a session open and its player running."""
    from workstation.tui.screens.session import SessionScreen

    async def opened(app, pilot):
        await until(pilot, lambda: isinstance(app.screen, SessionScreen) and app.screen.player)
        screen = app.screen
        await until(pilot, lambda: len(screen.lanes._peaks) == len(screen.session.stems))
        await pilot.pause(0.15)
        await script(app, pilot, screen)

    drive(opened, path, size, any_controller=any_controller)


def text_of(app):
    """What the screen shows, as text: one line per row, without blanks at the end."""
    width, height = app.size
    strips = app.screen._compositor.render_strips()
    lines = ["".join(s.text for s in strip) for strip in strips]
    assert len(lines) in {0, height}  # None before the first layout.
    return "\n".join(line[:width].rstrip() for line in lines) + "\n"
