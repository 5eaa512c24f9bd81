"""Loops of the classical engines, compiled; importing this module imports numba.

A window of values is kept sorted for many columns at once: one pass over it takes the
oldest value out and puts the newest in, without a branch, so the processor works on many
columns in one instruction.
"""

from __future__ import annotations

import numba
import numpy as np
import numpy.typing as npt

from workstation.audio.compiled import compiled

_FloatArray = npt.NDArray[np.float32]

_COLUMNS = 128
_TINY = np.finfo(np.float32).tiny


def _mirrored(index: int, length: int) -> int:
    """Index into a line that goes on mirrored at both ends: d c b a | a b c d | d c b a."""
    period = 2 * length
    index %= period
    return index if index < length else period - 1 - index


def _filter_rows(x: _FloatArray, size: int, out: _FloatArray) -> None:
    rows, columns = x.shape
    half = size // 2
    window = np.empty((size + 1, _COLUMNS), np.float32)
    new = np.empty(_COLUMNS, np.float32)
    for first in range(0, columns, _COLUMNS):
        count = min(_COLUMNS, columns - first)
        window[:] = np.inf
        for row in range(size):
            new[:count] = x[mirrored(row - half, rows), first : first + count]
            for k in range(row + 1):
                for c in range(count):
                    here = window[k, c]
                    low = here if here < new[c] else new[c]
                    new[c] = new[c] if here < new[c] else here
                    window[k, c] = low
        out[0, first : first + count] = window[half, :count]
        for row in range(1, rows):
            old = x[mirrored(row - 1 - half, rows), first : first + count]
            new[:count] = x[mirrored(row + half, rows), first : first + count]
            for k in range(size):
                for c in range(count):
                    here = window[k, c]
                    here = here if here < old[c] else window[k + 1, c]
                    low = here if here < new[c] else new[c]
                    new[c] = new[c] if here < new[c] else here
                    window[k, c] = low
            out[row, first : first + count] = window[half, :count]


def _median_along_rows(x: _FloatArray, size: int) -> _FloatArray:
    out = np.empty_like(x)
    filter_rows(x, size, out)
    return out


def _median_along_columns(x: _FloatArray, size: int) -> _FloatArray:
    rows, columns = x.shape
    out = np.empty_like(x)
    turned = np.empty((columns, _COLUMNS), np.float32)
    filtered = np.empty((columns, _COLUMNS), np.float32)
    turned[:] = 0
    for first in range(0, rows, _COLUMNS):
        count = min(_COLUMNS, rows - first)
        for row in range(count):
            for column in range(columns):
                turned[column, row] = x[first + row, column]
        filter_rows(turned, size, filtered)
        for row in range(count):
            for column in range(columns):
                out[first + row, column] = filtered[column, row]
    return out


def _soft_mask(
    wanted: _FloatArray, other: _FloatArray, margin: float, power: float, silent: float
) -> _FloatArray:
    out = np.empty_like(wanted)
    for row in range(wanted.shape[0]):
        for column in range(wanted.shape[1]):
            ours = wanted[row, column]
            theirs = other[row, column] * np.float32(margin)
            largest = max(ours, theirs)
            if largest < _TINY:
                out[row, column] = silent
                continue
            # Divided by the larger one first, so that no power overflows.
            ours /= largest
            theirs /= largest
            if power == 2.0:
                ours *= ours
                theirs *= theirs
            else:
                ours = ours**power
                theirs = theirs**power
            out[row, column] = ours / (ours + theirs)
    return out


def _median_of_rows(x: _FloatArray, chosen: npt.NDArray[np.int64], out: _FloatArray) -> None:
    columns = x.shape[1]
    count = len(chosen)
    window = np.empty((count, _COLUMNS), np.float32)
    new = np.empty(_COLUMNS, np.float32)
    for first in range(0, columns, _COLUMNS):
        width = min(_COLUMNS, columns - first)
        window[:] = np.inf
        for index in range(count):
            new[:width] = x[chosen[index], first : first + width]
            for k in range(index + 1):
                for c in range(width):
                    here = window[k, c]
                    low = here if here < new[c] else new[c]
                    new[c] = new[c] if here < new[c] else here
                    window[k, c] = low
        if count % 2:
            out[first : first + width] = window[count // 2, :width]
        else:
            out[first : first + width] = (
                window[count // 2 - 1, :width] + window[count // 2, :width]
            ) * np.float32(0.5)


mirrored = numba.njit(inline="always")(_mirrored)

filter_rows = compiled(_filter_rows, "void(float32[:,::1], int64, float32[:,::1])")

_FILTER = "float32[:,::1](float32[:,::1], int64)"

median_along_rows = compiled(_median_along_rows, _FILTER)
"""Median over `size` (odd) rows around every row, for every column of (rows, columns).

The array goes on mirrored beyond its ends, as in `scipy.ndimage.median_filter`."""

median_along_columns = compiled(_median_along_columns, _FILTER)
"""The same over `size` columns around every column, for every row."""

soft_mask = compiled(
    _soft_mask, "float32[:,::1](float32[:,::1], float32[:,::1], float64, float64, float64)"
)
"""wantedᵖ / (wantedᵖ + (margin · other)ᵖ); `silent` where both are zero."""

median_of_rows = compiled(_median_of_rows, "void(float32[:,::1], int64[::1], float32[::1])")
"""Write the median of the chosen rows of (rows, columns) into an array of (columns,)."""
