"""Reading audio: every format, in pieces, at its own rate, with its exact number of frames.

libsndfile reads what it knows (WAV, FLAC, MP3, Ogg, AIFF, CAF, …), FFmpeg through PyAV the
rest (M4A, MP4, ALAC, …). Both drop the delay that encoders add to MP3 and AAC.
"""

from __future__ import annotations

import difflib
import functools
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol, Self

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.model import InputError

if TYPE_CHECKING:
    from av.audio.stream import AudioStream

FloatArray = npt.NDArray[np.float32]

DECODABLE_SUFFIXES = (
    ".wav",
    ".wave",
    ".rf64",
    ".bwf",
    ".w64",
    ".flac",
    ".mp3",
    ".ogg",
    ".oga",
    ".opus",
    ".aif",
    ".aiff",
    ".aifc",
    ".caf",
    ".au",
    ".m4a",
    ".mp4",
    ".m4b",
    ".aac",
    ".alac",
    ".wma",
    ".webm",
    ".mka",
    ".mkv",
    ".mov",
)
_CONVERT = "Convert it to WAV or FLAC with the program it came from, and use that."
# libsndfile's answer for a FLAC that was streamed and does not know its length.
_UNKNOWN_FRAMES = 1 << 62
_STEP_FRAMES = 1 << 15


class AudioInfo(msgspec.Struct, frozen=True):
    """What an audio file holds.

    Attributes:
        path: The file.
        container: `WAV`, `FLAC`, `MP3`, `OGG`, `AIFF`, `CAF`, `MP4`, …
        codec: How samples are coded: `PCM_24`, `FLOAT`, `VORBIS`, `aac`, `alac`, …
        sample_rate_hz: Sample rate.
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


class _Decoder(Protocol):
    """One library's way to read a stream from its start to its end."""

    container: str
    codec: str
    sample_rate_hz: int
    channels: int
    frames: int | None

    def read(self, frames: int) -> FloatArray: ...

    def close(self) -> None: ...


class AudioReader:
    """Reads an audio stream from start to end, in pieces. Made by `open_audio`.

    Attributes:
        sample_rate_hz: Sample rate of the file.
        channels: Number of channels.
        frames: Samples per channel, exact.
    """

    def __init__(self, path: Path, decoder: _Decoder, frames: int) -> None:
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
            raise InputError(
                f"{self._path} holds samples that are not numbers (NaN or infinity).",
                "Export it again from the program it came from.",
            )
        self._done += samples.shape[1]
        if samples.shape[1] < frames and self.frames is not None and self._done < self.frames:
            raise _truncated(
                self._path, self._done / self.sample_rate_hz, self.frames / self.sample_rate_hz
            )
        return samples

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._decoder.close()


def open_audio(path: Path | str, *, stream: int = 0) -> AudioReader:
    """Open an audio file for reading from its start, as a context manager.

    Args:
        path: The file.
        stream: Which audio stream; only MP4 and its kin have more than one.

    Raises:
        InputError: The file is not there, is no audio, or is damaged.
    """
    path = Path(path)
    frames = probe(path, stream=stream).frames
    return AudioReader(path, _decoder(path, stream), frames)


def read_audio(path: Path | str) -> tuple[FloatArray, int]:
    """Read a whole audio file: float32 samples of shape (channels, frames), and the rate in Hz.

    Raises:
        InputError: The file is not there, is no audio, or is damaged.
    """
    with open_audio(path) as reader:
        assert reader.frames is not None
        return reader.read(reader.frames), reader.sample_rate_hz


def probe(path: Path | str, *, stream: int = 0) -> AudioInfo:
    """Find out what an audio file holds.

    A compressed file of unknown length is decoded once to count its frames.

    Raises:
        InputError: The file is not there, is no audio, is empty or damaged.
    """
    path = Path(path)
    _check_file(path)
    stat = path.stat()
    return _probe(path, stream, stat.st_size, stat.st_mtime_ns)


@functools.lru_cache(maxsize=256)
def _probe(path: Path, stream: int, size: int, modified: int) -> AudioInfo:
    """Probe once per state of a file: counting the frames of a long M4A takes seconds."""
    del size, modified
    decoder = _decoder(path, stream)
    try:
        frames = decoder.frames
        if frames is None:
            frames = 0
            while got := decoder.read(1 << 18).shape[1]:
                frames += got
    finally:
        decoder.close()
    if frames == 0:
        raise InputError(f"{path} holds no sound: it has no samples.", "Choose another file.")
    return AudioInfo(
        path, decoder.container, decoder.codec, decoder.sample_rate_hz, decoder.channels, frames
    )


def _check_file(path: Path) -> None:
    if path.is_dir():
        raise InputError(
            f"{path} is a folder, not an audio file.",
            "Give an audio file, or a folder that holds the stems of one song.",
        )
    try:
        with path.open("rb") as file:
            head = file.read(12)
    except FileNotFoundError as error:
        raise InputError(f"{path} is not there.", _near_names(path)) from error
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}.",
            "Check the name and the permissions of the file.",
        ) from error
    if not head:
        raise InputError(f"{path} is empty (0 bytes).", "Copy or export it again.")


def _near_names(path: Path) -> str:
    try:
        names = [p.name for p in path.parent.iterdir()]
    except OSError:
        return f"The folder {path.parent} cannot be read either; check the path."
    near = difflib.get_close_matches(path.name, names, n=1)
    return f'Did you mean "{path.with_name(near[0])}"?' if near else "Check the path."


def _truncated(path: Path, whole_s: float, promised_s: float) -> InputError:
    return InputError(
        f"{path} is cut off or damaged: {whole_s:.1f} of {promised_s:.1f} s can be read.",
        "Copy or export it again; to keep the part that is whole, save it anew in an audio editor.",
    )


def _decoder(path: Path, stream: int) -> _Decoder:
    """Open with libsndfile, and what it does not know with FFmpeg."""
    import soundfile

    if stream == 0:
        _check_riff(path)
        try:
            return _SoundFileDecoder(path)
        except soundfile.LibsndfileError:
            pass  # A format it does not know, or a damaged file: FFmpeg has the last word.
    return _AvDecoder(path, stream)


def _check_riff(path: Path) -> None:
    """Refuse a WAV that ends before its header says: libsndfile would shorten it silently."""
    size = path.stat().st_size
    with path.open("rb") as file:
        if file.read(4) != b"RIFF":
            return
        file.seek(12)
        rate_bytes = 0
        while len(head := file.read(8)) == 8:
            name, length = struct.unpack("<4sI", head)
            if name == b"fmt " and length >= 16:
                fmt = file.read(16)
                rate_bytes = struct.unpack_from("<I", fmt, 8)[0]
                length -= 16
            if name == b"data":
                here = file.tell()
                # Programs that write to a pipe leave 0 or the largest number.
                if rate_bytes and 0 < length < 0xFFFFFF00 and here + length > size:
                    raise _truncated(path, (size - here) / rate_bytes, length / rate_bytes)
                return
            file.seek(length + length % 2, 1)


@contextmanager
def _quiet(path: Path) -> Iterator[None]:
    """Keep the MP3 decoder's own remarks off the terminal: it writes to descriptor 2."""
    if path.suffix.lower() != ".mp3":
        yield
        return
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


class _SoundFileDecoder:
    """libsndfile."""

    def __init__(self, path: Path) -> None:
        import soundfile

        with _quiet(path):
            self._file = soundfile.SoundFile(path)
        if self._file.frames == 0 and self._file.format == "OGG":
            # An Ogg without its last page; FFmpeg reads what is there.
            self._file.close()
            raise soundfile.LibsndfileError(0)
        self.container = {"WAVEX": "WAV", "RF64": "WAV"}.get(self._file.format, self._file.format)
        self.codec: str = self._file.subtype
        self.sample_rate_hz: int = self._file.samplerate
        self.channels: int = self._file.channels
        known = self._file.frames < _UNKNOWN_FRAMES
        self.frames: int | None = self._file.frames if known else None
        self._path = path
        self._done = 0

    def read(self, frames: int) -> FloatArray:
        import soundfile

        left = frames if self.frames is None else min(frames, self.frames - self._done)
        samples = np.empty((self.channels, max(left, 0)), np.float32)
        at = 0
        try:
            # In small steps, so that the place of a damage can be told.
            while at < samples.shape[1]:
                with _quiet(self._path):
                    got = self._file.read(
                        min(_STEP_FRAMES, samples.shape[1] - at), dtype="float32", always_2d=True
                    )
                if not len(got):
                    break
                samples[:, at : at + len(got)] = got.T
                at += len(got)
        except soundfile.LibsndfileError as error:
            whole = (self._done + at) / self.sample_rate_hz
            raise _truncated(self._path, whole, (self.frames or 0) / self.sample_rate_hz) from error
        self._done += at
        return samples[:, :at]

    def close(self) -> None:
        self._file.close()


class _AvDecoder:
    """FFmpeg, through PyAV."""

    def __init__(self, path: Path, stream: int) -> None:
        import av
        import av.logging

        av.logging.set_level(None)  # FFmpeg's own words would tear the screen.
        self._path = path
        try:
            self._container = av.open(str(path), metadata_errors="replace")
        except (av.FFmpegError, OSError, ValueError) as error:
            raise InputError(
                f"{path} is not audio that can be read here, or it is damaged.", _CONVERT
            ) from error
        streams = self._container.streams.audio
        if stream >= len(streams):
            self._container.close()
            raise InputError(
                f"{path} has {len(streams) or 'no'} audio streams.",
                "Choose a file with sound in it.",
            )
        chosen: AudioStream = streams[stream]
        # One stem of a stem file at a time; the other streams are passed over.
        self.container = {"mov,mp4,m4a,3gp,3g2,mj2": "MP4", "caf": "CAF", "mp3": "MP3"}.get(
            self._container.format.name, self._container.format.name.split(",")[0].upper()
        )
        self.codec = chosen.codec_context.name
        self.sample_rate_hz = int(chosen.codec_context.sample_rate)
        self.channels = int(chosen.codec_context.channels)
        self.frames: int | None = None
        self._blocks = self._decode(chosen)
        self._rest: FloatArray = np.zeros((self.channels, 0), np.float32)

    def _decode(self, stream: AudioStream) -> Iterator[FloatArray]:
        import av

        resampler = av.AudioResampler(format="fltp")
        done = 0
        try:
            for frame in self._container.decode(stream):
                for part in resampler.resample(frame):
                    block: npt.NDArray[Any] = part.to_ndarray()
                    done += block.shape[1]
                    yield block.astype(np.float32, copy=False)
        except av.FFmpegError as error:
            raise InputError(
                f"{self._path} is damaged after {done / self.sample_rate_hz:.1f} s.",
                "Copy or export it again; to keep the part that is whole, save it anew in an "
                "audio editor.",
            ) from error

    def read(self, frames: int) -> FloatArray:
        parts, have = [self._rest], self._rest.shape[1]
        while have < frames:
            block = next(self._blocks, None)
            if block is None:
                break
            parts.append(block)
            have += block.shape[1]
        samples = np.concatenate(parts, axis=1)
        self._rest = samples[:, frames:]
        return samples[:, :frames]

    def close(self) -> None:
        self._container.close()
