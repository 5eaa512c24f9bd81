"""Where the beats are: a tracker that follows a tempo curve, and the choice of the level.

The tracker is dynamic programming over the onset curve (Ellis, "Beat tracking by dynamic
programming", JNMR 2007) with a period that may change over time.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workstation.analyze.onsets import Onsets
from workstation.analyze.tempo import STEP_S, preference
from workstation.model import JobContext

Float64Array = npt.NDArray[np.float64]

SLOWEST_BPM = 45.0
FASTEST_BPM = 230.0
# How strictly the tracker keeps to the period.
_TIGHTNESS = 60.0
# Notes between the beats this strong, relative to those on them, are beats themselves as
# likely as not; the weight turns the log of the ratio into log-odds.
_EVEN_ODDS_RATIO = 0.66
# However weak every other beat is, a very slow tempo stays unlikely.
_LEAST_LOG = -0.65
# Drums are there if three of four are this strong above the rest of their band.
_DRUM_HEARD = 1.0
_RATIO_WEIGHT = 2.4
_FULL_EVIDENCE_BEATS = 72
_PHASE_WEIGHTS = np.array([2.0, 2.0, 1.0, 0.3])


def track_beats(onsets: Onsets, bpm: Float64Array, *, job: JobContext) -> Float64Array:
    """Find the beats that collect most onset strength while they keep to a tempo curve.

    Args:
        onsets: Onset strength.
        bpm: Tempo every `STEP_S` seconds.
        job: Cancellation in.

    Returns:
        Beat times in seconds, from the start of the song to its end.
    """
    from scipy.ndimage import gaussian_filter1d

    rate = onsets.rate_hz
    local = gaussian_filter1d(onsets.curve.astype(np.float64), 1.0)
    frames = len(local)
    period = 60.0 * rate / np.interp(np.arange(frames) / rate, np.arange(len(bpm)) * STEP_S, bpm)
    shortest = max(1, int(0.75 * period.min()))
    longest = int(1.35 * period.max()) + 1
    gaps = np.arange(shortest, longest + 1)
    log_gaps = np.log(gaps)
    # Frames before the start score nothing, so that any first beat is free.
    score = np.zeros(frames + longest)
    back = np.zeros(frames, np.int32)
    # No beat is nearer than `shortest`, so that many frames can be decided at once.
    for start in range(0, frames, shortest):
        if start % (shortest * 256) == 0:
            job.check()
        now = np.arange(start, min(start + shortest, frames))
        stray = log_gaps[None, :] - np.log(period[now])[:, None]
        reach = score[now[:, None] + longest - gaps[None, :]] - _TIGHTNESS * stray**2
        best = reach.argmax(axis=1)
        score[now + longest] = local[now] + reach[np.arange(len(now)), best]
        back[now] = now - gaps[best]
    tail = score[longest + max(0, frames - int(period[-1])) :]
    beat = frames - len(tail) + int(tail.argmax())
    found = []
    while beat >= 0:
        found.append(beat)
        beat = int(back[beat])
    return refine_peaks(local, np.array(found[::-1])) / rate


def refine_peaks(curve: Float64Array, frames: npt.NDArray[np.intp]) -> Float64Array:
    """Move each frame to the top of the parabola through its peak, if it is one."""
    inner = np.clip(frames, 1, len(curve) - 2)
    a, b, c = curve[inner - 1], curve[inner], curve[inner + 1]
    bend = a - 2 * b + c
    shift = np.where(bend < -1e-9, 0.5 * (a - c) / np.minimum(bend, -1e-9), 0.0)
    shift = np.where(inner == frames, np.clip(shift, -0.5, 0.5), 0.0)
    refined: Float64Array = frames.astype(np.float64) + shift
    return refined


def on_offbeats(onsets: Onsets, beats_s: Float64Array) -> bool:
    """Whether the places halfway between beats are the better beats.

    Low drums and bass decide; loud hats often fall between the beats.
    """
    halves = (beats_s[1:] + beats_s[:-1]) / 2
    here, there = (
        _PHASE_WEIGHTS @ onsets.accents(times).mean(axis=1) for times in (beats_s, halves)
    )
    return bool(there > here)


def level_factor(onsets: Onsets, beats_s: Float64Array) -> float:
    """Whether the beat should be twice as fast (2), half as fast (0.5), or is right (1).

    What lies halfway between beats is compared in strength with what lies on them: where
    both are alike, the halves are beats too; where every other beat is much weaker, it is
    none. How readily people tap at each tempo tips the balance, the more so the less there
    is to go by.
    """
    if len(beats_s) < 4:
        return 1.0
    bpm = 60.0 / float(np.median(np.diff(beats_s)))
    halves = (beats_s[1:] + beats_s[:-1]) / 2
    twice = _faster_odds(onsets, beats_s, halves)
    once = _faster_odds(onsets, beats_s[::2], beats_s[1::2])
    scores = {
        1.0: 0.0,
        2.0: twice + float(preference(2 * bpm) - preference(bpm)),
        0.5: float(preference(bpm / 2) - preference(bpm)) - once,
    }
    allowed = [f for f in scores if f == 1 or SLOWEST_BPM <= f * bpm <= FASTEST_BPM]
    return max(allowed, key=lambda f: scores[f])


def _faster_odds(onsets: Onsets, one_s: Float64Array, other_s: Float64Array) -> float:
    """Log-odds that two interleaved series of times are beats of one faster series.

    They are if they are alike without the hats, or if nearly every one of them has a low
    drum of like strength, whatever the snare does.
    """
    one, other = onsets.accents(one_s), onsets.accents(other_s)
    alike = _alike(*(max(0.0, float(series[:3].sum(0).mean())) for series in (one, other)))
    for group in (0, 1):
        usual = [float(np.percentile(series[group], 25)) for series in (one, other)]
        if min(usual) >= _DRUM_HEARD:
            alike = max(alike, _alike(*usual))
    weight = _RATIO_WEIGHT * min(1.0, (len(one_s) + len(other_s)) / _FULL_EVIDENCE_BEATS)
    return weight * max(_LEAST_LOG, float(np.log(max(alike, 1e-3) / _EVEN_ODDS_RATIO)))


def _alike(one: float, other: float) -> float:
    weak, strong = sorted((one, other))
    return weak / strong if strong > 0 else 0.0
