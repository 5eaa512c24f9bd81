"""Loudness is that of ITU-R BS.1770-4, at any rate and however the audio is handed over."""

import math

import numpy as np
import pyloudnorm
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audio.encode import noise
from workstation.audio import Loudness
from workstation.audio.loudness import _k_weighting


def measured(samples, rate):
    meter = Loudness(rate, samples.shape[0])
    meter.update(samples)
    return meter.integrated_lufs()


def sine(level_db, seconds, rate=48000, channels=2, hz=1000.0):
    t = np.arange(round(seconds * rate)) / rate
    wave = 10 ** (level_db / 20) * np.sin(2 * math.pi * hz * t)
    return np.tile(wave.astype(np.float32), (channels, 1))


def test_filters_at_48_khz_have_the_coefficients_of_the_standard():
    shelf, high_pass = _k_weighting(48000)
    assert shelf == pytest.approx(
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1, -1.69065929318241,
         0.73248077421585], abs=1e-10,
    )  # fmt: skip
    assert high_pass == pytest.approx([1, -2, 1, 1, -1.99004745483398, 0.99007225036621], abs=1e-10)


@pytest.mark.parametrize("rate", [32000, 44100, 48000, 96000, 192_000])
def test_the_test_tone_of_the_ebu_measures_its_own_level(rate):
    assert measured(sine(-23, 5, rate), rate) == pytest.approx(-23.0, abs=0.03)
    assert measured(sine(-33, 5, rate), rate) == pytest.approx(-33.0, abs=0.03)


def test_quiet_parts_are_gated_as_the_ebu_tests_it():
    # EBU Tech 3341, cases 3, 4 and 5 with shorter tones of the same proportions.
    quiet = [sine(-36, 5), sine(-23, 30), sine(-36, 5)]
    assert measured(np.concatenate(quiet, axis=1), 48000) == pytest.approx(-23, abs=0.1)
    silent = [sine(-72, 5), *quiet, sine(-72, 5)]
    assert measured(np.concatenate(silent, axis=1), 48000) == pytest.approx(-23, abs=0.1)
    steps = [sine(-26, 20), sine(-20, 20.1), sine(-26, 20)]
    assert measured(np.concatenate(steps, axis=1), 48000) == pytest.approx(-23, abs=0.1)


def test_surround_channels_weigh_more_and_low_frequencies_nothing():
    # EBU Tech 3341, case 6, in the order of WAV files.
    front, centre, surround = sine(-28, 5, channels=2), sine(-24, 5, channels=1), sine(-30, 5)
    five = np.concatenate([front, centre, surround])
    assert measured(five, 48000) == pytest.approx(-23, abs=0.1)
    loud = sine(-6, 5, channels=1, hz=60.0)
    assert measured(np.concatenate([front, centre, loud, surround]), 48000) == pytest.approx(
        -23, abs=0.1
    )


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000, 96000, 192_000])
@pytest.mark.parametrize("channels", [1, 2, 5])
def test_it_agrees_with_an_independent_meter(rate, channels):
    samples = noise(6 * rate, channels, seed=rate)
    samples[:, 3 * rate :] *= 0.02
    meter = pyloudnorm.Meter(rate, filter_class="DeMan")
    reference = meter.integrated_loudness(samples.T.astype(float))
    assert measured(samples, rate) == pytest.approx(reference, abs=0.01)


@settings(max_examples=20, deadline=None)
@given(cuts=st.lists(st.integers(0, 60_000), max_size=6))
def test_it_does_not_matter_in_which_pieces_the_audio_comes(cuts):
    samples = noise(60_000)
    meter = Loudness(44100, 2)
    for part in np.split(samples, sorted(cuts), axis=1):
        meter.update(part)
    assert meter.integrated_lufs() == pytest.approx(measured(samples, 44100), abs=1e-9)
    assert meter.peak_dbfs() == pytest.approx(20 * math.log10(np.abs(samples).max()))


@settings(max_examples=20, deadline=None)
@given(gain_db=st.floats(-30, 20))
def test_gain_moves_loudness_by_as_much(gain_db):
    samples = noise(50_000)
    louder = (samples * 10 ** (gain_db / 20)).astype(np.float32)
    assert measured(louder, 44100) - measured(samples, 44100) == pytest.approx(gain_db, abs=0.01)


def test_silence_and_less_than_a_block_have_no_loudness():
    assert measured(np.zeros((2, 48000), np.float32), 48000) is None
    assert measured(noise(19_000), 48000) is None
    assert measured(noise(19_200), 48000) is not None
    empty = Loudness(48000, 2)
    empty.update(np.zeros((2, 0), np.float32))
    assert empty.integrated_lufs() is None
    assert empty.peak_dbfs() is None
    assert measured(sine(-75, 2), 48000) is None
