"""Features: in time, bounded, and the same however the audio is handed over."""

import numpy as np
import pytest

from workstation.analyze import ArraySource, extract_features, onset_strength
from workstation.analyze.features import LEVEL_RATE_HZ, PITCH_RATE_HZ
from workstation.model import CancelledError, JobContext


class Dribble(ArraySource):
    """Hands out at most 1000 samples at a time."""

    def read(self, frames, /):
        return super().read(min(frames, 1000))


def test_blocks_of_any_size_give_the_same_features(drums):
    samples, _ = drums.steady("rock", 100, 8)
    whole = extract_features(ArraySource(samples, 22050), job=JobContext())
    pieces = extract_features(Dribble(samples, 22050), job=JobContext())
    assert np.array_equal(whole.levels_db, pieces.levels_db)
    np.testing.assert_allclose(whole.pitches, pieces.pitches, atol=1e-6)


@pytest.mark.parametrize("rate_hz", [8000, 44100, 48000, 192000])
def test_frames_cover_the_song_and_no_more(rate_hz):
    features = extract_features(
        ArraySource(np.zeros((2, rate_hz * 3), np.float32), rate_hz), job=JobContext()
    )
    assert features.duration_s == 3.0
    assert len(features.levels_db) == int(3 * LEVEL_RATE_HZ) + 1
    assert len(features.pitches) == len(features.pitched) == int(3 * PITCH_RATE_HZ) + 1


@pytest.mark.parametrize("rate_hz", [8000, 22050, 44100, 96000])
@pytest.mark.parametrize("at_s", [0.0, 0.5, 1.2345])
def test_a_click_peaks_where_it_is(rate_hz, at_s):
    samples = np.zeros((1, rate_hz * 3), np.float32)
    start = round(at_s * rate_hz)
    samples[0, start : start + rate_hz // 100] = 0.5
    onsets = onset_strength(
        extract_features(ArraySource(samples, rate_hz), job=JobContext()), job=JobContext()
    )
    assert onsets.curve.argmax() / onsets.rate_hz == pytest.approx(at_s, abs=0.010)


def test_tuning_is_measured(chord):
    samples = chord([57, 61, 64], 5, tuning=0.2)
    features = extract_features(ArraySource(samples, 22050), job=JobContext())
    assert features.tuning_semitones == pytest.approx(0.2, abs=0.05)


def test_opposite_polarity_does_not_silence_a_song(drums):
    samples, _ = drums.steady("rock", 100, 8)
    both = extract_features(ArraySource(np.vstack([samples, -samples]), 22050), job=JobContext())
    one = extract_features(ArraySource(samples, 22050), job=JobContext())
    assert np.array_equal(both.levels_db, one.levels_db)


def test_onsets_do_not_depend_on_the_level(drums):
    samples, _ = drums.steady("rock", 100, 8)
    loud = onset_strength(
        extract_features(ArraySource(samples, 22050), job=JobContext()), job=JobContext()
    )
    quiet = onset_strength(
        extract_features(ArraySource(samples * 0.01, 22050), job=JobContext()), job=JobContext()
    )
    np.testing.assert_allclose(loud.curve, quiet.curve, atol=0.3)


def test_values_that_are_no_numbers_count_as_silence():
    samples = np.full((2, 22050), np.nan, np.float32)
    features = extract_features(ArraySource(samples, 22050), job=JobContext())
    assert np.isfinite(features.levels_db).all()
    assert not onset_strength(features, job=JobContext()).curve.any()


def test_cancelling_stops_the_reading():
    job = JobContext()
    job.cancel()
    with pytest.raises(CancelledError):
        extract_features(ArraySource(np.zeros((1, 22050), np.float32), 22050), job=job)
