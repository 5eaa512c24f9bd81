"""Integrated loudness after ITU-R BS.1770-4, measured while audio streams by."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from workstation.audio.arrays import FloatArray

_STEP_S = 0.1
_STEPS_PER_BLOCK = 4  # Blocks of 400 ms that overlap by 75 %.
_ABSOLUTE_GATE_LUFS = -70.0
_RELATIVE_GATE_LU = -10.0
# In the order of WAV files. The low-frequency channel does not count; what stands 60° to 120°
# beside the listener counts more: the surrounds of 5.0 and 5.1, the side pair of 7.1.
_WEIGHTS = {
    5: (1.0, 1.0, 1.0, 1.41, 1.41),
    6: (1.0, 1.0, 1.0, 0.0, 1.41, 1.41),
    8: (1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.41, 1.41),
}


class Loudness:
    """Measures loudness and peak of audio that is handed over piece by piece.

    Args:
        sample_rate_hz: Sample rate, 8 kHz to 192 kHz.
        channels: Number of channels; five, six and eight are taken as 5.0, 5.1 and 7.1,
            any others count alike.
    """

    def __init__(self, sample_rate_hz: int, channels: int) -> None:
        self._rate = sample_rate_hz
        self._filters = _k_weighting(sample_rate_hz)
        self._state = np.zeros((2, channels, 2))
        self._weights = np.array(_WEIGHTS.get(channels, (1.0,) * channels))
        self._step = max(1, round(_STEP_S * sample_rate_hz))
        self._rest: npt.NDArray[np.float64] = np.zeros(0)
        self._steps: list[float] = []
        self._peak = 0.0

    def update(self, samples: FloatArray) -> None:
        """Take the next samples, of shape (channels, frames)."""
        from scipy.signal import sosfilt

        if not samples.shape[1]:
            return
        self._peak = max(self._peak, float(np.abs(samples).max()))
        weighted, state = sosfilt(self._filters, samples.astype(np.float64), axis=1, zi=self._state)
        self._state = state
        power = np.concatenate([self._rest, self._weights @ (weighted**2)])
        whole = len(power) // self._step
        if whole:
            used = power[: whole * self._step].reshape(whole, self._step)
            self._steps.extend(used.sum(axis=1).tolist())
        self._rest = power[whole * self._step :]

    def integrated_lufs(self) -> float | None:
        """Loudness of everything so far; None for silence and for less than 0.4 s."""
        steps = np.array(self._steps)
        if len(steps) < _STEPS_PER_BLOCK:
            return None
        sums = np.convolve(steps, np.ones(_STEPS_PER_BLOCK), "valid")
        blocks = sums / (_STEPS_PER_BLOCK * self._step)
        blocks = blocks[_lufs(blocks) > _ABSOLUTE_GATE_LUFS]
        if not len(blocks):
            return None
        gate = _lufs(blocks.mean()) + _RELATIVE_GATE_LU
        return float(_lufs(blocks[_lufs(blocks) > gate].mean()))

    def peak_dbfs(self) -> float | None:
        """Highest sample in dB of full scale; None for silence."""
        return 20 * math.log10(self._peak) if self._peak > 0 else None


def _lufs(power: npt.NDArray[np.float64] | np.float64) -> npt.NDArray[np.float64]:
    return -0.691 + 10 * np.log10(np.maximum(power, 1e-15))


def _k_weighting(rate_hz: int) -> npt.NDArray[np.float64]:
    """The two filters of BS.1770 for any rate, as second-order sections.

    The standard gives coefficients for 48 kHz only; these are the analogue prototypes behind
    them (a high shelf and a high pass), taken to the rate by the bilinear transform.
    """
    gain = 10 ** (3.999843853973347 / 20)
    band = gain**0.4996667741545416
    shelf_k = math.tan(math.pi * 1681.974450955533 / rate_hz)
    shelf_q = 0.7071752369554196
    a0 = 1 + shelf_k / shelf_q + shelf_k**2
    shelf = [
        (gain + band * shelf_k / shelf_q + shelf_k**2) / a0,
        2 * (shelf_k**2 - gain) / a0,
        (gain - band * shelf_k / shelf_q + shelf_k**2) / a0,
        1.0,
        2 * (shelf_k**2 - 1) / a0,
        (1 - shelf_k / shelf_q + shelf_k**2) / a0,
    ]
    pass_k = math.tan(math.pi * 38.13547087602444 / rate_hz)
    pass_q = 0.5003270373238773
    a0 = 1 + pass_k / pass_q + pass_k**2
    high_pass = [
        1.0,
        -2.0,
        1.0,
        1.0,
        2 * (pass_k**2 - 1) / a0,
        (1 - pass_k / pass_q + pass_k**2) / a0,
    ]
    return np.array([shelf, high_pass])
