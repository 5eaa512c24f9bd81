"""Any part of an audio file, read again and again: what training a network needs."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workstation.audio.arrays import FloatArray
from workstation.audio.decode import open_audio, probe
from workstation.audio.files import need_space, writing
from workstation.audio.float_wav import FloatWav, map_samples
from workstation.model import JobContext

_PIECE_FRAMES = 1 << 20


class Excerpts:
    """Random access to the samples of one audio stream.

    A file whose format allows it is read where it lies, and opened only while it is read, so that
    hundreds can be in use. Any other is decoded once, into a scratch file that is mapped into
    memory.

    Args:
        path: The file.
        stream: Which audio stream; only MP4 and its kin have more than one.
        scratch: A WAV that may be written for this file.
        job: Progress out, cancellation in.

    Attributes:
        path: The file.
        sample_rate_hz: Sample rate.
        channels: Number of channels.
        frames: Samples per channel.

    Raises:
        InputError: The file is not there, is no audio, or is damaged.
        OutputError: The scratch file cannot be written.
        CancelledError: The job was cancelled.
    """

    def __init__(self, path: Path, *, stream: int, scratch: Path, job: JobContext) -> None:
        info = probe(path, stream=stream, job=job)
        self.path = path
        self.sample_rate_hz = info.sample_rate_hz
        self.channels = info.channels
        self.frames = info.frames
        self._mapped: FloatArray | None = None
        with open_audio(path, stream=stream) as reader:
            seekable = reader.seekable
        if not seekable:
            self._mapped = self._decoded(stream, scratch, job)

    def read(self, start: int, frames: int) -> FloatArray:
        """Get samples of shape (channels, frames) from a frame on; all of them must be there.

        Raises:
            InputError: The file is damaged here, or holds samples that are no numbers.
        """
        if self._mapped is not None:
            return np.ascontiguousarray(self._mapped[start : start + frames].T)
        with open_audio(self.path) as reader:
            reader.seek(start)
            return reader.read(frames)

    def _decoded(self, stream: int, scratch: Path, job: JobContext) -> FloatArray:
        with writing(scratch):
            need_space(scratch.parent, 4 * self.channels * self.frames)
            made = FloatWav(
                scratch,
                sample_rate_hz=self.sample_rate_hz,
                channels=self.channels,
                frames=self.frames,
            )
        with made, open_audio(self.path, stream=stream) as reader:
            for start in range(0, self.frames, _PIECE_FRAMES):
                job.check()
                job.report(start / self.frames)
                piece = reader.read(min(_PIECE_FRAMES, self.frames - start))
                with writing(scratch):
                    made.write(start, piece)
        return map_samples(scratch)
