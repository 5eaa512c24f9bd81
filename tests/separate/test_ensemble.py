"""Blends of several engines, done by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.separate.fakes import OPTIONS, RATE, make, noise, shares
from workstation.model import JobContext
from workstation.separate import engine
from workstation.separate.ensemble import loudest_bins
from workstation.separate.expression import compose, parse


def built(text):
    return compose(parse(text), make)


def test_an_average_is_the_mean_of_the_stems():
    assert shares(built("average(a,b)")) == {"drums": 0.3, "other": 0.3, "vocals": 0.25}


def test_weights_are_shares():
    assert shares(built("average(a=3,b=1)")) == {"drums": 0.35, "other": 0.25, "vocals": 0.325}


def test_a_picked_stem_takes_part_there_only():
    assert shares(built("average(a,b@vocals=3)")) == {
        "drums": 0.4, "other": 0.2, "vocals": pytest.approx((0.4 + 3 * 0.1) / 4),
    }  # fmt: skip


def test_a_weight_of_one_stem_takes_the_place_of_the_general_one():
    assert shares(built("average(a,b,b@vocals=0)")) == {
        "drums": 0.3, "other": 0.3, "vocals": 0.4,
    }  # fmt: skip


def test_a_pick_by_another_name_of_the_role_counts_alike():
    assert shares(built("average(a,b@vox=3)")) == shares(built("average(a,b@vocals=3)"))


def test_a_median_is_the_middle_one():
    assert shares(built("median(a,b,c)")) == {"drums": 0.4, "other": 0.2, "vocals": 0.2}


def test_the_loudest_bins_are_taken():
    found = built("max(a,b)").separate(noise(), RATE, JobContext())
    mix = noise()
    assert np.allclose(found["drums"], 0.4 * mix, atol=1e-5)
    assert np.allclose(found["other"], 0.4 * mix, atol=1e-5)
    assert np.allclose(found["vocals"], 0.4 * mix, atol=1e-5)


def test_of_two_notes_each_is_taken_from_the_engine_that_has_it_louder():
    t = np.arange(2 * RATE) / RATE
    low, high = (np.sin(2 * np.pi * f * t)[None].astype(np.float32) for f in (500, 2000))
    made = loudest_bins([0.9 * low + 0.1 * high, 0.2 * low + 0.8 * high], RATE)
    middle = slice(RATE // 2, -RATE // 2)
    assert np.abs(made - (0.9 * low + 0.8 * high))[:, middle].max() < 2e-3


def test_finer_stems_are_summed_into_the_coarser_ones():
    assert shares(built("average(a,six)")) == {
        "drums": 0.3, "other": pytest.approx((0.2 + 0.3) / 2), "vocals": 0.45,
    }  # fmt: skip
    assert shares(built("average(two,six)")) == {"vocals": 0.5, "instrumental": 0.5}


def test_every_engine_runs_once_however_often_it_is_named():
    both = built("average(a,b,b@vocals=2,b@drums=0)")
    before = make("b").calls
    both.separate(noise(), RATE, JobContext())
    assert make("b").calls == before + 1


def test_two_real_engines_average_to_the_mean_of_their_stems():
    mix = noise(frames=2 * RATE)
    one = engine("dsp", OPTIONS).separate(mix, RATE, JobContext())
    two = engine("nmf", OPTIONS).separate(mix, RATE, JobContext())
    both = engine("average(dsp,nmf)", OPTIONS).separate(mix, RATE, JobContext())
    for name, samples in both.items():
        assert np.allclose(samples, (one[name] + two[name]) / 2, atol=1e-6)


@given(st.integers(0, 1000), st.floats(0.1, 10), st.floats(0.1, 10))
def test_an_average_of_one_engine_with_itself_is_that_engine(seed, x, y):
    mix = noise(frames=500, seed=seed)
    made = compose(parse(f"average(a={x:.3f},gate(a)={y:.3f})"), make)
    alone = make("a").separate(mix, RATE, JobContext())
    for name, samples in made.separate(mix, RATE, JobContext()).items():
        assert np.allclose(samples, alone[name], atol=1e-6)


def test_silence_stays_silence():
    for blend in ("average", "median", "max"):
        stems = built(f"{blend}(dsp,nmf)").separate(
            np.zeros((2, RATE), np.float32), RATE, JobContext()
        )
        assert not any(s.any() for s in stems.values())
