"""The tempo map as a standard MIDI file (type 1, 960 ticks per quarter)."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

from workstation.export.markers import markers_of
from workstation.export.plan import Plan, Written
from workstation.export.timeline import Timeline
from workstation.model import JobContext, Key

TICKS_PER_QUARTER = 960
FILE_NAME = "tempo-map.mid"
_MOST_QUARTERS = 400
_MAJOR = {"C#": "Db", "D#": "Eb", "G#": "Ab", "A#": "Bb", "Cb": "B"}
_MINOR = {"Db": "C#", "Gb": "F#", "Cb": "B", "Fb": "E"}


def write_midi(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the target `midi`: the tempo map alone."""
    job.check()
    write_tempo_map(plan, folder / FILE_NAME)
    return Written(
        open_with=FILE_NAME,
        dropped=(
            "The audio: a MIDI file has none. Drag the stems of the target `stems` in at bar 1.",
            "Track colours.",
        ),
    )


def write_tempo_map(plan: Plan, path: Path) -> None:
    """Write tempos, meters, key and markers, with an empty track so that hosts show something."""
    from mido import MetaMessage, MidiFile, MidiTrack

    project, timeline = plan.project, plan.timeline
    events: list[tuple[int, int, MetaMessage]] = [
        (0, 0, MetaMessage("track_name", name=project.title)),
    ]
    events += [
        (tick, 2, MetaMessage("set_tempo", tempo=microseconds))
        for tick, microseconds in tempo_events(timeline, project.duration_s)
    ]
    for meter in timeline.meters:
        events.append(
            (
                _tick(meter.quarter),
                1,
                MetaMessage(
                    "time_signature", numerator=meter.numerator, denominator=meter.denominator
                ),
            )
        )
    if project.key is not None:
        events.append((0, 1, MetaMessage("key_signature", key=key_signature(project.key))))
    for marker in markers_of(project, timeline, plan.options):
        at = _tick(timeline.quarter_at(marker.time_s))
        events.append((max(0, at), 3, MetaMessage("marker", text=marker.name)))
    conductor = MidiTrack()
    now = 0
    for tick, _, message in sorted(events, key=lambda event: event[:2]):
        conductor.append(message.copy(time=tick - now))
        now = tick
    # At least a bar after the end, so that the last tempo counts everywhere.
    bar = 4 * timeline.meters[-1].numerator / timeline.meters[-1].denominator
    end = _tick(timeline.quarter_at(project.duration_s) + bar)
    conductor.append(MetaMessage("end_of_track", time=max(0, end - now)))
    named = MidiTrack(
        [
            MetaMessage("track_name", name="Stems start at bar 1"),
            MetaMessage("end_of_track", time=end),
        ]
    )
    file = MidiFile(type=1, ticks_per_beat=TICKS_PER_QUARTER, charset="utf-8")
    file.tracks += [conductor, named]
    file.save(path)


def _tick(quarter: float) -> int:
    return round(quarter * TICKS_PER_QUARTER)


def tempo_events(timeline: Timeline, duration_s: float) -> list[tuple[int, int]]:
    """Ticks and microseconds per quarter, with the rounding of each corrected in the next.

    A tempo is a whole number of microseconds, so a quarter may be off by half of one. Each
    stretch aims at the true time of its end from where rounding has brought the last one; long
    stretches are cut, so that no beat is off by more than 0.2 ms.
    """
    bounds: list[float] = []
    ends = [point.quarter for point in timeline.tempos[1:]]
    ends.append(max(timeline.quarter_at(duration_s), timeline.tempos[-1].quarter + 1))
    for point, end in zip(timeline.tempos, ends, strict=True):
        pieces = max(1, math.ceil((end - point.quarter) / _MOST_QUARTERS))
        bounds += [
            _whole_tick(point.quarter + k * (end - point.quarter) / pieces) for k in range(pieces)
        ]
    bounds.append(_whole_tick(ends[-1]))
    events: list[tuple[int, int]] = []
    reached_us = 0.0
    for start, end in itertools.pairwise(bounds):
        quarters = end - start
        tempo = max(1, round((timeline.time_at(end) * 1e6 - reached_us) / quarters))
        reached_us += tempo * quarters
        if not events or events[-1][1] != tempo:
            events.append((_tick(start), tempo))
    return events


def _whole_tick(quarter: float) -> float:
    return _tick(quarter) / TICKS_PER_QUARTER


def key_signature(key: Key) -> str:
    """Name of a key as MIDI has it: `Am`, `Bb`; enharmonics that MIDI lacks are respelt.

    >>> key_signature(Key("Gb minor", 1.0))
    'F#m'
    """
    tonic, _, mode = key.name.partition(" ")
    if mode == "minor":
        return _MINOR.get(tonic, tonic) + "m"
    return _MAJOR.get(tonic, tonic)
