"""Writing audio: whole files or none, rounded to nearest, clipping counted."""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

import numpy as np
import numpy.typing as npt

from workstation.audio.files import atomic_file
from workstation.model import OutputError, UsageError

Encoding = Literal["float32", "pcm24", "pcm16", "flac", "mp3", "ogg"]
ENCODINGS: tuple[str, ...] = get_args(Encoding)

_SUFFIX = {"flac": ".flac", "mp3": ".mp3", "ogg": ".ogg"}
_INTEGER_BITS = {"pcm24": 24, "pcm16": 16, "flac": 24}
_SOUNDFILE = {
    "float32": ("WAV", "FLOAT"),
    "pcm24": ("WAV", "PCM_24"),
    "pcm16": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_24"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
    "ogg": ("OGG", "VORBIS"),
}
_WAV_LIMIT_BYTES = 0xFFFF_0000  # Leaves room for chunks beside the samples.
_MP3_RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)


def suffix_of(encoding: str) -> str:
    """File suffix of an encoding: `.wav`, `.flac`, `.mp3`, `.ogg`."""
    return _SUFFIX.get(encoding, ".wav")


class AudioWriter:
    """Writes an audio file in pieces; it gets its name when the context ends well.

    Integer encodings round to nearest, with 1.0 as 2^(bits-1); what lies beyond full scale is
    clipped and counted. WAV is plain (format tag 1 or 3) and becomes RF64 above 4 GiB.

    Args:
        path: The file to write; missing folders are made.
        sample_rate_hz: Sample rate.
        channels: Number of channels.
        encoding: `float32`, `pcm24`, `pcm16` (WAV), `flac` (24 bit), `mp3` (320 kbit/s), `ogg`.
        expected_frames: How long the file will be, if that is known; needed above 4 GiB.

    Attributes:
        clipped_samples: How many samples were beyond full scale so far.

    Raises:
        OutputError: The file cannot be written.
        UsageError: The encoding cannot carry the rate or the channels.
    """

    def __init__(
        self,
        path: Path,
        *,
        sample_rate_hz: int,
        channels: int,
        encoding: str,
        expected_frames: int = 0,
    ) -> None:
        _check_possible(encoding, sample_rate_hz, channels)
        self._path = path
        self._encoding = encoding
        self._rate = sample_rate_hz
        self._channels = channels
        self._frames = 0
        self._large = expected_frames * channels * 4 > _WAV_LIMIT_BYTES
        self.clipped_samples = 0

    def __enter__(self) -> Self:
        import soundfile

        self._atomic = atomic_file(self._path)
        self._partial = self._atomic.__enter__()
        container, subtype = _SOUNDFILE[self._encoding]
        if container == "WAV" and self._large:
            container = "RF64"
        settings = {"compression_level": 0.0, "bitrate_mode": "CONSTANT"}
        try:
            self._file = soundfile.SoundFile(
                self._partial,
                "w",
                samplerate=self._rate,
                channels=self._channels,
                format=container,
                subtype=subtype,
                **(settings if self._encoding == "mp3" else {}),
            )
        except soundfile.LibsndfileError as error:
            raise self._failure() from error
        return self

    def write(self, samples: npt.NDArray[np.float32]) -> None:
        """Append samples of shape (channels, frames).

        Raises:
            OutputError: The disk is full, or the file cannot be written.
        """
        import soundfile

        data: npt.NDArray[np.generic] = samples.T
        if bits := _INTEGER_BITS.get(self._encoding):
            data = self._to_integers(samples, bits).T
        before = self._frames
        self._frames += samples.shape[1]
        try:
            self._file.write(np.ascontiguousarray(data))
        except (soundfile.LibsndfileError, AssertionError) as error:
            raise self._failure() from error
        if self._file.frames < self._frames and self._file.seekable():
            raise self._failure() from OSError(f"{before} of {self._frames} frames were written")

    def _to_integers(self, samples: npt.NDArray[np.float32], bits: int) -> npt.NDArray[np.int32]:
        full = 2.0 ** (bits - 1)
        scaled = np.rint(samples.astype(np.float64) * full)
        beyond = (scaled > full - 1) | (scaled < -full)
        # A sample of exactly full scale is rounded down by one step, and no clipping.
        self.clipped_samples += int(np.count_nonzero(beyond & (np.abs(samples) > 1.0)))
        whole = np.clip(scaled, -full, full - 1).astype(np.int32)
        return np.left_shift(whole, 32 - bits)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        import soundfile

        whole = False
        with contextlib.suppress(soundfile.LibsndfileError, OSError):
            self._file.close()
            # A full disk does not always show before the file is looked at again.
            whole = self._encoding in {"mp3", "ogg"} or (
                soundfile.info(self._partial).frames == self._frames
            )
        if error is None and not whole:
            raise self._failure()
        self._atomic.__exit__(kind, error, traceback)

    def _failure(self) -> OutputError:
        """Remove what was begun, and say in words why it did not work."""
        import shutil

        self._partial.unlink(missing_ok=True)
        free = shutil.disk_usage(self._path.parent).free
        why = "the disk is full" if free < 1 << 22 else "the folder does not allow it"
        return OutputError(
            f"{self._path} cannot be written: {why}.",
            "Make room or mend the permissions, or choose another folder.",
        )


def _check_possible(encoding: str, rate_hz: int, channels: int) -> None:
    if encoding not in ENCODINGS:
        raise UsageError(f'There is no encoding "{encoding}".', f"Choose: {', '.join(ENCODINGS)}.")
    if encoding == "mp3" and (rate_hz not in _MP3_RATES or channels > 2):
        raise UsageError(
            f"MP3 cannot carry {channels} channels at {rate_hz} Hz.",
            "Choose --encoding flac or float32.",
        )
    if encoding == "flac" and channels > 8:
        raise UsageError(f"FLAC cannot carry {channels} channels.", "Choose --encoding float32.")


def write_audio(
    path: Path | str,
    samples: npt.NDArray[np.float32],
    sample_rate_hz: int,
    encoding: str = "pcm24",
) -> int:
    """Write samples of shape (channels, frames) as an audio file, whole or not at all.

    Returns:
        How many samples were beyond full scale and were clipped (0 for float32).

    Raises:
        OutputError: The file cannot be written.
        UsageError: The encoding cannot carry the rate or the channels.
    """
    with AudioWriter(
        Path(path), sample_rate_hz=sample_rate_hz, channels=samples.shape[0], encoding=encoding
    ) as writer:
        writer.write(samples)
    return writer.clipped_samples
