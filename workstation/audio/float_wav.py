"""A float32 WAV of known length that is written piece by piece and can be continued later.

Separation fills such files chunk by chunk: after a crash the finished part is still valid.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from workstation.audio.arrays import FloatArray
from workstation.audio.riff import walk_chunks, wav_header
from workstation.model import InputError
from workstation.model.names import shown

_BYTES_PER_SAMPLE = 4


class FloatWav:
    """Random access to the samples of a float32 WAV of fixed length.

    The file has its final size and a valid header from the start; what has not been written
    yet reads as silence. From 4 GiB on it is RF64.

    Args:
        path: The file; it is made if it is not there or is another one.
        sample_rate_hz: Sample rate.
        channels: Number of channels.
        frames: Samples per channel of the finished file.

    Attributes:
        fresh: Whether the file was made now and is still silent.

    Raises:
        OSError: The file cannot be made or written.
    """

    def __init__(self, path: Path, *, sample_rate_hz: int, channels: int, frames: int) -> None:
        header = wav_header(
            sample_rate_hz=sample_rate_hz, channels=channels, frames=frames, bits=32, floating=True
        )
        self._channels = channels
        self._start = len(header)
        size = self._start + frames * channels * _BYTES_PER_SAMPLE
        self.fresh = not path.is_file() or path.stat().st_size != size
        self._file = path.open("w+b" if self.fresh else "r+b")
        if not self.fresh and self._file.read(len(header)) != header:
            self._file.truncate(0)
            self._file.seek(0)
            self.fresh = True
        if self.fresh:
            self._file.write(header)
            self._file.truncate(size)

    def _seek(self, frame: int) -> None:
        self._file.seek(self._start + frame * self._channels * _BYTES_PER_SAMPLE)

    def write(self, frame: int, samples: FloatArray) -> None:
        """Put samples of shape (channels, n) at a frame."""
        self._seek(frame)
        self._file.write(np.ascontiguousarray(samples.T, dtype="<f4").data)

    def read(self, frame: int, frames: int) -> FloatArray:
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


def map_samples(path: Path) -> FloatArray:
    """Map the samples of a float32 WAV into memory: shape (frames, channels), read-only.

    Nothing is read before it is used. The samples may start at any byte of the file.

    Raises:
        InputError: The file cannot be read, or is no float32 WAV.
    """
    try:
        start, frames, channels = _find_samples(path)
        mapped = np.memmap(path, np.dtype("<f4"), "r", start, (frames, channels))
    except (OSError, ValueError) as error:
        raise InputError(
            f"{shown(path)} cannot be played: {error}.",
            "Separate the song again; stems are float32 WAV.",
        ) from error
    return np.asarray(mapped)


def _find_samples(path: Path) -> tuple[int, int, int]:
    """Where the samples of a float32 WAV start, their frames and channels."""
    with path.open("rb") as file:
        parts = {part.name: part for part in walk_chunks(file)}
        if not {b"fmt ", b"data"} <= parts.keys():
            raise ValueError("it is no WAV")
        file.seek(parts[b"fmt "].start)
        tag, channels, *_rest, bits = struct.unpack("<HHIIHH", file.read(16))
    if (tag, bits) != (3, 32) or channels < 1:
        raise ValueError("its samples are not float32")
    data = parts[b"data"]
    return data.start, data.size // (_BYTES_PER_SAMPLE * channels), channels
