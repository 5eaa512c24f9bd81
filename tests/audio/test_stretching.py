"""Another tempo and another pitch: exact lengths, beats in their places, notes where they go."""

import importlib.util

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workstation.audio import stretching
from workstation.audio.stretching import check_stretch, stretch, stretched_frames
from workstation.model import CancelledError, JobContext, UnavailableError, UsageError

RATE = 22050
needs_library = pytest.mark.skipif(
    importlib.util.find_spec("python_stretch") is None, reason="python-stretch is not installed"
)


def stretched(samples, *, tempo_percent=100.0, semitones=0.0, job=None):
    pieces = stretch(
        lambda start, frames: samples[:, start : start + frames],
        samples.shape[1],
        RATE,
        tempo_percent=tempo_percent,
        semitones=semitones,
        job=job or JobContext(),
    )
    return np.concatenate(list(pieces), axis=1)


def tone(seconds, hz=440.0):
    t = np.arange(round(RATE * seconds)) / RATE
    return np.stack([0.3 * np.sin(2 * np.pi * hz * t)] * 2).astype(np.float32)


def level(samples):
    return float(np.sqrt(np.mean(samples.astype(np.float64) ** 2)))


@needs_library
@pytest.mark.parametrize("tempo", [50.0, 75.0, 97.3, 133.0, 150.0])
def test_the_length_is_exact_also_over_several_pieces(tempo, monkeypatch):
    monkeypatch.setattr(stretching, "_PIECE_S", 2.0)
    for frames in (100, RATE, round(5.37 * RATE)):
        made = stretched(np.zeros((2, frames), np.float32), tempo_percent=tempo)
        assert made.shape == (2, round(frames * 100 / tempo))


@needs_library
@pytest.mark.parametrize("tempo", [50.0, 80.0, 150.0])
def test_every_beat_stays_in_its_place(tempo, monkeypatch):
    monkeypatch.setattr(stretching, "_PIECE_S", 3.0)
    beats = np.arange(RATE // 4, 10 * RATE, RATE // 2)
    clicks = np.zeros((2, 10 * RATE), np.float32)
    since = np.exp(-np.arange(400) / 60) * np.random.default_rng(0).uniform(-0.8, 0.8, 400)
    for beat in beats:
        clicks[:, beat : beat + 400] += since.astype(np.float32)[: clicks.shape[1] - beat]
    made = np.abs(stretched(clicks, tempo_percent=tempo)[0])
    reach = RATE // 10
    for beat in beats:
        place = round(beat * 100 / tempo)
        near = made[max(0, place - reach) : place + reach]
        centre = np.average(np.arange(len(near)), weights=near**2) + max(0, place - reach)
        assert abs(centre - place) / RATE < 0.012


@needs_library
@pytest.mark.parametrize("semitones", [-12.0, -3.0, 7.0, 12.0])
def test_a_note_is_shifted_by_exactly_so_many_semitones(semitones):
    made = stretched(tone(3.0), semitones=semitones)[0, RATE // 2 : -RATE // 2]
    spectrum = np.abs(np.fft.rfft(made * np.hanning(len(made)), 1 << 19))
    found_hz = np.argmax(spectrum) * RATE / (1 << 19)
    assert abs(12 * np.log2(found_hz / 440) - semitones) < 0.05


@needs_library
@pytest.mark.parametrize("tempo", [60.0, 140.0])
def test_the_joins_of_pieces_cannot_be_heard_in_the_level(tempo, monkeypatch):
    monkeypatch.setattr(stretching, "_PIECE_S", 1.5)
    chord = sum(tone(9.0, hz) for hz in (220.0, 277.18, 329.63, 440.0, 554.37)) / 5
    dips = []
    for piece_s in (1.5, 100.0):  # With joins, and without any.
        monkeypatch.setattr(stretching, "_PIECE_S", piece_s)
        made = stretched(chord.astype(np.float32), tempo_percent=tempo)[0]
        window = RATE // 10
        blocks = made[RATE // 2 : -RATE // 2]
        blocks = blocks[: len(blocks) // window * window].reshape(-1, window)
        levels = 20 * np.log10(np.sqrt(np.mean(blocks**2, axis=1)))
        dips.append(np.ptp(levels))
    assert dips[0] < dips[1] + 1.5


@needs_library
def test_a_cancelled_job_stops_within_a_piece():
    job = JobContext()
    job.cancel()
    with pytest.raises(CancelledError):
        stretched(tone(1.0), tempo_percent=80, job=job)


@given(st.integers(1, 10**9), st.floats(50, 150))
def test_lengths_are_rounded_to_the_nearest_frame(frames, tempo):
    assert abs(stretched_frames(frames, tempo) - frames * 100 / tempo) <= 0.5 + 1e-6


def test_a_cross_fade_keeps_the_level_of_what_is_alike_and_of_what_is_not():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 1, 40_000)).astype(np.float32)
    middle = slice(16_000, 24_000)
    assert np.allclose(stretching._cross_fade(a, a), a, atol=1e-5)
    mixed = stretching._cross_fade(a, b)
    assert abs(20 * np.log10(level(mixed[:, middle]) / level(a))) < 0.3


def test_what_is_out_of_range_or_not_installed_is_told(monkeypatch):
    for tempo, pitch in ((49, 0), (151, 0), (100, 13), (100, -12.5), (float("nan"), 0)):
        with pytest.raises(UsageError, match="out of range"):
            check_stretch(tempo, pitch)
    monkeypatch.setattr(stretching.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UnavailableError, match="python-stretch") as caught:
        check_stretch(75, 0)
    assert "pip install" in caught.value.remedy
    check_stretch(100, 0)
