"""`workstation train` as it is typed, and the engine that comes out of it."""

import contextlib
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from tests.separate.tiny_songs import STEMS, stems_of, write_songs
from workstation.audio import read_audio, write_audio
from workstation.cli import cli

pytestmark = pytest.mark.usefixtures("one_thread")

ONE = {"OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with songs, a network that learnt from them for a moment, and a song."""
    folder = tmp_path_factory.mktemp("trained")
    write_songs(folder / "songs", 3, rate=4000)
    mix = sum(stems_of(9, seconds=6.0).values())
    write_audio(folder / "song.wav", mix, 8000, "float32")
    arguments = "train songs --out my.safetensors --network spectrogram --batch 2 --device cpu"
    made = run(folder, f"{arguments} --minutes 0.01")
    assert made.exit_code == 0, made.stderr
    return folder, made


def run(folder, arguments):
    """Run a command in this process: torch takes seconds to load."""
    with contextlib.chdir(folder):
        return CliRunner().invoke(cli, arguments.split())


def test_it_prints_the_file_and_says_how_good_it_is(trained):
    _, made = trained
    assert made.stdout == "my.safetensors\n"
    for words in ("Learning drums", "Mix shared out", "vocals", "SDR in dB", "--resume"):
        assert words in made.stderr


def test_its_file_is_an_engine(trained, program):
    folder, _ = trained
    done = program(
        *("separate", "song.wav", "--engine", "my.safetensors", "--device", "cpu"),
        *("--out", "stems", "--json"),
        cwd=folder,
        **ONE,
    )
    assert done.returncode == 0, done.stderr
    made = json.loads(done.stdout)
    assert made["engine"] == "my"
    assert list(made["stems"]) == list(STEMS)
    stems = [read_audio(folder / path)[0] for path in made["stems"].values()]
    mix, _ = read_audio(folder / "song.wav")
    assert np.abs(sum(stems) - mix).max() < 1e-5
    listed = program("engines", "--models-dir", ".", "--json", cwd=folder)
    card = next(card for card in json.loads(listed.stdout) if card["name"] == "my")
    assert card["summary"].startswith("Your own spectrogram network; learnt from 2 songs, 0.2 min")


def test_it_trains_on_and_reports_as_json(trained):
    folder, _ = trained
    done = run(folder, "train songs --out my.safetensors --resume --epochs 1 --minutes 0.01 --json")
    assert done.exit_code == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["network"] == "spectrogram"
    assert report["steps"] >= 2
    assert set(report["stems"]["bass"]) == {"sdr_db", "mix_sdr_db"}


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("train songs --out my.safetensors", 5, "--resume"),
        ("train songs --out other.onnx", 2, "other.safetensors"),
        ("train songs --out other.safetensors --minutes 0", 2, "--minutes"),
        ("train songs", 2, "--out"),
        ("separate song.wav --engine none.safetensors", 2, "is not there"),
        ("separate song.wav --engine dsp.safetensors", 2, "rename the file"),
        ("separate song.wav --engine my.safetensors --models-dir .", 2, "a file already"),
    ],
)
def test_errors_are_in_words(trained, arguments, code, words):
    folder, _ = trained
    (folder / "dsp.safetensors").touch()
    done = run(folder, arguments)
    assert done.exit_code == code, done.output
    assert words in done.stderr


def test_stopped_by_the_user_it_can_be_gone_on_with(trained):
    folder, _ = trained
    process = subprocess.Popen(
        [
            *(sys.executable, "-m", "workstation", "train", "songs", "--out", "long.safetensors"),
            *("--batch", "1", "--device", "cpu"),
        ],
        cwd=folder,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    while "Learning" not in (line := process.stderr.readline()):
        assert line, "it ended"
    process.send_signal(signal.SIGINT)
    words = process.communicate(timeout=120)[1]
    assert process.returncode == 130
    assert "Add --resume to go on from there." in words
    assert (folder / "long.training").is_file()
