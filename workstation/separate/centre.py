"""What stands in the middle of the stereo image: mid and side, and the extracted centre.

Mid and side are the oldest separation of all (Blumlein, British patent 394325, 1931):

    mid = (L + R) / 2 on both channels,  side = (L - R) / 2, with the other sign on the right

The mid holds the centre and half of everything else. The centre itself is, in every bin of the
spectrum, the part C along L + R that leaves sides with nothing in common: (L - C) ⊥ (R - C) as
vectors in the plane of complex numbers, which is solved by

    C = (L + R) / 2 · (1 - |L - R| / |L + R|)

(Lee, "Center Cut", VirtualDub, 2004; the decomposition into a common part and orthogonal sides is
also that of Irwan & Aarts, "Two-to-five channel sound processing", JAES 50(11), 2002). Where the
channels are of opposite phase there is no centre.
"""

from __future__ import annotations

import msgspec
import numpy as np

from workstation.model import JobContext
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator
from workstation.separate.stft import ComplexArray, istft, stft, window_size

_WINDOW_S = 0.093


class MidSide(msgspec.Struct, frozen=True):
    """The `mid-side` engine."""

    chunk_s: float = 60.0
    overlap_s: float = 0.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="mid-side",
            summary="What the channels share and where they differ, sample by sample.",
            stems=("mid", "side"),
            family="place",
            code_licence="MIT",
            min_channels=2,
            max_channels=2,
            realtime_factor=0.001,
            source="Blumlein, British patent 394325, 1931",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (2, frames)."""
        del rate_hz
        job.check()
        mid = np.repeat((mix[:1] + mix[1:]) * np.float32(0.5), 2, axis=0)
        return {"mid": mid, "side": mix - mid}


def centre_spectrum(spectrum: ComplexArray) -> ComplexArray:
    """The part that two channels have in common.

    Args:
        spectrum: complex64, shape (2, windows, bins).

    Returns:
        complex64, shape (windows, bins); it is the same on both channels.
    """
    left, right = spectrum
    both = left + right
    apart, level = np.abs(left - right), np.abs(both)
    share = np.zeros_like(level)
    np.divide(apart, level, out=share, where=level > apart)
    centre: ComplexArray = both * np.where(level > apart, 0.5 * (1 - share), 0).astype(np.float32)
    return centre


class Centre(msgspec.Struct, frozen=True):
    """The `centre` engine."""

    chunk_s: float = 20.0
    overlap_s: float = 1.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="centre",
            summary="What stands in the middle, such as a lead voice, and the sides without it.",
            stems=("centre", "sides"),
            family="place",
            code_licence="MIT",
            min_channels=2,
            max_channels=2,
            realtime_factor=0.01,
            source="Lee, Center Cut, 2004; Irwan & Aarts, JAES 50(11), 2002",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (2, frames)."""
        size = window_size(rate_hz, _WINDOW_S)
        hop = size // 4
        spectrum = stft(mix, size, hop)
        job.check()
        job.report(0.4)
        common = centre_spectrum(spectrum)
        job.check()
        centre = np.repeat(istft(common[None], size, hop, mix.shape[1]), 2, axis=0)
        return {"centre": centre, "sides": mix - centre}


def make_mid_side(options: EngineOptions) -> Separator:
    """Make the engine; it needs no weights, so the options do not matter to it."""
    del options
    return MidSide()


def make_centre(options: EngineOptions) -> Separator:
    """Make the engine; it needs no weights, so the options do not matter to it."""
    del options
    return Centre()
