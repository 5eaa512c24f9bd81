"""HPSS: masks and stems equal to librosa's, stems that sum to the mix, silence stays silence."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import median_filter

from workstation.model import JobContext
from workstation.separate.hpss import Hpss, hpss_masks
from workstation.separate.kernels import median_along_columns, median_along_rows


def sdr_db(reference, estimate):
    return 10 * np.log10(np.sum(reference**2) / np.sum((reference - estimate) ** 2))


@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 200),
    columns=st.integers(1, 300),
    half=st.integers(0, 20),
    levels=st.sampled_from([2, 5, 10**6]),
    seed=st.integers(0, 99),
)
def test_the_median_filters_equal_those_of_scipy_bit_by_bit(rows, columns, half, levels, seed):
    # Beyond one reflection scipy goes its own way; what lies there has no meaning anyway.
    half = min(half, rows - 1, columns - 1)
    # Few levels give many equal values, the hard case for a sorted window.
    x = np.random.default_rng(seed).integers(0, levels, (rows, columns)).astype(np.float32)
    size = 2 * half + 1
    assert np.array_equal(median_along_rows(x, size), median_filter(x, (size, 1), mode="reflect"))
    assert np.array_equal(
        median_along_columns(x, size), median_filter(x, (1, size), mode="reflect")
    )


@pytest.mark.parametrize("kernel", [(31, 31), (17, 9)])
@pytest.mark.parametrize("power", [1.0, 2.0, 3.5])
@pytest.mark.parametrize("margin", [(1.0, 1.0), (1.5, 2.0), (3.0, 1.0)])
def test_masks_equal_those_of_librosa(kernel, power, margin):
    import librosa

    rng = np.random.default_rng(3)
    magnitude = rng.exponential(1.0, (150, 200)).astype(np.float32)
    magnitude[40:80, 50:] = 0  # silence, where a mask has no meaning
    theirs = librosa.decompose.hpss(
        magnitude.T, kernel_size=kernel, power=power, margin=margin, mask=True
    )
    ours = hpss_masks(magnitude, kernel=kernel, power=power, margin=margin)
    for our, their in zip(ours, theirs, strict=True):
        assert np.abs(our - their.T).max() <= 1e-5


@pytest.mark.parametrize("channels", [1, 6])
def test_stems_equal_those_of_librosa_channel_by_channel(channels):
    import librosa

    # At this rate both have windows of 2048 frames, 512 apart.
    x = np.random.default_rng(6).uniform(-1, 1, (channels, 30011)).astype(np.float32)
    theirs = librosa.effects.hpss(x)
    ours = Hpss().separate(x, 44100, JobContext()).values()
    for our, their in zip(ours, theirs, strict=True):
        assert our.shape == x.shape
        assert np.abs(our - their).max() < 1e-5


@pytest.fixture
def clicks_and_tone():
    rate = 22050
    t = np.arange(4 * rate) / rate
    tone = (0.3 * np.sin(2 * np.pi * 440 * t)).astype(np.float32)
    clicks = np.zeros_like(tone)
    burst = np.random.default_rng(0).standard_normal(200) * np.exp(-np.arange(200) / 40)
    for start in range(5000, len(clicks) - 300, 11025):
        clicks[start : start + 200] += burst.astype(np.float32)
    return rate, tone, clicks


def test_clicks_and_a_tone_come_apart(clicks_and_tone):
    rate, tone, clicks = clicks_and_tone
    stems = Hpss().separate((tone + clicks)[None], rate, JobContext())
    assert sdr_db(tone, stems["harmonic"][0]) > 15
    assert sdr_db(clicks, stems["percussive"][0]) > 15


@pytest.mark.parametrize("margin", [(1.0, 1.0), (2.0, 2.0)])
def test_the_stems_sum_to_the_mix(margin):
    x = np.random.default_rng(1).uniform(-1, 1, (2, 30000)).astype(np.float32)
    stems = Hpss(margin=margin).separate(x, 44100, JobContext())
    assert list(stems) == list(Hpss(margin=margin).card.stems)
    assert np.abs(sum(stems.values()) - x).max() < 1e-5


def test_margins_leave_a_residual(clicks_and_tone):
    rate, tone, clicks = clicks_and_tone
    noise = np.random.default_rng(5).uniform(-0.1, 0.1, len(tone)).astype(np.float32)
    stems = Hpss(margin=(4.0, 4.0)).separate((tone + clicks + noise)[None], rate, JobContext())
    assert np.sum(stems["residual"] ** 2) > 0.5 * np.sum(noise**2)


@pytest.mark.parametrize("rate", [8000, 192000])
@pytest.mark.parametrize("frames", [1, 37, 20000])
def test_silence_in_silence_out_at_any_rate_and_length(rate, frames):
    for stem in Hpss().separate(np.zeros((2, frames), np.float32), rate, JobContext()).values():
        assert stem.shape == (2, frames)
        assert not stem.any()


@pytest.mark.parametrize("wrong", [{"kernel": (30, 31)}, {"margin": (0.5, 1.0)}])
def test_wrong_parameters_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        hpss_masks(np.ones((4, 4), np.float32), **wrong)
