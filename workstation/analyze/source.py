"""Where the samples come from: anything that hands out audio block by block."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]


class BlockSource(Protocol):
    """Audio that is read from front to back, so that a long song needs no long array."""

    @property
    def sample_rate_hz(self) -> int:
        """Samples per second and channel."""
        ...

    @property
    def channels(self) -> int:
        """Number of channels."""
        ...

    @property
    def frames(self) -> int | None:
        """Samples per channel in all; None if that shows only at the end."""
        ...

    def read(self, frames: int, /) -> FloatArray:
        """Give the next samples, float32 of shape (channels, n); n < frames only at the end."""
        ...


class ArraySource:
    """An array as a `BlockSource`.

    Args:
        samples: float32, shape (channels, frames) or (frames,).
        sample_rate_hz: Samples per second and channel.

    >>> source = ArraySource(np.zeros(10, np.float32), 8000)
    >>> source.channels, source.frames, source.read(8).shape, source.read(8).shape
    (1, 10, (1, 8), (1, 2))
    """

    def __init__(self, samples: npt.ArrayLike, sample_rate_hz: int) -> None:
        self._samples = np.atleast_2d(np.asarray(samples, np.float32))
        self._position = 0
        self.sample_rate_hz = sample_rate_hz
        self.channels = self._samples.shape[0]
        self.frames = self._samples.shape[1]

    def read(self, frames: int, /) -> FloatArray:
        """Give the next samples, shape (channels, n)."""
        block = self._samples[:, self._position : self._position + frames]
        self._position += block.shape[1]
        return block
