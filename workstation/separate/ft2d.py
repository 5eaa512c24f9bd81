"""2DFT: what repeats is a peak in the two-dimensional Fourier transform of the spectrogram.

The transform of a magnitude spectrogram over time and frequency has a sharp peak for every
pattern that comes back regularly, whatever its period; a voice is spread over the plane. A
point is a peak if it is the largest of its neighbourhood, and the neighbourhood spans more than
the standard deviation of the whole plane. The peaks alone, transformed back, are the background
B; all else is the foreground F (Seetharaman, Pishdadian, Pardo, "Music/voice separation using
the 2D Fourier transform", WASPAA 2017). The mask is |B| / (|B| + |F|); where |B| > |F| it is above
one half, which is the binary mask of the paper (and costs 1 dB of SDR).
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.model import JobContext
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator
from workstation.separate.stft import istft, stft, window_size

_WINDOW_S = 0.046


def spectral_peaks(plane: FloatArray, *, neighbourhood: tuple[int, int]) -> npt.NDArray[np.bool_]:
    """Which points of the magnitude of a two-dimensional transform are peaks.

    Args:
        plane: float32, shape (rates, scales), not negative. It is periodic, as every discrete
            transform is, so neighbours go around its ends.
        neighbourhood: How many rates and scales, both odd, around a point.

    Returns:
        bool, shape of `plane`.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    highest = maximum_filter(plane, neighbourhood, mode="wrap")
    lowest = minimum_filter(plane, neighbourhood, mode="wrap")
    found: npt.NDArray[np.bool_] = (plane == highest) & (highest - lowest > plane.std())
    return found


def ft2d_mask(
    magnitude: FloatArray, *, neighbourhood: tuple[int, int], job: JobContext | None = None
) -> FloatArray:
    """Mask of the repeating background.

    Args:
        magnitude: float32, shape (windows, bins), not negative.
        neighbourhood: See `spectral_peaks`.
        job: Cancellation in.

    Returns:
        float32, shape of `magnitude`, from 0 to 1; 1 where there is silence.
    """
    from scipy.fft import fft2, ifft2

    job = job or JobContext()
    plane = fft2(magnitude)
    job.check()
    peaks = spectral_peaks(np.abs(plane), neighbourhood=neighbourhood)
    job.check()
    # The transform is linear: the foreground is what the peaks leave of the spectrogram.
    kept = np.real(ifft2(plane * peaks))
    background = np.abs(kept)
    total = background + np.abs(magnitude - kept)
    mask: FloatArray = np.divide(background, total, out=np.ones_like(magnitude), where=total > 0)
    return mask


class Ft2d(msgspec.Struct, frozen=True):
    """The `2dft` engine.

    Attributes:
        neighbourhood: Rates and scales among which a peak is the largest, both odd.
        high_pass_hz: Below this everything is background: no voice sings there.
    """

    neighbourhood: tuple[int, int] = (15, 1)
    high_pass_hz: float = 100.0
    chunk_s: float = 40.0
    overlap_s: float = 4.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="2dft",
            summary="Patterns of any period and what varies over them; in blocks of 40 s.",
            stems=("background", "foreground"),
            family="texture",
            code_licence="MIT",
            realtime_factor=0.02,
            source="Seetharaman, Pishdadian, Pardo, WASPAA 2017",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (channels, frames), each channel by itself."""
        size = window_size(rate_hz, _WINDOW_S)
        hop = size // 4
        background = np.empty_like(mix)
        for channel, signal in enumerate(mix):
            step = job.part(channel / len(mix), (channel + 1) / len(mix))
            step.report(0.0)
            spectrum = stft(signal[None], size, hop)
            step.check()
            mask = ft2d_mask(np.abs(spectrum[0]), neighbourhood=self.neighbourhood, job=step)
            mask[:, : 1 + int(self.high_pass_hz * size / rate_hz)] = 1.0
            step.check()
            background[channel] = istft(spectrum, size, hop, len(signal), mask)[0]
        return {"background": background, "foreground": mix - background}


def make_ft2d(options: EngineOptions) -> Separator:
    """Make the engine; it needs no weights, so the options do not matter to it."""
    del options
    return Ft2d()
