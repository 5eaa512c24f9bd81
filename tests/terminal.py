"""A real terminal for tests: tmux."""

import contextlib
import os
import shlex
import shutil
import subprocess
import time

import pytest


def skip_without(program):
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")


class Terminal:
    """A terminal multiplexer with one window, in which a user types."""

    def __init__(self, folder, command, environment, size=(120, 40)):
        self._socket = f"workstation-{os.getpid()}-{time.monotonic_ns()}"
        words = " ".join(f"{k}={shlex.quote(v)}" for k, v in environment.items())
        self._tmux(
            "-f", os.devnull, "new-session", "-d", "-x", str(size[0]), "-y", str(size[1]),
            "-s", "s", "-c", str(folder), f"env -u COLUMNS -u LINES {words} {shlex.join(command)}",
        )  # fmt: skip

    def _tmux(self, *words):
        return subprocess.run(
            ["tmux", "-L", self._socket, *words], check=True, capture_output=True, text=True,
            env={**os.environ, "LC_ALL": "C.UTF-8", "TERM": "xterm-256color"}, timeout=10,
        ).stdout  # fmt: skip

    def press(self, *keys):
        for key in keys:
            self._tmux("send-keys", "-t", "s", key)

    def screen(self):
        return self._tmux("capture-pane", "-p", "-t", "s")

    def wait_for(self, *words, seconds=30.0, gone=False):
        end = time.monotonic() + seconds
        while any((word in self.screen()) == gone for word in words):
            assert time.monotonic() < end, self.screen()
            time.sleep(0.1)

    def wait_until(self, condition, seconds=15.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, self.screen()
            time.sleep(0.1)

    def ended(self):
        with contextlib.suppress(subprocess.CalledProcessError):
            self._tmux("has-session", "-t", "s")
            return False
        return True

    def __enter__(self):
        return self

    def __exit__(self, *_):
        with contextlib.suppress(subprocess.CalledProcessError):
            self._tmux("kill-server")
