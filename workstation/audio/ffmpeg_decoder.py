"""Decoding with FFmpeg, through PyAV."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from workstation.audio.arrays import FloatArray
from workstation.audio.damage import damaged
from workstation.model import InputError
from workstation.model.names import shown

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream
    from av.container import InputContainer
    from av.packet import Packet

_CONVERT = "Convert it to WAV or FLAC with the program it came from, and use that."

# What FFmpeg may take a file for. It knows more, but play lists and their kin name other files
# and addresses, and a file from a stranger must not make us open those.
_FFMPEG_FORMATS = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,ogg,mp3,aac,flac,wav,w64,aiff,caf,au,asf,xwma,wv,tta,"
    "ape,tak,mpc,mpc8,dsf,ac3,eac3,dts,truehd,loas,amr,avi,flv,mpegts,mpeg,voc,rm,oma,shn"
)
# Streams of frames that each begin with a mark: after rubbish the decoder finds its way again.
_SELF_MARKED = frozenset({"mp3", "aac", "ac3", "eac3", "dts", "loas"})
_CONTAINERS = {"mov,mp4,m4a,3gp,3g2,mj2": "MP4", "matroska,webm": "MKV"}
_CODECS = {
    "mp3": "MPEG_LAYER_III", "mp3float": "MPEG_LAYER_III", "vorbis": "VORBIS",
    "opus": "OPUS", "libopus": "OPUS", "flac": "FLAC",
}  # fmt: skip
# Containers round lengths, and encoders miscount by a block or two. A LAME tag and `iTunSMPB`
# count samples; what lacks more than two blocks there has lost some.
_SLACK_S = 0.5
_EXACT_SLACK_S = 0.06
_SKIP_MANUAL = 1 << 29  # AV_CODEC_FLAG2_SKIP_MANUAL


class FfmpegDecoder:
    """FFmpeg, through PyAV; see `workstation.audio.decoders.Decoder`.

    The priming of MP3 and AAC is dropped: by the LAME tag, by edit lists, by `iTunSMPB`.
    """

    sample_rate_hz: int

    def __init__(self, path: Path, stream: int) -> None:
        self._path = path
        self._container = open_container(path)
        try:
            self._start(stream)
        except BaseException:
            self._container.close()
            raise

    def _start(self, stream: int) -> None:
        self._stream = self._choose(stream)
        self._format = self._container.format.name
        self._is_mp4 = "mp4" in self._format
        self._limit = _itunes_frames(self._container.metadata) if self._is_mp4 else None
        context = self._stream.codec_context
        if self._format == "caf" and context.name == "alac":
            # FFmpeg would cut the last block, which is short already, a second time.
            context.flags2 |= _SKIP_MANUAL
        self._blocks = self._decode()
        first = next(self._blocks, None)
        if first is None:
            raise InputError(f"{shown(self._path)} holds no sound that can be read.", _CONVERT)
        self._rest = first
        self.container = _CONTAINERS.get(self._format, self._format.upper())
        self.codec = _CODECS.get(context.name, context.name)
        self.channels = first.shape[0]
        self.frames: int | None = None
        self.promised_s = self._promised_s()
        exact = self._limit is not None or self._format in _SELF_MARKED
        self.slack_s = _EXACT_SLACK_S if exact else _SLACK_S

    def _choose(self, stream: int) -> AudioStream:
        streams = self._container.streams.audio
        name = shown(self._path)
        if not streams:
            raise InputError(f"{name} has no sound in it.", "Choose a file with an audio track.")
        if stream >= len(streams):
            raise InputError(
                f"{name} has {len(streams)} audio streams, so there is no number {stream + 1}.",
                "Export the stem file again from the program it came from.",
            )
        if streams[stream].codec_context is None:
            raise InputError(f"{name} is coded in a way that cannot be decoded here.", _CONVERT)
        return streams[stream]

    def _promised_s(self) -> float | None:
        stream = self._stream
        if self._limit is not None:
            return self._limit / self.sample_rate_hz
        # Without a LAME tag, which shows as a start time, the length of an MP3 is a guess.
        guessed = self._format in _SELF_MARKED and not stream.start_time
        if guessed:
            return None
        if stream.duration is None or stream.time_base is None:
            alone = len(self._container.streams) == 1
            return (self._container.duration or 0) / 1e6 if alone else None
        promised_s = float(stream.duration * stream.time_base)
        if stream.codec_context.name.startswith("pcm_"):
            promised_s = max(promised_s, stream.frames / self.sample_rate_hz)
        return promised_s

    def _decode(self) -> Iterator[FloatArray]:
        """Decode block by block; the last one is held back, for it may have to be cut."""
        shape: tuple[int, int] | None = None
        held: FloatArray | None = None
        last_duration = 0
        done = 0
        for duration, frame in self._frames():
            found = (frame.sample_rate, frame.layout.nb_channels)
            if shape is None:
                shape = found
                self.sample_rate_hz = frame.sample_rate
            elif shape != found:
                raise InputError(
                    f"{shown(self._path)} changes its sample rate or channels after "
                    f"{done / shape[0]:.1f} s.",
                    _CONVERT,
                )
            if held is not None:
                yield held
            held = _as_floats(frame, self._path)
            last_duration = duration
            done += held.shape[1]
            if self._limit is not None and done > self._limit:
                held = held[:, : max(0, held.shape[1] - (done - self._limit))]
        if held is not None:
            yield held[:, : self._kept_of_last(held.shape[1], last_duration)]

    def _kept_of_last(self, samples: int, duration: int) -> int:
        """How much of the last block is sound: MP4 gives its last packet a short duration."""
        in_samples = self._stream.time_base == Fraction(1, self.sample_rate_hz)
        if self._limit is None and self._is_mp4 and in_samples and duration > 0:
            return min(samples, duration)
        return samples

    def _frames(self) -> Iterator[tuple[int, AudioFrame]]:
        """Every decoded frame with the duration of its packet in the stream's time base.

        Rubbish at the start or the end, such as foreign tags, does no harm: what is missing
        shows in the length. In the middle it would shift all that follows.
        """
        done_s = 0.0
        gap = False
        for packet in self._packets():
            frames = _decoded(packet)
            if frames is None:
                gap = done_s > 0 and self._format not in _SELF_MARKED
                continue
            for frame in frames:
                if gap:
                    raise damaged(self._path, done_s)
                done_s += frame.samples / frame.sample_rate
                yield packet.duration or 0, frame

    def _packets(self) -> Iterator[Packet[AudioStream]]:
        import av

        try:
            yield from self._container.demux(self._stream)
        except av.FFmpegError as error:
            if self._format not in _SELF_MARKED:
                raise InputError(
                    f"{shown(self._path)} is damaged and cannot be read to its end.", _CONVERT
                ) from error

    def check_end(self) -> None:
        """Nothing to do: how much there is shows only when all of it is decoded."""

    def read(self, frames: int) -> FloatArray:
        """Get the next samples, shape (channels, n); n < `frames` only at the end."""
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
        """Close the file."""
        self._container.close()


def _decoded(packet: Packet[AudioStream]) -> list[AudioFrame] | None:
    """Frames of a packet; None if it cannot be decoded."""
    import av

    try:
        return packet.decode()
    except av.FFmpegError:
        return None


def _as_floats(frame: AudioFrame, path: Path) -> FloatArray:
    """Samples of a frame as float32 of shape (channels, samples), whatever it holds."""
    try:
        samples: npt.NDArray[Any] = frame.to_ndarray()
    except ValueError as error:
        raise InputError(
            f"{shown(path)} holds samples of the kind {frame.format.name}, which cannot be read.",
            _CONVERT,
        ) from error
    if not frame.format.is_planar:
        samples = samples.reshape(-1, frame.layout.nb_channels).T
    if samples.dtype == np.uint8:
        samples = (samples.astype(np.float32) - 128) / 128
    elif samples.dtype.kind == "i":
        samples = samples / 2.0 ** (8 * samples.dtype.itemsize - 1)
    return samples.astype(np.float32, copy=False)


def open_container(path: Path) -> InputContainer:
    """Open a file with FFmpeg, silently, and with no way to any other file or address.

    Raises:
        InputError: It is no audio or video that FFmpeg knows, or it is damaged.
    """
    import av
    import av.logging

    av.logging.set_level(None)  # FFmpeg's own words would tear the screen.
    try:
        # Absolute, so that FFmpeg does not take "live: song.m4a" for an address.
        return av.open(
            str(path.absolute()),
            metadata_errors="replace",
            options={"format_whitelist": _FFMPEG_FORMATS, "protocol_whitelist": "file"},
        )
    except (av.FFmpegError, OSError, ValueError) as error:
        raise InputError(
            f"{shown(path)} is not audio that can be read here, or it is damaged.", _CONVERT
        ) from error


def _itunes_frames(metadata: dict[str, str]) -> int | None:
    """Exact length that iTunes writes beside AAC: `0 priming padding frames`, hexadecimal."""
    fields = metadata.get("iTunSMPB", "").split()
    try:
        frames = int(fields[3], 16)
    except (IndexError, ValueError):
        return None
    return frames or None
