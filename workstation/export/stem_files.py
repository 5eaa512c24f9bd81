"""Stems as audio files for other programs: plain names, one length, one common gain."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np

from workstation.audio import (
    AudioWriter,
    Bext,
    Cue,
    add_wav_chunks,
    open_audio,
    suffix_of,
)
from workstation.export.project import ExportOptions, Project, Track
from workstation.model import JobContext
from workstation.model.names import ascii_name

_BLOCK_FRAMES = 1 << 18
# Just below full scale, so that rounding to integers cannot clip.
_CEILING = 0.99999


class StemFiles(msgspec.Struct, frozen=True):
    """Audio files that were written.

    Attributes:
        names: File name of every track, in their order.
        channels: Channels of every track.
        notes: In words, what had to be changed.
    """

    names: tuple[str, ...]
    channels: tuple[int, ...]
    notes: tuple[str, ...]


def write_stems(
    project: Project, folder: Path, options: ExportOptions, job: JobContext
) -> StemFiles:
    """Write every stem as `NN Name.<suffix>`, from sample 0, all of the song's length.

    Stems may go beyond full scale in float; integers cannot. If one does, all are lowered by
    one common gain, so that they still sum to the mix, and a note says by how much.

    Raises:
        OutputError: The folder cannot be written.
    """
    gain, notes = 1.0, []
    if options.encoding != "float32":
        gain = _common_gain(project, job.part(0.0, 0.2))
        if gain < 1:
            notes.append(
                f"All stems are {-20 * math.log10(gain):.1f} dB lower: one goes beyond full "
                f"scale, which {options.encoding} cannot hold. --encoding float32 keeps the level."
            )
    cues = [Cue(round(s.start_s * project.sample_rate_hz), s.label) for s in project.sections]
    names, channels = [], []
    count = len(project.tracks)
    for index, track in enumerate(project.tracks):
        name = f"{index + 1:02d} {ascii_name(track.name, fallback='Stem')}"
        path = folder / (name + suffix_of(options.encoding))
        step = job.part(0.2 + 0.8 * index / count, 0.2 + 0.8 * (index + 1) / count)
        channels.append(_write_stem(track, path, project, gain, options.encoding, step))
        if path.suffix == ".wav" and path.stat().st_size < 0xFFF0_0000:
            add_wav_chunks(
                path, bext=Bext(description=f"{project.title} - {track.name}"), cues=cues
            )
        names.append(path.name)
    return StemFiles(tuple(names), tuple(channels), tuple(notes))


def _common_gain(project: Project, job: JobContext) -> float:
    """The gain that brings the loudest stem below full scale; 1 if all are."""
    peak = 0.0
    for index, track in enumerate(project.tracks):
        step = job.part(index / len(project.tracks), (index + 1) / len(project.tracks))
        with open_audio(track.path) as reader:
            done = 0
            while (block := reader.read(_BLOCK_FRAMES)).shape[1]:
                step.check()
                done += block.shape[1]
                step.report(done / project.frames)
                peak = max(peak, float(np.abs(block).max()))
    return 1.0 if peak <= 1.0 else _CEILING / peak


def _write_stem(
    track: Track, path: Path, project: Project, gain: float, encoding: str, job: JobContext
) -> int:
    """Write one stem; returns how many channels it has."""
    with (
        open_audio(track.path) as reader,
        AudioWriter(
            path,
            sample_rate_hz=reader.sample_rate_hz,
            channels=reader.channels,
            encoding=encoding,
        ) as writer,
    ):
        done = 0
        while (block := reader.read(_BLOCK_FRAMES)).shape[1]:
            job.check()
            done += block.shape[1]
            job.report(done / project.frames)
            writer.write(block if gain == 1 else block * np.float32(gain))
        return reader.channels
