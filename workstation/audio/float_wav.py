"""A float32 WAV of known length that is written piece by piece and can be continued later.

Separation fills such files chunk by chunk: after a crash the finished part is still valid.
Layout: RIFF/WAVE with format tag 3 (IEEE float); RF64 (EBU Tech 3306) from 4 GiB on.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import numpy.typing as npt

_LIMIT = 0xFFFF_FFFF
_BYTES_PER_SAMPLE = 4


def _header(sample_rate_hz: int, channels: int, frames: int) -> bytes:
    data_bytes = frames * channels * _BYTES_PER_SAMPLE
    frame_bytes = channels * _BYTES_PER_SAMPLE
    fmt = struct.pack(
        "<4sIHHIIHHH",
        b"fmt ",
        18,
        3,
        channels,
        sample_rate_hz,
        sample_rate_hz * frame_bytes,
        frame_bytes,
        8 * _BYTES_PER_SAMPLE,
        0,
    )
    body = len(b"WAVE") + len(fmt) + 12 + 8 + data_bytes
    if body <= _LIMIT:
        riff, ds64, data_size, fact_frames = (
            struct.pack("<4sI", b"RIFF", body),
            b"",
            data_bytes,
            frames,
        )
    else:
        ds64 = struct.pack("<4sIQQQI", b"ds64", 28, body + 36, data_bytes, frames, 0)
        riff, data_size, fact_frames = (
            struct.pack("<4sI", b"RF64", _LIMIT),
            _LIMIT,
            min(frames, _LIMIT),
        )
    fact = struct.pack("<4sII", b"fact", 4, fact_frames)
    return riff + b"WAVE" + ds64 + fmt + fact + struct.pack("<4sI", b"data", data_size)


class FloatWav:
    """Random access to the samples of a float32 WAV of fixed length.

    The file has its final size and a valid header from the start; what has not been written
    yet reads as silence.

    Args:
        path: The file; it is made if it is not there or has another size.
        sample_rate_hz: Sample rate.
        channels: Number of channels.
        frames: Samples per channel of the finished file.

    Raises:
        OSError: The file cannot be made or written.
    """

    def __init__(self, path: Path, *, sample_rate_hz: int, channels: int, frames: int) -> None:
        header = _header(sample_rate_hz, channels, frames)
        self._channels = channels
        self._start = len(header)
        size = self._start + frames * channels * _BYTES_PER_SAMPLE
        fresh = not path.is_file() or path.stat().st_size != size
        self._file = path.open("w+b" if fresh else "r+b")
        if fresh:
            self._file.write(header)
            self._file.truncate(size)

    def _seek(self, frame: int) -> None:
        self._file.seek(self._start + frame * self._channels * _BYTES_PER_SAMPLE)

    def write(self, frame: int, samples: npt.NDArray[np.float32]) -> None:
        """Put samples of shape (channels, n) at a frame."""
        self._seek(frame)
        self._file.write(np.ascontiguousarray(samples.T, dtype="<f4").data)

    def read(self, frame: int, frames: int) -> npt.NDArray[np.float32]:
        """Get samples of shape (channels, frames) from a frame on."""
        self._seek(frame)
        data = self._file.read(frames * self._channels * _BYTES_PER_SAMPLE)
        return np.frombuffer(data, dtype="<f4").reshape(-1, self._channels).T.astype(np.float32)

    def sync(self) -> None:
        """Make sure that what was written survives a crash."""
        self._file.flush()
        os.fsync(self._file.fileno())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._file.close()
