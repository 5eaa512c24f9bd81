"""Makes audio files to read: what libsndfile cannot write comes from FFmpeg, through PyAV.

Other rooms' tests import it as `from tests.audio.encode import ...`.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]

_SAMPLE_FORMATS = ("s16p", "s16", "fltp", "flt")
_LAYOUTS = {1: "mono", 2: "stereo", 6: "5.1"}


def noise(frames: int, channels: int = 2, *, seed: int = 0, level: float = 0.1) -> FloatArray:
    """Low-passed noise on a 16-bit grid: every lossless format carries it exactly."""
    rough = np.random.default_rng(seed).standard_normal((channels, frames + 7))
    smooth = np.stack([np.convolve(row, np.ones(8) / 8, "valid") for row in rough])
    return (np.rint(np.clip(smooth * level, -0.9, 0.9) * 32768) / 32768).astype(np.float32)


def names_in(folder: Path) -> list[str]:
    """Names of everything in a folder, in order."""
    return sorted(path.name for path in folder.iterdir())


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
    known = [each.name for each in stream.codec_context.codec.audio_formats]
    stream.codec_context.format = next(each for each in _SAMPLE_FORMATS if each in known)
    stream.codec_context.time_base = Fraction(1, rate_hz)
    stream.codec_context.bit_rate = bit_rate
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
    """Put a `stem` box into `moov/udta`."""
    _replace_udta(path, lambda old: old + box(b"stem", text))


def add_itunes_length(path: Path, *, priming: int, padding: int, frames: int) -> None:
    """Write the length the way iTunes does, as the tag `iTunSMPB`, and nothing else beside it."""
    text = f" 00000000 {priming:08X} {padding:08X} {frames:016X}" + " 00000000" * 8
    free_form = (
        box(b"mean", bytes(4) + b"com.apple.iTunes")
        + box(b"name", bytes(4) + b"iTunSMPB")
        + box(b"data", struct.pack(">II", 1, 0) + text.encode())
    )
    handler = box(b"hdlr", bytes(8) + b"mdirappl" + bytes(9))
    meta = box(b"meta", bytes(4) + handler + box(b"ilst", box(b"----", free_form)))
    _replace_udta(path, lambda _old: meta)


def without_edit_list(path: Path) -> None:
    """Hide the edit list of an MP4, as if its writer had known none."""
    path.write_bytes(path.read_bytes().replace(b"edts", b"free"))


def box(name: bytes, contents: bytes) -> bytes:
    """One MP4 box."""
    return struct.pack(">I4s", 8 + len(contents), name) + contents


def _replace_udta(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Change the contents of `moov/udta`; `moov` must be the last box of the file."""
    data = path.read_bytes()
    at = _find(data, b"moov")
    moov = data[at + 8 :]
    inside = _find(moov, b"udta")
    udta = box(b"udta", change(moov[inside + 8 :]))
    path.write_bytes(data[:at] + box(b"moov", moov[:inside] + udta))


def _find(data: bytes, name: bytes) -> int:
    at = 0
    while at < len(data) and data[at + 4 : at + 8] != name:
        at += struct.unpack_from(">I", data, at)[0]
    return at


def video_without_sound(path: Path) -> Path:
    """Write a second of black."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for _ in range(10):
            black = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            output.mux(stream.encode(black))
        output.mux(stream.encode(None))
    return path
