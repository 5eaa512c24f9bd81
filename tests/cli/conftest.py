"""A song to work on, and the program as a user starts it: a process of its own."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from workstation.audio import write_audio

RATE = 22050


def make_song(path: Path, *, seconds: float = 8.0, channels: int = 2) -> np.ndarray:
    """Four on the floor at 120 bpm with a bass note and a chord: enough for every step."""
    rng = np.random.default_rng(7)
    t = np.arange(round(RATE * seconds)) / RATE
    since_beat = t % 0.5
    kick = np.sin(2 * np.pi * 55 * since_beat) * np.exp(-since_beat * 25)
    hat = rng.standard_normal(len(t)) * np.exp(-((t + 0.25) % 0.5) * 60) * 0.3
    bass = np.sin(2 * np.pi * 110 * t) * 0.3
    chord = sum(np.sin(2 * np.pi * f * t) for f in (440, 523.25, 659.26)) * 0.08
    left = 0.5 * kick + 0.3 * hat + bass + chord
    right = 0.5 * kick + 0.2 * hat + bass - 0.5 * chord
    samples = (0.5 * np.stack([left, right])[:channels]).astype(np.float32)
    write_audio(path, samples, RATE, "float32")
    return samples


@pytest.fixture(scope="session")
def program():
    """Runs `workstation …` and gives the finished process."""

    def run(*arguments, cwd, timeout=120, **environment):
        return subprocess.run(
            [sys.executable, "-m", "workstation", *map(str, arguments)],
            cwd=cwd,
            text=True,
            capture_output=True,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            env={**os.environ, **environment},
            check=False,
        )

    return run


@pytest.fixture(scope="session")
def finished(tmp_path_factory, program):
    """A folder with a song whose session was separated, analysed and exported."""
    folder = tmp_path_factory.mktemp("finished")
    make_song(folder / "song.wav")
    made = program("export", "song.wav", "--to", "reaper,midi", "--engine", "dsp", cwd=folder)
    assert made.returncode == 0, made.stderr
    return folder
