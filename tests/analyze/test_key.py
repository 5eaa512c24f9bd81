"""Keys of made-up cadences."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workstation.analyze import estimate_key
from workstation.analyze.key import MAJOR_NAMES, MINOR_NAMES

MAJOR = [(0, 4, 7), (5, 9, 12), (7, 11, 14), (0, 4, 7)]
MINOR = [(0, 3, 7), (5, 8, 12), (7, 11, 14), (0, 3, 7)]


def cadence(chord, tonic, chords, tuning=0.0):
    return np.concatenate(
        [chord([48 + tonic + n for n in c], 1.5, tuning=tuning) for c in chords] * 4
    )


@settings(
    max_examples=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(tonic=st.integers(0, 11), minor=st.booleans(), tuning=st.floats(-0.35, 0.35))
def test_a_cadence_tells_its_key_at_any_tuning(chord, listen, tonic, minor, tuning):
    features, _ = listen(cadence(chord, tonic, MINOR if minor else MAJOR, tuning))
    key = estimate_key(features)
    expected = f"{MINOR_NAMES[tonic]} minor" if minor else f"{MAJOR_NAMES[tonic]} major"
    assert key.name == expected
    assert key.confidence > 0.4


def test_all_twelve_notes_alike_give_little_confidence(chord, listen):
    features, _ = listen(np.concatenate([chord([48 + n], 0.8) for n in range(12)] * 3))
    key = estimate_key(features)
    assert key is None or key.confidence < 0.3


def test_a_single_note_gives_little_confidence(chord, listen):
    features, _ = listen(chord([57], 20))
    assert estimate_key(features).confidence < 0.3


@pytest.mark.parametrize("pattern", ["click", "rock", "swing"])
def test_drums_have_no_key(drums, listen, pattern):
    features, _ = listen(drums.steady(pattern, 110, 20)[0])
    assert estimate_key(features) is None


def test_noise_and_silence_have_no_key(listen):
    noise = 0.1 * np.random.default_rng(0).standard_normal(22050 * 10)
    assert estimate_key(listen(noise)[0]) is None
    assert estimate_key(listen(np.zeros(22050 * 5))[0]) is None
    assert estimate_key(listen(np.zeros(0))[0]) is None
