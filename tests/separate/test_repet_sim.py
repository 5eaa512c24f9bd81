"""REPET-SIM: what repeats is the background; memory grows with length, not with its square."""

import tracemalloc

import numpy as np
import pytest

from workstation.model import CancelledError, JobContext
from workstation.separate.repet_sim import RepetSim, repet_sim_mask, similar_windows

RATE = 16000


def sdr_db(reference, estimate):
    return 10 * np.log10(np.sum(reference**2) / np.sum((reference - estimate) ** 2))


@pytest.fixture(scope="module")
def loop_and_melody():
    """A bar of noise that repeats sixteen times, and a melody that never does."""
    rng = np.random.default_rng(2)
    loop = np.tile(rng.standard_normal((1, RATE)).astype(np.float32) * 0.1, 16)
    t = np.arange(loop.shape[1]) / RATE
    pitch = 300 + 500 * np.repeat(rng.random(64), RATE // 4)
    melody = 0.25 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)
    return loop, (melody * (np.sin(2 * np.pi * t / 3.1) > 0)).astype(np.float32)[None]


def test_the_loop_is_the_background_and_the_melody_the_foreground(loop_and_melody):
    loop, melody = loop_and_melody
    stems = RepetSim(apart_s=0.5).separate(loop + melody, RATE, JobContext())
    assert sdr_db(loop, stems["background"]) > 8
    assert sdr_db(melody, stems["foreground"]) > 8
    assert np.abs(sum(stems.values()) - loop - melody).max() < 1e-5


def test_similar_windows_are_found_apart_and_begin_with_the_window_itself():
    rng = np.random.default_rng(0)
    unit = np.tile(rng.random((10, 30)).astype(np.float32), (8, 1))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    for window, like in enumerate(similar_windows(unit, 0, 80, apart=5, most=8)):
        assert like[0] == window
        assert {int(k) % 10 for k in like[:8]} == {window % 10}
        assert np.diff(np.sort(like)).min() > 5


def test_windows_that_are_less_alike_than_asked_are_left_out():
    unit = np.zeros((30, 3), np.float32)
    unit[::3] = (1, 0, 0)
    unit[1::3] = (0.6, 0.8, 0)
    unit[2::3] = (0, 0, 1)
    for least, expected in ((0.0, {0, 1}), (0.7, {0})):
        (like,) = similar_windows(unit, 0, 1, apart=0, most=100, least=least)
        assert {int(k) % 3 for k in like} == expected


@pytest.mark.parametrize("extra", [0, 1, 255, 511])
def test_the_end_of_a_mix_of_any_length_is_no_louder_than_the_mix(loop_and_melody, extra):
    loop, melody = loop_and_melody
    mix = (loop + melody)[:, : 512 * 200 + extra]
    for stem in RepetSim(apart_s=0.5).separate(mix, RATE, JobContext()).values():
        assert np.abs(stem[:, -600:]).max() < 1.5 * np.abs(mix).max()


def test_what_is_too_low_for_a_voice_is_background():
    t = np.arange(4 * RATE) / RATE
    swell = np.clip(t - 2, 0, 1) ** 2
    rumble = (swell * (0.3 + 0.5 * np.sin(2 * np.pi * 40 * t))).astype(np.float32)[None]
    # The step with which the rumble stops at the end of the mix is not low.
    loudest = [
        np.abs(RepetSim(high_pass_hz=hz).separate(rumble, RATE, JobContext())["foreground"])[
            :, :-600
        ].max()
        for hz in (0.0, 100.0)
    ]
    assert loudest[0] > 0.2
    assert loudest[1] < 0.01


def test_a_silent_stretch_spoils_nothing(loop_and_melody):
    loop, melody = loop_and_melody
    mix = (loop + melody).copy()
    mix[:, 3 * RATE : 6 * RATE] = 0
    stems = RepetSim(apart_s=0.5).separate(mix, RATE, JobContext())
    for stem in stems.values():
        assert np.isfinite(stem).all()
        assert np.abs(stem[:, 4 * RATE : 5 * RATE]).max() < 1e-6
    assert sdr_db(loop[:, 8 * RATE :], stems["background"][:, 8 * RATE :]) > 8


@pytest.mark.parametrize("frames", [1, 500, 40000])
def test_silence_in_silence_out(frames):
    for stem in RepetSim().separate(np.zeros((2, frames), np.float32), RATE, JobContext()).values():
        assert stem.shape == (2, frames)
        assert not stem.any()


def test_memory_grows_linearly():
    peaks = []
    for windows in (2000, 8000):
        magnitude = np.random.default_rng(0).random((1, windows, 65), dtype=np.float32)
        repet_sim_mask(magnitude[:, :50], apart=3)
        tracemalloc.start()
        repet_sim_mask(magnitude, apart=3)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 5 * peaks[0]
    assert peaks[1] < 8000 * 8000  # bytes; one matrix of likeness would take four times that


def test_it_stops_when_asked():
    job = JobContext()
    job.cancel()
    with pytest.raises(CancelledError):
        repet_sim_mask(np.ones((1, 100, 10), np.float32), apart=3, job=job)
