"""Engines that go by the place in the stereo image, on mixes whose truth is known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workstation.model import JobContext, UsageError
from workstation.separate import EngineOptions, engine
from workstation.separate.adress import Adress, azimuth
from workstation.separate.centre import Centre, MidSide, centre_spectrum
from workstation.separate.duet import Duet, find_places
from workstation.separate.fastica import FastIca, fast_ica, whitening
from workstation.separate.projet import Projet, directions, improve, split, start_model
from workstation.separate.stft import stft

RATE = 16000


def si_sdr_db(reference, estimate):
    gain = np.vdot(reference, estimate) / np.vdot(reference, reference)
    return 10 * np.log10(
        np.sum((gain * reference) ** 2) / np.sum((gain * reference - estimate) ** 2)
    )


def gains_db(truth, stems, mix):
    """What every stem is better than the mix as an estimate of its source."""
    return [
        si_sdr_db(true, stem) - si_sdr_db(true, mix)
        for true, stem in zip(truth, stems.values(), strict=True)
    ]


def voice(seed, *, low, seconds=6.0):
    """Notes with overtones, as a melody has them."""
    rng = np.random.default_rng(seed)
    count = round(seconds * 4)
    pitch = np.repeat(low * 2 ** (rng.integers(0, 12, count) / 12), RATE // 4)
    loud = np.repeat((rng.random(count) > 0.25) * (0.5 + rng.random(count)), RATE // 4)
    loud = np.convolve(loud, np.hanning(800) / 400, "same")
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    tone = sum(np.sin(k * phase + rng.random()) / k for k in range(1, 8))
    return (0.1 * loud * tone).astype(np.float32)


def panned(samples, degrees):
    """A source on two channels; 0 is left, 90 is right."""
    angle = np.radians(degrees)
    return np.stack([np.cos(angle) * samples, np.sin(angle) * samples]).astype(np.float32)


@pytest.fixture(scope="module")
def trio():
    voices = (voice(1, low=130), voice(2, low=220), voice(3, low=410))
    return [panned(v, d) for v, d in zip(voices, (20, 45, 70), strict=True)]


@pytest.mark.parametrize("degrees", [(20, 45, 70), (10, 50, 80)])
def test_duet_tells_three_panned_voices_apart(trio, degrees):
    voices = [true[0] / np.cos(np.radians(at)) for true, at in zip(trio, (20, 45, 70), strict=True)]
    truth = [panned(v, at) for v, at in zip(voices, degrees, strict=True)]
    mix = sum(truth)
    stems = Duet().separate(mix, RATE, JobContext())
    assert min(gains_db(truth, stems, mix)) > 10
    assert np.abs(sum(stems.values()) - mix).max() < 1e-5


def test_duet_finds_levels_and_delays():
    # Delayed by whole frames, as by two microphones.
    sources = [(voice(4, low=180), 0.7, 1), (voice(5, low=300), 1.3, -2)]
    mix = np.zeros((2, len(sources[0][0]) + 8), np.float32)
    for samples, level, delay in sources:
        mix[0, 4 : 4 + len(samples)] += samples
        mix[1, 4 + delay : 4 + delay + len(samples)] += level * samples
    places = find_places(stft(mix, 1024, 256), 2, most_delay=3.0)
    assert len(places) == 2
    for place, (_, level, delay) in zip(places, sources, strict=True):
        assert place.attenuation == pytest.approx(level, abs=0.05)
        assert place.delay == pytest.approx(delay, abs=0.1)


def test_duet_leaves_stems_silent_for_which_there_is_no_source():
    solo = panned(voice(6, low=200), 30)
    stems = Duet(sources=3).separate(solo, RATE, JobContext())
    assert np.allclose(stems["source_1"], solo, atol=1e-5)
    assert not stems["source_2"].any()
    assert not stems["source_3"].any()


@pytest.mark.parametrize("name", ["duet-2", "projet-4"])
def test_the_number_of_sources_stands_behind_the_name(trio, name):
    maker = engine(name, EngineOptions())
    assert maker.card.name == name
    assert maker.card.stems == tuple(f"source_{n}" for n in range(1, int(name[-1]) + 1))
    assert maker.card.summary.startswith(name[-1])
    mix = sum(trio)[:, :RATE]
    stems = maker.separate(mix, RATE, JobContext())
    assert tuple(stems) == maker.card.stems
    assert np.abs(sum(stems.values()) - mix).max() < 1e-4


@pytest.mark.parametrize("name", ["duet-1", "duet-9", "adress-2"])
def test_a_number_that_makes_no_sense_is_no_engine(name):
    with pytest.raises(UsageError, match=name):
        engine(name, EngineOptions())


def test_projet_tells_three_panned_voices_apart_and_keeps_their_places(trio):
    mix = sum(trio)
    stems = Projet().separate(mix, RATE, JobContext())
    assert min(gains_db(trio, stems, mix)) > 12
    for stem, true in zip(stems.values(), trio, strict=True):
        angle = np.degrees(np.arctan2(*np.sqrt(np.sum(stem[::-1] ** 2, axis=1))))
        wanted = np.degrees(np.arctan2(*np.sqrt(np.sum(true[::-1] ** 2, axis=1))))
        assert angle == pytest.approx(wanted, abs=8)
    assert np.abs(sum(stems.values()) - mix).max() < 1e-4


def test_each_update_of_projet_lowers_the_divergence(trio):
    spectrum = stft(sum(trio)[:, :RATE], 1024, 512)
    towards, at = directions(-np.pi / 2, 0, 10), directions(0, np.pi / 2, 30)
    kernel = np.abs(towards @ at.T)
    level = np.abs(np.einsum("pc,cwb->pwb", towards, spectrum)).astype(np.float64)
    model = start_model(spectrum, 3, 30)
    found = []
    for _ in range(12):
        model = improve(model, spectrum, towards, kernel)
        heard = np.einsum("pj,jwb->pwb", kernel @ model.shares, model.spectrograms) + 1e-12
        found.append(np.sum(level * np.log((level + 1e-12) / heard) - level + heard))
        assert np.allclose(model.shares.sum(axis=0), 1, atol=1e-5)
    assert found == sorted(found, reverse=True)
    sources = split(model, spectrum, towards, kernel)
    assert np.abs(sources.sum(axis=0) - spectrum).max() < 1e-3 * np.abs(spectrum).max()


@pytest.mark.parametrize("mixing", [((1.0, 0.4), (0.3, 0.9)), ((0.8, -0.5), (0.6, 0.7))])
def test_fastica_undoes_an_instantaneous_mix(mixing):
    rng = np.random.default_rng(7)
    sources = np.stack([rng.laplace(size=4 * RATE), voice(8, low=150, seconds=4.0) * 8])
    images = [
        np.outer(column, source) for column, source in zip(np.array(mixing).T, sources, strict=True)
    ]
    mix = np.sum(images, axis=0).astype(np.float32)
    stems = FastIca().separate(mix, RATE, JobContext())
    for image, stem in zip(images, stems.values(), strict=True):
        assert si_sdr_db(image, stem) > 30
    assert np.abs(sum(stems.values()) - mix).max() < 1e-5


def test_fastica_finds_the_rotation_that_scikit_learn_finds():
    from sklearn.decomposition import FastICA

    rng = np.random.default_rng(9)
    mix = np.array([[1.0, 0.4], [0.3, 0.9]]) @ rng.laplace(size=(2, 20000))
    mix -= mix.mean(axis=1, keepdims=True)
    start = rng.standard_normal((2, 2))
    white = whitening(mix)
    ours = fast_ica(white @ mix, start, tolerance=1e-12) @ white @ mix
    peer = FastICA(2, whiten="unit-variance", w_init=start, tol=1e-12, max_iter=500)
    theirs = peer.fit_transform(mix.T).T
    alike = np.abs(np.corrcoef(np.concatenate([ours, theirs]))[:2, 2:])
    assert np.allclose(np.sort(alike.max(axis=1)), 1, atol=1e-8)


def test_channels_that_are_gains_of_each_other_are_one_source():
    solo = panned(voice(10, low=200), 60)
    stems = FastIca().separate(solo, RATE, JobContext())
    assert np.array_equal(stems["source_1"], solo)
    assert not stems["source_2"].any()


def test_adress_takes_the_centre_out(trio):
    mix = sum(trio)
    stems = Adress().separate(mix, RATE, JobContext())
    assert list(stems) == ["left", "centre", "right"]
    assert min(gains_db(trio, stems, mix)) > 12


@given(place=st.floats(-1, 1), level=st.floats(0.001, 1000), phase=st.floats(-np.pi, np.pi))
def test_the_place_of_one_source_is_its_gain_and_its_null_is_deep(place, level, phase):
    loud, quiet = level * np.exp(1j * phase), (1 - abs(place)) * level * np.exp(1j * phase)
    channels = (quiet, loud) if place > 0 else (loud, quiet)
    found, depth = azimuth(np.array(channels, np.complex64)[:, None, None])
    assert abs(found[0, 0]) == pytest.approx(abs(place), abs=1e-4)
    assert found[0, 0] * place >= -1e-6
    assert depth[0, 0] == pytest.approx(1, abs=1e-3)


def test_the_gain_of_the_null_is_the_best_of_a_fine_scan():
    rng = np.random.default_rng(11)
    left, right = rng.standard_normal((2, 50)) + 1j * rng.standard_normal((2, 50))
    place, depth = azimuth(np.stack([left, right]).astype(np.complex64)[:, None])
    gains = np.linspace(0, 1, 5001)[:, None]
    for bin_ in range(50):
        quiet, loud = sorted((left[bin_], right[bin_]), key=abs)
        scan = np.abs(quiet - gains[:, 0] * loud)
        assert 1 - abs(place[0, bin_]) == pytest.approx(gains[scan.argmin(), 0], abs=1e-3)
        assert depth[0, bin_] == pytest.approx(1 - scan.min() / scan.max(), abs=1e-3)


def test_the_centre_is_taken_from_between_two_sides():
    truth = [
        panned(voice(12, low=150), 45),
        panned(voice(13, low=260), 0) + panned(voice(14, low=420), 90),
    ]
    mix = sum(truth)
    stems = Centre().separate(mix, RATE, JobContext())
    assert min(gains_db(truth, stems, mix)) > 8
    assert np.array_equal(stems["centre"][0], stems["centre"][1])
    assert np.abs(sum(stems.values()) - mix).max() < 1e-6


numbers = st.complex_numbers(max_magnitude=1e3, allow_nan=False, allow_infinity=False)


@settings(max_examples=200)
@given(left=numbers, right=numbers)
def test_the_sides_of_an_extracted_centre_have_nothing_in_common(left, right):
    left, right = np.complex64(left), np.complex64(right)
    centre = centre_spectrum(np.array([left, right])[:, None, None])[0, 0]
    inner = ((left - centre) * np.conj(right - centre)).real
    size = abs(left) ** 2 + abs(right) ** 2
    if centre:
        assert abs(inner) <= 1e-4 * size + 1e-20
    else:
        # Nothing in common to take: the channels work against each other.
        assert (left * np.conj(right)).real <= 1e-6 * size + 1e-20


def test_mid_and_side_are_the_sum_and_the_difference():
    mix = np.random.default_rng(15).uniform(-1, 1, (2, 1000)).astype(np.float32)
    stems = MidSide().separate(mix, RATE, JobContext())
    assert np.array_equal(stems["mid"][0], stems["mid"][1])
    assert np.allclose(stems["side"][0], -stems["side"][1], atol=1e-7)
    assert np.allclose(stems["mid"] + stems["side"], mix, atol=1e-7)
