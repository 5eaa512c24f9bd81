"""Decoding with libsndfile."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from workstation.audio.arrays import FloatArray
from workstation.audio.damage import truncated
from workstation.audio.riff import walk_chunks
from workstation.model import InputError

_LEFT_TO_FFMPEG = ("OPUS", "ALAC", "MPEG")
# libsndfile's answer for a FLAC that was streamed and does not know its length.
_UNKNOWN_FRAMES = 1 << 62
_STEP_FRAMES = 1 << 15
# Of constant size per frame, so that a frame is found by its number.
_SEEKABLE = {"WAV", "AIFF", "W64", "AU"}
# Writers that count the header as samples promise up to this much too much.
_HEADER_SLACK_BYTES = 64


class SoundFileDecoder:
    """libsndfile; see `workstation.audio.decoders.Decoder`.

    Raises:
        soundfile.LibsndfileError: It is no format of libsndfile, or damaged.
    """

    slack_s = 0.0

    def __init__(self, path: Path) -> None:
        import soundfile

        name = path.absolute()
        # As bytes, because names need not be UTF-8; Windows knows no names as bytes.
        self._file = soundfile.SoundFile(os.fsencode(name) if os.name == "posix" else name)
        self._path = path
        self._done = 0
        self.container: str = {"WAVEX": "WAV", "RF64": "WAV"}.get(
            self._file.format, self._file.format
        )
        self.codec: str = self._file.subtype
        self.sample_rate_hz: int = self._file.samplerate
        self.channels: int = self._file.channels
        known = self._file.frames < _UNKNOWN_FRAMES
        self.frames: int | None = self._file.frames if known else None
        self.promised_s = self._promised_s()

    @property
    def exact(self) -> bool:
        """Whether libsndfile reads this file whole, in any pieces and in our order.

        Not Opus: seeking, which soundfile does after every read, changes what follows, and the
        rate is not 48 kHz. Not surround in Ogg, which comes in another order. Not a stream that
        does not know its length, which counts as unknown or as 0.
        """
        surround = self.container == "OGG" and self.channels > 2
        return bool(self.frames) and not surround and not self.codec.startswith(_LEFT_TO_FFMPEG)

    def _promised_s(self) -> float | None:
        """Length by the header: libsndfile itself shortens a cut-off WAV or AIFF silently."""
        if self.frames is None:
            return None
        promised = self.frames / self.sample_rate_hz
        with self._path.open("rb") as file:
            size = file.seek(0, 2)
            for part in walk_chunks(file):
                there = size - part.start
                if part.name in {b"data", b"SSND"} and part.size > there + _HEADER_SLACK_BYTES:
                    promised *= part.size / max(there, 1)
        return promised

    def check_end(self) -> None:
        """Make sure that the file is as long as its header says, and go back to the start.

        Raises:
            InputError: The file is cut off or damaged.
        """
        import soundfile

        if self.frames is None or self.promised_s is None:
            return
        try:
            self._file.seek(max(self.frames - 1, 0))
            self._file.read(1, dtype="float32", always_2d=True)
            self._file.seek(0)
        except soundfile.LibsndfileError as error:
            raise truncated(self._path, self._whole_s(), self.promised_s) from error

    def _whole_s(self) -> float:
        """Decode from the start to the damage, to tell where it is."""
        fresh = SoundFileDecoder(self._path)
        try:
            while fresh.read(_STEP_FRAMES).shape[1]:
                pass
        except InputError:
            pass  # The damage: what was read before it is what is asked for.
        finally:
            fresh.close()
        return fresh._done / self.sample_rate_hz

    def read(self, frames: int) -> FloatArray:
        """Get the next samples, shape (channels, n); n < `frames` only at the end."""
        import soundfile

        left = frames if self.frames is None else min(frames, self.frames - self._done)
        parts: list[FloatArray] = [np.zeros((self.channels, 0), np.float32)]
        try:
            # In small steps, so that the place of a damage can be told.
            while left > 0:
                got = self._file.read(min(_STEP_FRAMES, left), dtype="float32", always_2d=True)
                if not len(got):
                    break
                parts.append(got.T)
                left -= len(got)
                self._done += len(got)
        except soundfile.LibsndfileError as error:
            whole_s = self._done / self.sample_rate_hz
            raise truncated(self._path, whole_s, self.promised_s or whole_s) from error
        return np.concatenate(parts, axis=1)

    @property
    def seekable(self) -> bool:
        """Whether any frame is found at once."""
        return self.container in _SEEKABLE and self.codec.startswith(("PCM", "FLOAT", "DOUBLE"))

    def seek(self, frame: int) -> None:
        """Go on reading at a frame of a `seekable` file."""
        self._file.seek(frame)
        self._done = frame

    def close(self) -> None:
        """Close the file."""
        self._file.close()
