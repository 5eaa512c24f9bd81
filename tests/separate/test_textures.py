"""REPET, 2DFT and RPCA: what repeats is the background, what varies the foreground."""

import numpy as np
import pytest

from workstation.model import JobContext
from workstation.separate.ft2d import Ft2d, ft2d_mask, spectral_peaks
from workstation.separate.repet import Repet, beat_spectrum, repeating_period, repet_mask
from workstation.separate.rpca import Rpca, robust_pca

RATE = 16000


def sdr_db(reference, estimate):
    return 10 * np.log10(np.sum(reference**2) / np.sum((reference - estimate) ** 2))


@pytest.fixture(scope="module")
def loop_and_melody():
    """A bar of noise bursts that repeats sixteen times, and a melody that never does."""
    rng = np.random.default_rng(2)
    bar = rng.standard_normal(RATE) * np.exp(-8 * (np.arange(RATE) / RATE % 0.25)) * 0.3
    loop = np.tile(bar, 16).astype(np.float32)[None]
    t = np.arange(loop.shape[1]) / RATE
    pitch = 300 + 500 * np.repeat(rng.random(64), RATE // 4)
    melody = 0.15 * np.sin(2 * np.pi * np.cumsum(pitch) / RATE)
    return loop, (melody * (np.sin(2 * np.pi * t / 3.1) > 0)).astype(np.float32)[None]


@pytest.mark.parametrize(
    ("maker", "gain_db"),
    [(Repet(), 10.0), (Ft2d(), 5.0), (Rpca(), 5.0)],
    ids=["repet", "2dft", "rpca"],
)
def test_the_melody_is_told_from_the_loop(loop_and_melody, maker, gain_db):
    loop, melody = loop_and_melody
    stems = maker.separate(loop + melody, RATE, JobContext())
    for truth, stem in ((loop, stems["background"]), (melody, stems["foreground"])):
        assert sdr_db(truth, stem) - sdr_db(truth, loop + melody) > gain_db
    assert np.abs(sum(stems.values()) - loop - melody).max() < 1e-5


def test_the_beat_spectrum_is_the_mean_of_unbiased_autocorrelations():
    librosa = pytest.importorskip("librosa")
    power = np.random.default_rng(0).random((50, 7)).astype(np.float32)
    theirs = librosa.autocorrelate(power.astype(np.float64), axis=0).mean(axis=1)
    assert np.allclose(beat_spectrum(power), theirs / np.arange(50, 0, -1), rtol=1e-5)


def test_the_period_of_a_loop_is_found_up_to_its_multiples(loop_and_melody):
    loop, melody = loop_and_melody
    hop = 256
    blocks = np.abs(np.fft.rfft((loop + melody)[0, : hop * 980].reshape(-1, hop), axis=1))
    beat = beat_spectrum((blocks**2).astype(np.float32))
    period = repeating_period(beat, shortest=50, longest=500)
    assert period is not None
    assert abs(period * hop / RATE - round(period * hop / RATE)) < 0.03


def test_what_is_too_short_to_repeat_three_times_is_background():
    assert repeating_period(np.ones(29), shortest=10, longest=20) is None
    mix = np.random.default_rng(0).uniform(-1, 1, (2, RATE)).astype(np.float32)
    stems = Repet().separate(mix, RATE, JobContext())
    assert np.array_equal(stems["background"], mix)
    assert not stems["foreground"].any()


@pytest.mark.parametrize("windows", [40, 43])
def test_the_mask_is_the_median_over_all_periods_also_the_last_broken_one(windows):
    magnitude = np.random.default_rng(1).exponential(1, (2, windows, 5)).astype(np.float32)
    mask = repet_mask(magnitude, 10)
    for window in range(windows):
        usual = np.median(magnitude[:, window % 10 :: 10], axis=1)
        expected = np.minimum(usual / magnitude[:, window], 1)
        assert np.allclose(mask[:, window], expected, atol=1e-6)


@pytest.mark.parametrize("shape", [(80, 50), (50, 80)])
def test_a_matrix_of_low_rank_with_sparse_errors_is_recovered(shape):
    rng = np.random.default_rng(3)
    low = rng.standard_normal((shape[0], 3)) @ rng.standard_normal((3, shape[1]))
    sparse = np.where(rng.random(shape) < 0.05, rng.uniform(-10, 10, shape), 0.0)
    found = robust_pca(low + sparse, tolerance=1e-7)
    assert np.linalg.norm(found[0] - low) < 1e-4 * np.linalg.norm(low)
    assert np.linalg.norm(found[1] - sparse) < 1e-4 * np.linalg.norm(sparse)


def test_robust_pca_takes_the_same_steps_as_with_full_decompositions():
    # The method as its paper writes it, with the singular values of numpy.
    matrix = np.abs(np.random.default_rng(4).standard_normal((60, 40)))
    weight, largest = 1 / np.sqrt(60), np.linalg.norm(matrix, 2)
    dual = matrix / max(largest, matrix.max() / weight)
    low, sparse, penalty = np.zeros_like(matrix), np.zeros_like(matrix), 1.25 / largest
    for _ in range(12):
        u, s, v = np.linalg.svd(matrix - sparse + dual / penalty, full_matrices=False)
        low = (u * np.maximum(s - 1 / penalty, 0)) @ v
        left = matrix - low + dual / penalty
        sparse = np.sign(left) * np.maximum(np.abs(left) - weight / penalty, 0)
        dual = dual + penalty * (matrix - low - sparse)
        penalty *= 1.5
    ours = robust_pca(matrix, iterations=12, tolerance=0.0)
    assert np.abs(ours[0] - low).max() < 1e-6
    assert np.abs(ours[1] - sparse).max() < 1e-6


def test_a_regular_pattern_is_a_few_peaks_and_their_mirror_images():
    t, f = np.arange(64)[:, None], np.arange(32)[None]
    pattern = 2 + np.cos(2 * np.pi * (8 * t / 64 + 3 * f / 32))
    plane = np.abs(np.fft.fft2(pattern)).astype(np.float32)
    found = {(int(a), int(b)) for a, b in np.argwhere(spectral_peaks(plane, neighbourhood=(9, 1)))}
    assert found == {(0, 0), (8, 3), (56, 29)}


def test_a_pattern_over_noise_is_background_and_an_accent_is_not():
    rng = np.random.default_rng(5)
    t = np.arange(256)[:, None]
    magnitude = (1 + np.cos(2 * np.pi * 16 * t / 256)) * np.ones((1, 64))
    magnitude = (magnitude + 0.01 * rng.random(magnitude.shape)).astype(np.float32)
    magnitude[104, 20] += 30
    mask = ft2d_mask(magnitude, neighbourhood=(25, 1))
    assert mask[104, 20] < 0.1
    assert np.median(mask[t[:, 0] % 16 < 4]) > 0.98


@pytest.mark.parametrize("maker", [Repet(), Ft2d(), Rpca()], ids=["repet", "2dft", "rpca"])
def test_what_is_too_low_for_a_voice_is_background(maker):
    t = np.arange(4 * RATE) / RATE
    swell = np.clip(t - 2, 0, 1) ** 2 * np.clip(8 * (3.9 - t), 0, 1)
    rumble = (swell * 0.5 * np.sin(2 * np.pi * 40 * t)).astype(np.float32)[None]
    stems = maker.separate(rumble, RATE, JobContext())
    assert np.sum(stems["foreground"] ** 2) < 0.01 * np.sum(rumble**2)
