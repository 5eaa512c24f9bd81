"""Playing on a device of another rate: the mix is resampled on its way out."""

from __future__ import annotations

import numpy as np
import soxr

from workstation.perform.deck import FloatArray
from workstation.perform.outputs import Render


class Resampled:
    """Renders at the rate of the song and gives blocks at the rate of the device.

    The takes and the deck stay at the song's own rate. Called as an output calls a `Render`.

    Args:
        render: Renders at the song's rate.
        rate_hz: Of the song.
        device_rate_hz: Of the device.
        block_frames: Frames per block of the device.
        click: Whether the click has an output of its own.
    """

    def __init__(
        self, render: Render, rate_hz: int, device_rate_hz: int, block_frames: int, *, click: bool
    ) -> None:
        self._render = render
        self._ratio = rate_hz / device_rate_hz
        self._step = max(16, round(block_frames * self._ratio))
        self._click = click
        columns = 4 if click else 2
        self._stream = soxr.ResampleStream(
            rate_hz, device_rate_hz, columns, dtype="float32", quality="HQ"
        )
        self._rendered = np.zeros((self._step, 2), np.float32)
        self._clicked = np.zeros((self._step, 2), np.float32)
        self._ready = np.zeros((0, columns), np.float32)
        # The filter holds back what it needs to see ahead; as silence that is ready at once it
        # makes no difference to the ear but to the delay, which is told below.
        self._device_rate = device_rate_hz

    @property
    def latency_s(self) -> float:
        """Delay of the filter in seconds."""
        return float(self._stream.delay()) / self._device_rate

    def __call__(self, mix: FloatArray, click: FloatArray | None, heard_at: float) -> None:
        """Fill a block of the device."""
        frames = len(mix)
        waiting = len(self._ready) / self._device_rate + self.latency_s
        while len(self._ready) < frames:
            self._render(self._rendered, self._clicked if self._click else None, heard_at + waiting)
            block = self._rendered
            if self._click:
                block = np.concatenate([self._rendered, self._clicked], axis=1)
            self._ready = np.concatenate([self._ready, self._stream.resample_chunk(block)])
            waiting = len(self._ready) / self._device_rate
        mix[:] = self._ready[:frames, :2]
        if click is not None and self._click:
            click[:] = self._ready[:frames, 2:]
        self._ready = self._ready[frames:]
