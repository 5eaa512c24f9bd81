"""In which key a song is."""

from __future__ import annotations

import math

import numpy as np

from workstation.analyze.features import LEVEL_RATE_HZ, PITCH_BINS, PITCH_RATE_HZ, Features
from workstation.analyze.tempo import Float64Array
from workstation.model import Key

# As musicians spell them: the spelling with fewer accidentals.
MAJOR_NAMES = ("C", "Db", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")
MINOR_NAMES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "G#", "A", "Bb", "B")

# How much each degree of the scale is heard in a piece, from the tonic up in semitones: the
# tonic triad above the rest of the scale, that above what is foreign. In minor both the
# sixths and sevenths occur. The shape follows the probe-tone profiles (Krumhansl 1990); the
# foreign degrees stand higher because overtones and drums fill every pitch class of a mix.
MAJOR_PROFILE = np.array([1.0, 0.3, 0.5, 0.3, 0.62, 0.5, 0.3, 0.82, 0.3, 0.5, 0.35, 0.4])
MINOR_PROFILE = np.array([1.0, 0.3, 0.45, 0.62, 0.3, 0.5, 0.3, 0.82, 0.42, 0.3, 0.52, 0.33])

_BASS_WEIGHT = 0.5
# Pieces like to begin and end at home.
_HOME_WEIGHT = 0.04
_HOME_S = 4.0
# Below this share of power in clear, lasting pitches there is no key to speak of.
_LEAST_PITCHED = 0.04
# Correlations and margins at which confidence is half of what it can be.
_HALF_CORRELATION = 0.6
_HALF_MARGIN = 0.08
# A few seconds cannot establish a key.
_ENOUGH_S = 20.0


def chroma(features: Features) -> Float64Array:
    """Strength of the twelve pitch classes, from C, at the song's own tuning.

    Returns:
        Shape (pitch frames, 12).
    """
    both = features.pitches.astype(np.float64) * np.array([_BASS_WEIGHT, 1.0])[None, :, None]
    place = np.arange(PITCH_BINS) * (12 / PITCH_BINS) - features.tuning_semitones
    away = (place[:, None] - np.arange(12) + 6) % 12 - 6
    weight = np.cos(np.pi * np.clip(away, -0.5, 0.5)) ** 2
    result: Float64Array = both.sum(axis=1) @ weight
    return result


def pitched_share(features: Features) -> float:
    """Share of the song's power that lies in clear, lasting pitches, 0 to 1."""
    if len(features.pitched) == 0:
        return 0.0
    times = np.arange(len(features.pitched)) / PITCH_RATE_HZ
    frames = np.minimum((times * LEVEL_RATE_HZ).astype(np.intp), len(features.levels_db) - 1)
    power = (10 ** (features.levels_db[frames].astype(np.float64) / 10)).sum(axis=1)
    return float((features.pitched * power).sum() / max(float(power.sum()), 1e-9))


def estimate_key(features: Features) -> Key | None:
    """Estimate the key of a song.

    The mean chroma is correlated with a profile of each of the 24 keys (Krumhansl &
    Schmuckler); the first and last seconds add a little for the key whose triad they spell.

    Returns:
        The key, with a confidence from 0 to 1 that is low where another key (mostly the
        relative or parallel one) fits nearly as well or no key fits well; None where
        nothing is pitched.
    """
    if pitched_share(features) < _LEAST_PITCHED:
        return None
    frames = chroma(features)
    mean = frames.mean(axis=0)
    if mean.std() <= 1e-6 * max(1.0, float(mean.mean())) or mean.max() <= 0:
        return None
    fits = _correlations(mean, MAJOR_PROFILE, MINOR_PROFILE)
    edge = round(_HOME_S * PITCH_RATE_HZ)
    sounding = frames[frames.sum(axis=1) > 0.1 * frames.sum(axis=1).mean()]
    for home in (sounding[:edge], sounding[-edge:]):
        fits += _HOME_WEIGHT * _correlations(home.mean(axis=0), _triad(third=4), _triad(third=3))
    order = np.argsort(fits)[::-1]
    best, margin = int(order[0]), float(fits[order[0]] - fits[order[1]])
    name = f"{MAJOR_NAMES[best]} major" if best < 12 else f"{MINOR_NAMES[best - 12]} minor"
    clear = 1 - 0.5 ** (max(0.0, margin) / _HALF_MARGIN)
    enough = min(1.0, features.duration_s / _ENOUGH_S)
    well = 1 / (1 + math.exp(-12 * (float(fits[best]) - _HALF_CORRELATION)))
    return Key(name, round(clear * well * enough, 3))


def _triad(*, third: int) -> Float64Array:
    notes = np.zeros(12)
    notes[[0, third, 7]] = (1.0, 0.8, 0.8)
    return notes


def _correlations(mean: Float64Array, major: Float64Array, minor: Float64Array) -> Float64Array:
    """Correlation with both profiles at all twelve tonics, shape (24,): major keys first."""
    if mean.std() == 0:
        return np.zeros(24)
    keys = np.array([np.roll(profile, tonic) for profile in (major, minor) for tonic in range(12)])
    centred = keys - keys.mean(axis=1, keepdims=True)
    offset = mean - mean.mean()
    result: Float64Array = (
        centred @ offset / (np.linalg.norm(centred, axis=1) * np.linalg.norm(offset))
    )
    return result
