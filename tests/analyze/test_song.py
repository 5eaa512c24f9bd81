"""The whole analysis: strange input, and real songs with known truth."""

import json
import math

import mir_eval
import msgspec
import numpy as np
import pytest
import soundfile

from workstation.analyze import ArraySource, analyze
from workstation.model import Analysis, JobContext

RATE = 22050
RANDOM = np.random.default_rng(11)
TIME = np.arange(RATE * 15) / RATE
NO_BEAT = {
    "nothing": np.zeros((2, 0)),
    "one sample": np.ones((1, 1)),
    "silence": np.zeros((2, RATE * 10)),
    "one second": RANDOM.standard_normal((2, RATE)) * 0.1,
    "noise": RANDOM.standard_normal((1, RATE * 15)) * 0.1,
    "short noise": RANDOM.standard_normal((1, RATE * 3)) * 0.1,
    "direct current": np.full((1, RATE * 10), 0.4),
    "drone": 0.2 * np.sin(2 * np.pi * 220 * TIME) + 0.1 * np.sin(2 * np.pi * 330 * TIME),
    "short drone": (0.2 * np.sin(2 * np.pi * 220 * TIME))[: RATE * 3],
    "no numbers": np.full((2, RATE * 3), np.nan),
    "one click": np.eye(1, RATE * 10, RATE * 4),
}


def analysis_of(path):
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return analyze(ArraySource(samples.T, rate_hz), job=JobContext())


def numbers_in(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [n for item in value for n in numbers_in(item)]
    return [value] if isinstance(value, float) else []


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("name", NO_BEAT)
def test_sound_without_a_beat_has_no_grid_and_no_sections(name):
    result = analyze(ArraySource(NO_BEAT[name], RATE), job=JobContext())
    assert result.grid is None
    assert result.sections == ()
    assert all(math.isfinite(n) for n in numbers_in(msgspec.to_builtins(result)))


def test_the_result_goes_to_json_and_back(drums):
    samples, _ = drums.steady("rock", 120, 10, start_s=0.2)
    result = analyze(ArraySource(samples, RATE), job=JobContext())
    assert msgspec.json.decode(msgspec.json.encode(result), type=Analysis) == result
    assert all(t == round(t, 6) for t in result.grid.beats_s)


def test_progress_rises_to_one(drums):
    seen = []
    samples, _ = drums.steady("rock", 120, 10)
    job = JobContext(lambda fraction, _: seen.append(fraction))
    analyze(ArraySource(samples, RATE), drums=ArraySource(samples, RATE), job=job)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_drum_stem_shows_beats_that_the_mix_hides(drums):
    beat, beats = drums.steady("rock", 113, 30, start_s=0.4)
    noise = 0.5 * np.random.default_rng(5).standard_normal(beat.shape)
    mix = (0.05 * beat + noise).astype(np.float32)
    result = analyze(ArraySource(mix, RATE), drums=ArraySource(0.05 * beat, RATE), job=JobContext())
    assert result.bpm == pytest.approx(113, abs=0.1)
    assert mir_eval.beat.f_measure(beats, np.array(result.grid.beats_s)) > 0.95


def beats_of(listed):
    return np.array([b[0] for b in listed]), np.array([b[0] for b in listed if b[1] == 1])


def assert_found(result, listed, *, least=0.97, least_down=0.9):
    beats, downbeats = beats_of(listed)
    found, found_down = np.array(result.grid.beats_s), np.array(result.grid.downbeats_s)
    assert mir_eval.beat.f_measure(beats, found) >= least
    assert mir_eval.beat.f_measure(downbeats, found_down) >= least_down
    away = found[np.abs(found[:, None] - beats[None]).argmin(axis=0)] - beats
    assert abs(np.median(away[np.abs(away) < 0.07])) <= 0.010


@pytest.mark.parametrize("name", ["lithium", "potassium", "francium"])
def test_real_excerpts(shared_data, name):
    truth = json.loads((shared_data / "real" / "manifest.json").read_text())[name]
    result = analysis_of(shared_data / "real" / name / "mix.flac")
    assert result.bpm == pytest.approx(truth["bpm"], abs=0.1)
    assert result.grid.beats_per_bar == 4
    assert_found(result, truth["beats"])


@pytest.mark.parametrize("name", ["lithium", "potassium"])
def test_real_songs(shared_data, name):
    truth = json.loads((shared_data / "full" / f"{name}.json").read_text())
    result = analysis_of(shared_data / "full" / f"{name}.ogg")
    assert result.bpm == pytest.approx(truth["bpm"], abs=0.1)
    assert result.grid.beats_per_bar == 4
    assert_found(result, truth["beats"])
    labels = {s.label for s in result.sections}
    assert 2 <= len(labels) < len(result.sections)


@pytest.mark.parametrize(
    ("name", "key", "meter"),
    [
        ("pop_112_Am_4-4", "A minor", 4),
        ("waltz_96_D_3-4", "D major", 3),
        ("edm_tempo-changes_Em_4-4", "E minor", 4),
    ],
)
def test_synthetic_songs(shared_data, name, key, meter):
    folder = shared_data / "synthetic" / name
    truth = json.loads((folder / "truth.json").read_text())
    result = analysis_of(folder / "mix.flac")
    assert result.key.name == key
    assert result.grid.beats_per_bar == meter
    assert_found(result, truth["beats"], least=0.97 if truth["constant_tempo"] else 0.9)
    if truth["constant_tempo"]:
        assert result.bpm == pytest.approx(truth["tempo_bpm"], abs=0.1)
        starts = [s[0] for s in truth["sections"]]
        reference = np.array([starts, [*starts[1:], truth["seconds"]]]).T
        ours = np.array([[s.start_s, s.end_s] for s in result.sections])
        f = mir_eval.segment.detection(reference, ours, 3.0, trim=True)[2]
        assert f >= 0.7


@pytest.mark.parametrize(
    ("name", "beats"),
    [
        ("amen_full", 16),
        ("breakbeat", 4),
        ("compus", 16),
        ("garzul", 16),
        ("mika", 16),
        ("perc1", 4),
    ],
)
def test_loops(shared_data, name, beats):
    path = shared_data / "loops" / f"loop_{name}.flac"
    result = analysis_of(path)
    seconds = soundfile.info(path).duration
    assert result.bpm == pytest.approx(60 * beats / seconds, abs=0.01)
    assert_found(result, [[k * seconds / beats, k % 4 + 1] for k in range(beats)])
