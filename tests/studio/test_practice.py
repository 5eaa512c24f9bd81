"""Practice mixes: one part muted or up, the rest as it is."""

import importlib.util

import numpy as np
import pytest

from tests.studio.bands import band, four, noise
from workstation.audio import read_audio, stretching
from workstation.model import UnavailableError, UsageError


def test_a_muted_part_is_gone_and_the_rest_is_untouched(tmp_path):
    stems, session = four(tmp_path, frames=100_000)
    got = read_audio(session.practice("bass", tmp_path / "p.wav").path)[0]
    assert np.abs(got - (stems["drums"] + stems["other"] + stems["vocals"])).max() <= 1e-6


def test_a_part_that_is_up_keeps_its_level_over_softer_others(tmp_path):
    stems, session = four(tmp_path)
    got = read_audio(session.practice("bass", tmp_path / "p.wav", up_db=20).path)[0]
    rest = stems["drums"] + stems["other"] + stems["vocals"]
    assert np.abs(got - stems["bass"] - 0.1 * rest).max() <= 1e-6


def test_a_part_that_is_up_never_goes_beyond_song_and_stem(tmp_path):
    stems, session = four(tmp_path)
    song = read_audio(session.source_path)[0]
    for up in (1, 6, 40):
        path = session.practice("drums", tmp_path / f"{up}.wav", up_db=up).path
        got = np.abs(read_audio(path)[0])
        assert (got <= np.maximum(np.abs(song), np.abs(stems["drums"])) + 1e-6).all()


def test_a_role_takes_all_of_its_parts(tmp_path):
    stems = {"kick": noise(seed=1), "snare": noise(seed=2), "bass": noise(seed=3)}
    got = read_audio(band(tmp_path, stems).practice("drums", tmp_path / "p.wav").path)[0]
    assert np.abs(got - stems["bass"]).max() <= 1e-6


def test_half_the_tempo_is_twice_as_long(tmp_path):
    if importlib.util.find_spec("python_stretch") is None:
        pytest.skip("python-stretch is not installed")
    _, session = four(tmp_path, frames=16_001)
    made = session.practice("bass", tmp_path / "p.wav", tempo_percent=50, semitones=-2)
    got = read_audio(made.path)[0]
    assert got.shape == (2, 32_002)
    assert made.duration_s == 32_002 / 8000
    assert np.sqrt(np.mean(got**2)) == pytest.approx(0.2, rel=0.3)


def test_what_cannot_be_done_is_told_before_the_work(tmp_path, monkeypatch):
    _, session = four(tmp_path)
    with pytest.raises(UsageError, match="flute"):
        session.practice("flute", tmp_path / "p.wav")
    with pytest.raises(UsageError, match="up by"):
        session.practice("bass", tmp_path / "p.wav", up_db=-3)
    monkeypatch.setattr(stretching.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UnavailableError, match="python-stretch"):
        session.practice("bass", tmp_path / "p.wav", tempo_percent=75)
    assert not (tmp_path / "p.wav").exists()
