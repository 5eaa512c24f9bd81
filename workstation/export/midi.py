"""The tempo map as a standard MIDI file (type 1, 960 ticks per quarter)."""

from __future__ import annotations

import math
from pathlib import Path

from workstation.export import cubase
from workstation.export.cubase import write_tempo_track
from workstation.export.markers import markers_of
from workstation.export.target import Part, Plan, Target, Written
from workstation.export.text import one_line
from workstation.export.timeline import Timeline
from workstation.model import JobContext, Key

TICKS_PER_QUARTER = 960
FILE_NAME = "tempo-map.mid"
# Below one sample of 44.1 kHz, which is 22.7 µs.
_MOST_ERROR_US = 20.0
_MAJOR = {"C#": "Db", "D#": "Eb", "G#": "Ab", "A#": "Bb", "Cb": "B"}
_MINOR = {"Db": "C#", "Gb": "F#", "Cb": "B", "Fb": "E"}


def write_midi(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the target `midi`: the tempo map alone, for Cubase once more as it has its own."""
    job.check()
    write_tempo_map(plan, folder / FILE_NAME)
    write_tempo_track(plan, folder / cubase.FILE_NAME)
    return Written(open_with=FILE_NAME)


def write_tempo_map(plan: Plan, path: Path) -> None:
    """Write tempos, meters, key and markers, with an empty track so that hosts show something."""
    from mido import MetaMessage, MidiFile, MidiTrack

    project, timeline = plan.project, plan.timeline
    events: list[tuple[int, int, MetaMessage]] = [
        (0, 0, MetaMessage("track_name", name=one_line(project.title))),
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
    bar = timeline.meters[-1].bar_quarters
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
    """Ticks and microseconds per quarter; no beat is off by more than 20 µs.

    A tempo is a whole number of microseconds, so every quarter may be off by half of one. Where
    the tempo changes, the new one is chosen from where rounding has brought the time so far.
    Where it stays, it alternates between the two nearest numbers, and only when it must: a
    steady song stays one tempo in the DAW.
    """
    ends = [point.quarter for point in timeline.tempos[1:]]
    ends.append(max(timeline.quarter_at(duration_s), timeline.tempos[-1].quarter + 1))
    events: list[tuple[int, int]] = []
    reached_us = 0.0
    for point, end in zip(timeline.tempos, ends, strict=True):
        exact_us = 60e6 / point.bpm
        quarters = end - point.quarter
        tempo = max(1, round((timeline.time_at(end) * 1e6 - reached_us) / quarters))
        if abs(tempo - exact_us) * quarters > _MOST_ERROR_US:
            tempo = round(exact_us)
        quarter = point.quarter
        while quarter < end:
            step = min(1.0, end - quarter)
            off_us = reached_us + tempo * step - timeline.time_at(quarter + step) * 1e6
            if abs(off_us) > _MOST_ERROR_US:
                tempo = math.floor(exact_us) if off_us > 0 else math.ceil(exact_us)
            if not events or events[-1][1] != tempo:
                events.append((_tick(quarter), tempo))
            reached_us += tempo * step
            quarter += step
    return events


def key_signature(key: Key) -> str:
    """Name of a key as MIDI has it: `Am`, `Bb`; enharmonics that MIDI lacks are respelt.

    >>> key_signature(Key("Gb minor", 1.0))
    'F#m'
    """
    tonic, _, mode = key.name.partition(" ")
    if mode == "minor":
        return _MINOR.get(tonic, tonic) + "m"
    return _MAJOR.get(tonic, tonic)


MIDI = Target(
    name="midi",
    title="MIDI",
    summary="the tempo map as a MIDI file",
    opens_in="Logic Pro, Pro Tools, Cubase, …; then drag the stems in",
    how_to=(
        "Open tempo-map.mid as a new project, do not import it into one: in Logic Pro with "
        "File > Open. Then drag all stems together to bar 1 of new tracks, and say no if the "
        "program offers to adapt them to its tempo (in Logic Pro: Smart Tempo off). In Cubase "
        "and Nuendo, File > Import > Tempo Track takes tempo-map.smt, without the markers, into "
        "a project that is open."
    ),
    carries=frozenset({Part.TEMPO, Part.SECTIONS, Part.BARS, Part.KEY}),
    encodings=(),
    write=write_midi,
)
