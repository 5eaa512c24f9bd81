"""Scores of separation: equal to mir_eval's, right where the answer is known, bounded in memory."""

import math
import warnings

import numpy as np
import pytest

from workstation.separate.metrics import MOST_DB, bss_eval, score_stems

RATE = 8000


def music(stems=3, channels=2, seconds=4.0, seed=1):
    """Noise through a filter per channel: coloured, like instruments, and of different levels."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * RATE)
    noise = rng.standard_normal((stems, channels, frames + 64))
    shape = rng.standard_normal((stems, channels, 64)) * np.exp(-np.arange(64) / 8)
    made = [
        [np.convolve(n, s, mode="valid")[:frames] for n, s in zip(*both, strict=True)]
        for both in zip(noise, shape, strict=True)
    ]
    return np.asarray(made) * 10.0 ** -np.arange(1, stems + 1)[:, None, None]


def estimates_of(stems, seed=2):
    """Stems with bleed, a filter and noise: every kind of error."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(stems.shape) * stems.std(axis=(1, 2), keepdims=True) * 0.1
    return 0.8 * stems + 0.1 * np.roll(stems, 3, axis=2) + 0.2 * np.roll(stems, 1, axis=0) + noise


def mir_eval_images(references, estimates):
    separation = pytest.importorskip("mir_eval.separation")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        return separation.bss_eval_images(
            references.transpose(0, 2, 1), estimates.transpose(0, 2, 1), False
        )[:4]


def pieces_of(references, estimates):
    def pieces(frames):
        for at in range(0, references.shape[2], frames):
            yield references[..., at : at + frames], estimates[..., at : at + frames]

    return pieces


def scores_of(references, estimates, own=None):
    return score_stems(
        pieces_of(references.astype(np.float32), estimates.astype(np.float32)),
        stems=len(references),
        own=range(len(references)) if own is None else own,
        channels=references.shape[1],
        rate_hz=RATE,
    )


@pytest.mark.parametrize(("stems", "channels"), [(1, 1), (2, 1), (3, 2), (4, 2)])
def test_the_ratios_are_those_of_mir_eval(stems, channels):
    true = music(stems, channels, seconds=2.3)
    estimate = estimates_of(true)
    found = bss_eval(true, estimate)
    theirs = mir_eval_images(true, estimate)
    for ours, value in zip((found.sdr, found.isr, found.sir, found.sar), theirs, strict=True):
        if stems > 1 or value is not theirs[2]:  # One stem alone has no interference.
            np.testing.assert_allclose(ours[:, 0], value, rtol=0, atol=1e-6)


def test_the_published_recordings_get_mir_evals_scores(shared_data):
    soundfile = pytest.importorskip("soundfile")
    separation = pytest.importorskip("mir_eval.separation")
    folder = shared_data / "mir_eval" / "tests" / "data" / "separation"
    compared = 0
    for number in range(10):
        files = [sorted(folder.glob(f"{kind}{number:02d}/*.wav")) for kind in ("ref", "est")]
        true, estimate = (np.array([soundfile.read(file)[0] for file in some]) for some in files)
        if true.shape != estimate.shape or true.ndim != 2 or len(true) < 2:
            continue
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)
            sources = separation.bss_eval_sources(true, estimate, False)[:3]
        found = bss_eval(true[:, None], estimate[:, None])
        theirs = [*sources, *mir_eval_images(true[:, None], estimate[:, None])]
        ours = [found.source_sdr, found.sir, found.sar, found.sdr, found.isr, found.sir, found.sar]
        for one, other in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(one[:, 0], other, rtol=0, atol=1e-6)
        compared += 1
    assert compared >= 5


def test_a_filter_is_forgiven_by_the_source_version_alone():
    true = music(2, 1)
    found = bss_eval(true, np.stack([np.roll(s, 5, axis=1) for s in true]))
    assert (found.sdr < 10).all()
    assert (found.source_sdr > 30).all()
    assert (found.isr < 10).all()


def test_pieces_give_what_the_whole_gives():
    true = music(3, 2, seconds=5.3)
    estimate = estimates_of(true)
    whole = bss_eval(true.astype(np.float32), estimate.astype(np.float32), window=RATE)
    assert whole.sdr.shape == (3, 5)
    for stem, score in enumerate(scores_of(true, estimate)):
        assert score.window_sdr_db == pytest.approx(np.median(whole.sdr[stem]), abs=1e-9)
        assert score.isr_db == pytest.approx(np.median(whole.isr[stem]), abs=1e-7)
        assert score.sir_db == pytest.approx(np.median(whole.sir[stem]), abs=1e-7)
        assert score.sar_db == pytest.approx(np.median(whole.sar[stem]), abs=1e-7)


def test_plain_and_scale_invariant_sdr_are_their_formulas():
    true = music(2)
    noise = np.random.default_rng(3).standard_normal(true.shape)
    noise -= true * (noise * true).sum((1, 2), keepdims=True) / (true**2).sum((1, 2), keepdims=True)
    noise *= np.sqrt((true**2).sum((1, 2), keepdims=True) / (noise**2).sum((1, 2), keepdims=True))
    for score in scores_of(true, 0.5 * true + 0.05 * noise):
        # The noise is orthogonal, 20 dB under the half of the stem that is left.
        assert score.si_sdr_db == pytest.approx(20.0, abs=1e-3)
        assert score.sdr_db == pytest.approx(-10 * math.log10(0.25 + 0.0025), abs=1e-3)


def test_the_perfect_estimate_is_bounded():
    true = music(2)
    for score in scores_of(true, true):
        assert score.sdr_db == MOST_DB
        assert 100 < score.sar_db <= MOST_DB


def test_a_silent_stem_has_bleed_and_nothing_else():
    true = music(3)
    true[1] = 0
    estimate = estimates_of(true)
    mix = true.astype(np.float32).sum(axis=0)
    scores = scores_of(true, estimate)
    assert scores[1].sdr_db is None
    assert scores[1].sir_db is None
    wanted = 10 * np.log10((estimate[1] ** 2).sum() / (mix**2).sum())
    assert scores[1].bleed_db == pytest.approx(wanted, abs=1e-3)
    assert scores[1].silent_s == pytest.approx(4.0)
    # The others are measured as if it were not there.
    others = bss_eval(true[[0, 2]], estimate[[0, 2]], window=RATE)
    assert scores[2].sir_db == pytest.approx(np.median(others.sir[1]), abs=1e-3)
    assert scores[2].bleed_db is None


def test_seconds_of_silence_are_left_out_and_their_bleed_is_told():
    true = music(2, seconds=6)
    true[1, :, 2 * RATE : 4 * RATE] = 0
    estimate = estimates_of(true)
    windows = bss_eval(true, estimate, window=RATE)
    assert np.isnan(windows.sdr).all(axis=0).tolist() == [False, False, True, True, False, False]
    score = scores_of(true, estimate)[1]
    assert score.window_sdr_db == pytest.approx(np.nanmedian(windows.sdr[1]), abs=1e-3)
    assert score.silent_s == 2
    assert score.bleed_db is not None


def test_an_estimate_of_nothing_is_zero_db_and_no_ratio():
    true = music(2)
    scores = scores_of(true, true * np.array([1, 0])[:, None, None])
    assert scores[1].sdr_db == pytest.approx(0.0)
    assert scores[1].si_sdr_db is None
    assert scores[1].window_sdr_db is None
    assert scores[0].window_sdr_db is not None


def test_mono_within_stereo_scores_as_mono():
    true, estimate = music(2, 1), estimates_of(music(2, 1))
    alone = scores_of(true, estimate)
    twice = scores_of(true.repeat(2, axis=1), estimate.repeat(2, axis=1))
    for one, other in zip(alone, twice, strict=True):
        for field in ("sdr_db", "si_sdr_db", "window_sdr_db", "isr_db", "sir_db", "sar_db"):
            assert getattr(one, field) == pytest.approx(getattr(other, field), abs=1e-4)


def test_a_channel_without_sound_does_no_harm():
    true = music(2)
    true[0, 1] = 0
    found = bss_eval(true, estimates_of(true))
    assert np.isfinite(found.sdr).all()
    assert np.isfinite(found.sar).all()


def test_stems_without_an_estimate_interfere_all_the_same():
    true = music(3)
    estimate = estimates_of(true)
    every = scores_of(true, estimate)
    one = scores_of(true, estimate[[1]], own=[1])[0]
    assert one.sir_db == pytest.approx(every[1].sir_db, abs=1e-6)


def test_a_song_shorter_than_a_second_is_one_window():
    true = music(2, seconds=0.5)
    estimate = estimates_of(true)
    whole = bss_eval(true, estimate)
    assert scores_of(true, estimate)[0].sir_db == pytest.approx(whole.sir[0, 0], abs=1e-3)


@pytest.mark.parametrize("change", ["shape", "silent"])
def test_arrays_that_make_no_sense_are_refused(change):
    true = music(2)
    estimate = true[..., 1:] if change == "shape" else true * 0
    with pytest.raises(ValueError, match=r"axes|zeros"):
        bss_eval(true, estimate)


def test_memory_does_not_grow_with_the_song():
    import tracemalloc

    def peak(seconds):
        true = music(2, 1, seconds=8).astype(np.float32)

        def pieces(frames):
            for _ in range(0, seconds * RATE, frames):
                yield true[..., :frames], 0.9 * true[..., :frames]

        tracemalloc.start()
        score_stems(pieces, stems=2, own=[0, 1], channels=1, rate_hz=RATE)
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(160) < 1.05 * peak(16)
