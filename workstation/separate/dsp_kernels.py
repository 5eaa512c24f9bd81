"""Compiled loops of the `dsp` engine's cues; importing this module imports numba."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workstation.audio.compiled import compiled

_FloatArray = npt.NDArray[np.float32]

_FAR_COLUMNS = 30
_APART_COLUMNS = 9
_MOST_ALIKE = 15


def _running_median(x: _FloatArray, size: int) -> _FloatArray:
    rows, length = x.shape
    half = size // 2
    out = np.empty_like(x)
    window = np.empty(size, np.float32)
    for row in range(rows):
        line = x[row]
        # Beyond its ends a line goes on with its last value.
        for k in range(size):
            window[k] = line[min(max(k - half, 0), length - 1)]
        window.sort()
        out[row, 0] = window[half]
        for t in range(1, length):
            old = line[max(t - half - 1, 0)]
            new = line[min(t + half, length - 1)]
            # A value that is no number would be searched for beyond the end.
            at = min(np.searchsorted(window, old), size - 1)
            while at + 1 < size and window[at + 1] < new:
                window[at] = window[at + 1]
                at += 1
            while at > 0 and window[at - 1] > new:
                window[at] = window[at - 1]
                at -= 1
            window[at] = new
            out[row, t] = window[half]
    return out


def _background(
    magnitude: _FloatArray, likeness: _FloatArray, first: int, share: _FloatArray
) -> None:
    bands = magnitude.shape[1]
    alike = np.empty(_MOST_ALIKE, np.int64)
    values = np.empty(_MOST_ALIKE, np.float32)
    for row in range(likeness.shape[0]):
        here = first + row
        line = likeness[row]
        line[max(here - _FAR_COLUMNS, 0) : here + _FAR_COLUMNS + 1] = -1.0
        found = 0
        while found < _MOST_ALIKE:
            best = np.argmax(line)
            if line[best] < 0:
                break
            alike[found] = best
            found += 1
            line[max(best - _APART_COLUMNS, 0) : best + _APART_COLUMNS + 1] = -1.0
        if found == 0:
            continue
        for band in range(bands):
            for k in range(found):
                values[k] = magnitude[alike[k], band]
            chosen = values[:found]
            chosen.sort()
            usual = chosen[found // 2]
            mine = magnitude[here, band]
            share[here, band] = usual / mine if usual < mine else 1.0


def _recurrent(driven: _FloatArray, kernel: _FloatArray, bias: _FloatArray) -> _FloatArray:
    columns = driven.shape[0]
    size = kernel.shape[0]
    state = np.zeros(size, np.float32)
    out = np.empty((columns, size), np.float32)
    for t in range(columns):
        inner = state @ kernel + bias
        row = driven[t]
        for k in range(size):
            reset = 1 / (1 + np.exp(-(row[k] + inner[k])))
            update = 1 / (1 + np.exp(-(row[size + k] + inner[size + k])))
            new = np.tanh(row[2 * size + k] + reset * inner[2 * size + k])
            out[t, k] = (1 - update) * new + update * state[k]
        state = out[t].copy()
    return out


running_median = compiled(_running_median)
"""Median over `size` (odd) neighbours along the last axis of an array (rows, length)."""

background = compiled(_background)
"""Write the repeating share of columns `first`, … into `share`; spoils `likeness`."""

recurrent = compiled(_recurrent)
"""Run a gated recurrent unit (Cho et al., 2014) over (columns, 3·size) inputs: (columns, size)."""
