"""One engine made better: shifts, Wiener filter, bleed gate, residual."""

import numpy as np
import pytest

from tests.separate.fakes import FAKES, RATE, Fractions, make, noise, shares
from workstation.audio import read_audio, write_audio
from workstation.model import JobContext
from workstation.separate.expression import compose, parse
from workstation.separate.refine import wiener_round
from workstation.separate.stream import separate_file


def built(text, **more):
    return compose(parse(text), lambda name: more[name] if name in more else make(name))


def level_db(samples):
    return 20 * np.log10(np.sqrt(np.mean(samples.astype(np.float64) ** 2)) + 1e-12)


# -- the residual -----------------------------------------------------------------------


def test_the_residual_goes_where_it_is_sent():
    assert shares(built("residual(b,other)")) == {"drums": 0.2, "other": 0.7, "vocals": 0.1}
    assert shares(built("residual(b,own)")) == {
        "drums": 0.2, "other": 0.4, "vocals": 0.1, "residual": 0.3,
    }  # fmt: skip
    assert shares(built("residual(b,energy)")) == shares(make("b"))


def files(tmp_path, mix, made):
    write_audio(tmp_path / "a.wav", mix, RATE, "float32")
    paths = separate_file(tmp_path / "a.wav", made, tmp_path / "out", key="k", job=JobContext())
    return {name: read_audio(path)[0] for name, path in paths.items()}


def test_sharing_what_is_missing_leaves_a_policy_alone(tmp_path):
    mix = noise()
    stems = files(tmp_path, mix, built("residual(b,own)"))
    assert np.allclose(stems["residual"], 0.3 * mix, atol=1e-6)
    assert np.allclose(stems["vocals"], 0.1 * mix, atol=1e-6)


# -- the gate ---------------------------------------------------------------------------


class Bleeding(Fractions):
    """The voice pauses in the middle third, where 1 % of the band bleeds into it."""

    def separate(self, mix, rate_hz, job):
        voice = mix * np.float32(0.3)
        third = mix.shape[1] // 3
        voice[:, third : 2 * third] = mix[:, third : 2 * third] * np.float32(0.003)
        return {"vocals": voice, "other": mix - voice}


def test_a_gate_silences_bleed_and_leaves_the_voice(tmp_path):
    mix = noise(frames=9 * RATE)
    engine = Bleeding("bleeding", vocals=0.3, other=0.7)
    stems = files(tmp_path, mix, built("gate(x)", x=engine))
    middle = slice(4 * RATE, 5 * RATE)
    assert not stems["vocals"][:, middle].any()
    assert np.abs(stems["other"][:, middle] - mix[:, middle]).max() < 1e-6
    for sounding in (slice(0, 3 * RATE), slice(6 * RATE, None)):
        assert np.allclose(stems["vocals"][:, sounding], 0.3 * mix[:, sounding], atol=1e-6)
    assert np.abs(sum(stems.values()) - mix).max() < 1e-6


def test_without_a_gate_the_bleed_is_heard(tmp_path):
    engine = Bleeding("bleeding", vocals=0.3, other=0.7)
    stems = files(tmp_path, noise(frames=9 * RATE), engine)
    assert stems["vocals"][:, 4 * RATE : 5 * RATE].any()


def test_the_threshold_is_that_of_the_user():
    engine = Bleeding("bleeding", vocals=0.3, other=0.7)
    middle = slice(4 * RATE, 5 * RATE)
    for text, silent in (("gate(x,-45)", True), ("gate(x,-60)", False)):
        stems = built(text, x=engine).separate(noise(frames=9 * RATE), RATE, JobContext())
        assert stems["vocals"][:, middle].any() != silent


def test_a_gate_moves_without_a_click():
    engine = Bleeding("bleeding", vocals=0.3, other=0.7)
    tone = np.ones((1, 9 * RATE), np.float32)
    voice = built("gate(x)", x=engine).separate(tone, RATE, JobContext())["vocals"][0]
    inside = voice[3 * RATE + 100 : 6 * RATE - 100]
    assert np.abs(np.diff(inside)).max() < 0.003 / (0.04 * RATE)


# -- shifts -----------------------------------------------------------------------------


def test_shifts_of_an_engine_that_does_not_mind_change_nothing():
    assert shares(built("shifts(a,3)")) == shares(make("a"))


def test_shifts_are_the_mean_of_runs_on_the_delayed_mix():
    class Picky(Fractions):
        """Keeps every other block of 1000 frames, counted from where it starts."""

        def separate(self, mix, rate_hz, job):
            keep = (np.arange(mix.shape[1]) // 1000) % 2 == 0
            return {"vocals": mix * keep, "other": mix * ~keep}

    mix = noise(frames=5 * RATE)
    found = built("shifts(x,2)", x=Picky("picky", vocals=1, other=1)).separate(
        mix, RATE, JobContext()
    )
    places = np.arange(mix.shape[1])
    once, again = (places // 1000) % 2 == 0, ((places + RATE // 4) // 1000) % 2 == 0
    assert np.allclose(found["vocals"], mix * (0.5 * once + 0.5 * again), atol=1e-6)
    assert np.allclose(sum(found.values()), mix, atol=1e-6)


# -- the Wiener filter ------------------------------------------------------------------


def test_of_one_channel_the_filter_is_the_ratio_of_powers():
    rng = np.random.default_rng(0)
    stems = [
        (rng.standard_normal((1, 9, 17)) + 1j * rng.standard_normal((1, 9, 17))).astype("c8")
        for _ in range(3)
    ]
    mix = (sum(stems) + 0.3).astype("c8")
    powers = np.stack([np.abs(s) ** 2 for s in stems])
    for stem, power in zip(wiener_round(mix, stems), powers, strict=True):
        # The covariance of one channel is 1: what remains is v / Σ v.
        assert np.allclose(stem, mix * power / powers.sum(axis=0), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_refined_stems_sum_to_the_mix(channels):
    mix = noise(channels=channels, frames=2 * RATE)
    stems = built("wiener(dsp,2)").separate(mix, RATE, JobContext())
    assert level_db(sum(stems.values()) - mix) < level_db(mix) - 60


def test_the_filter_tells_apart_what_comes_from_two_sides():
    """Two voices, one left and one right, that an engine separates badly."""
    one, two = (
        noise(channels=1, frames=3 * RATE, seed=1),
        noise(channels=1, frames=3 * RATE, seed=2),
    )
    left = np.concatenate([one, 0.2 * one])
    right = np.concatenate([0.2 * two, two])

    class Poor(Fractions):
        def separate(self, mix, rate_hz, job):
            return {"vocals": 0.7 * left + 0.3 * right, "other": 0.3 * left + 0.7 * right}

    poor = Poor("poor", vocals=1, other=1)
    mix = left + right

    def sdr_db(text):
        found = built(text, x=poor).separate(mix, RATE, JobContext())["vocals"]
        return level_db(left) - level_db(found - left)

    before, after, again = sdr_db("x@vocals"), sdr_db("wiener(x)@vocals"), sdr_db("wiener(x,3)")
    assert before == pytest.approx(7.4, abs=0.3)
    assert after > before + 0.5
    assert again > after + 2


def test_a_silent_stem_stays_silent():
    mix = noise(frames=2 * RATE)
    quiet = Fractions("quiet", vocals=0.0, other=1.0)
    stems = built("wiener(x)", x=quiet).separate(mix, RATE, JobContext())
    assert not stems["vocals"].any()
    assert level_db(stems["other"] - mix) < level_db(mix) - 60


@pytest.mark.parametrize("scale", [2.0**-10, 2.0**-60, 2.0**-90, 2.0**-120])
def test_a_soft_mix_is_refined_like_a_loud_one(scale):
    mix = noise(frames=RATE)
    loud = built("wiener(a)").separate(mix, RATE, JobContext())
    soft = built("wiener(a)").separate(mix * np.float32(scale), RATE, JobContext())
    for name, samples in soft.items():
        assert np.isfinite(samples).all()
        if scale > 1e-30:
            assert np.array_equal(samples, loud[name] * np.float32(scale))


def test_fakes_are_not_changed_by_use():
    assert FAKES["a"].card.stems == ("drums", "other", "vocals")
