"""REPET-SIM: the repeating background of a song, found by similarity, and what varies over it.

Every window of the spectrogram is compared with all others; the median over those most like
it is the background, because what differs between them (a voice, mostly) does not survive
the median (Rafii & Pardo, "Music/voice separation using the similarity matrix", ISMIR 2012).
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.model import JobContext
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator
from workstation.separate.stft import istft, stft, window_size

_WINDOW_S = 0.04
_BLOCK_ROWS = 128
_TINY = 1e-12


def similar_windows(
    unit: FloatArray, first: int, count: int, *, apart: int, most: int, least: float = 0.0
) -> list[npt.NDArray[np.int64]]:
    """For some windows, the windows that are most like them.

    Args:
        unit: float32, shape (windows, bins), every row of length 1 (or 0, for silence).
        first: The first window that is asked for.
        count: How many are asked for; memory grows with count · windows.
        apart: Similar windows must lie at least so many windows from each other.
        most: How many to find at most.
        least: How like they must be: more than this cosine, from 0 to 1.

    Returns:
        For every window the indices of similar ones, most similar first, itself among them.
    """
    from scipy.ndimage import maximum_filter1d

    likeness = unit[first : first + count] @ unit.T
    likeness[np.arange(len(likeness)), np.arange(first, first + len(likeness))] = 2.0
    peaks = maximum_filter1d(likeness, 2 * apart + 1, axis=1) == likeness
    peaks &= likeness > least  # Silence is like nothing.
    found = []
    for row, is_peak in zip(likeness, peaks, strict=True):
        places = np.flatnonzero(is_peak)
        if len(places) > most:
            places = places[np.argpartition(-row[places], most)[:most]]
        found.append(places[np.argsort(-row[places], kind="stable")])
    return found


def repet_sim_mask(
    magnitude: FloatArray,
    *,
    apart: int,
    most: int = 100,
    least: float = 0.0,
    job: JobContext | None = None,
) -> FloatArray:
    """Mask of the repeating background.

    Memory grows linearly with the number of windows: the similarity matrix is made and
    forgotten in blocks of rows.

    Args:
        magnitude: float32, shape (channels, windows, bins), not negative.
        apart: Least distance of two similar windows, in windows.
        most: How many similar windows to use at most.
        least: How like they must be: more than this cosine, from 0 to 1.
        job: Progress out, cancellation in.

    Returns:
        float32, shape of `magnitude`, from 0 to 1; 1 where there is silence.
    """
    from workstation.separate.kernels import median_of_rows

    job = job or JobContext()
    channels, windows, bins = magnitude.shape
    mean = magnitude.mean(axis=0)
    # A silent window is like nothing; dividing it by its length would give NaN.
    unit = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), _TINY)
    mask = np.empty_like(magnitude)
    usual = np.empty(bins, np.float32)
    for first in range(0, windows, _BLOCK_ROWS):
        count = min(_BLOCK_ROWS, windows - first)
        found = similar_windows(unit, first, count, apart=apart, most=most, least=least)
        for row, like in enumerate(found, start=first):
            job.check()
            for channel in range(channels):
                median_of_rows(magnitude[channel], like, usual)
                here = magnitude[channel, row]
                np.divide(np.minimum(usual, here), np.maximum(here, _TINY), out=mask[channel, row])
                mask[channel, row, here < _TINY] = 1.0
        job.report(first / windows)
    return mask


class RepetSim(msgspec.Struct, frozen=True):
    """The `repet-sim` engine.

    Attributes:
        apart_s: Least distance of two similar windows in seconds.
        most: How many similar windows to use at most.
        least: How like they must be: more than this cosine, from 0 to 1.
        high_pass_hz: Below this everything is background: no voice sings there.
    """

    apart_s: float = 1.0
    most: int = 100
    least: float = 0.0
    high_pass_hz: float = 100.0
    chunk_s: float = 120.0
    overlap_s: float = 4.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="repet-sim",
            summary="What repeats and what varies over it: the voice of a song with a loop.",
            stems=("background", "foreground"),
            family="texture",
            code_licence="MIT",
            realtime_factor=0.04,
            source="Rafii & Pardo, ISMIR 2012",
            revision="2",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (channels, frames); all channels repeat together."""
        size = window_size(rate_hz, _WINDOW_S)
        hop = size // 2
        spectrum = stft(mix, size, hop)
        mask = repet_sim_mask(
            np.abs(spectrum),
            apart=max(1, round(self.apart_s * rate_hz / hop)),
            most=self.most,
            least=self.least,
            job=job.part(0.0, 0.9),
        )
        mask[:, :, : 1 + int(self.high_pass_hz * size / rate_hz)] = 1.0
        job.check()
        background = istft(spectrum, size, hop, mix.shape[1], mask)
        return {"background": background, "foreground": mix - background}


def make_repet_sim(options: EngineOptions) -> Separator:
    """Make the engine; it needs no weights, so the options do not matter to it."""
    del options
    return RepetSim()
