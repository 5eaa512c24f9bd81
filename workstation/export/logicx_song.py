"""A project of the user's own for Logic Pro, with a song in it: a copy of the whole bundle.

What is written is confirmed by another reader of the format and by comparing it with records that
Logic wrote, not by Logic itself; the README that goes with it says so, and what to look at.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import msgspec

from workstation.audio import need_space, probe
from workstation.export.logicx_bundle import (
    AUDIO_FOLDER,
    MOST_WAV_BYTES,
    Bundle,
    copy_bundle,
    free_name,
    put_wav,
    read_bundle,
    write_project,
)
from workstation.export.logicx_own import Filled, files_of, fill_own
from workstation.export.logicx_parts import Stem
from workstation.export.markers import markers_of
from workstation.export.stem_files import StemFiles
from workstation.export.target import Plan
from workstation.export.text import one_line
from workstation.model import InputError, JobContext, UsageError
from workstation.model.names import ascii_name

_SLOWEST_BPM, _FASTEST_BPM = 5, 990
_BYTES_PER_SAMPLE = 3
_LOOK_AT = (
    "Not yet confirmed in Logic Pro itself: that it opens the project. See there that every stem "
    "is on its track, begins at bar 1 and sounds; that the tempo list, the signatures and the "
    "markers are those of tempo-map.mid; that the Project Audio browser has every stem; and that "
    "the end of the project is after that of the song. If one of these is not so, use the kit: "
    "it is complete without the project."
)


def read_own(plan: Plan, path: Path) -> Bundle:
    """Read the user's own project, and find out before the work whether the stems fit in.

    Raises:
        UsageError: It cannot take this encoding.
        InputError: It cannot be read, is damaged, or the stems do not fit in.
    """
    own = read_bundle(path)
    project = plan.project
    if plan.options.encoding != "pcm24":
        raise UsageError(
            f"A project of your own for Logic Pro cannot take {plan.options.encoding} audio.",
            "Choose --encoding pcm24, or leave --template away.",
        )
    stems = []
    for track in project.tracks:
        channels = probe(track.path).channels
        if channels > 2 or project.frames * channels * _BYTES_PER_SAMPLE > MOST_WAV_BYTES:
            raise InputError(
                f"{one_line(track.name)} is larger than a region of Logic Pro can be, or has more "
                "than two channels.",
                "Leave --template away, or give a shorter or a stereo song.",
            )
        stems.append(
            Stem("", "", "x.wav", 0, 0, 0, project.frames, project.sample_rate_hz, channels, 24)
        )
    _fill(plan, own, stems)
    return own


def write_own(
    plan: Plan, own: Bundle, files: StemFiles, target: Path, job: JobContext
) -> list[str]:
    """Write a copy of the user's own project with the stems; tells what was changed in it.

    Args:
        plan: What to put in.
        own: The user's project.
        files: The stems, in `stems/` beside the copy.
        target: The folder of the copy.
        job: Progress and cancellation.
    """
    sources = [target.parent / "stems" / name for name in files.names]
    need_space(target.parent, sum(source.stat().st_size for source in sources))
    copy_bundle(own, target, job.part(0.0, 0.3))
    audio = target / AUDIO_FOLDER
    audio.mkdir(parents=True, exist_ok=True)
    stems, taken = [], files_of(own.data)
    for k, source in enumerate(sources):
        step = job.part(0.3 + 0.7 * k / len(sources), 0.3 + 0.7 * (k + 1) / len(sources))
        stems.append(put_wav(source, audio, free_name(audio, source.name, taken), step))
    filled = _fill(plan, own, stems)
    write_project(own, target, filled.data, _about(plan, own, stems))
    return _notes(plan, own, target.name, filled)


def _fill(plan: Plan, own: Bundle, stems: list[Stem]) -> Filled:
    named = [
        msgspec.structs.replace(
            stem, name=ascii_name(track.name, fallback="Stem"), called=track.name
        )
        for track, stem in zip(plan.project.tracks, stems, strict=True)
    ]
    markers = markers_of(plan.project, plan.timeline, plan.options)
    rate_hz = plan.project.sample_rate_hz
    return fill_own(own.data, named, plan.timeline, markers, rate_hz, own.name)


def _about(plan: Plan, own: Bundle, stems: list[Stem]) -> dict[str, Any]:
    """What the properties of the bundle say of the song."""
    first = plan.timeline.meters[0]
    before = own.about.get("AudioFiles")
    listed = before if isinstance(before, list) else []
    return {
        "AudioFiles": [*listed, *(f"{AUDIO_FOLDER.name}/{stem.file}" for stem in stems)],
        "BeatsPerMinute": plan.timeline.tempos[0].bpm,
        "SampleRate": plan.project.sample_rate_hz,
        "SongSignatureNumerator": first.numerator,
        "SongSignatureDenominator": first.denominator,
    }


def _notes(plan: Plan, own: Bundle, name: str, filled: Filled) -> list[str]:
    on = _listed(
        after if before == after else f"{after} (was {before})" for before, after in filled.tracks
    )
    notes = [
        f"{name} is {own.name} with the stems on the tracks {on}. Open it in place of "
        "tempo-map.mid. Its tempo map, its meters and its markers are those of the song; all else "
        "in it is as it was.",
        *(
            f"Regions on the track {one_line(name)} gave way: {count}."
            for name, count in filled.gone
        ),
    ]
    if filled.widened:
        notes.append(f"Tracks that were mono are stereo: {_listed(filled.widened)}.")
    if filled.mono:
        notes.append(
            f"The second channel of {_listed(filled.mono)}: these tracks are mono and have "
            "plug-ins. Click the circle beside Input on their channel strips."
        )
    if filled.markers_gone is None:
        notes.append(
            f"The markers: {own.name} has no marker track. Make a marker in Logic Pro, delete it, "
            "save, and export again; or import those of tempo-map.mid."
        )
    elif filled.markers_gone:
        notes.append(f"Markers of {own.name} gave way: {filled.markers_gone}.")
    beyond = [p.bpm for p in plan.timeline.tempos if not _SLOWEST_BPM <= p.bpm <= _FASTEST_BPM]
    if beyond:
        notes.append(
            f"Tempos of {min(beyond):.1f} to {max(beyond):.1f} bpm: Logic Pro has "
            f"{_SLOWEST_BPM} to {_FASTEST_BPM}."
        )
    return [*notes, _LOOK_AT]


def _listed(names: Iterable[str]) -> str:
    return ", ".join(one_line(name) for name in names)
