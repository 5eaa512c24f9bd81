"""Some stems only, and engines one after another on what is left."""

import numpy as np
import pytest

from tests.separate.fakes import FAKES, OPTIONS, RATE, Fractions, make, noise, shares
from workstation.model import JobContext
from workstation.separate import engine
from workstation.separate.expression import compose, parse


def built(text):
    return compose(parse(text), make)


def test_a_picked_stem_and_the_rest_are_the_mix():
    assert shares(built("a@vocals")) == {"vocals": 0.4, "instrumental": 0.6}
    assert shares(built("a@drums+vocals")) == {"drums": 0.4, "vocals": 0.4, "rest": 0.2}


def test_a_role_picks_all_of_its_parts():
    assert shares(built("six@other")) == {"other": pytest.approx(0.3), "rest": pytest.approx(0.7)}


def test_the_second_engine_gets_what_the_first_leaves():
    # 0.4 of the mix is voice; of the other 0.6, b calls 0.2 drums, 0.4 other and 0.1 voice.
    assert shares(built("cascade(a@vocals,b)")) == {
        "drums": pytest.approx(0.6 * 0.2),
        "other": pytest.approx(0.6 * (0.4 + 0.1)),
        "vocals": 0.4,
    }


def test_three_steps_each_leave_less():
    assert shares(built("cascade(a@vocals,b@drums,c)")) == {
        "drums": pytest.approx(0.6 * 0.2),
        "other": pytest.approx(0.6 * 0.8 * (0.0 + 0.9 + 0.2)),
        "vocals": 0.4,
    }


def test_the_last_engine_hears_exactly_the_residual():
    heard = []

    class Listener(Fractions):
        def separate(self, mix, rate_hz, job):
            heard.append(mix.copy())
            return super().separate(mix, rate_hz, job)

    ear = Listener("ear", drums=0.5, other=0.5, vocals=0.0)
    both = compose(parse("cascade(dsp@vocals,ear)"), lambda n: ear if n == "ear" else make(n))
    mix = noise(frames=2 * RATE)
    found = both.separate(mix, RATE, JobContext())
    voice = engine("dsp", OPTIONS).separate(mix, RATE, JobContext())["vocals"]
    assert np.array_equal(found["vocals"], voice)
    assert np.array_equal(heard[0], mix - voice)


def test_an_engine_that_can_makes_only_what_is_needed():
    asked = []

    class Lazy(Fractions):
        def narrowed(self, stems):
            asked.append(stems)
            return self

    lazy = Lazy("lazy", **FAKES["a"].fractions)
    for text in ("lazy@vocals", "cascade(lazy@vocals,b)", "average(b,lazy@vocals)"):
        compose(parse(text), lambda n: lazy if n == "lazy" else make(n))
    assert asked == [("vocals",)] * 3
    assert make("a").card.stems == ("drums", "other", "vocals")
