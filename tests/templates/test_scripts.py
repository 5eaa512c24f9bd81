"""The scripts that users copy work as they are."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.cli.conftest import RATE, make_song
from workstation.audio import read_audio
from workstation.config import shipped_folder

SCRIPTS = shipped_folder("templates") / "scripts"


def run(script, *arguments, cwd):
    return subprocess.run(
        [sys.executable, SCRIPTS / script, *arguments],
        cwd=cwd,
        text=True,
        capture_output=True,
        timeout=120,
        check=False,
        env={
            **os.environ,
            "WORKSTATION_CONFIG_DIR": str(cwd),
            "TORCH_HOME": str(cwd),
            "HF_HOME": str(cwd),
            "WORKSTATION_CACHE_DIR": str(cwd / ".cache"),
        },
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scripts")
    (folder / "settings.toml").write_text('engine = "dsp"\n')
    make_song(folder / "song.wav")
    return folder


def test_karaoke_is_the_song_without_its_vocals(folder):
    result = run("karaoke.py", "song.wav", cwd=folder)
    assert result.returncode == 0, result.stderr
    karaoke, rate = read_audio(folder / result.stdout.strip())
    song, _ = read_audio(folder / "song.wav")
    vocals, _ = read_audio(folder / "song.remix" / "stems" / "dsp" / "vocals.wav")
    assert rate == RATE
    assert np.abs(song - vocals - karaoke).max() < 1e-6


def test_drum_and_bass_is_what_it_says(folder):
    result = run("drum_and_bass_only.py", "song.wav", cwd=folder)
    assert result.returncode == 0, result.stderr
    remix, _ = read_audio(folder / result.stdout.strip())
    stems = folder / "song.remix" / "stems" / "dsp"
    sum_of_two = sum(read_audio(stems / f"{name}.wav")[0] for name in ("drums", "bass"))
    assert np.abs(remix - sum_of_two).max() < 1e-6


def test_a_folder_is_separated_song_by_song_and_a_bad_file_stops_nothing(folder, tmp_path):
    shutil.copy(folder / "settings.toml", tmp_path)
    songs = tmp_path / "songs"
    songs.mkdir()
    make_song(songs / "a.wav", seconds=2)
    make_song(songs / "c.wav", seconds=3)
    (songs / "b.wav").write_text("no sound")
    result = run("stems_of_a_folder.py", "songs", cwd=tmp_path)
    assert result.returncode == 1
    assert "b.wav" in result.stderr
    assert sorted(p.name for p in songs.glob("*.remix")) == ["a.remix", "c.remix"]


@pytest.mark.parametrize("script", sorted(p.name for p in SCRIPTS.glob("*.py")))
def test_without_arguments_a_script_says_how_it_is_called(script, folder):
    result = run(script, cwd=folder)
    assert result.returncode == 1
    assert result.stderr.startswith(f"Usage: python {script} ")
    assert len((SCRIPTS / script).read_text().splitlines()) <= 32


@pytest.mark.parametrize("script", ["karaoke.py", "drum_and_bass_only.py"])
def test_what_is_there_is_not_overwritten(script, tmp_path):
    make_song(tmp_path / "song.wav", seconds=1)
    kind = script.removesuffix(".py").removesuffix("_only").replace("_", " ")
    out = tmp_path / f"song ({kind}).wav"
    out.write_text("mine")
    result = run(script, "song.wav", cwd=tmp_path)
    assert result.returncode == 1
    assert "is there already" in result.stderr
    assert out.read_text() == "mine"


@pytest.mark.parametrize("script", ["karaoke.py", "drum_and_bass_only.py"])
def test_a_missing_song_is_told_in_words(script, folder):
    result = run(script, "nothing.mp3", cwd=folder)
    assert result.returncode == 1
    assert "nothing.mp3 is not there" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_drums_are_dropped_in_every_eighth_bar(tmp_path):
    (tmp_path / "settings.toml").write_text('engine = "dsp"\n')
    make_song(tmp_path / "song.wav", seconds=17.9)
    result = run("drop_the_drums.py", "song.wav", "none", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    dropped, _ = read_audio(tmp_path / "dropped drums.wav")
    drums, _ = read_audio(tmp_path / "song.remix" / "stems" / "dsp" / "drums.wav")
    mix, _ = read_audio(tmp_path / "song.wav")
    missing = np.abs(mix[:, : dropped.shape[1]] - dropped).max(axis=0)
    # Bars of 2 s: the eighth lasts from 14 to 16 s.
    assert missing[RATE * 13 : RATE * 14 - 900].max() < 1e-5
    eighth = slice(RATE * 14 + 1000, RATE * 16 - 1000)
    np.testing.assert_allclose(mix[:, eighth] - dropped[:, eighth], drums[:, eighth], atol=1e-5)
