"""`workstation evaluate`: what it prints and keeps, and what it says to files that do not fit."""

import csv
import importlib.util
import json
import os
import shutil
import sys

import numpy as np
import pytest

import workstation
from tests.cli.test_commands import check_error
from workstation.audio import write_audio

RATE = 8000
WORKING_PATH = os.pathsep.join(sys.path)
STEMS = ("drums", "bass", "vocals")
needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="matplotlib is not installed"
)


def make_stems(folder, *, seconds=3.0, channels=2, rate=RATE, noise=0.0, stems=STEMS, seed=5):
    """Noise bursts, a low tone and a high one; with `noise`, estimates of them."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * rate)) / rate
    sounds = {
        "drums": rng.standard_normal(len(t)) * np.exp(-(t % 0.5) * 20),
        "bass": np.sin(2 * np.pi * 60 * t),
        "vocals": np.sin(2 * np.pi * 500 * t) * (1 + 0.3 * np.sin(2 * np.pi * 5 * t)),
    }
    for name in stems:
        samples = np.stack([0.2 * sounds[name], 0.1 * sounds[name]])[:channels]
        samples = samples + 0.1 * noise * rng.standard_normal(samples.shape)
        write_audio(folder / f"{name}.wav", samples.astype(np.float32), rate, "float32")


@pytest.fixture
def songs(tmp_path):
    """Two songs as in MUSDB18-HQ, and estimates of both."""
    for number, name in enumerate(("One - Song", "Two")):
        make_stems(tmp_path / "true" / "test" / name, seed=number)
        make_stems(tmp_path / "made" / "test" / name, seed=number, noise=0.1 * (number + 1))
        shutil.copy(
            tmp_path / "true" / "test" / name / "bass.wav",
            tmp_path / "true" / "test" / name / "mixture.wav",
        )
    return tmp_path


def test_a_folder_of_songs_is_scored_summed_up_and_kept(songs, program):
    made = program("evaluate", "true", "made", "--json", "--csv", "scores.csv", cwd=songs)
    assert made.returncode == 0, made.stderr
    found = json.loads(made.stdout)
    assert [song["song"] for song in found["songs"]] == ["test/One - Song", "test/Two"]
    for song in found["songs"]:
        assert set(song["stems"]) == set(STEMS)
    for stem in STEMS:
        values = [song["stems"][stem]["sdr_db"] for song in found["songs"]]
        assert values[0] > values[1] > 0
        assert found["summary"][stem]["mean"]["sdr_db"] == pytest.approx(np.mean(values))
        assert found["summary"][stem]["median"]["sir_db"] is not None
    assert found["summary"]["all"]["songs"] == 2
    rows = list(csv.DictReader((songs / "scores.csv").open()))
    assert len(rows) == 6
    assert float(rows[0]["sdr_db"]) == pytest.approx(
        found["songs"][0]["stems"][rows[0]["stem"]]["sdr_db"], abs=1e-5
    )
    assert len(list((songs / "workstation-scores").glob("*.json"))) == 2


def test_the_ceiling_is_shown_where_it_is_asked_for_and_kept(songs, program):
    without = program("evaluate", "true", "made", cwd=songs, COLUMNS="120")
    assert "Ceiling" not in without.stdout
    made = program("evaluate", "true", "made", "--ceiling", "--json", cwd=songs)
    found = json.loads(made.stdout)
    for song in found["songs"]:
        for scores in song["stems"].values():
            # These stems hardly overlap, so masks could part them well; noise was added to them.
            assert scores["ceiling_db"] > 8
    kept = {p: p.stat().st_mtime_ns for p in (songs / "workstation-scores").iterdir()}
    table = program("evaluate", "true", "made", "--ceiling", cwd=songs, COLUMNS="120")
    assert table.stdout.count("Ceiling") == 2
    assert kept == {p: p.stat().st_mtime_ns for p in (songs / "workstation-scores").iterdir()}


def test_the_tables_show_every_song_and_the_summary(songs, program):
    made = program("evaluate", "true", "made", cwd=songs, COLUMNS="120")
    assert made.returncode == 0, made.stderr
    for word in ("test/One - Song", "test/Two", "vocals", "SI-SDR", "Songs", "all"):
        assert word in made.stdout


def test_the_known_error_has_its_figure(tmp_path):
    make_stems(tmp_path / "true")
    (tmp_path / "made").mkdir()
    for name in STEMS:
        samples, rate = workstation.read_audio(tmp_path / "true" / f"{name}.wav")
        write_audio(tmp_path / "made" / f"{name}.wav", 0.9 * samples, rate, "float32")
    found = workstation.evaluate(tmp_path / "true", tmp_path / "made", out=tmp_path / "kept")
    for scores in found.songs[0].stems.values():
        assert scores.sdr_db == pytest.approx(20.0, abs=1e-3)
        assert scores.window_sdr_db == pytest.approx(20.0, abs=1e-3)
        assert scores.si_sdr_db > 100


def test_scores_are_kept_until_a_file_changes(songs):
    def run():
        return workstation.evaluate(songs / "true", songs / "made", out=songs / "kept", jobs=1)

    def changed_ns():
        return {p.name: p.stat().st_mtime_ns for p in (songs / "kept").glob("*.json")}

    first, before = run(), changed_ns()
    assert run() == first
    assert changed_ns() == before
    samples, rate = workstation.read_audio(songs / "made" / "test" / "Two" / "bass.wav")
    write_audio(songs / "made" / "test" / "Two" / "bass.wav", 0.5 * samples, rate, "float32")
    again, after = run(), changed_ns()
    assert again.songs[0] == first.songs[0]
    assert again.songs[1] != first.songs[1]
    assert {name for name in after if after[name] != before[name]} == {
        name for name in after if name.startswith("test Two")
    }
    # What is no longer readable is made anew.
    next((songs / "kept").glob("*Two*")).write_text("{")
    assert run() == again


def test_one_bad_song_among_good_ones_is_listed(songs, program):
    (songs / "made" / "test" / "Two" / "bass.wav").write_bytes(b"RIFF....WAVE")
    made = program("evaluate", "true", "made", "--json", cwd=songs)
    assert made.returncode == 3
    found = json.loads(made.stdout)
    assert [song["song"] for song in found["songs"]] == ["test/One - Song"]
    assert [failure["song"] for failure in found["failures"]] == ["test/Two"]
    assert "bass.wav" in made.stderr


def test_a_song_that_nobody_separated_is_named(songs, program):
    shutil.rmtree(songs / "made" / "test" / "Two")
    made = program("evaluate", "true", "made", cwd=songs)
    assert made.returncode == 0
    assert "Without estimates: test/Two" in made.stderr


def test_songs_are_found_by_the_last_part_of_their_names(songs):
    found = workstation.evaluate(songs / "true", songs / "made" / "test", out=songs / "kept")
    assert len(found.songs) == 2


def test_a_missing_stem_interferes_but_has_no_score(tmp_path, program):
    make_stems(tmp_path / "true")
    make_stems(tmp_path / "made", noise=0.1, stems=("vocals",))
    write_audio(tmp_path / "made" / "flute.wav", np.ones((1, 24000), np.float32), RATE, "float32")
    made = program("evaluate", "true", "made", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (song,) = json.loads(made.stdout)["songs"]
    assert set(song["stems"]) == {"vocals"}
    assert set(song["without_estimate"]) == {"drums", "bass"}
    assert song["without_reference"] == ["flute"]
    assert "flute" in made.stderr


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 16000}, ("16000 Hz", "8000 Hz")),
        ({"seconds": 2.5}, ("0.50 s shorter",)),
        ({"seconds": 3.5}, ("0.50 s longer",)),
    ],
)
def test_files_that_do_not_belong_together_are_refused(tmp_path, program, change, words):
    make_stems(tmp_path / "true")
    make_stems(tmp_path / "made", **change)
    check_error(program("evaluate", "true", "made", cwd=tmp_path), 3, *words)


def test_a_few_milliseconds_at_the_end_are_filled_and_told(tmp_path, program):
    make_stems(tmp_path / "true")
    make_stems(tmp_path / "made", seconds=2.95)
    made = program("evaluate", "true", "made", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert "50.0 ms filled with silence" in made.stderr


def test_mono_sounds_on_every_channel(tmp_path):
    make_stems(tmp_path / "true", channels=1)
    make_stems(tmp_path / "made", channels=1, noise=0.1)
    mono = workstation.evaluate(tmp_path / "true", tmp_path / "made", out=tmp_path / "kept")
    for file in (tmp_path / "made").iterdir():
        samples, rate = workstation.read_audio(file)
        write_audio(file, samples.repeat(2, axis=0), rate, "float32")
    stereo = workstation.evaluate(tmp_path / "true", tmp_path / "made", out=tmp_path / "kept")
    for name in STEMS:
        one, other = mono.songs[0].stems[name], stereo.songs[0].stems[name]
        assert one.sdr_db == pytest.approx(other.sdr_db, abs=1e-4)
        assert one.sar_db == pytest.approx(other.sar_db, abs=1e-2)
    assert "mono" in stereo.songs[0].notes[0]


def test_names_that_share_no_stem_are_refused(tmp_path, program):
    make_stems(tmp_path / "true", stems=("drums",))
    make_stems(tmp_path / "made", stems=("bass",))
    check_error(program("evaluate", "true", "made", cwd=tmp_path), 3, "bass", "drums")


@pytest.mark.parametrize("name", ["nothing", "empty", "song.txt"])
def test_what_holds_no_stems_is_refused(tmp_path, program, name):
    make_stems(tmp_path / "true")
    (tmp_path / "empty").mkdir()
    (tmp_path / "song.txt").write_text("la")
    check_error(program("evaluate", "true", name, cwd=tmp_path), 3, name)
    check_error(program("evaluate", name, "true", cwd=tmp_path), 3, name)


def test_the_stems_of_a_session_can_be_estimates(finished, tmp_path, program):
    shutil.copytree(finished / "song.remix", tmp_path / "song.remix")
    (tmp_path / "true").mkdir()
    for stem in (finished / "song.remix" / "stems" / "dsp").glob("*.wav"):
        shutil.copy(stem, tmp_path / "true")
    made = program("evaluate", "true", "song.remix", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    (song,) = json.loads(made.stdout)["songs"]
    assert song["stems"]["drums"]["sdr_db"] == 200


def test_the_sessions_of_a_batch_belong_to_the_songs_of_musdb(finished, tmp_path):
    session = tmp_path / "made" / "test" / "Song" / "mixture.remix"
    shutil.copytree(finished / "song.remix", session)
    shutil.copytree(session / "stems" / "dsp", tmp_path / "musdb" / "test" / "Song")
    shutil.copy(finished / "song.wav", tmp_path / "musdb" / "test" / "Song" / "mixture.wav")
    found = workstation.evaluate(tmp_path / "musdb", tmp_path / "made", out=tmp_path / "kept")
    assert [song.song for song in found.songs] == ["test/Song"]
    assert set(found.songs[0].stems) == {"drums", "bass", "other", "vocals"}


def test_a_stem_file_of_musdb_is_read_without_names(tmp_path):
    av = pytest.importorskip("av")
    tones = {"drums": 300, "bass": 500, "other": 700, "vocals": 900}
    t = np.arange(2 * 44100) / 44100
    (tmp_path / "made").mkdir()
    stems = {
        name: (0.2 * np.sin(2 * np.pi * hz * t)).astype(np.float32).repeat(2).reshape(-1, 2).T
        for name, hz in tones.items()
    }
    path = tmp_path / "Song.stem.mp4"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("aac", rate=44100, layout="stereo") for _ in range(5)]
        for stream, samples in zip(streams, [sum(stems.values()), *stems.values()], strict=True):
            for at in range(0, len(t), 1024):
                part = np.ascontiguousarray(samples[:, at : at + 1024])
                frame = av.AudioFrame.from_ndarray(part, format="fltp", layout="stereo")
                frame.sample_rate, frame.pts = 44100, at
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
    for name, samples in stems.items():
        write_audio(tmp_path / "made" / f"{name}.wav", samples, 44100, "float32")
    found = workstation.evaluate(path, tmp_path / "made", out=tmp_path / "kept")
    assert set(found.songs[0].stems) == set(tones)
    for scores in found.songs[0].stems.values():
        assert scores.sdr_db > 15


def test_a_csv_file_that_is_there_is_not_replaced_unasked(songs, program):
    (songs / "scores.csv").write_text("mine")
    check_error(
        program("evaluate", "true", "made", "--csv", "scores.csv", cwd=songs), 5, "--overwrite"
    )
    assert (songs / "scores.csv").read_text() == "mine"


@needs_matplotlib
def test_plots_are_drawn_as_png_and_svg(songs, program):
    made = program("evaluate", "true", "made", "--plots", "plots", cwd=songs)
    assert made.returncode == 0, made.stderr
    names = {path.name for path in (songs / "plots").iterdir()}
    assert names == {
        f"{name}.{suffix}"
        for name in ("scores", "test One - Song", "test Two")
        for suffix in ("png", "svg")
    }
    for path in (songs / "plots").glob("*.png"):
        assert path.read_bytes().startswith(b"\x89PNG")
    check_error(program("evaluate", "true", "made", "--plots", "plots", cwd=songs), 5)


def test_plots_without_matplotlib_are_refused_before_the_work(songs, program):
    (songs / "block").mkdir()
    (songs / "block" / "sitecustomize.py").write_text(
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *a: None if name == 'matplotlib' else find(name)\n"
    )
    result = program(
        "evaluate", "true", "made", "--plots", "plots", cwd=songs,
        PYTHONPATH=f"{songs / 'block'}{os.pathsep}{WORKING_PATH}",
    )  # fmt: skip
    check_error(result, 4, "matplotlib", "pip install")
    assert not (songs / "workstation-scores").exists()
