"""Native Instruments stem files: five audio streams in an MP4, and a box that names them.

The `stem` box in `moov/udta` holds JSON with a name and colour for each of the four stems;
stream 0 is the mix, streams 1 to 4 are the stems. Boxes after ISO/IEC 14496-12, the JSON after
the Stem File Specification of Native Instruments (2015).
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO, Self

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.audio.arrays import FloatArray
from workstation.audio.files import atomic_file, writing
from workstation.model import InputError, UsageError
from workstation.model.names import shown

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.audio.stream import AudioStream

_MOST_BOX_BYTES = 1 << 20
_MOST_STEMS = 16
_MOST_NAME = 100
_BOXES = (b"moov", b"udta", b"stem")
_GREY = "#9aa0a6"
_BITS = 24
_AAC_BITS_PER_SECOND = 256_000
# The settings that Stem Creator begins with: both are off, and the stems sum to the mix.
_MASTERING = {
    "compressor": {
        "enabled": False,
        "ratio": 3,
        "output_gain": 0.5,
        "release": 0.3,
        "attack": 0.003,
        "input_gain": 0.5,
        "threshold": 0,
        "hp_cutoff": 300,
        "dry_wet": 50,
    },
    "limiter": {"enabled": False, "release": 0.05, "threshold": 0, "ceiling": -0.35},
}


class StemTrack(msgspec.Struct, frozen=True):
    """One stem inside a stem file: its name, its colour (`#rrggbb`) and its audio stream."""

    name: str
    colour: str
    stream: int


def stem_tracks(path: Path | str) -> list[StemTrack] | None:
    """List the stems of a `.stem.mp4` or `.stem.m4a`; None if the file is not one.

    Read the audio of a stem with `open_audio(path, stream=track.stream)`.

    Raises:
        InputError: The file cannot be read.
    """
    path = Path(path)
    try:
        with path.open("rb") as file:
            if file.read(8)[4:] != b"ftyp":
                return None
            text = _box(file, 0, file.seek(0, 2), _BOXES)
    except OSError as error:
        raise InputError(
            f"{shown(path)} cannot be read: {error.strerror}.", "Check the file."
        ) from error
    return None if text is None else _tracks(text)


def _tracks(text: bytes) -> list[StemTrack] | None:
    """Stems by the contents of the box; None if it is not the box of a stem file after all."""
    try:
        stems = json.loads(text)["stems"][:_MOST_STEMS]
        return [
            StemTrack(_name(stem.get("name"), index), _colour(stem.get("color")), index)
            for index, stem in enumerate(stems, start=1)
        ] or None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None


def _box(file: BinaryIO, start: int, end: int, names: tuple[bytes, ...]) -> bytes | None:
    """Contents of the box that is reached by a path of names, between two places of a file."""
    at = start
    while at + 8 <= end:
        file.seek(at)
        size, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if size == 1 and at + 16 <= end:
            size, head = struct.unpack(">Q", file.read(8))[0], 16
        elif size == 0:
            size = end - at
        if size < head or at + size > end:
            return None
        if name == names[0]:
            if len(names) > 1:
                return _box(file, at + head, at + size, names[1:])
            return file.read(size - head) if size <= _MOST_BOX_BYTES else None
        at += size
    return None


def _name(text: object, index: int) -> str:
    kept = "".join(c for c in text if c.isprintable()) if isinstance(text, str) else ""
    return kept.strip()[:_MOST_NAME] or f"Stem {index}"


def _colour(text: object) -> str:
    known = isinstance(text, str) and re.fullmatch(r"#[0-9a-fA-F]{6}", text)
    return str(text).lower() if known else _GREY


class StemMp4Writer:
    """Writes a stem file in pieces; it gets its name when the context ends well.

    The mix is the sum of the stems. With `alac` it is so to the bit: stems are rounded to 24
    bits, and the mix is the sum of what was rounded.

    Args:
        path: The file to write; missing folders are made.
        stems: Name and colour (`#rrggbb`) of every stem. Programs expect four.
        sample_rate_hz: Sample rate.
        codec: `alac` (24 bit, exact) or `aac` (256 kbit/s).
        tags: Text about the whole song, such as `title` and `artist`.

    Raises:
        UsageError: The codec does not know the sample rate (on entering).
        OutputError: The file cannot be written (on entering, writing and leaving).
    """

    def __init__(
        self,
        path: Path | str,
        stems: Sequence[tuple[str, str]],
        *,
        sample_rate_hz: int,
        codec: str,
        tags: Mapping[str, str],
    ) -> None:
        self._path = Path(path)
        self._stems = stems
        self._rate = sample_rate_hz
        self._codec = codec
        self._tags = tags
        self._frames = 0

    def __enter__(self) -> Self:
        import av
        import av.logging

        av.logging.set_level(None)  # FFmpeg's own words would tear the screen.
        with ExitStack() as stack:
            self._partial = stack.enter_context(atomic_file(self._path))
            # Without its version and the date: the same song gives the same file.
            options = {"fflags": "+bitexact"}
            self._container = av.open(
                str(self._partial.absolute()), "w", format="mp4", options=options
            )
            stack.callback(self._container.close)
            self._container.metadata.update({k: text for k, text in self._tags.items() if text})
            self._streams = [self._stream() for _ in range(1 + len(self._stems))]
            self._stack = stack.pop_all()
        return self

    def _stream(self) -> AudioStream:
        import av

        rates = av.Codec(self._codec, "w").audio_rates
        if rates and self._rate not in rates:
            raise UsageError(
                f"{self._codec} cannot carry {self._rate} Hz.", "Choose the encoding pcm24."
            )
        stream = self._container.add_stream(self._codec, rate=self._rate, layout="stereo")
        assert isinstance(stream, av.AudioStream)
        if self._codec == "alac":
            stream.format = "s32p"
        else:
            stream.bit_rate = _AAC_BITS_PER_SECOND
        return stream

    def write(self, blocks: Sequence[FloatArray]) -> None:
        """Append one block of every stem; all have the same shape (2, frames).

        Samples of the stems and of their sum must lie within full scale.

        Raises:
            OutputError: The disk is full, or the file cannot be written.
        """
        if self._codec == "alac":
            parts: Sequence[npt.NDArray[np.generic]] = self._integers(blocks)
        else:
            parts = [np.sum(blocks, axis=0, dtype=np.float32), *blocks]
        with writing(self._path):
            for stream, part in zip(self._streams, parts, strict=True):
                for packet in stream.encode(self._frame(part)):
                    self._container.mux(packet)
        self._frames += blocks[0].shape[1]

    def _integers(self, blocks: Sequence[FloatArray]) -> list[npt.NDArray[np.int32]]:
        """The mix and the stems as FFmpeg takes 24 bits: in the upper bits of 32."""
        full = 1 << (_BITS - 1)
        whole = [
            np.clip(np.rint(block.astype(np.float64) * full), -full, full - 1).astype(np.int32)
            for block in blocks
        ]
        mix = np.clip(np.sum(whole, axis=0, dtype=np.int32), -full, full - 1)
        return [np.left_shift(part, 32 - _BITS) for part in (mix, *whole)]

    def _frame(self, samples: npt.NDArray[np.generic]) -> AudioFrame:
        import av

        kind = "s32p" if self._codec == "alac" else "fltp"
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), kind, "stereo")
        frame.sample_rate = self._rate
        frame.time_base = Fraction(1, self._rate)
        frame.pts = self._frames
        return frame

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._stack:  # It keeps the file or takes it away.
            if error is not None:
                raise error
            with writing(self._path):
                self._finish()

    def _finish(self) -> None:
        for stream in self._streams:
            for packet in stream.encode(None):
                self._container.mux(packet)
        self._container.close()
        _add_box(self._partial, self._text())

    def _text(self) -> bytes:
        stems = [{"color": colour.upper(), "name": name} for name, colour in self._stems]
        contents = {"mastering_dsp": _MASTERING, "version": 1, "stems": stems}
        return json.dumps(contents, ensure_ascii=False).encode()


def _add_box(path: Path, text: bytes) -> None:
    """Put the `stem` box into `moov/udta`, where `moov` is the last box of the file.

    That is how FFmpeg writes it, and there it can grow without moving any sample.
    """
    with path.open("rb+") as file:
        at, moov = _last_box(file)
        assert moov[4:8] == b"moov"
        box = struct.pack(">I4s", 8 + len(text), b"stem") + text
        start, size = 8, 0
        while start < len(moov):
            size, name = struct.unpack_from(">I4s", moov, start)
            if name == b"udta":
                break
            start += size
        else:
            moov, size = moov + struct.pack(">I4s", 8, b"udta"), 8
        contents = moov[start + 8 : start + size] + box
        udta = struct.pack(">I4s", 8 + len(contents), b"udta") + contents
        body = moov[8:start] + udta + moov[start + size :]
        file.seek(at)
        file.write(struct.pack(">I4s", 8 + len(body), b"moov") + body)


def _last_box(file: BinaryIO) -> tuple[int, bytes]:
    """The last box of a file and where it begins."""
    end, at = file.seek(0, 2), 0
    while True:
        file.seek(at)
        size = struct.unpack(">I4s", file.read(8))[0]
        if size == 1:
            size = struct.unpack(">Q", file.read(8))[0]
        if at + size >= end:
            file.seek(at)
            return at, file.read()
        at += size
