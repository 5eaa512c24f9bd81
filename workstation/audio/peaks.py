"""Peaks of a long file at several resolutions: what a waveform is drawn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from workstation.audio.float_wav import map_samples
from workstation.model import JobContext

HOP_FRAMES = 256
_FACTOR = 4
_BLOCK_HOPS = 4096


class Peaks:
    """The highest sample (0 to 1, in steps of 1/255) of every stretch of a file.

    Args:
        finest: Peak of every `HOP_FRAMES` frames.
    """

    def __init__(self, finest: npt.NDArray[np.uint8]) -> None:
        self.levels = [finest]
        while len(self.levels[-1]) > _FACTOR:
            self.levels.append(_coarser(self.levels[-1]))

    def columns(self, start: float, frames_each: float, count: int) -> npt.NDArray[np.uint8]:
        """Peaks of `count` stretches of `frames_each` frames from frame `start` on.

        What lies outside of the file is 0. A stretch shorter than `HOP_FRAMES` has the peak of
        the hop it lies in.
        """
        hop, level = HOP_FRAMES, 0
        while level + 1 < len(self.levels) and hop * _FACTOR <= frames_each:
            hop, level = hop * _FACTOR, level + 1
        values = self.levels[level]
        edges = np.floor((start + frames_each * np.arange(count + 1)) / hop).astype(np.int64)
        begin = np.clip(edges[:-1], 0, len(values) - 1)
        peaks = np.maximum.reduceat(values, begin)
        # Where a stretch has no hop of its own, `reduceat` gives the one it lies in; the last
        # stretch must not take all that follows.
        if count:
            peaks[-1] = values[begin[-1] : max(int(edges[-1]), int(begin[-1]) + 1)].max()
        peaks[(edges[:-1] >= len(values)) | (np.maximum(edges[1:], edges[:-1] + 1) <= 0)] = 0
        return np.asarray(peaks, np.uint8)


def _coarser(values: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    padded = np.pad(values, (0, -len(values) % _FACTOR))
    return np.asarray(padded.reshape(-1, _FACTOR).max(axis=1), np.uint8)


def peaks_of(path: Path, job: JobContext) -> npt.NDArray[np.uint8]:
    """The finest peaks of a float32 WAV, over all its channels.

    Raises:
        InputError: The file cannot be read.
        CancelledError: The job was cancelled.
    """
    samples = map_samples(path)
    hops = -(-len(samples) // HOP_FRAMES)
    peaks = np.zeros(max(hops, 1), np.uint8)
    for first in range(0, hops, _BLOCK_HOPS):
        job.check()
        job.report(first / hops)
        block = samples[first * HOP_FRAMES : (first + _BLOCK_HOPS) * HOP_FRAMES]
        highest = np.maximum(block.max(axis=1), -block.min(axis=1))
        highest = np.pad(highest, (0, -len(highest) % HOP_FRAMES))
        highest = highest.reshape(-1, HOP_FRAMES).max(axis=1)
        # Nothing that sounds is drawn as silence.
        peaks[first : first + len(highest)] = np.ceil(np.clip(highest, 0.0, 1.0) * 255)
    job.report(1.0)
    return peaks
