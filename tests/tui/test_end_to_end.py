"""The real program in a real terminal or browser, on a real JACK server, with a controller."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.jack import JackServer, MidiBox, skip_without_jack
from tests.terminal import Terminal, skip_without
from workstation.session import SessionFolder


def test_from_the_demo_song_to_a_project_with_keys_and_a_controller(tmp_path):
    skip_without("tmux")
    skip_without_jack()
    with JackServer(rate_hz=44100, period=256) as server, MidiBox(server, "nanoKONTROL2") as box:
        environment = {
            **server.environment,
            "WORKSTATION_CONFIG_DIR": str(tmp_path / "config"),
            "WORKSTATION_CACHE_DIR": str(tmp_path / "cache"),
            "COLORTERM": "truecolor",
        }
        command = [sys.executable, "-P", "-m", "workstation"]
        with Terminal(tmp_path, command, environment) as terminal:
            terminal.wait_for("Press  d  to make the demo song")
            terminal.press("d")
            terminal.wait_for("MASTER", "116.0 bpm", seconds=120)
            terminal.press("r", "Space")
            terminal.wait_for("PAUSE", "REC!")
            terminal.wait_for("CC0/1")  # The controller is there, and what it moves.
            box.send([0xB0, 48, 127])  # The mute button of the first strip.
            terminal.wait_for("[M]")
            box.send([0xB0, 48, 0])
            time.sleep(0.5)
            terminal.press("r")
            terminal.wait_for("REC!", gone=True)
            takes = SessionFolder(tmp_path / "workstation-demo" / "Terminal Velocity.remix").takes
            terminal.wait_until(takes.numbered)
            controls = [event.control for event in takes.find("1").events]
            assert "drums.mute" in controls
            terminal.press("Space")  # While the music plays no dialog comes up by itself.
            terminal.wait_for("PAUSE", gone=True)
            terminal.press("e")
            terminal.wait_for("Opens in")
            terminal.press(*["Tab"] * 8, "Enter")
            terminal.wait_for("Exported", "Copy path", seconds=30)
            projects = tmp_path / "workstation-demo" / "Terminal Velocity.remix" / "exports"
            assert list((projects / "reaper").glob("*.rpp"))
            terminal.press("Enter")
            terminal.wait_for("Exported", gone=True)
            # What libraries print must not tear the screen.
            lines = terminal.screen().splitlines()
            assert lines[0].startswith(" Terminal Velocity")
            assert "space Play" in lines[-1]
            terminal.press("C-q")
            terminal.wait_until(terminal.ended)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_the_same_screen_in_a_browser(folder):
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="playwright is not installed", exc_type=ImportError
    )
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-P", "-m", "workstation", "serve", "--port", str(port)],
        cwd=folder, env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        end = time.monotonic() + 20
        while True:
            with contextlib.suppress(URLError, ConnectionError):
                urlopen(f"http://127.0.0.1:{port}/", timeout=2).close()
                break
            assert server.poll() is None, server.stderr.read()
            assert time.monotonic() < end
            time.sleep(0.1)
        with playwright.sync_playwright() as run:
            browser = run.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
            page = browser.new_page(viewport={"width": 1200, "height": 800})
            page.route(
                "**/*",
                lambda route: (
                    route.continue_() if "127.0.0.1" in route.request.url else route.abort()
                ),
            )
            page.goto(f"http://127.0.0.1:{port}/")
            page.wait_for_selector(".xterm-screen")
            page.wait_for_timeout(3000)
            before = page.screenshot()
            # The first row of the list, then enter: the session opens.
            page.click(".xterm-screen", position={"x": 120, "y": 100})
            page.keyboard.press("Enter")
            page.wait_for_timeout(4000)
            after = page.screenshot()
            browser.close()
        assert before != after
        assert (folder / "config" / "recent.json").exists()  # It was opened.
        time.sleep(1.0)
    finally:
        os.killpg(server.pid, signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(5)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
