"""Ideal masks: shares of the truth, as good as masks get, the same in blocks as at once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workstation.separate import ideal
from workstation.separate.ideal import ceilings_db, ideal_masks, ideal_stems

RATE = 8000


def sdr_db(reference, estimate):
    return 10 * np.log10(np.sum(reference**2) / np.sum((reference - estimate) ** 2))


def truth(*, seconds=3.0):
    rng = np.random.default_rng(0)
    t = np.arange(round(seconds * RATE)) / RATE
    tone = np.sin(2 * np.pi * 300 * t) * (1 + 0.5 * np.sin(2 * np.pi * 3 * t))
    bursts = rng.standard_normal(len(t)) * np.exp(-20 * (t % 0.4))
    chirp = np.sin(2 * np.pi * (500 + 300 * t) * t)
    return {
        name: np.stack([0.2 * x, 0.1 * x]).astype(np.float32)
        for name, x in (("tone", tone), ("bursts", bursts), ("chirp", chirp))
    }


@given(
    kind=st.sampled_from(["ratio", "binary"]),
    power=st.sampled_from([0.5, 1.0, 2.0]),
    level=st.sampled_from([1e-18, 1.0, 1e15]),
    seed=st.integers(0, 99),
)
def test_masks_are_shares_and_sum_to_one(kind, power, level, seed):
    magnitudes = np.random.default_rng(seed).exponential(level, (4, 5, 6)).astype(np.float32)
    magnitudes[:, 2] = 0
    masks = ideal_masks(magnitudes, kind, power=power)
    assert np.allclose(masks.sum(axis=0), 1, atol=1e-6)
    assert masks.min() >= 0
    if kind == "binary":
        assert set(np.unique(masks)) == {0.0, 1.0}
        assert (masks[:, 0].argmax(axis=0) == magnitudes[:, 0].argmax(axis=0)).all()
    else:
        share = magnitudes[:, 0].astype(np.float64) ** power
        assert np.allclose(masks[:, 0], share / share.sum(axis=0), atol=1e-5)


@pytest.mark.parametrize("kind", ["ratio", "binary"])
def test_ideal_stems_are_near_the_truth_and_sum_to_the_mix(kind):
    stems = truth()
    mix = sum(stems.values())
    found = ideal_stems(mix, stems, RATE, kind=kind)
    assert list(found) == list(stems)
    for name, stem in found.items():
        assert sdr_db(stems[name], stem) > 10
    assert np.abs(sum(found.values()) - mix).max() < 1e-5


def test_no_other_mask_of_ones_and_zeros_is_nearer_to_the_truth():
    stems = truth()
    mix = sum(stems.values())
    best = ideal_stems(mix, stems, RATE, kind="binary")
    worse = ideal_stems(mix, {k: v[:, ::-1] for k, v in stems.items()}, RATE, kind="binary")
    for name, true in stems.items():
        assert sdr_db(true, best[name]) > sdr_db(true, worse[name]) + 3


@pytest.mark.parametrize("frames", [24000, 23999, 5000])
def test_ceilings_are_those_of_the_whole_song_in_bounded_memory(monkeypatch, frames):
    monkeypatch.setattr(ideal, "_BLOCK_S", 0.5)
    stems = {name: samples[:, :frames] for name, samples in truth().items()}
    stacked = np.stack(list(stems.values()))
    sizes = []

    def pieces(count):
        for start in range(0, frames, count):
            sizes.append(count)
            yield stacked[:, :, start : start + count]

    found = ceilings_db(pieces, RATE)
    whole = ideal_stems(sum(stems.values()), stems, RATE)
    assert found == pytest.approx([sdr_db(stems[n], whole[n]) for n in stems], abs=1e-3)
    assert max(sizes) < RATE


def test_a_silent_stem_has_no_ceiling():
    stems = np.stack(list(truth().values()))
    stems[1] = 0
    found = ceilings_db(lambda count: iter([stems]), RATE)
    assert found[1] is None
    assert found[0] is not None


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="binary"):
        ideal_masks(np.ones((2, 3, 4), np.float32), "soft")
