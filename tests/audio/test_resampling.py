"""Changing the rate keeps pitch, place and exact length."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audio.encode import noise
from workstation.audio import resample

RATES = [8000, 11025, 22050, 44100, 48000, 96000, 192_000]


@settings(deadline=None)
@given(
    frames=st.integers(0, 5000), channels=st.integers(1, 6), from_hz=st.sampled_from(RATES),
    to_hz=st.sampled_from(RATES),
)  # fmt: skip
def test_the_length_is_exact(frames, channels, from_hz, to_hz):
    found = resample(np.ones((channels, frames), np.float32), from_hz, to_hz)
    assert found.shape == (channels, round(frames * to_hz / from_hz))
    assert found.dtype == np.float32
    assert np.isfinite(found).all()


@pytest.mark.parametrize(("from_hz", "to_hz"), [(44100, 48000), (96000, 44100), (8000, 44100)])
def test_a_sine_stays_the_same_sine(from_hz, to_hz):
    def sine(rate):
        return np.sin(2 * np.pi * 997 * np.arange(rate) / rate)[None].astype(np.float32)

    found = resample(sine(from_hz), from_hz, to_hz)
    inside = slice(to_hz // 10, -to_hz // 10)
    assert np.abs(found - sine(to_hz))[:, inside].max() < 1e-5


def test_equal_rates_change_nothing():
    samples = noise(100)
    assert resample(samples, 44100, 44100) is samples


def test_there_and_back_gives_what_was_there():
    samples = resample(noise(22050), 22050, 44100)  # Nothing above 11 kHz.
    back = resample(resample(samples, 44100, 96000), 96000, 44100)
    assert back.shape == samples.shape
    assert np.abs(back - samples)[:, 2000:-2000].max() < 1e-4
