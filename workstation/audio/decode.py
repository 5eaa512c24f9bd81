"""Reading audio: every format, in pieces, at its own rate, with its exact number of frames.

A file that ends before its header says, or that is damaged in the middle, is refused in words
that say how much of it is whole; nothing is left out on the quiet. What cannot be told is the
end of what carries no length of its own: an MP3 without a LAME tag, an Ogg, raw AAC, W64, AU.
"""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import numpy as np

from workstation.audio.arrays import FloatArray
from workstation.audio.damage import truncated
from workstation.audio.decoders import Decoder, open_decoder
from workstation.audio.soundfile_decoder import SoundFileDecoder
from workstation.model import InputError, JobContext
from workstation.model.names import shown

DECODABLE_SUFFIXES = (
    ".wav", ".wave", ".rf64", ".bwf", ".w64", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".aif",
    ".aiff", ".aifc", ".caf", ".au", ".m4a", ".mp4", ".m4b", ".aac", ".alac", ".wma", ".webm",
    ".mka", ".mkv", ".mov", ".wv", ".tta", ".ape",
)  # fmt: skip
_STEP_FRAMES = 1 << 17
_MOST_PROBED = 256


class AudioInfo(msgspec.Struct, frozen=True):
    """What an audio file holds.

    Attributes:
        path: The file.
        container: `WAV`, `FLAC`, `MP3`, `OGG`, `AIFF`, `CAF`, `MP4`, …
        codec: How samples are coded: `PCM_24`, `FLOAT`, `VORBIS`, `aac`, `alac`, …
        sample_rate_hz: Sample rate; 48000 for every Opus file, whatever it was made from.
        channels: Number of channels.
        frames: Samples per channel, exactly as many as reading gives.
    """

    path: Path
    container: str
    codec: str
    sample_rate_hz: int
    channels: int
    frames: int

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate_hz


# Answers of this process, by the state of the file: counting a long MP3 takes seconds.
_probed: dict[tuple[Path, int, int, int, int, int], AudioInfo] = {}


class AudioReader:
    """Reads an audio stream from start to end, in pieces. Made by `open_audio`.

    Attributes:
        sample_rate_hz: Sample rate of the file.
        channels: Number of channels.
        frames: Samples per channel, exact.
    """

    def __init__(self, path: Path, decoder: Decoder, frames: int) -> None:
        self._path = path
        self._decoder = decoder
        self._done = 0
        self.sample_rate_hz = decoder.sample_rate_hz
        self.channels = decoder.channels
        self.frames: int | None = frames

    def read(self, frames: int) -> FloatArray:
        """Get the next samples: float32, shape (channels, n); n < `frames` only at the end.

        Raises:
            InputError: The file is damaged here, or holds samples that are no numbers.
        """
        samples = self._decoder.read(frames)
        if not np.isfinite(samples).all():
            at_s = (self._done + int(np.argmin(np.isfinite(samples).all(axis=0)))) / (
                self.sample_rate_hz
            )
            raise InputError(
                f"{shown(self._path)} holds samples that are not numbers (NaN or infinity) "
                f"at {at_s:.1f} s.",
                "Export it again from the program it came from.",
            )
        self._done += samples.shape[1]
        if samples.shape[1] < frames and self.frames is not None and self._done < self.frames:
            rate = self.sample_rate_hz
            raise truncated(self._path, self._done / rate, self.frames / rate)
        return samples

    @property
    def seekable(self) -> bool:
        """Whether `seek` is exact and cheap in this file."""
        return isinstance(self._decoder, SoundFileDecoder) and self._decoder.seekable

    def seek(self, frame: int) -> None:
        """Go on reading at a frame of a `seekable` file."""
        assert isinstance(self._decoder, SoundFileDecoder)
        self._decoder.seek(frame)
        self._done = frame

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._decoder.close()


def open_audio(path: Path | str, *, stream: int = 0, job: JobContext | None = None) -> AudioReader:
    """Open an audio file for reading from its start, as a context manager.

    Args:
        path: The file.
        stream: Which audio stream; only MP4 and its kin have more than one.
        job: Cancellation, for formats whose frames must be counted first (see `probe`).

    Raises:
        InputError: The file is not there, is no audio, or is damaged.
        CancelledError: The job was cancelled.
    """
    path = Path(path)
    frames = probe(path, stream=stream, job=job).frames
    return AudioReader(path, open_decoder(path, stream), frames)


def read_audio(path: Path | str) -> tuple[FloatArray, int]:
    """Read a whole audio file: float32 samples of shape (channels, frames), and the rate in Hz.

    Raises:
        InputError: The file is not there, is no audio, or is damaged.
    """
    with open_audio(path) as reader:
        return reader.read(reader.frames or 0), reader.sample_rate_hz


def probe(path: Path | str, *, stream: int = 0, job: JobContext | None = None) -> AudioInfo:
    """Find out what an audio file holds, and that it is whole.

    MP3, M4A and others whose headers do not tell are decoded once to count their frames:
    about 0.2 s for a minute of sound; the answer is remembered until the file changes.

    Args:
        path: The file.
        stream: Which audio stream; only MP4 and its kin have more than one.
        job: Cancellation while frames are counted.

    Raises:
        InputError: The file is not there, is no audio, is empty, cut off or damaged.
        CancelledError: The job was cancelled.
    """
    path = Path(path)
    stat = _check_file(path)
    key = (path, stream, stat.st_dev, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    if key not in _probed:
        if len(_probed) >= _MOST_PROBED:
            _probed.clear()
        _probed[key] = _probe(path, stream, job)
    return _probed[key]


def _probe(path: Path, stream: int, job: JobContext | None) -> AudioInfo:
    decoder = open_decoder(path, stream)
    try:
        decoder.check_end()
        frames = decoder.frames
        if frames is None:
            frames = _count_frames(decoder, job)
    finally:
        decoder.close()
    rate = decoder.sample_rate_hz
    promised_s = decoder.promised_s or 0.0
    if frames / rate < promised_s - decoder.slack_s:
        raise truncated(path, frames / rate, promised_s)
    if frames == 0:
        raise InputError(f"{shown(path)} holds no sound: its length is 0.", "Choose another file.")
    return AudioInfo(path, decoder.container, decoder.codec, rate, decoder.channels, frames)


def _count_frames(decoder: Decoder, job: JobContext | None) -> int:
    frames = 0
    while got := decoder.read(_STEP_FRAMES).shape[1]:
        frames += got
        if job is not None:
            job.check()
    return frames


def _check_file(path: Path) -> os.stat_result:
    """Refuse in words what is no file with something in it."""
    name = shown(path)
    try:
        stat = path.stat()
        if path.is_dir():
            raise InputError(
                f"{name} is a folder, not an audio file.",
                "Give an audio file, or a folder that holds the stems of one song.",
            )
        if not path.is_file():
            raise InputError(f"{name} is a device, not an audio file.", "Give an audio file.")
        if stat.st_size == 0:
            raise InputError(f"{name} is empty (0 bytes).", "Copy or export it again.")
        with path.open("rb"):
            pass  # Only to see whether it may be read.
    except FileNotFoundError as error:
        raise InputError(f"{name} is not there.", _near_names(path)) from error
    except PermissionError as error:
        raise InputError(
            f"{name} cannot be read: permission is missing.",
            "Mend its permissions, or copy it to a folder of your own.",
        ) from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise InputError(f"{name} cannot be read: {why}.", "Check the name of the file.") from error
    return stat


def _near_names(path: Path) -> str:
    try:
        names = sorted(p.name for p in path.parent.iterdir())
    except OSError:
        return f"There is no folder {shown(path.parent)} either; check the path."
    near = difflib.get_close_matches(path.name, names, n=1, cutoff=0.7)
    return f"Did you mean {shown(path.with_name(near[0]))}?" if near else "Check the path."
