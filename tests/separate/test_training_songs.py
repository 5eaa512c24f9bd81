"""Excerpts are varied in the ways that leave a stem what it is, and the same again for a seed."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.separate.tiny_songs import (
    RATE,
    STEMS,
    open_tiny,
    stems_of,
    write_song,
    write_songs,
)
from workstation.audio import write_audio
from workstation.model import CancelledError, InputError, JobContext
from workstation.separate.training_songs import (
    draw_batch,
    draw_excerpt,
    held_out_clips,
    silent_stems,
    vary,
)


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """Songs whose samples tell song, stem and channel: 100·song + 10·stem + channel + 1."""
    root = tmp_path_factory.mktemp("told")
    for song in range(3):
        stems = {
            name: np.stack(
                [np.full(4000 + 500 * song, 100 * song + 10 * s + c + 1) for c in (0, 1)]
            )
            for s, name in enumerate(STEMS)
        }
        write_song(root / "songs" / f"{song}", {n: x.astype(np.float32) for n, x in stems.items()})
    return open_tiny(root / "songs", root / "scratch")


# -- variation ------------------------------------------------------------------------


@given(seed=st.integers(0, 1 << 40), stems=st.integers(2, 6), channels=st.integers(1, 2))
def test_a_varied_stem_is_the_stem_with_a_gain_a_sign_and_an_order_of_channels(
    seed, stems, channels
):
    rng = np.random.default_rng(seed)
    plain = rng.standard_normal((stems, channels, 50)).astype(np.float32)
    varied = vary(plain, np.random.default_rng(seed + 1))
    assert varied.dtype == np.float32
    assert varied.shape == plain.shape
    for before, after in zip(plain, varied, strict=True):
        gains = [np.vdot(order, after) / np.vdot(order, order) for order in (before, before[::-1])]
        fits = [
            np.allclose(order * gain, after, atol=1e-5) and 0.25 - 1e-6 <= abs(gain) <= 1.25 + 1e-6
            for order, gain in zip((before, before[::-1]), gains, strict=True)
        ]
        assert any(fits)


def test_all_variations_happen():
    rng = np.random.default_rng(0)
    plain = np.stack([np.stack([np.ones(4), 3 * np.ones(4)])] * 4).astype(np.float32)
    varied = np.concatenate([vary(plain, rng) for _ in range(100)])[:, :, 0]
    swapped = np.abs(varied[:, 0]) > np.abs(varied[:, 1])
    assert 0.4 < swapped.mean() < 0.6
    assert 0.4 < (varied[:, 0] < 0).mean() < 0.6
    gains = np.abs(varied).min(axis=1)
    assert gains.min() < 0.35
    assert gains.max() > 1.15
    assert np.ptp(np.abs(varied[:4]).min(axis=1)) > 0.01  # Each stem has its own.


@given(seed=st.integers(0, 1 << 40))
@settings(max_examples=60)
def test_an_excerpt_has_every_stem_in_its_place_from_one_song_or_from_several(told, seed):
    found = draw_excerpt(told, np.random.default_rng(seed), 400)
    assert found.shape == (4, 2, 400)
    assert (found == found[..., :1]).all()
    values = found[..., 0].astype(int) - 1
    assert (values % 10 == [0, 1]).all()
    assert (values // 10 % 10 == np.arange(4)[:, None]).all()
    assert set((values // 100).ravel()) <= {0, 1, 2}


def test_half_of_the_excerpts_are_remixed(told):
    rng = np.random.default_rng(1)
    songs = [draw_excerpt(told, rng, 10)[:, 0, 0] // 100 for _ in range(200)]
    # Four draws from three songs are all the same in 4 % of the cases.
    assert 0.38 < np.mean([len(set(song)) > 1 for song in songs]) < 0.58


def test_a_batch_depends_on_seed_and_step_alone(told):
    once = draw_batch(told, 7, 3, 4, 100)
    assert once.shape == (4, 4, 2, 100)
    assert np.array_equal(once, draw_batch(told, 7, 3, 4, 100))
    assert not np.array_equal(once, draw_batch(told, 7, 4, 4, 100))
    assert not np.array_equal(once, draw_batch(told, 8, 3, 4, 100))


def test_the_whole_song_can_be_drawn_and_no_more(told):
    shortest = told.part({"0"})
    assert draw_excerpt(shortest, np.random.default_rng(0), 4000).shape == (4, 2, 4000)


# -- what belongs together --------------------------------------------------------------


def test_stems_are_in_the_usual_order_and_mono_ones_are_on_both_channels(tmp_path):
    stems = stems_of(0)
    stems["vocals"] = stems["vocals"][:1]
    write_song(tmp_path / "songs" / "a", {**stems, "Choir": stems["other"]})
    found = open_tiny(tmp_path / "songs", tmp_path / "scratch")
    assert found.stems == (*STEMS, "Choir")
    assert found.channels == 2
    assert found.sample_rate_hz == RATE
    read = found.songs[0].read(3, 100, 50, 2)
    assert np.array_equal(read, np.repeat(stems["vocals"][:, 100:150], 2, axis=0))


def test_a_format_that_must_be_decoded_gives_the_same_samples(tmp_path):
    stems = stems_of(1)
    write_song(tmp_path / "wav" / "a", stems)
    write_song(tmp_path / "flac" / "a", stems, suffix=".flac")
    wav = open_tiny(tmp_path / "wav", tmp_path / "scratch")
    flac = open_tiny(tmp_path / "flac", tmp_path / "scratch")
    assert len(list((tmp_path / "scratch").iterdir())) == 4  # The FLAC files only.
    for stem in range(4):
        one, other = (s.songs[0].read(stem, 1234, 777, 2) for s in (wav, flac))
        assert np.abs(one - other).max() <= 2**-23


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 2 * RATE}, "Hz"),
        ({"drop": "bass"}, "has the stems drums, other, vocals"),
        ({"lengthen": "bass"}, "bass.wav is 1.00 s longer than"),
        ({"channels": 3}, "has 3 channels"),
    ],
)
def test_songs_that_do_not_go_together_are_refused_with_their_name(tmp_path, change, words):
    write_song(tmp_path / "songs" / "a", stems_of(0))
    stems = stems_of(1, channels=change.get("channels", 2))
    stems.pop(change.get("drop"), None)
    folder = write_song(tmp_path / "songs" / "b", stems, rate=change.get("rate", RATE))
    if "lengthen" in change:
        longer = np.pad(stems["bass"], ((0, 0), (0, RATE)))
        write_audio(folder / "bass.wav", longer, RATE, "float32")
    with pytest.raises(InputError) as caught:
        open_tiny(tmp_path / "songs", tmp_path / "scratch")
    assert words in caught.value.problem
    assert caught.value.remedy


def test_one_stem_alone_cannot_be_learnt(tmp_path):
    write_song(tmp_path / "songs" / "a", {"vocals": stems_of(0)["vocals"]})
    with pytest.raises(InputError, match="only the stem vocals"):
        open_tiny(tmp_path / "songs", tmp_path / "scratch")


def test_silent_stems_are_found(tmp_path):
    write_song(tmp_path / "songs" / "a", stems_of(0))
    write_song(tmp_path / "songs" / "b", {**stems_of(1), "bass": np.zeros((2, 40000), np.float32)})
    found = open_tiny(tmp_path / "songs", tmp_path / "scratch")
    assert silent_stems(found, JobContext()) == [("b", "bass")]
    with pytest.raises(InputError, match='"bass" is silent in every song'):
        silent_stems(found.part({"b"}), JobContext())


def test_a_song_that_is_silent_as_a_whole_is_refused(tmp_path):
    silence = {name: np.zeros((2, 8000), np.float32) for name in STEMS}
    write_song(tmp_path / "songs" / "nothing", silence)
    with pytest.raises(InputError, match="nothing is silent"):
        silent_stems(open_tiny(tmp_path / "songs", tmp_path / "scratch"), JobContext())


def test_opening_can_be_cancelled(tmp_path):
    from workstation.separate.training_songs import StemSource, open_songs

    folder = write_song(tmp_path / "a", stems_of(0))
    job = JobContext()
    job.cancel()
    sources = {"a": {name: StemSource(folder / f"{name}.wav") for name in STEMS}}
    with pytest.raises(CancelledError):
        open_songs(sources, tmp_path, job)


# -- clips ----------------------------------------------------------------------------


def test_clips_of_held_out_songs_are_spread_and_the_same_every_time(tmp_path):
    write_songs(tmp_path / "songs", 2, seconds=14.0)
    found = open_tiny(tmp_path / "songs", tmp_path / "scratch")
    clips = held_out_clips(found)
    assert [clip.song for clip in clips] == ["song 0", "song 0", "song 1", "song 1"]
    assert {clip.stems.shape for clip in clips} == {(4, 2, 6 * RATE)}
    assert not np.array_equal(clips[0].stems, clips[1].stems)
    for one, other in zip(clips, held_out_clips(found), strict=True):
        assert np.array_equal(one.stems, other.stems)


def test_a_short_song_is_one_clip(tmp_path):
    write_songs(tmp_path / "songs", 1, seconds=2.0)
    clips = held_out_clips(open_tiny(tmp_path / "songs", tmp_path / "scratch"))
    assert [clip.stems.shape for clip in clips] == [(4, 2, 2 * RATE)]
