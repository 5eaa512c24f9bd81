"""The stems of a session read in step, block by block, and files that are made of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from workstation.audio import FloatArray, check_encoding, map_samples
from workstation.model import ExistsError, JobContext, UsageError
from workstation.model.names import file_name, shown

if TYPE_CHECKING:
    from workstation.studio.session import Session

BLOCK_FRAMES = 1 << 16
_ENCODINGS = {".wav": ("float32", "pcm24", "pcm16"), ".flac": ("flac",)}


class Rendered(msgspec.Struct, frozen=True):
    """What was rendered.

    Attributes:
        path: The file.
        duration_s: Its length in seconds.
        clipped_samples: Samples beyond full scale that the encoding could not carry.
    """

    path: Path
    duration_s: float
    clipped_samples: int


def check_output(out: Path, encoding: str, rate_hz: int, channels: int, *, overwrite: bool) -> str:
    """Find out before the work whether a mix can be written, and how it is coded.

    Raises:
        UsageError: The file's name says a format that mixes are not written in.
        ExistsError: It is there and is not to be overwritten.
    """
    allowed = _ENCODINGS.get(out.suffix.lower())
    if allowed is None:
        raise UsageError(
            f'{shown(out)} cannot be rendered: "{shown(out.suffix)}" is none of its formats.',
            "Name the file .wav or .flac.",
        )
    if encoding not in allowed:
        encoding = allowed[0]
    check_encoding(encoding, rate_hz, channels)
    if out.exists() and not overwrite:
        raise ExistsError(f"{shown(out)} is there already.", "Choose another name, or --overwrite.")
    return encoding


def mix_file(
    session: Session,
    what: str,
    out: Path | str | None,
    encoding: str,
    *,
    overwrite: bool,
    channels: int = 0,
) -> tuple[Path, str]:
    """Where a mix of a session goes and how it is coded, found out before the work.

    Args:
        session: The song.
        what: `karaoke`: its default name is `<title> - karaoke.wav` in the working folder.
        out: The file, or None for the default.
        encoding: As asked for.
        overwrite: Whether a file that is there may be replaced.
        channels: Of the mix; 0 is as many as the song has.

    Raises:
        UsageError: The file's name says another format, or it is a part of the session.
        ExistsError: It is there and is not to be overwritten.
    """
    if out is None:
        out = file_name(f"{session.song.title} - {what}", fallback=what) + ".wav"
    out = Path(out)
    session.check_apart(out)
    source = session.song.source
    encoding = check_output(
        out, encoding, source.sample_rate_hz, channels or source.channels, overwrite=overwrite
    )
    return out, encoding


class StemBlocks:
    """The stems of a session, mapped and not loaded: memory does not grow with the song.

    Attributes:
        names: Names of the stems, in the order of tracks.
        channels: Of the widest stem; a mono stem sounds on every channel.
        frames: Length of the song in frames.
        sample_rate_hz: Rate of the song.
    """

    def __init__(self, session: Session) -> None:
        mapped = {name: map_samples(path) for name, path in session.stems.items()}
        self._samples: dict[str, FloatArray] = mapped
        self.names = tuple(mapped)
        self.channels = max(samples.shape[1] for samples in mapped.values())
        self.frames = max(len(samples) for samples in mapped.values())
        self.sample_rate_hz = session.song.source.sample_rate_hz

    def read(self, name: str, start: int, frames: int) -> FloatArray:
        """Some samples of a stem: (channels, frames), float32; silence after its end."""
        part = self._samples[name][start : start + frames].T
        block = np.zeros((self.channels, frames), np.float32)
        block[:, : part.shape[1]] = part
        return block

    def mix(self, gains: Mapping[str, float], start: int, frames: int) -> FloatArray:
        """The sum of stems by their gains as factors; those without one are left out."""
        total = np.zeros((self.channels, frames), np.float32)
        for name, gain in gains.items():
            if gain:
                total += self.read(name, start, frames) * np.float32(gain)
        return total

    def blocks(self, gains: Mapping[str, float], job: JobContext) -> Iterator[FloatArray]:
        """`mix` over the whole song.

        Raises:
            CancelledError: The job was cancelled.
        """
        for start in range(0, self.frames, BLOCK_FRAMES):
            job.check()
            job.report(start / self.frames)
            yield self.mix(gains, start, min(BLOCK_FRAMES, self.frames - start))
