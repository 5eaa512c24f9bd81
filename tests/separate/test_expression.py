"""Engines are combined in one line, which is read exactly or refused in words."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.separate.fakes import OPTIONS, RATE, make, noise, shares
from workstation.audio import read_audio, write_audio
from workstation.model import JobContext, UnavailableError, UsageError
from workstation.model.names import file_name
from workstation.separate import choose_engine, engine
from workstation.separate.expression import Term, canonical, compose, engines_in, parse
from workstation.separate.stream import separate_file


def built(text):
    return compose(parse(text), make)


names = st.text("abcdefghij-_0123456789", min_size=1, max_size=5)
terms = st.recursive(
    st.builds(Term, names),
    lambda inner: st.builds(
        Term,
        names,
        st.lists(inner, min_size=1, max_size=3).map(tuple),
        st.lists(names, max_size=2).map(tuple),
        st.none() | names,
    ),
    max_leaves=5,
)


@given(terms)
def test_what_is_written_is_what_is_read(term):
    if len(str(term)) <= 120:
        assert parse(str(term)) == term
        assert file_name(str(term), fallback="") == str(term)


@pytest.mark.parametrize(
    "text",
    ["", "average(", "average(a,b", "average()", "a@", "a=", "average(a,,b)", "a)b", "@vocals",
     "average(a/b,c)", "../a", "average(a,b))", "x" * 200 + "@y"],
)  # fmt: skip
def test_what_cannot_be_read_is_told(text):
    with pytest.raises(UsageError) as caught:
        built(text)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("average(a)", "two engines"),
        ("average(a,a)", "two engines"),
        ("average(a=x,b)", "number"),
        ("average(a=-1,b)", "number"),
        ("median(a=2,b)", "no weights"),
        ("average(a=0,b=0)", "weight"),
        ("average(a,odd)", "makes no"),
        ("average(a,b@flute)", "flute"),
        ("average(a,auto)", "auto"),
        ("blend(a,b)", "blend"),
        ("a=2", "weight"),
        ("a@flute", "flute"),
        ("cascade(a,b)", "which stems"),
        ("cascade(a@vocals)", "which stems"),
        ("cascade(a@vocals,b@vocals,c)", "twice"),
        ("cascade(a@drums+other+vocals,b)", "leaves nothing"),
        ("residual(a)", "residual goes"),
        ("residual(a,bass)", "residual goes"),
        ("residual(odd,other)", "makes no other"),
        ("residual(residual(a,own),own)", "already"),
        ("gate(a,loud)", "number"),
        ("gate(a,b,c)", "one setting"),
        ("shifts(a,1)", "number"),
        ("wiener(a,99)", "number"),
    ],
)
def test_what_makes_no_sense_is_told_before_the_work(text, word):
    with pytest.raises(UsageError) as caught:
        built(text)
    assert word in str(caught.value)


def test_the_card_is_made_of_the_parts():
    card = built("average(a,shifts(b,4))").card
    assert card.name == "average(a,shifts(b,4))"
    assert card.realtime_factor == pytest.approx(0.1 + 4 * 0.1)
    assert card.revision == "r-a+r-b"
    assert card.source == "about a; about b"
    assert (card.sample_rate_hz, card.max_channels) == (None, None)


def test_engines_in_an_expression_are_known_before_it_is_made():
    term = parse("cascade(htdemucs@vocals,average(dsp=2,gate(nmf,-50)))")
    assert list(engines_in(term)) == ["htdemucs", "dsp", "nmf"]


def test_missing_weights_of_a_part_are_told_at_once(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("WORKSTATION_CACHE_DIR", str(tmp_path))
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    with pytest.raises(UnavailableError, match="htdemucs"):
        choose_engine("average(htdemucs,dsp)", OPTIONS)


def test_an_unknown_part_suggests_the_near_name():
    with pytest.raises(UsageError) as caught:
        engine("average(htdemcs,dsp)", OPTIONS)
    assert "htdemucs" in caught.value.remedy


def test_functions_nest():
    assert shares(built("residual(average(gate(a),b@vocals),own)")) == {
        "drums": 0.4, "other": 0.2, "vocals": 0.25, "residual": 0.15,
    }  # fmt: skip


@pytest.mark.parametrize(
    "text",
    [
        "average(dsp=2,nmf)",
        "median(dsp,nmf,dsp@vocals)",
        "max(dsp,nmf)",
        "cascade(dsp@vocals,nmf)",
        "hpss@percussive",
        "residual(gate(nmf,-30),own)",
        "wiener(dsp,2)",
        "shifts(hpss,2)",
    ],
)
def test_real_engines_in_combination_sum_to_a_file_of_any_rate(tmp_path, text):
    rate = 11025
    t = np.arange(round(1.5 * rate)) / rate
    beat = np.sin(2 * np.pi * 60 * t) * np.exp(-(t % 0.5) * 20)
    mix = noise(frames=len(t)) * 0.2 + 0.4 * beat + 0.2 * np.sin(2 * np.pi * 440 * t)
    write_audio(tmp_path / "a.wav", mix.astype(np.float32), rate, "float32")
    made = engine(text, OPTIONS)
    paths = separate_file(tmp_path / "a.wav", made, tmp_path / "out", key="k", job=JobContext())
    stems = {name: read_audio(path)[0] for name, path in paths.items()}
    assert tuple(stems) == made.card.stems
    assert np.abs(sum(stems.values()) - mix).max() < 1e-6
    assert sum(bool(s.any()) for s in stems.values()) >= 2


def test_parts_of_one_rate_or_few_channels_work_at_that_of_the_song():
    from tests.separate import fakes

    narrow = fakes.Fractions("n", rate=4000, most=1, drums=0.5, other=0.0, vocals=0.5)
    both = compose(parse("average(a,n)"), lambda n: narrow if n == "n" else fakes.FAKES[n])
    t = np.arange(RATE) / RATE
    mix = np.stack([np.sin(2 * np.pi * f * t) for f in (200, 300, 400)]).astype(np.float32)
    found = both.separate(mix, RATE, JobContext())
    middle = slice(500, -500)
    assert np.allclose(found["drums"][:, middle], 0.45 * mix[:, middle], atol=1e-3)
    assert narrow.calls == 3


def test_names_of_files_with_brackets_stay_as_they_are():
    assert canonical("my (v2) model") == "my (v2) model"
    assert canonical("average( dsp , nmf )") == "average(dsp,nmf)"
