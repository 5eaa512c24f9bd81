"""Makes audio files to read: what libsndfile cannot write comes from FFmpeg, through PyAV.

Other rooms' tests import it as `from tests.audio.encode import ...`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def noise(frames: int, channels: int = 2, *, seed: int = 0, level: float = 0.1) -> FloatArray:
    """Low-passed noise on a 16-bit grid: every lossless format carries it exactly."""
    rough = np.random.default_rng(seed).standard_normal((channels, frames + 7))
    smooth = np.stack([np.convolve(row, np.ones(8) / 8, "valid") for row in rough])
    return (np.rint(np.clip(smooth * level, -0.9, 0.9) * 32768) / 32768).astype(np.float32)


def encode(
    path: Path,
    samples: FloatArray | Sequence[FloatArray],
    rate_hz: int,
    codec: str,
    *,
    bit_rate: int = 192_000,
    container: str | None = None,
    metadata: Mapping[str, str] | None = None,
) -> Path:
    """Write one array of shape (channels, frames), or one audio stream for each of several."""
    tracks = [samples] if isinstance(samples, np.ndarray) else list(samples)
    with av.open(str(path), "w", format=container) as output:
        output.metadata.update(metadata or {})
        streams = [_stream(output, track, rate_hz, codec, bit_rate) for track in tracks]
        for stream, track in zip(streams, tracks, strict=True):
            fifo = _fifo(stream, track, rate_hz)
            size = stream.codec_context.frame_size or 4096
            while (frame := fifo.read(size, partial=True)) is not None:
                output.mux(stream.encode(frame))
            output.mux(stream.encode(None))
    return path


def _stream(output, track, rate_hz, codec, bit_rate):
    stream = output.add_stream(codec, rate=rate_hz)
    stream.codec_context.layout = _LAYOUTS[track.shape[0]]
    stream.codec_context.format = stream.codec_context.codec.audio_formats[0].name
    stream.codec_context.time_base = Fraction(1, rate_hz)
    stream.codec_context.bit_rate = bit_rate
    if codec in {"opus", "vorbis"}:
        stream.codec_context.options = {"strict": "experimental"}
    stream.codec_context.open()
    return stream


def _fifo(stream, track, rate_hz):
    whole = av.AudioFrame.from_ndarray(
        np.ascontiguousarray(track), format="fltp", layout=_LAYOUTS[track.shape[0]]
    )
    whole.sample_rate = rate_hz
    whole.pts = 0
    whole.time_base = Fraction(1, rate_hz)
    fifo = av.AudioFifo()
    resampler = av.AudioResampler(
        format=stream.codec_context.format.name, layout=stream.codec_context.layout.name
    )
    for part in resampler.resample(whole):
        fifo.write(part)
    return fifo


def stem_file(
    path: Path,
    mix: FloatArray,
    stems: Mapping[str, FloatArray],
    rate_hz: int,
    *,
    codec: str = "alac",
    colours: Sequence[str] = ("#E95A5A", "#E9A23B", "#4FB286", "#5A8DE9"),
) -> Path:
    """Write a Native Instruments stem file: the mix and its stems as streams, and their names."""
    encode(path, [mix, *stems.values()], rate_hz, codec, container="mp4")
    names = [{"color": colour, "name": name} for name, colour in zip(stems, colours, strict=False)]
    add_stem_box(path, json.dumps({"mastering_dsp": {}, "version": 1, "stems": names}).encode())
    return path


def add_stem_box(path: Path, text: bytes) -> None:
    """Put a `stem` box into `moov/udta`; `moov` must be the last box of the file."""
    data = path.read_bytes()
    at = 0
    while data[at + 4 : at + 8] != b"moov":
        at += struct.unpack_from(">I", data, at)[0]
    moov = data[at + 8 :]
    box = struct.pack(">I4s", 8 + len(text), b"stem") + text
    inside = 0
    while inside < len(moov) and moov[inside + 4 : inside + 8] != b"udta":
        inside += struct.unpack_from(">I", moov, inside)[0]
    old = moov[inside + 8 :] if inside < len(moov) else b""
    udta = struct.pack(">I4s", 8 + len(old) + len(box), b"udta") + old + box
    body = moov[:inside] + udta
    path.write_bytes(data[:at] + struct.pack(">I4s", 8 + len(body), b"moov") + body)
