"""The transform: equal to librosa's, and back to the signal to the last frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workstation.separate.stft import istft, stft, window_count, window_size


@settings(deadline=None, max_examples=100)
@given(
    hops=st.integers(1, 9),
    beyond=st.sampled_from([-1, 0, 1]),
    channels=st.sampled_from([1, 2, 6]),
    size=st.sampled_from([64, 256, 2048]),
    overlap=st.sampled_from([2, 4, 8]),
)
def test_the_transform_and_back_is_the_signal_to_the_last_frame(
    hops, beyond, channels, size, overlap
):
    hop = size // overlap
    # Ends near a whole number of hops are the hard ones.
    frames = hops * hop + beyond
    x = np.random.default_rng(frames).uniform(-1, 1, (channels, frames)).astype(np.float32)
    spectrum = stft(x, size, hop)
    assert spectrum.dtype == np.complex64
    assert spectrum.shape == (channels, window_count(frames, size, hop), size // 2 + 1)
    back = istft(spectrum, size, hop, frames)
    assert back.dtype == np.float32
    assert back.shape == x.shape
    assert np.abs(back - x).max() < 1e-5


@pytest.mark.parametrize("end", [0, 1, 500, 1000, 1022, 1023])
@pytest.mark.parametrize("overlap", [2, 4])
def test_no_mask_makes_a_crack_at_either_end(overlap, end):
    rng = np.random.default_rng(end)
    frames = 5 * 1024 + end
    x = rng.uniform(-1, 1, (1, frames)).astype(np.float32)
    spectrum = stft(x, 2048, 2048 // overlap)
    mask = rng.integers(0, 2, spectrum.shape[1:]).astype(np.float32)
    assert np.abs(istft(spectrum, 2048, 2048 // overlap, frames, mask)).max() < 3


def test_a_mask_is_what_the_spectrum_is_multiplied_by():
    rng = np.random.default_rng(4)
    x = rng.uniform(-1, 1, (2, 9000)).astype(np.float32)
    spectrum = stft(x, 512, 128)
    for mask in (
        rng.random(spectrum.shape, np.float32),
        rng.random(spectrum.shape[1:], np.float32),
    ):
        expected = istft(spectrum * mask, 512, 128, 9000)
        assert np.array_equal(istft(spectrum, 512, 128, 9000, mask), expected)


@pytest.mark.parametrize("frames", [20000, 20480])
def test_the_transform_equals_that_of_librosa(frames):
    import librosa

    x = np.random.default_rng(1).uniform(-1, 1, frames).astype(np.float32)
    theirs = librosa.stft(x, n_fft=1024, hop_length=256)
    assert np.abs(stft(x[None], 1024, 256)[0].T - theirs).max() < 1e-4


@pytest.mark.parametrize("rate_hz", [8000, 11025, 22050, 44100, 48000, 96000, 192000])
def test_a_window_lasts_about_as_long_at_any_rate(rate_hz):
    size = window_size(rate_hz, 0.046)
    assert size & (size - 1) == 0
    assert 0.046 / 1.42 < size / rate_hz < 0.046 * 1.42
