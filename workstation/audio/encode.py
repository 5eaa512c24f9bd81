"""Writing audio: whole files or none, rounded to nearest, clipping counted."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Literal, Protocol, Self, get_args

import numpy as np
import numpy.typing as npt

from workstation.audio.arrays import FloatArray
from workstation.audio.files import atomic_file, writing
from workstation.audio.riff import wav_header
from workstation.model import UsageError

Encoding = Literal["float32", "pcm24", "pcm16", "flac", "mp3", "ogg"]
ENCODINGS: tuple[str, ...] = get_args(Encoding)

_SUFFIX = {"flac": ".flac", "mp3": ".mp3", "ogg": ".ogg"}
_WAV_BITS = {"float32": 32, "pcm24": 24, "pcm16": 16}
_MP3_RATES_HZ = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
# libsndfile's settings: 0.0 is the highest rate of LAME (320 kbit/s), 0.2 is Vorbis quality 8.
_SOUNDFILE: dict[str, dict[str, Any]] = {
    "flac": {"format": "FLAC", "subtype": "PCM_24"},
    "mp3": {"format": "MP3", "subtype": "MPEG_LAYER_III", "bitrate_mode": "CONSTANT",
            "compression_level": 0.0},
    "ogg": {"format": "OGG", "subtype": "VORBIS", "compression_level": 0.2},
}  # fmt: skip
_STEP_FRAMES = 1 << 15  # libsndfile's Vorbis encoder crashes on very long blocks.


def suffix_of(encoding: str) -> str:
    """File suffix of an encoding: `.wav`, `.flac`, `.mp3`, `.ogg`."""
    return _SUFFIX.get(encoding, ".wav")


class AudioWriter:
    """Writes an audio file in pieces; it gets its name when the context ends well.

    Integer encodings round to the nearest step of 2^(1-bits), symmetrically around zero; what
    lies beyond full scale is clipped and counted. WAV is plain (format tag 1 or 3) unless a
    channel mask makes it EXTENSIBLE, and becomes RF64 above 4 GiB by itself.

    Args:
        path: The file to write; missing folders are made.
        sample_rate_hz: Sample rate.
        channels: Number of channels.
        encoding: `float32`, `pcm24`, `pcm16` (WAV), `flac` (24 bit), `mp3` (320 kbit/s), `ogg`.
        channel_mask: Which speakers the channels of a WAV are for; 0x3F is 5.1.

    Attributes:
        clipped_samples: How many samples were beyond full scale so far; always 0 where
            the encoding can carry them (`float32`, `mp3`, `ogg`).

    Raises:
        OutputError: The file cannot be written (on entering, writing and leaving).
        UsageError: The encoding cannot carry the rate or the channels.
    """

    def __init__(
        self,
        path: Path | str,
        *,
        sample_rate_hz: int,
        channels: int,
        encoding: str,
        channel_mask: int | None = None,
    ) -> None:
        check_encoding(encoding, sample_rate_hz, channels)
        self._path = Path(path)
        self._rate = sample_rate_hz
        self._channels = channels
        self._encoding = encoding
        self._channel_mask = channel_mask
        self.clipped_samples = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            partial = stack.enter_context(atomic_file(self._path))
            # Unbuffered: a full disk shows where it happens.
            file = stack.enter_context(partial.open("w+b", buffering=0))
            self._encoder: _Encoder
            if self._encoding in _WAV_BITS:
                self._encoder = _WavEncoder(
                    file, self._rate, self._channels, self._encoding, self._channel_mask
                )
            else:
                self._encoder = _SoundFileEncoder(file, self._rate, self._channels, self._encoding)
            stack.callback(self._encoder.close)
            self._stack = stack.pop_all()
        return self

    def write(self, samples: FloatArray) -> None:
        """Append samples of shape (channels, frames).

        Raises:
            OutputError: The disk is full, or the file cannot be written.
            ValueError: The samples have another number of channels, or are not finite.
        """
        if samples.ndim != 2 or samples.shape[0] != self._channels:
            raise ValueError(f"samples of shape {samples.shape} for {self._channels} channels")
        with writing(self._path):
            for start in range(0, samples.shape[1], _STEP_FRAMES):
                block = samples[:, start : start + _STEP_FRAMES]
                if not np.isfinite(block).all():
                    raise ValueError("samples that are not numbers cannot be written")
                self.clipped_samples += self._encoder.write(block)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.__exit__(kind, error, traceback)


class _Encoder(Protocol):
    """Turns samples into the bytes of one format."""

    def write(self, samples: FloatArray) -> int:
        """Write samples and tell how many of them were clipped."""
        ...

    def close(self) -> None:
        """Write what is left."""
        ...


def _quantise(samples: FloatArray, bits: int) -> tuple[npt.NDArray[np.int32], int]:
    """Round to integers of a width; gives them, and how many samples were beyond full scale.

    A sample of exactly 1.0 is one step too large for integers and loses it without counting.
    """
    full = 2.0 ** (bits - 1)
    clipped = int(np.count_nonzero(np.abs(samples) > 1.0))
    scaled = np.rint(samples.astype(np.float64) * full)
    return np.clip(scaled, -full, full - 1).astype(np.int32), clipped


class _WavEncoder:
    """WAV; the header is written again at the end, when the length is known."""

    def __init__(
        self,
        file: BinaryIO,
        rate_hz: int,
        channels: int,
        encoding: str,
        channel_mask: int | None,
    ) -> None:
        self._file = file
        self._channel_mask = channel_mask
        self._rate = rate_hz
        self._channels = channels
        self._bits = _WAV_BITS[encoding]
        self._frames = 0
        _write_all(file, self._header())

    def _header(self) -> bytes:
        return wav_header(
            sample_rate_hz=self._rate, channels=self._channels, frames=self._frames,
            bits=self._bits, floating=self._bits == 32,
            channel_mask=self._channel_mask,
        )  # fmt: skip

    def write(self, samples: FloatArray) -> int:
        clipped = 0
        if self._bits == 32:
            data = np.ascontiguousarray(samples.T, dtype="<f4").tobytes()
        else:
            whole, clipped = _quantise(samples, self._bits)
            octets = np.ascontiguousarray(whole.T, dtype="<i4").view(np.uint8)
            data = octets.reshape(-1, 4)[:, : self._bits // 8].tobytes()
        _write_all(self._file, data)
        self._frames += samples.shape[1]
        return clipped

    def close(self) -> None:
        if self._file.tell() % 2:
            _write_all(self._file, b"\0")
        self._file.seek(0)
        _write_all(self._file, self._header())


class _SoundFileEncoder:
    """FLAC, MP3 and Ogg Vorbis, through libsndfile."""

    def __init__(self, file: BinaryIO, rate_hz: int, channels: int, encoding: str) -> None:
        import soundfile

        self._sink = _Sink(file)
        self._integers = encoding == "flac"
        self._error = soundfile.LibsndfileError
        try:
            self._file = soundfile.SoundFile(
                self._sink, "w", samplerate=rate_hz, channels=channels, **_SOUNDFILE[encoding]
            )
        except self._error as error:
            raise self._sink.error or _impossible(encoding, rate_hz, channels) from error

    def write(self, samples: FloatArray) -> int:
        clipped = 0
        data: npt.NDArray[np.generic] = samples
        if self._integers:
            whole, clipped = _quantise(samples, 24)
            data = np.left_shift(whole, 8)  # libsndfile takes the upper bits of 32.
        try:
            self._file.write(np.ascontiguousarray(data.T))
        except (self._error, AssertionError) as error:
            raise self._sink.error or OSError(str(error)) from error
        if self._sink.error is not None:
            raise self._sink.error
        return clipped

    def close(self) -> None:
        try:
            self._file.close()
        except self._error as error:
            raise self._sink.error or OSError(str(error)) from error
        if self._sink.error is not None:
            raise self._sink.error


class _Sink:
    """A file that keeps the first error: exceptions cannot travel through a C library."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.error: OSError | None = None
        self.seek = file.seek
        self.tell = file.tell
        self.read = file.read

    def write(self, data: bytes) -> int:
        """Write all of the data, or nothing more once there was an error."""
        if self.error is None:
            try:
                _write_all(self._file, data)
            except OSError as error:
                self.error = error
        return len(data) if self.error is None else 0


def _write_all(file: BinaryIO, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]


def check_encoding(encoding: str, rate_hz: int, channels: int) -> None:
    """Find out before the work whether an encoding can carry the audio.

    Raises:
        UsageError: It cannot, or there is no such encoding.
    """
    if encoding not in ENCODINGS:
        raise UsageError(f'There is no encoding "{encoding}".', f"Choose: {', '.join(ENCODINGS)}.")
    most_channels = {"mp3": 2, "ogg": 2, "flac": 8}.get(encoding, channels)
    if channels > most_channels or (encoding == "mp3" and rate_hz not in _MP3_RATES_HZ):
        raise _impossible(encoding, rate_hz, channels)


def _impossible(encoding: str, rate_hz: int, channels: int) -> UsageError:
    return UsageError(
        f"{encoding} cannot carry {channels} channels at {rate_hz} Hz.", "Choose float32 or pcm24."
    )


def write_audio(
    path: Path | str, samples: FloatArray, sample_rate_hz: int, encoding: str = "pcm24"
) -> int:
    """Write samples of shape (channels, frames) as an audio file, whole or not at all.

    Returns:
        How many samples were beyond full scale and were clipped (0 for float32).

    Raises:
        OutputError: The file cannot be written.
        UsageError: The encoding cannot carry the rate or the channels.
    """
    with AudioWriter(
        path, sample_rate_hz=sample_rate_hz, channels=samples.shape[0], encoding=encoding
    ) as writer:
        writer.write(samples)
    return writer.clipped_samples
