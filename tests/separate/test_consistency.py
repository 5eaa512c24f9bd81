"""Stems that are made consistent sum to the mix, and silence stays silence."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from workstation.separate.consistency import share_residual


@settings(deadline=None)
@given(
    seed=st.integers(0, 2**16),
    count=st.integers(1, 6),
    frames=st.integers(1, 5000),
    missing=st.floats(0, 2),
)
def test_stems_sum_to_the_mix_within_a_millionth(seed, count, frames, missing):
    rng = np.random.default_rng(seed)
    arrays = [rng.uniform(-0.3, 0.3, (2, frames)).astype(np.float32) for _ in range(count)]
    mix = (sum(arrays) + missing * rng.uniform(-0.3, 0.3, (2, frames))).astype(np.float32)
    stems = {str(i): a.copy() for i, a in enumerate(arrays)}
    share_residual(stems, mix, 8000)
    assert np.abs(sum(stems.values()) - mix).max() <= 1e-6


def test_a_silent_stem_stays_silent_while_others_play():
    rng = np.random.default_rng(1)
    drums = rng.uniform(-0.5, 0.5, (2, 8000)).astype(np.float32)
    stems = {"drums": drums * 0.9, "bass": np.zeros((2, 8000), np.float32)}
    share_residual(stems, drums, 8000)
    assert not stems["bass"].any()
    assert np.allclose(stems["drums"], drums, atol=1e-6)


def test_what_no_stem_has_is_shared_evenly():
    mix = np.full((1, 100), 0.5, np.float32)
    stems = {name: np.zeros((1, 100), np.float32) for name in ("a", "b")}
    share_residual(stems, mix, 1000)
    assert np.allclose(stems["a"], 0.25)
    assert np.allclose(stems["b"], 0.25)


def test_the_change_goes_where_the_energy_is_and_never_scales_a_stem():
    rng = np.random.default_rng(2)
    loud = rng.uniform(-1, 1, (1, 4000)).astype(np.float32)
    quiet = (loud[:, ::-1] * 0.1).copy()
    mix = loud + quiet + np.float32(0.01)
    stems = {"loud": loud.copy(), "quiet": quiet.copy()}
    share_residual(stems, mix, 4000)
    assert np.allclose(stems["loud"] - loud, 0.01, atol=1e-3)
    assert np.abs(stems["quiet"] - quiet).max() < 1e-3
