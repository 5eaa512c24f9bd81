"""DUET: sources by the level and the delay between two channels, one source per bin.

Where only one source sounds in a bin, the ratio of the channels tells where it stands: its
attenuation a = |X₂ / X₁| and its delay δ = -∠(X₂ / X₁) / ω. In a histogram over the symmetric
attenuation α = a - 1/a and δ, weighted by |X₁ · X₂|, every source is a peak; a bin belongs to
the peak j that explains it best, which has the least

    |aⱼ · exp(-iωδⱼ) · X₁ - X₂|² / (1 + aⱼ²)

(Yilmaz & Rickard, "Blind separation of speech mixtures via time-frequency masking", IEEE TSP
52(7), 2004). What stands in one channel only has no weight in the histogram.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.model import JobContext
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator
from workstation.separate.stft import ComplexArray, istft, stft, window_size

_WINDOW_S = 0.046
_CELLS = 61  # Odd, so that the middle is the centre of a cell.
_MOST_ATTENUATION = 3.0
_APART = 5  # Cells between two peaks.
_LEAST_PEAK = 0.01
_TINY = np.float32(1e-20)


class Place(msgspec.Struct, frozen=True):
    """Where a source stands: how much louder it is in channel 2, and how many frames later."""

    attenuation: float
    delay: float


def find_places(spectrum: ComplexArray, sources: int, *, most_delay: float) -> list[Place]:
    """Find where sources stand, from left to right.

    Args:
        spectrum: complex64, shape (2, windows, bins).
        sources: How many to find at most.
        most_delay: The greatest delay between the channels, in frames. Only bins whose phase
            is unambiguous for it take part.

    Returns:
        As many places as there are peaks of at least 1 % of the highest; none for silence.
    """
    from scipy.ndimage import gaussian_filter

    last = spectrum.shape[2] - 1
    bins = max(2, min(last, int(last / max(most_delay, 1.0))))
    left, right = spectrum[0, :, 1:bins], spectrum[1, :, 1:bins]
    levels = np.abs(left), np.abs(right)
    # Squares of quiet songs are no zeros in parts of the loudest bin.
    loudest = max(float(levels[0].max()), float(levels[1].max()))
    if loudest == 0:
        return []
    weight = (levels[0] / loudest) * (levels[1] / loudest)
    used = weight > 1e-12
    ratio = (levels[1][used] / levels[0][used]).astype(np.float64)
    # What is louder on one side than the histogram holds counts at its edge.
    inside = _MOST_ATTENUATION * (1 - 1 / _CELLS)
    attenuation = np.clip(ratio - 1 / ratio, -inside, inside)
    omega = np.broadcast_to(np.pi / last * np.arange(1, bins), weight.shape)
    delay = -np.angle(right[used] * np.conj(left[used]) / loudest) / omega[used]
    cells, edges, delay_edges = np.histogram2d(
        attenuation,
        delay,
        bins=_CELLS,
        range=((-_MOST_ATTENUATION, _MOST_ATTENUATION), (-most_delay, most_delay)),
        weights=weight[used],
    )
    smooth = gaussian_filter(cells, 1.0, mode="constant")
    places = []
    for row, column in _highest(smooth, sources):
        symmetric = _centre(smooth[:, column], row, edges)
        places.append(
            Place(
                (symmetric + float(np.hypot(symmetric, 2))) / 2,
                _centre(smooth[row], column, delay_edges),
            )
        )
    return sorted(places, key=lambda place: (place.attenuation, place.delay))


def _highest(cells: npt.NDArray[np.float64], count: int) -> list[tuple[int, int]]:
    """The highest peaks of a histogram that lie some cells apart."""
    from scipy.ndimage import maximum_filter

    least = _LEAST_PEAK * cells.max()
    peaks = (maximum_filter(cells, 2 * _APART + 1, mode="constant") == cells) & (cells > least)
    found = sorted(np.argwhere(peaks), key=lambda at: -cells[tuple(at)])
    return [(int(row), int(column)) for row, column in found[:count]]


def _centre(values: npt.NDArray[np.float64], at: int, edges: npt.NDArray[np.float64]) -> float:
    """Centre of gravity of a peak and its two neighbours."""
    near = slice(max(at - 1, 0), at + 2)
    centres = (edges[:-1] + edges[1:]) / 2
    return float(np.average(centres[near], weights=values[near]))


def assign_bins(spectrum: ComplexArray, places: list[Place]) -> npt.NDArray[np.int8]:
    """For every bin, which of some places explains it best: shape (windows, bins)."""
    left, right = spectrum
    omega = np.pi / (spectrum.shape[2] - 1) * np.arange(spectrum.shape[2])
    nearest = np.zeros(left.shape, np.int8)
    least = np.full(left.shape, np.inf, np.float32)
    for index, place in enumerate(places):
        turned = (place.attenuation * np.exp(-1j * omega * place.delay)).astype(np.complex64)
        missed = np.abs(left * turned - right) / np.float32(np.hypot(1, place.attenuation))
        nearest[missed < least] = index
        np.minimum(least, missed, out=least)
    return nearest


class Duet(msgspec.Struct, frozen=True):
    """The `duet` engine.

    Attributes:
        sources: How many stems; if fewer are found, the last ones are silent.
        delay_s: Greatest delay between the channels: 0.1 ms is sound's way over 3 cm.
    """

    sources: int = 3
    delay_s: float = 1e-4
    chunk_s: float = 60.0
    overlap_s: float = 2.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="duet" if self.sources == 3 else f"duet-{self.sources}",
            summary=f"{self.sources} sources, left to right, by level and delay of the channels.",
            stems=tuple(f"source_{number}" for number in range(1, self.sources + 1)),
            family="place",
            code_licence="MIT",
            min_channels=2,
            max_channels=2,
            realtime_factor=0.01,
            source="Yilmaz & Rickard, IEEE TSP 52(7), 2004",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (2, frames); the masks of the stems sum to one."""
        size = window_size(rate_hz, _WINDOW_S)
        hop = size // 4
        spectrum = stft(mix, size, hop)
        job.check()
        places = find_places(spectrum, self.sources, most_delay=self.delay_s * rate_hz)
        job.check()
        job.report(0.4)
        nearest = assign_bins(spectrum, places)
        stems = {}
        for index, name in enumerate(self.card.stems):
            job.check()
            mask = (nearest == index).astype(np.float32)
            stems[name] = istft(spectrum, size, hop, mix.shape[1], mask)
            job.report(0.5 + 0.5 * (index + 1) / self.sources)
        return stems


def make_duet(options: EngineOptions, sources: int = 3) -> Separator:
    """Make the engine; it needs no weights, so the options do not matter to it."""
    del options
    return Duet(sources=sources)
