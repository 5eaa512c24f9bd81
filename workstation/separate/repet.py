"""REPET: the background that repeats with one period, and what varies over it.

The period is that of the beat spectrum, the autocorrelation of the power spectrogram V² over
time t, averaged over the frequencies f:

    b(l) = mean over f of 1 / (T - l) · Σₜ V²(t, f) · V²(t + l, f)

The median over all windows that lie whole periods apart is the repeating background W, and
min(W, V) / V its mask (Rafii & Pardo, "REpeating Pattern Extraction Technique (REPET): a simple
method for music/voice separation", IEEE TASLP 21(1), 2013). A background that changes is
caught by working on blocks, as the paper does for whole songs.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.model import JobContext
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator
from workstation.separate.stft import istft, stft, window_size

_WINDOW_S = 0.04
_BATCH_BINS = 64
_TINY = np.float32(1e-12)


def beat_spectrum(power: FloatArray) -> npt.NDArray[np.float64]:
    """How alike a song is to itself some windows later.

    Args:
        power: float32, shape (windows, bins), not negative.

    Returns:
        float64, shape (windows,): the mean over the bins of the unbiased autocorrelations.
    """
    from scipy.fft import irfft, next_fast_len, rfft

    windows, bins = power.shape
    size = next_fast_len(2 * windows, real=True)
    total = np.zeros(size // 2 + 1)
    for first in range(0, bins, _BATCH_BINS):
        spectrum = rfft(power[:, first : first + _BATCH_BINS], size, axis=0)
        total += (spectrum.real**2 + spectrum.imag**2).sum(axis=1, dtype=np.float64)
    # The transform is linear: one inverse serves the mean over all bins.
    alike: npt.NDArray[np.float64] = irfft(total, size)[:windows] / bins
    return alike / np.arange(windows, 0, -1)


def repeating_period(beat: npt.NDArray[np.float64], *, shortest: int, longest: int) -> int | None:
    """The period in windows with which a song repeats.

    Args:
        beat: Its beat spectrum.
        shortest: Least period in windows.
        longest: Greatest period in windows; a song must hold it three times.

    Returns:
        The period, or None if the song is too short for three of the shortest.
    """
    longest = min(longest, len(beat) // 3)
    if longest < shortest:
        return None
    return shortest + int(np.argmax(beat[shortest : longest + 1]))


def repet_mask(magnitude: FloatArray, period: int, *, job: JobContext | None = None) -> FloatArray:
    """Mask of the background that repeats with a period.

    Args:
        magnitude: float32, shape (channels, windows, bins), not negative.
        period: In windows.
        job: Progress out, cancellation in.

    Returns:
        float32, shape of `magnitude`, from 0 to 1; 1 where there is silence.
    """
    from workstation.separate.kernels import median_of_rows

    job = job or JobContext()
    channels, windows, bins = magnitude.shape
    mask = np.empty_like(magnitude)
    usual = np.empty(bins, np.float32)
    for phase in range(min(period, windows)):
        job.check()
        job.report(phase / period)
        rows = np.arange(phase, windows, period)
        for channel in range(channels):
            median_of_rows(magnitude[channel], rows, usual)
            here = magnitude[channel, rows]
            mask[channel, rows] = np.minimum(usual, here) / np.maximum(here, _TINY)
            mask[channel, rows] = np.where(here < _TINY, 1.0, mask[channel, rows])
    return mask


class Repet(msgspec.Struct, frozen=True):
    """The `repet` engine.

    Attributes:
        period_s: Least and greatest period in seconds. What is shorter than three of the
            least has no period that could be found, and is background.
        high_pass_hz: Below this everything is background: no voice sings there.
    """

    period_s: tuple[float, float] = (0.8, 8.0)
    high_pass_hz: float = 100.0
    chunk_s: float = 40.0
    overlap_s: float = 4.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="repet",
            summary="A loop of one period and what varies over it; in blocks of 40 s.",
            stems=("background", "foreground"),
            family="texture",
            code_licence="MIT",
            realtime_factor=0.01,
            source="Rafii & Pardo, IEEE TASLP 21(1), 2013",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (channels, frames); all channels repeat together."""
        size = window_size(rate_hz, _WINDOW_S)
        hop = size // 2
        spectrum = stft(mix, size, hop)
        magnitude = np.abs(spectrum)
        job.check()
        # In parts of the loudest bin, so that the squares of quiet songs are no zeros.
        power = np.mean((magnitude / max(magnitude.max(), _TINY)) ** 2, axis=0)
        shortest, longest = (round(period * rate_hz / hop) for period in self.period_s)
        job.check()
        period = repeating_period(beat_spectrum(power), shortest=shortest, longest=longest)
        if period is None:
            return {"background": mix.copy(), "foreground": np.zeros_like(mix)}
        mask = repet_mask(magnitude, period, job=job.part(0.2, 0.9))
        mask[:, :, : 1 + int(self.high_pass_hz * size / rate_hz)] = 1.0
        job.check()
        background = istft(spectrum, size, hop, mix.shape[1], mask)
        return {"background": background, "foreground": mix - background}


def make_repet(options: EngineOptions) -> Separator:
    """Make the engine; it needs no weights, so the options do not matter to it."""
    del options
    return Repet()
