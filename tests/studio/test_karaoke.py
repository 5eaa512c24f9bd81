"""Karaoke: the song without its voice, exactly."""

import numpy as np
import pytest

from tests.studio.bands import band, four, noise
from workstation.audio import read_audio
from workstation.model import ExistsError, InputError, UsageError


def test_without_a_guide_the_voice_is_gone_and_the_rest_is_untouched(tmp_path):
    stems, session = four(tmp_path, frames=150_000)
    made = session.karaoke(tmp_path / "k.wav")
    got, rate = read_audio(made.path)
    assert rate == 8000
    assert made.duration_s == 150_000 / 8000
    assert np.abs(got - (stems["drums"] + stems["bass"] + stems["other"])).max() <= 1e-6


def test_the_guide_is_as_loud_as_asked_for(tmp_path):
    stems, session = four(tmp_path)
    silent = read_audio(session.karaoke(tmp_path / "0.wav").path)[0]
    soft = read_audio(session.karaoke(tmp_path / "1.wav", guide_db=-20).path)[0]
    assert np.abs((soft - silent) - 0.1 * stems["vocals"]).max() <= 1e-6


def test_a_guide_of_0_db_is_the_song(tmp_path):
    _, session = four(tmp_path)
    song = read_audio(session.source_path)[0]
    whole = read_audio(session.karaoke(tmp_path / "k.wav", guide_db=0).path)[0]
    assert np.abs(whole - song).max() <= 1e-6


def test_backing_vocals_stay_where_the_lead_is_known(tmp_path):
    stems = {"Lead Vox": noise(seed=1), "backing_vocals": noise(seed=2), "band": noise(seed=3)}
    session = band(tmp_path, stems)
    got = read_audio(session.karaoke(tmp_path / "k.wav").path)[0]
    assert np.abs(got - stems["backing_vocals"] - stems["band"]).max() <= 1e-6


def test_a_mono_stem_sounds_on_both_sides(tmp_path):
    stems = {"vocals": noise(seed=1), "bass": noise(channels=1, seed=2)}
    got = read_audio(band(tmp_path, stems).karaoke(tmp_path / "k.wav").path)[0]
    assert np.array_equal(got, np.repeat(stems["bass"], 2, axis=0))


def test_what_cannot_be_done_is_told_and_nothing_is_replaced(tmp_path):
    _, session = four(tmp_path)
    session.karaoke(tmp_path / "k.wav")
    with pytest.raises(ExistsError, match="is there already"):
        session.karaoke(tmp_path / "k.wav")
    session.karaoke(tmp_path / "k.wav", overwrite=True)
    with pytest.raises(UsageError, match="too loud"):
        session.karaoke(tmp_path / "x.wav", guide_db=40)
    with pytest.raises(UsageError, match="part of the session"):
        session.karaoke(session.source_path, overwrite=True)
    dumb = band(tmp_path, {"drums": noise(), "bass": noise(seed=4)}, name="Dumb")
    with pytest.raises(InputError, match="voice"):
        dumb.karaoke(tmp_path / "x.wav")
    assert not (tmp_path / "x.wav").exists()
