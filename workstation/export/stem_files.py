"""Stems as audio files for other programs: plain names, one length, one common gain."""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from pathlib import Path

import msgspec
import numpy as np

from workstation.audio import (
    AudioWriter,
    Bext,
    Cue,
    add_wav_chunks,
    open_audio,
    probe,
    suffix_of,
)
from workstation.export.project import ExportOptions, Project, Track
from workstation.export.text import one_line
from workstation.model import InputError, JobContext
from workstation.model.names import ascii_name

ENCODINGS = ("pcm24", "float32", "flac", "mp3")
_BYTES_PER_SAMPLE = {"float32": 4, "pcm24": 3, "flac": 3, "mp3": 1}
_BLOCK_FRAMES = 1 << 18
_PIECE_BYTES = 1 << 22
# Just below full scale, so that rounding to integers cannot clip.
_CEILING = 0.99999
# How a common gain is told; with one, the stems no longer sum to the song itself.
LOWERED = "dB lower"
_LIST = "stems.json"


class StemFiles(msgspec.Struct, frozen=True):
    """Audio files that were written.

    Attributes:
        names: File name of every track, in their order; with its folder after `within`.
        channels: Channels of every track.
        notes: In words, what had to be changed.
    """

    names: tuple[str, ...]
    channels: tuple[int, ...]
    notes: tuple[str, ...]

    def within(self, folder: str) -> StemFiles:
        """The same with their paths as a project has them that lies beside their folder."""
        names = tuple(f"{folder}/{name}" for name in self.names)
        return StemFiles(names, self.channels, self.notes)


def check_stems(project: Project) -> None:
    """Make sure that all stems are there and are as long as the song.

    Raises:
        InputError: There are none, one cannot be read, or it does not fit the song.
    """
    if not project.tracks:
        raise InputError(f"{one_line(project.title)} has no stems.", "Separate the song first.")
    for track in project.tracks:
        info = probe(track.path)
        frames = project.frames - lead_of(project, track)
        if (info.frames, info.sample_rate_hz) != (frames, project.sample_rate_hz):
            raise InputError(
                f"{one_line(str(track.path))} has {info.frames} frames at {info.sample_rate_hz} "
                f"Hz; the song has {frames} at {project.sample_rate_hz} Hz.",
                "Separate the song again.",
            )


def lead_of(project: Project, track: Track) -> int:
    """Frames of silence before what is in the file of a track."""
    return 0 if track.made else project.lead_frames


def audio_bytes(project: Project, encoding: str) -> int:
    """About how many bytes the stems take, and one more time the largest, to be tagged."""
    sizes = [
        project.frames * probe(track.path).channels * _BYTES_PER_SAMPLE[encoding]
        for track in project.tracks
    ]
    return sum(sizes) + (max(sizes) if suffix_of(encoding) == ".wav" else 0)


def write_stems(
    project: Project,
    folder: Path,
    options: ExportOptions,
    job: JobContext,
    *,
    link: bool = True,
) -> StemFiles:
    """Have every stem as `NN Name.<suffix>`, from sample 0, all of the song's length.

    Exports that are made together share those that are the same: a file is one with that of the
    others by a hard link, or a copy of it where the disk knows none.

    Args:
        project: Whose stems.
        folder: Where they are put; it is made if it is not there.
        options: Encoding, and what is shared with other exports.
        job: Progress and cancellation.
        link: Whether shared stems may be links; otherwise they are copied.

    Raises:
        InputError: A stem cannot be read.
        OutputError: The folder cannot be written.
    """
    if options.shared_stems is None:
        return _write_all(project, folder, options, job)
    store = _store(project, options.shared_stems.folder, options.encoding)
    made = store / _LIST
    if made.is_file():
        files = msgspec.json.decode(made.read_bytes(), type=StemFiles)
    else:
        shutil.rmtree(store, ignore_errors=True)
        files = _write_all(project, store, options, job)
        made.write_bytes(msgspec.json.encode(files))
    folder.mkdir(parents=True, exist_ok=True)
    for name in files.names:
        job.check()
        if not (link and _linked(store / name, folder / name)):
            _copy(store / name, folder / name, job)
    job.report(1.0)
    return files


def can_link(project: Project, options: ExportOptions) -> bool:
    """Whether the stems are shared and written already, on a disk that knows links."""
    if options.shared_stems is None:
        return False
    store = _store(project, options.shared_stems.folder, options.encoding)
    probe = store / ".link"
    linked = _linked(store / _LIST, probe)
    probe.unlink(missing_ok=True)
    return linked


def _linked(source: Path, target: Path) -> bool:
    try:
        os.link(source, target)
    except OSError:  # It is not there, or this disk has no links.
        return False
    return True


def _copy(source: Path, target: Path, job: JobContext) -> None:
    with source.open("rb") as file, target.open("wb") as copy:
        while piece := file.read(_PIECE_BYTES):
            job.check()
            copy.write(piece)


def _store(project: Project, folder: Path, encoding: str) -> Path:
    """Where the shared stems of a project lie: a place for all that decides on their bytes."""
    tracks = [
        # What is made lies elsewhere in every export; its kind and the beats say what it is.
        (track.name, track.path.name if track.made else str(track.path), track.made)
        for track in project.tracks
    ]
    decides = (
        encoding,
        project.sample_rate_hz,
        project.frames,
        project.lead_frames,
        tracks,
        project.title,
        project.sections,
        project.grid,
    )
    return folder / hashlib.sha256(repr(decides).encode()).hexdigest()[:16]


def _write_all(
    project: Project, folder: Path, options: ExportOptions, job: JobContext
) -> StemFiles:
    """Write every stem.

    Stems may go beyond full scale in float; integers cannot. If one does, all are lowered by
    one common gain, so that they still sum to the mix, and a note says by how much.

    Raises:
        InputError: A stem cannot be read.
        OutputError: The folder cannot be written.
    """
    gain, notes = 1.0, []
    if options.encoding != "float32":
        gain = gain_below_full_scale(_peak(project, job.part(0.0, 0.2)))
        if gain < 1:
            keeps = "; the encoding float32 keeps the song's own"
            notes.append(lowered_note(gain, options.encoding, keeps))
    if options.encoding == "mp3":
        notes.append(
            "The exact samples: MP3 is lossy, and programs that ignore its LAME tag start it "
            "some 25 ms late. The other encodings are exact."
        )
    cues = _cues(project)
    names, channels = [], []
    count = len(project.tracks)
    for index, track in enumerate(project.tracks):
        name = f"{index + 1:02d} {ascii_name(track.name, fallback='Stem')}"
        path = folder / (name + suffix_of(options.encoding))
        step = job.part(0.2 + 0.8 * index / count, 0.2 + 0.8 * (index + 1) / count)
        channels.append(_write_stem(track, path, project, gain, options.encoding, step))
        if path.suffix == ".wav":
            description = f"{one_line(project.title)} - {one_line(track.name)}"
            add_wav_chunks(path, bext=Bext(description=description), cues=cues)
        names.append(path.name)
    return StemFiles(tuple(names), tuple(channels), tuple(notes))


def _cues(project: Project) -> list[Cue]:
    """A cue point for every section, inside the file."""
    last = max(0, project.frames - 1)
    return [
        Cue(min(max(0, round(s.start_s * project.sample_rate_hz)), last), one_line(s.label))
        for s in project.sections
    ]


def gain_below_full_scale(peak: float) -> float:
    """The common gain that brings the largest sample below full scale; 1 if it is."""
    return 1.0 if peak <= 1.0 else _CEILING / peak


def lowered_note(gain: float, holder: str, otherwise: str = "") -> str:
    """In words, that all stems were lowered by one gain because of what holds them."""
    return (
        f"All stems are {max(0.01, -20 * math.log10(gain)):.2f} {LOWERED}: one goes beyond "
        f"full scale, which {holder} cannot hold. Together they sum to the song "
        f"at this level{otherwise}."
    )


def _peak(project: Project, job: JobContext) -> float:
    """The largest sample of all stems."""
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
    return peak


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
        while done < lead_of(project, track):
            count = min(_BLOCK_FRAMES, lead_of(project, track) - done)
            writer.write(np.zeros((reader.channels, count), np.float32))
            done += count
        while (block := reader.read(_BLOCK_FRAMES)).shape[1]:
            job.check()
            done += block.shape[1]
            job.report(done / project.frames)
            writer.write(block if gain == 1 else block * np.float32(gain))
        return reader.channels
