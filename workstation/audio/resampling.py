"""Changing the sample rate."""

from __future__ import annotations

import numpy as np

from workstation.audio.arrays import FloatArray


def resample(samples: FloatArray, from_hz: int, to_hz: int) -> FloatArray:
    """Resample with soxr at its highest quality.

    Args:
        samples: float32, shape (channels, frames).
        from_hz: Rate of the samples.
        to_hz: Rate wanted.

    Returns:
        float32, shape (channels, round(frames · to_hz / from_hz)); `samples` itself where the
        rates are equal.
    """
    if from_hz == to_hz:
        return samples
    import soxr

    wanted = round(samples.shape[1] * to_hz / from_hz)
    if wanted == 0:
        return np.zeros((samples.shape[0], 0), np.float32)
    found = soxr.resample(np.ascontiguousarray(samples.T), from_hz, to_hz, quality="VHQ").T
    missing = max(0, wanted - found.shape[1])
    fitted = np.pad(found[:, :wanted], ((0, 0), (0, missing)))
    return np.ascontiguousarray(fitted, dtype=np.float32)
