"""Karaoke, practice, loops, 5.1 and combined engines as a user types them."""

import json
import shutil

import numpy as np
import pytest

from tests.cli.conftest import RATE
from tests.cli.test_commands import check_error
from workstation.audio import read_audio, write_audio


@pytest.fixture(scope="module")
def folder(finished, tmp_path_factory):
    """A folder with a session that is separated and analysed."""
    folder = tmp_path_factory.mktemp("remix")
    shutil.copytree(finished / "song.remix", folder / "song.remix")
    return folder


def stems_of(folder):
    return {p.stem: read_audio(p)[0] for p in (folder / "song.remix/stems/dsp").glob("*.wav")}


def test_karaoke_prints_the_file_and_does_not_replace_it(folder, program):
    made = program("karaoke", "song.remix", "--guide", "-20", cwd=folder)
    assert (made.returncode, made.stdout) == (0, "song - karaoke.wav\n"), made.stderr
    stems = stems_of(folder)
    rest = sum(samples for name, samples in stems.items() if name != "vocals")
    got = read_audio(folder / "song - karaoke.wav")[0]
    assert np.abs(got - rest - 0.1 * stems["vocals"]).max() < 1e-6
    check_error(program("karaoke", "song.remix", cwd=folder), 5, "--overwrite")


def test_practice_takes_a_part_out_and_knows_its_limits(folder, program):
    made = program("practice", "song.remix", "--stem", "bass", "--json", cwd=folder)
    assert json.loads(made.stdout)["path"] == "song - practice bass.wav", made.stderr
    check_error(program("practice", "song.remix", "--stem", "flute", cwd=folder), 2, "flute")
    check_error(
        program("practice", "song.remix", "--stem", "bass", "--tempo", "20", cwd=folder), 2, "20 %"
    )


def test_loops_fill_a_folder(folder, program):
    made = program("loops", "song.remix", "--bars", "1", "--out", "pack", cwd=folder)
    assert made.returncode == 0, made.stderr
    files = made.stdout.splitlines()
    assert files
    assert sorted(files) == sorted(f"pack/{p.name}" for p in (folder / "pack").iterdir())
    lengths = {read_audio(folder / name)[0].shape[1] for name in files}
    assert all(abs(length - 2 * RATE) <= RATE * 0.02 for length in lengths)  # 120 bpm, 4/4.


def test_surround_has_six_channels(folder, program):
    made = program("surround", "song.remix", "--out", "s.flac", cwd=folder)
    assert (made.returncode, made.stdout) == (0, "s.flac\n"), made.stderr
    assert read_audio(folder / "s.flac")[0].shape == (6, 8 * RATE)


def test_combined_engines_stand_where_a_name_does(folder, program):
    made = program(
        "separate",
        "song.remix",
        "--engine",
        "cascade( hpss@percussive, dsp )",
        "--json",
        cwd=folder,
    )
    found = json.loads(made.stdout)
    assert found["engine"] == "cascade(hpss@percussive,dsp)"
    stems = {name: read_audio(path)[0] for name, path in found["stems"].items()}
    assert set(stems) == {"drums", "bass", "other", "vocals", "percussive"}
    song = read_audio(folder / "song.remix" / "source.wav")[0]
    assert np.abs(sum(stems.values()) - song).max() < 1e-6
    check_error(program("separate", "song.remix", "--engine", "max(dsp", cwd=folder), 2, '")"')
    check_error(
        program("separate", "song.remix", "--engine", "max(dsp,hpss)", cwd=folder), 2, "makes no"
    )


def test_an_engine_for_stereo_tells_so_of_a_mono_song_before_it_works(tmp_path, program):
    tone = 0.1 * np.sin(np.arange(RATE, dtype=np.float32) / 7)[None]
    write_audio(tmp_path / "voice.wav", tone, RATE, "float32")
    made = program("separate", "voice.wav", "--engine", "duet", cwd=tmp_path)
    check_error(made, 3, '"voice" has one channel')
    assert "hpss" in made.stderr
    assert not (tmp_path / "voice.remix" / "stems").exists()
    assert program("separate", "voice.wav", "--engine", "repet", cwd=tmp_path).returncode == 0
