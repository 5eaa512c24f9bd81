"""NMF: a model that fits, four stems that sum to the mix, the same every time."""

import numpy as np
import pytest

from workstation.model import JobContext
from workstation.separate.nmf import Nmf, nmf


def test_a_spectrogram_of_two_notes_is_modelled_by_two_spectra():
    rng = np.random.default_rng(0)
    notes = rng.random((2, 60)).astype(np.float32)
    played = (rng.random((200, 2)) > 0.5).astype(np.float32) + 0.01
    magnitude = played @ notes
    model = nmf(magnitude, 2, iterations=300, seed=1, job=JobContext())
    assert np.linalg.norm(model - magnitude) / np.linalg.norm(magnitude) < 0.02


def test_each_iteration_lowers_the_divergence():
    magnitude = np.random.default_rng(1).exponential(1, (80, 50)).astype(np.float32)

    def divergence(iterations):
        model = nmf(magnitude, 6, iterations=iterations, seed=0, job=JobContext())
        return float(np.sum(magnitude * np.log(magnitude / model) - magnitude + model))

    values = [divergence(n) for n in (1, 2, 4, 8, 16, 32)]
    assert values == sorted(values, reverse=True)


def test_it_fits_as_well_as_the_published_implementation():
    from sklearn.decomposition import NMF

    magnitude = np.random.default_rng(2).exponential(1, (120, 70)).astype(np.float32)
    ours = nmf(magnitude, 5, iterations=200, seed=0, job=JobContext())
    peer = NMF(5, solver="mu", beta_loss="kullback-leibler", max_iter=200, random_state=0, tol=0)
    theirs = peer.fit_transform(magnitude) @ peer.components_

    def divergence(model):
        return float(np.sum(magnitude * np.log(magnitude / model) - magnitude + model))

    assert divergence(ours) < 1.03 * divergence(theirs)


@pytest.mark.parametrize("level", [1.0, 1e-6])
@pytest.mark.parametrize("frames", [22050, 22016, 22527])
def test_the_stems_sum_to_the_mix_and_are_the_same_every_time(frames, level):
    rng = np.random.default_rng(3)
    mix = rng.uniform(-level, level, (2, frames)).astype(np.float32)
    first, second = (Nmf(iterations=5).separate(mix, 22050, JobContext()) for _ in range(2))
    assert list(first) == ["drums", "bass", "other", "vocals"]
    assert np.abs(sum(first.values()) - mix).max() < 1e-4 * level
    for name, stem in first.items():
        assert np.array_equal(stem, second[name])
        assert np.abs(stem).max() < 2 * level


def test_low_notes_go_to_the_bass_and_clicks_to_the_drums():
    rate = 22050
    t = np.arange(4 * rate) / rate
    bass = (0.3 * np.sin(2 * np.pi * 70 * t)).astype(np.float32)[None]
    drums = np.zeros_like(bass)
    drums[:, ::5512] = 0.9
    stems = Nmf().separate(bass + drums, rate, JobContext())
    energy = {
        name: float(np.vdot(stem, bass) / np.vdot(bass, bass)) for name, stem in stems.items()
    }
    assert energy["bass"] > 0.8
    hits = {
        name: float(np.vdot(stem, drums) / np.vdot(drums, drums)) for name, stem in stems.items()
    }
    assert max(hits, key=hits.get) == "drums"


@pytest.mark.parametrize("frames", [1, 3000])
def test_silence_in_silence_out(frames):
    for stem in Nmf().separate(np.zeros((1, frames), np.float32), 44100, JobContext()).values():
        assert stem.shape == (1, frames)
        assert not stem.any()


def is_divergence(power, model):
    ratio = power.astype(np.float64) / model
    return float(np.sum(ratio - np.log(ratio) - 1))


def test_each_iteration_lowers_the_divergence_of_itakura_and_saito():
    power = np.random.default_rng(1).exponential(1, (80, 50)).astype(np.float32)
    values = [
        is_divergence(power, nmf(power, 6, iterations=n, seed=0, divergence="is", job=JobContext()))
        for n in (1, 2, 4, 8, 16, 32)
    ]
    assert values == sorted(values, reverse=True)


def test_with_itakura_and_saito_it_fits_as_well_as_the_published_implementation():
    from sklearn.decomposition import NMF

    rng = np.random.default_rng(2)
    power = (rng.gamma(1, 1, (120, 4)) @ rng.gamma(1, 1, (4, 70))).astype(np.float32)
    power *= rng.exponential(1, power.shape).astype(np.float32) + 1e-3
    ours = nmf(power, 5, iterations=200, seed=0, divergence="is", job=JobContext())
    peer = NMF(5, solver="mu", beta_loss="itakura-saito", max_iter=200, random_state=0, tol=0)
    theirs = peer.fit_transform(power) @ peer.components_
    assert is_divergence(power, ours) < 1.03 * is_divergence(power, theirs)


def test_a_quiet_part_counts_as_a_loud_one_for_itakura_and_saito():
    # The same pattern, loud in some bins and 60 dB below in others.
    rng = np.random.default_rng(4)
    loud = (rng.random((60, 1)) + 0.1) @ (rng.random((1, 20)) + 0.1)
    quiet = 1e-6 * ((rng.random((60, 1)) + 0.1) @ (rng.random((1, 20)) + 0.1))
    power = np.concatenate([loud, quiet], axis=1).astype(np.float32)
    model = nmf(power, 2, iterations=400, seed=0, divergence="is", job=JobContext())
    assert np.abs(np.log(model[:, 20:] / power[:, 20:])).mean() < 0.1
