"""Which beats are downbeats, and how many there are to a bar."""

from __future__ import annotations

import numpy as np

from workstation.analyze.features import PITCH_BINS, PITCH_RATE_HZ, Features
from workstation.analyze.onsets import Onsets
from workstation.analyze.tempo import Float64Array

# What falls on downbeats: kicks, a change of the bass note, a change of chord; less so low
# drums and cymbals; snares rather not. In the order of `_cues`.
_CUE_WEIGHTS = np.array([1.0, 0.25, -0.5, 0.2, 1.0, 1.0])
_HARMONIC_CUES = slice(4, 6)
# Music with this share of pitched power has harmony to listen to.
_PITCHED_ENOUGH = 0.15
# Bars of three have to fit this much better: four is by far the more frequent.
_TRIPLE_MARGIN = 0.1
# Where nothing else tells, music begins on one.
_OPENING_BONUS = 0.15
# A cue that varies by less than this share of its mean says nothing.
_LEAST_SPREAD = 0.05


def find_meter(features: Features, onsets: Onsets, beats_s: Float64Array) -> tuple[int, int]:
    """Find the meter and the first downbeat.

    Beats get six cues each (see `_cues`). The number of beats per bar is the lag, three or
    four, at which the cues repeat best (also at two and three bars); the downbeats are the
    beats on which kicks, new bass notes and new chords gather.

    Args:
        features: The song's features, for harmony.
        onsets: Onset strength.
        beats_s: All beats, shape (n,).

    Returns:
        Beats per bar (3 or 4) and the index of the first downbeat.
    """
    cues = _cues(features, onsets, beats_s)
    per_bar = _beats_per_bar(cues)
    weights = _CUE_WEIGHTS.copy()
    if len(features.pitched):
        weights[_HARMONIC_CUES] *= min(1.0, float(features.pitched.mean()) / _PITCHED_ENOUGH)
    total = weights @ cues
    scores = np.array([total[phase::per_bar].mean() for phase in range(min(per_bar, len(beats_s)))])
    if per_bar == 4 and len(scores) == 4:
        scores += _backbeat(cues[2])
    heard = np.nonzero(onsets.at(beats_s).sum(axis=0) > 1.0)[0]
    opening = int(heard[0]) % per_bar if len(heard) else 0
    if opening < len(scores):
        scores[opening] += _OPENING_BONUS
    return per_bar, int(scores.argmax())


def _backbeat(snare: Float64Array) -> Float64Array:
    """How clearly snares fall on two and four, for each beat as one, shape (4,)."""
    mean = np.array([snare[place::4].mean() for place in range(4)])
    return np.array(
        [
            max(
                0.0,
                min(mean[(one + 1) % 4], mean[(one + 3) % 4]) - max(mean[one], mean[(one + 2) % 4]),
            )
            for one in range(4)
        ]
    )


def _beats_per_bar(cues: Float64Array) -> int:
    def repeats(lag: int) -> float:
        return float((cues[:, :-lag] * cues[:, lag:]).mean())

    if cues.shape[1] < 18:
        return 4
    triple = (repeats(3) + repeats(9)) / 2
    duple = (repeats(4) + repeats(8)) / 2
    return 3 if triple > duple + _TRIPLE_MARGIN else 4


def _cues(features: Features, onsets: Onsets, beats_s: Float64Array) -> Float64Array:
    """Standardised cues per beat, shape (6, beats): onsets in four bands, chord, bass."""
    accents = onsets.at(beats_s).astype(np.float64)
    chord = _change(features, beats_s, register=1)
    bass = _change(features, beats_s, register=0)
    raw = np.vstack([accents, chord, bass])
    spread = raw.std(axis=1, keepdims=True)
    standard = (raw - raw.mean(axis=1, keepdims=True)) / np.maximum(spread, 1e-6)
    # A metronome's clicks differ by rounding alone, which must not be taken for accents.
    usual = np.abs(raw).mean(axis=1, keepdims=True)
    standard[(spread < np.maximum(1e-6, _LEAST_SPREAD * usual))[:, 0]] = 0.0
    clipped: Float64Array = np.clip(standard, -2.5, 2.5)
    return clipped


def _change(features: Features, beats_s: Float64Array, *, register: int) -> Float64Array:
    """How different the pitches are in the beat after each beat from the beat before."""
    pitches = features.pitches[:, register].astype(np.float64)
    thirds = pitches.reshape(len(pitches), PITCH_BINS // 3, 3)
    # Bins hold thirds of a semitone, the first one in tune.
    classes = thirds[:, :, 0] + 0.5 * thirds[:, :, 1] + 0.5 * np.roll(thirds[:, :, 2], 1, axis=1)
    sums = np.vstack([np.zeros(12), np.cumsum(classes, axis=0)])

    def mean_between(start_s: Float64Array, end_s: Float64Array) -> Float64Array:
        last = len(pitches)
        start = np.clip(np.round(start_s * PITCH_RATE_HZ).astype(np.intp), 0, last)
        end = np.clip(np.round(end_s * PITCH_RATE_HZ).astype(np.intp), 0, last)
        end = np.clip(np.maximum(end, start + 1), 0, last)
        mean: Float64Array = (sums[end] - sums[start]) / np.maximum(end - start, 1)[:, None]
        return mean

    period = np.gradient(beats_s)
    after = mean_between(beats_s + 0.03, beats_s + period)
    before = mean_between(beats_s - period - 0.03, beats_s)
    size_after, size_before = np.linalg.norm(after, axis=1), np.linalg.norm(before, axis=1)
    usual = float(np.median(size_after)) + 1e-9
    change: Float64Array = np.linalg.norm(after - before, axis=1) / (
        size_after + size_before + 0.5 * usual
    )
    return change
