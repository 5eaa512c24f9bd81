"""How fast: the beat period over the course of a song."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workstation.analyze.onsets import Onsets
from workstation.analyze.source import FloatArray
from workstation.model import JobContext

Float64Array = npt.NDArray[np.float64]

# Tempi are tried in steps of one percent.
TEMPI_BPM = np.geomspace(40.0, 240.0, 181)
WINDOW_S = 9.0
STEP_S = 1.0
# Listeners tap most readily at about two beats a second (van Noorden & Moelants, "Resonance
# in the perception of musical pulse", 1999); spread in octaves.
PREFERRED_BPM = 118.0
SPREAD_OCTAVES = 0.6
# A change of tempo by one percent a second costs this much; no change costs more than a jump.
_DRIFT_COST = 0.6
_JUMP_COST = 12.0
_EVIDENCE_WEIGHT = 2.5


def preference(bpm: npt.ArrayLike) -> Float64Array:
    """Log-prior of a tempo, 0 at the preferred one."""
    octaves = np.log2(np.asarray(bpm, np.float64) / PREFERRED_BPM)
    result: Float64Array = -0.5 * (octaves / SPREAD_OCTAVES) ** 2
    return result


def tempogram(onsets: Onsets, *, job: JobContext) -> FloatArray:
    """Periodicity of the onset curve at every tempo, every `STEP_S` seconds.

    Autocorrelation in windows of `WINDOW_S` seconds, read off at one to four beats (a comb;
    Scheirer 1998, Davies & Plumbley 2007).

    Returns:
        Shape (steps, len(TEMPI_BPM)): mean correlation at the comb's teeth, up to 1.
    """
    from scipy.fft import irfft, next_fast_len, rfft
    from scipy.ndimage import gaussian_filter1d, uniform_filter1d

    rate = onsets.rate_hz
    smooth = gaussian_filter1d(onsets.curve.astype(np.float64), 1.5)
    smooth -= uniform_filter1d(smooth, round(1.5 * rate), mode="nearest")
    window = round(WINDOW_S * rate)
    smooth = np.pad(smooth, window // 2)
    starts = range(0, len(smooth) - window + 1, round(STEP_S * rate))
    hann = np.hanning(window)
    size = next_fast_len(2 * window, real=True)
    # The window's own autocorrelation, to undo its tilt.
    tilt = irfft(np.abs(rfft(hann, size)) ** 2, size)[:window]
    tilt = np.maximum(tilt / tilt[0], 0.05)
    period = 60.0 / TEMPI_BPM * rate
    teeth = np.array([1.0, 1.0, 0.7, 1.0])
    rows = np.zeros((len(starts), len(TEMPI_BPM)), np.float32)
    for row, start in enumerate(starts):
        job.check()
        spectrum = np.abs(rfft(smooth[start : start + window] * hann, size)) ** 2
        correlation = irfft(spectrum, size)[:window]
        if correlation[0] <= 1e-9:
            continue
        correlation = correlation / correlation[0] / tilt
        for tooth, weight in enumerate(teeth, 1):
            rows[row] += weight * np.interp(period * tooth, np.arange(window), correlation)
    return rows / np.float32(teeth.sum())


def tempo_curve(rows: FloatArray, *, job: JobContext) -> Float64Array:
    """The most likely tempo at every step of a tempogram, in bpm (Viterbi search).

    Tempo may drift a little every second; a jump is possible but dear.
    """
    evidence = _EVIDENCE_WEIGHT * 4 * np.maximum(rows, 0) + preference(TEMPI_BPM)
    count = len(TEMPI_BPM)
    distance = np.abs(np.subtract.outer(np.arange(count), np.arange(count)))
    cost = np.minimum(_DRIFT_COST * distance, _JUMP_COST)
    score = evidence[0]
    back = np.zeros((len(rows), count), np.int16)
    for step in range(1, len(rows)):
        job.check()
        reach = score[None, :] - cost
        back[step] = reach.argmax(axis=1)
        score = reach.max(axis=1) + evidence[step]
    path = np.zeros(len(rows), np.intp)
    path[-1] = score.argmax()
    for step in range(len(rows) - 1, 0, -1):
        path[step - 1] = back[step, path[step]]
    return TEMPI_BPM[path]
