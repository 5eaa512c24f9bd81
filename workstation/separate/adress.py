"""ADRess: left, centre and right by what gain between the channels makes a bin vanish.

A source that was panned by level vanishes from the quieter channel's bin when the louder one's is
subtracted with the right gain g (Barry, Lawlor, Coyle, "Sound source separation: azimuth
discrimination and resynthesis", DAFx 2004). For a bin that is louder on the right, of spectra
L and R,

    A(g) = |L - g·R|,  g from 0 to 1

is least at g* = Re(L·R̄) / |R|², which tells the place 1 - g* of the source from the centre (0) to
the right (1), and the depth of the null, 1 - A(g*) / max A, tells how surely it is one source;
for bins louder on the left with the channels exchanged. The paper scans A over a hundred gains;
since A² is a parabola, its least value is known at once. A stem takes the bins whose place is
its own, by the depth of their nulls.
"""

from __future__ import annotations

import msgspec
import numpy as np

from workstation.model import JobContext
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator
from workstation.separate.stft import ComplexArray, istft, stft, window_size

_WINDOW_S = 0.093
_TINY = np.float32(1e-20)


def azimuth(spectrum: ComplexArray) -> tuple[FloatArray, FloatArray]:
    """Where in the stereo image bins stand, and how surely they hold one source.

    Args:
        spectrum: complex64, shape (2, windows, bins).

    Returns:
        Two float32 arrays of shape (windows, bins): the place, from -1 (left) by 0 (centre) to 1
        (right), and the depth of the null, from 0 to 1; both 0 for silence.
    """
    # In parts of the loudest bin, so that the squares of quiet songs are no zeros.
    loudest = np.abs(spectrum).max(initial=0.0)
    left, right = spectrum / max(loudest, _TINY)
    to_right = np.abs(right) >= np.abs(left)
    louder, quieter = np.where(to_right, right, left), np.where(to_right, left, right)
    level = np.abs(louder)
    there = level > _TINY**0.5
    gain = np.zeros_like(level)
    np.divide((quieter * np.conj(louder)).real, level * level, out=gain, where=there)
    np.clip(gain, 0.0, 1.0, out=gain)
    least = np.abs(quieter - gain * louder)
    most = np.maximum(np.abs(quieter), np.abs(quieter - louder))
    depth = np.zeros_like(level)
    np.divide(least, most, out=depth, where=there)
    depth = np.where(there, 1 - depth, 0)
    place = np.where(to_right, 1 - gain, gain - 1) * there
    return place.astype(np.float32), depth.astype(np.float32)


class Adress(msgspec.Struct, frozen=True):
    """The `adress` engine.

    Attributes:
        width: How far from the centre (0) to the sides (1) the centre goes.
    """

    width: float = 0.4
    chunk_s: float = 20.0
    overlap_s: float = 1.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="adress",
            summary="Left, centre and right, bin by bin, of what was panned by level.",
            stems=("left", "centre", "right"),
            family="place",
            code_licence="MIT",
            min_channels=2,
            max_channels=2,
            realtime_factor=0.02,
            source="Barry, Lawlor, Coyle, DAFx 2004",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (2, frames)."""
        size = window_size(rate_hz, _WINDOW_S)
        hop = size // 4
        spectrum = stft(mix, size, hop)
        job.check()
        place, depth = azimuth(spectrum)
        where = {
            "left": place < -self.width,
            "centre": np.abs(place) <= self.width,
            "right": place > self.width,
        }
        stems = {}
        for index, (name, chosen) in enumerate(where.items()):
            job.check()
            job.report(0.4 + 0.2 * index)
            stems[name] = istft(spectrum, size, hop, mix.shape[1], depth * chosen)
        return stems


def make_adress(options: EngineOptions) -> Separator:
    """Make the engine; it needs no weights, so the options do not matter to it."""
    del options
    return Adress()
