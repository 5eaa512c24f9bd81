"""A small drum machine, so that the right answer is known."""

import numpy as np
import pytest

from workstation.analyze import ArraySource, extract_features, onset_strength
from workstation.model import JobContext

PATTERNS = {
    "click": (4, {"click": [0, 1, 2, 3]}),
    "rock": (4, {"kick": [0, 2], "snare": [1, 3], "hat": [i / 2 for i in range(8)]}),
    "syncopated": (4, {"kick": [0, 1.5, 2], "snare": [1, 3], "hat": [i / 2 for i in range(8)]}),
    "swing": (4, {"kick": [0, 2], "snare": [1, 3], "hat": [0, 1, 5 / 3, 2, 3, 11 / 3]}),
    "off-beat hats": (4, {"kick": [0, 1, 2, 3], "snare": [1, 3], "hat": [0.5, 1.5, 2.5, 3.5]}),
    "waltz": (3, {"kick": [0], "hat": [1, 2]}),
}


class DrumMachine:
    """Plays patterns on given beat times."""

    def __init__(self, rate_hz=22050):
        self.rate_hz = rate_hz
        self._random = np.random.default_rng(7)

    def _sound(self, name):
        def time(seconds):
            return np.arange(round(seconds * self.rate_hz)) / self.rate_hz

        if name == "kick":
            t = time(0.18)
            return 0.8 * np.sin(2 * np.pi * (50 * t + 6 * (1 - np.exp(-30 * t)))) * np.exp(-22 * t)
        if name == "snare":
            t = time(0.15)
            noise = self._random.standard_normal(len(t))
            return 0.35 * (noise + 0.8 * np.sin(2 * np.pi * 190 * t)) * np.exp(-30 * t)
        if name == "hat":
            t = time(0.05)
            noise = np.diff(self._random.standard_normal(len(t) + 2), 2)
            return 0.12 * noise * np.exp(-90 * t)
        t = time(0.03)
        return 0.6 * np.sin(2 * np.pi * 1500 * t) * np.exp(-150 * t)

    def play(self, pattern, beats_s, seconds, *, first_downbeat=0):
        """Samples of shape (1, frames); what lies before the first downbeat stays silent."""
        per_bar, hits = PATTERNS[pattern]
        beats = np.asarray(beats_s)
        period = beats[-1] - beats[-2]
        out = np.zeros(round(seconds * self.rate_hz))
        for bar in range(first_downbeat, len(beats), per_bar):
            for name, places in hits.items():
                for place in places:
                    number = bar + place
                    if number > len(beats) - 1:
                        continue
                    at_s = np.interp(number, np.arange(len(beats)), beats)
                    sound = self._sound(name)
                    start = round(at_s * self.rate_hz)
                    end = min(len(out), start + len(sound))
                    out[start:end] += sound[: end - start]
        assert period > 0
        return (0.7 * out / max(1.0, np.abs(out).max())).astype(np.float32)[None]

    def steady(self, pattern, bpm, seconds, *, start_s=0.0):
        beats = np.arange(start_s, seconds, 60 / bpm)
        return self.play(pattern, beats, seconds), beats


@pytest.fixture
def drums():
    return DrumMachine()


@pytest.fixture(scope="session")
def machine_at():
    return DrumMachine


@pytest.fixture(scope="session")
def listen():
    """Features and onsets of samples."""

    def features_and_onsets(samples, rate_hz=22050):
        features = extract_features(ArraySource(samples, rate_hz), job=JobContext())
        return features, onset_strength(features, job=JobContext())

    return features_and_onsets


@pytest.fixture(scope="session")
def chord():
    """Three notes with overtones."""

    def sound(pitches, seconds, rate_hz=22050, tuning=0.0):
        t = np.arange(round(seconds * rate_hz)) / rate_hz
        out = np.zeros(len(t))
        for pitch in pitches:
            hz = 440 * 2 ** ((pitch + tuning - 69) / 12)
            out += sum(0.1 / h * np.sin(2 * np.pi * hz * h * t) for h in range(1, 5))
        fade = np.minimum(1, np.minimum(t, seconds - t) / 0.02)
        return (out * fade).astype(np.float32)

    return sound
