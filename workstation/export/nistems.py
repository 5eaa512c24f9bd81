"""The target `nistems`: one `.stem.mp4`, which DJ programs play as a song of four stems.

The format of Native Instruments has a mix and exactly four stems, all stereo. Other counts are
brought to four, and the words of the export say how.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np

from workstation.audio import AudioReader, FloatArray, StemMp4Writer, open_audio
from workstation.export.project import Project, Track
from workstation.export.stem_files import gain_below_full_scale, lowered_note
from workstation.export.target import Part, Plan, Target, Written
from workstation.export.text import one_line
from workstation.model import InputError, JobContext
from workstation.model.names import ascii_name
from workstation.model.stem_roles import belongs_to

STEMS = 4
_CODECS = {"pcm24": "alac", "aac": "aac"}
_BLOCK_FRAMES = 1 << 16
# What keeps a stem of its own before others do, where there are more than four.
_FIRST = ("drums", "bass", "vocals")
_SILENCE_COLOUR = "#9aa0a6"


class _Stem(msgspec.Struct, frozen=True):
    """One of the four: the tracks that sound in it, which may be several or none."""

    name: str
    colour: str
    tracks: tuple[int, ...]


def write_nistems(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the stem file.

    Raises:
        InputError: A stem has more than two channels, or cannot be read.
        OutputError: The file cannot be written.
        UsageError: The codec does not know the sample rate.
    """
    project, codec = plan.project, _CODECS[plan.options.encoding]
    stems = _four(project.tracks)
    notes = _count_notes(project.tracks, stems)
    peak = _peak(project, stems, job.part(0.0, 0.2))
    gain = gain_below_full_scale(peak)
    if gain < 1:
        notes.append(lowered_note(gain, "the file"))
    if codec == "aac":
        notes.append("The exact samples: AAC is lossy. The encoding pcm24 is exact (ALAC).")
    else:
        notes.append(
            "Traktor on Windows is reported to read no ALAC, which this file is: there, export "
            "with the encoding aac."
        )
    path = folder / (ascii_name(project.title, fallback="Song") + ".stem.mp4")
    step = job.part(0.2, 1.0)
    with StemMp4Writer(
        path,
        [(stem.name, stem.colour) for stem in stems],
        sample_rate_hz=project.sample_rate_hz,
        codec=codec,
        tags={"title": one_line(project.title), "artist": one_line(project.artist)},
    ) as writer:
        for blocks in _blocks(project, stems, step):
            writer.write([block * np.float32(gain) for block in blocks])
    return Written(open_with=path.name, notes=tuple(notes))


def _four(tracks: tuple[Track, ...]) -> list[_Stem]:
    """Tracks as four stems: a few are followed by silence, many lie together by their roles."""
    groups = _groups(tracks)
    stems = [
        _Stem(
            " + ".join(one_line(tracks[index].name) for index in group),
            tracks[group[0]].colour,
            group,
        )
        for group in groups
    ]
    silence = [_Stem("Silence", _SILENCE_COLOUR, ())]
    return stems + silence * (STEMS - len(stems))


def _groups(tracks: tuple[Track, ...]) -> list[tuple[int, ...]]:
    """Which tracks lie together, in their order; the rest, if there is one, comes last."""
    if len(tracks) <= STEMS:
        return [(index,) for index in range(len(tracks))]
    names = [track.stem or track.name for track in tracks]
    known = [
        tuple(index for index, name in enumerate(names) if belongs_to(name, role))
        for role in _FIRST
    ]
    kept = [group for group in known if group]
    others = [(i,) for i in range(len(tracks)) if not any(i in group for group in kept)]
    # What is no drum, bass or voice has a stem of its own as long as there is room.
    while others and len(kept) + len(others) > STEMS and len(kept) < STEMS - 1:
        kept.append(others.pop(0))
    rest = tuple(index for group in others for index in group)
    if len(kept) + len(others) <= STEMS:
        return sorted([*kept, *others])
    return [*sorted(kept), rest]


def _count_notes(tracks: tuple[Track, ...], stems: list[_Stem]) -> list[str]:
    if len(tracks) < STEMS:
        silent = STEMS - len(tracks)
        what = "stem is" if silent == 1 else f"{silent} stems are"
        return [f"The last {what} silent: a stem file has exactly four, and this song has fewer."]
    return [
        f"The stems {stem.name} lie together in one: a stem file has exactly four, and "
        f"this song has {len(tracks)}."
        for stem in stems
        if len(stem.tracks) > 1
    ]


def _blocks(project: Project, stems: list[_Stem], job: JobContext) -> Iterator[list[FloatArray]]:
    """The four stems in blocks of shape (2, frames)."""
    with ExitStack() as stack:
        readers = [stack.enter_context(open_audio(track.path)) for track in project.tracks]
        for track, reader in zip(project.tracks, readers, strict=True):
            _check_stereo(track, reader)
        done = 0
        while done < project.frames:
            job.check()
            lead = min(_BLOCK_FRAMES, max(0, project.lead_frames - done))
            blocks = [
                np.zeros((2, lead), np.float32) if lead else _stereo(reader.read(_BLOCK_FRAMES))
                for reader in readers
            ]
            silence = np.zeros_like(blocks[0])
            yield [sum((blocks[index] for index in s.tracks), start=silence) for s in stems]
            done += silence.shape[1]
            job.report(done / project.frames)


def _check_stereo(track: Track, reader: AudioReader) -> None:
    if reader.channels > 2:
        raise InputError(
            f"{one_line(track.name)} has {reader.channels} channels; a stem file is stereo.",
            "Export to another target, such as stems.",
        )


def _stereo(block: FloatArray) -> FloatArray:
    return np.broadcast_to(block, (2, block.shape[1]))


def _peak(project: Project, stems: list[_Stem], job: JobContext) -> float:
    """The largest sample of the stems and of their sum."""
    peak = 0.0
    for blocks in _blocks(project, stems, job):
        peak = max(peak, *(float(np.abs(block).max()) for block in (*blocks, sum(blocks))))
    return peak


NISTEMS = Target(
    name="nistems",
    title="NI Stems",
    summary="one .stem.mp4 for DJ programs",
    opens_in="Traktor, Mixxx 2.6, and other DJ programs that play stem files",
    how_to=(
        "Put the .stem.mp4 file into the collection of your DJ program, and load it onto a deck "
        "for stems. Players that know no stems play the whole song."
    ),
    carries=frozenset({Part.AUDIO, Part.COLOURS}),
    encodings=tuple(_CODECS),
    layout=frozenset(),
    write=write_nistems,
)
