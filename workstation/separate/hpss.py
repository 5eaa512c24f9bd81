"""Harmonic-percussive separation by median filtering.

What sounds on is a ridge along time in the magnitude spectrogram, what is struck is a
ridge along frequency; a median filter along one direction keeps the one and removes the
other (Fitzgerald, "Harmonic/percussive separation using median filtering", DAFx 2010).
Margins above 1 ask for more than a majority, and leave a residual that is neither (Driedger,
Müller, Disch, "Extending harmonic-percussive separation of audio", ISMIR 2014).
"""

from __future__ import annotations

import msgspec
import numpy as np

from workstation.model import JobContext
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator
from workstation.separate.stft import istft, stft, window_size

_WINDOW_S = 0.046


def hpss_masks(
    magnitude: FloatArray,
    *,
    kernel: tuple[int, int] = (31, 31),
    power: float = 2.0,
    margin: tuple[float, float] = (1.0, 1.0),
) -> tuple[FloatArray, FloatArray]:
    """Masks of the harmonic and the percussive part of a magnitude spectrogram.

    Args:
        magnitude: float32, shape (windows, bins), not negative.
        kernel: Windows (odd) of the harmonic and bins (odd) of the percussive filter.
        power: Exponent of the soft masks.
        margin: By how much the harmonic filter must exceed the percussive one, and the other
            way round; with both 1 the masks sum to one.

    Returns:
        Two float32 arrays of the shape of `magnitude` with values from 0 to 1.

    Raises:
        ValueError: A kernel is even, or a margin is below 1.
    """
    from workstation.separate.kernels import median_along_columns, median_along_rows, soft_mask

    if kernel[0] % 2 == 0 or kernel[1] % 2 == 0:
        raise ValueError(f"kernel sizes must be odd, not {kernel}")
    if min(margin) < 1:
        raise ValueError(f"margins must be at least 1, not {margin}")
    magnitude = np.ascontiguousarray(magnitude, dtype=np.float32)
    harmonic = median_along_rows(magnitude, kernel[0])
    percussive = median_along_columns(magnitude, kernel[1])
    if margin == (1.0, 1.0):
        mask = soft_mask(harmonic, percussive, 1.0, power, 0.5)
        return mask, 1 - mask
    return (
        soft_mask(harmonic, percussive, margin[0], power, 0.0),
        soft_mask(percussive, harmonic, margin[1], power, 0.0),
    )


class Hpss(msgspec.Struct, frozen=True):
    """The `hpss` engine. With margins above 1 it makes a third stem, `residual`."""

    kernel: tuple[int, int] = (31, 31)
    power: float = 2.0
    margin: tuple[float, float] = (1.0, 1.0)
    chunk_s: float = 30.0
    overlap_s: float = 2.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        stems = ("harmonic", "percussive")
        return EngineCard(
            name="hpss",
            summary="What sounds on and what is struck: quick, classical, for teaching and drums.",
            stems=stems if self.margin == (1.0, 1.0) else (*stems, "residual"),
            family="texture",
            code_licence="MIT",
            realtime_factor=0.01,
            source="Fitzgerald, DAFx 2010; Driedger, Müller, Disch, ISMIR 2014",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (channels, frames), each channel by itself."""
        size = window_size(rate_hz, _WINDOW_S)
        stems = {name: np.empty_like(mix) for name in self.card.stems}
        for channel, signal in enumerate(mix):
            found = self._separate_channel(signal, size, job)
            for name, part in zip(stems, found, strict=True):
                stems[name][channel] = part
            job.report((channel + 1) / mix.shape[0])
        return stems

    def _separate_channel(self, signal: FloatArray, size: int, job: JobContext) -> list[FloatArray]:
        """Harmonic and percussive part of one channel, and the residual if there is one."""
        hop = size // 4
        job.check()
        spectrum = stft(signal[None], size, hop)
        magnitude = np.abs(spectrum[0])
        job.check()
        masks = hpss_masks(magnitude, kernel=self.kernel, power=self.power, margin=self.margin)
        job.check()
        harmonic = istft(spectrum, size, hop, len(signal), masks[0])[0]
        if self.margin == (1.0, 1.0):
            # The masks sum to one, and the transform is linear.
            return [harmonic, signal - harmonic]
        percussive = istft(spectrum, size, hop, len(signal), masks[1])[0]
        return [harmonic, percussive, signal - harmonic - percussive]


def make_hpss(options: EngineOptions) -> Separator:
    """Make the engine; it needs no weights, so the options do not matter to it."""
    del options
    return Hpss()
