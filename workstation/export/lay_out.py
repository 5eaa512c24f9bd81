"""Laying a project out as a layout has it: tracks, groups, markers, and the time before."""

from __future__ import annotations

import math
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

import msgspec

from workstation.export.layouts import Kind, Layout, TrackRow
from workstation.export.project import EmptyTrack, Project, Track
from workstation.model import BeatGrid, Section
from workstation.model.take import Take, TakeEvent

_EMPTY_COLOUR = "#9aa0a6"
_TIMES = {"transport.seek", "loop.start", "loop.end"}


def lay_out(project: Project, layout: Layout, made: Mapping[Kind, Path]) -> Project:
    """Give a project the tracks and markers of a layout; its time must be laid out before.

    Every stem lands on a track: those that no row names come last.

    Args:
        project: Its tracks are the stems.
        layout: What it is to look like.
        made: Files of the tracks that are made, of the project's length.
    """
    tracks: list[Track] = []
    empty: list[EmptyTrack] = []
    left = _by_row(project.tracks, layout)
    for index, row in enumerate(layout.track):
        if row.kind == "stems":
            stems = left[index]
            tracks += [_as_in(row, stem, only=len(stems) == 1) for stem in stems]
        elif row.kind in made:
            track = Track(row.name, made[row.kind], row.colour or _EMPTY_COLOUR, made=True)
            tracks.append(_as_in(row, track, only=True))
        elif row.kind in {"empty", "bus"}:
            colour = row.colour or _EMPTY_COLOUR
            empty.append(EmptyTrack(row.name, colour, row.group, bus=row.kind == "bus"))
    tracks += left[len(layout.track)]
    return msgspec.structs.replace(
        project,
        tracks=tuple(tracks),
        empty=tuple(empty),
        sections=_sections(project, layout),
    )


def _by_row(stems: tuple[Track, ...], layout: Layout) -> list[list[Track]]:
    """The stems of every row, and those of none: a name goes before a pattern, that before `*`."""
    found: list[list[Track]] = [[] for _ in range(len(layout.track) + 1)]
    for stem in stems:
        name = (stem.stem or stem.name).casefold()
        fits = [
            (len(pattern.replace("*", "")), -index)
            for index, row in enumerate(layout.track)
            for pattern in row.stems
            if fnmatchcase(name, pattern.casefold())
        ]
        found[-max(fits)[1] if fits else -1].append(stem)
    return found


def _as_in(row: TrackRow, track: Track, *, only: bool) -> Track:
    return msgspec.structs.replace(
        track,
        name=row.name if row.name and only else track.name,
        stem=track.stem or track.name,
        colour=row.colour or track.colour,
        group=row.group,
        muted=row.muted,
        output=row.output,
    )


def _sections(project: Project, layout: Layout) -> tuple[Section, ...]:
    if layout.markers == "none":
        return ()
    if layout.markers != "edges" or len(project.sections) < 2 or project.grid is None:
        return project.sections
    first, last = project.sections[0], project.sections[-1]
    edges = [Section(first.start_s, first.end_s, _bars("Intro", first, project.grid))]
    if len(project.sections) > 2:
        edges.append(Section(first.end_s, last.start_s, "Main"))
    return (*edges, Section(last.start_s, last.end_s, _bars("Outro", last, project.grid)))


def _bars(name: str, section: Section, grid: BeatGrid) -> str:
    tolerance_s = 0.05
    lines = [grid.beats_s[index] for index in grid.downbeats]
    count = sum(section.start_s - tolerance_s <= t < section.end_s - tolerance_s for t in lines)
    return f"{name}, {count} bar{'' if count == 1 else 's'}"


def with_lead(project: Project, bars: int = 0) -> Project:
    """Put silence before a song, so that whole bars of its own tempo precede its first downbeat.

    The grid goes on backwards to the very start, a take and the sections move along.

    Args:
        project: Its grid must not be None.
        bars: How many bars of silence at least.
    """
    grid = project.grid
    assert grid is not None
    first_s = grid.beats_s[0]
    beat_s = grid.beats_s[1] - first_s
    before = grid.downbeats[0]  # Beats of a pick-up.
    wanted = before + max(0.0, first_s / beat_s - 1e-6) + bars * grid.beats_per_bar
    beats = math.ceil(wanted / grid.beats_per_bar) * grid.beats_per_bar - before
    frames = max(0, round((beats * beat_s - first_s) * project.sample_rate_hz))
    lead_s = frames / project.sample_rate_hz
    start_s = first_s + lead_s
    early = [max(0.0, start_s - k * beat_s) for k in range(beats, 0, -1)]
    return msgspec.structs.replace(
        project,
        frames=project.frames + frames,
        lead_frames=frames,
        grid=BeatGrid(
            (*early, *(t + lead_s for t in grid.beats_s)),
            (
                *range(0, beats + before, grid.beats_per_bar),
                *(beats + index for index in grid.downbeats),
            ),
            grid.beats_per_bar,
        ),
        sections=tuple(
            Section(s.start_s + lead_s, s.end_s + lead_s, s.label) for s in project.sections
        ),
        take=None if project.take is None else _later(project.take, frames),
    )


def _later(take: Take, frames: int) -> Take:
    """A take over a song that begins so many frames later."""
    start = take.start
    running = dict(start.running)
    if "transport" in running:
        level, speed, old, left, fades, held = running["transport"]
        moved = held + frames if held >= 0 else held
        running["transport"] = [level, speed, old + frames, left, fades, moved]
    start = msgspec.structs.replace(
        start,
        frame=start.frame + frames,
        loop=None if start.loop is None else (start.loop[0] + frames, start.loop[1] + frames),
        running=running,
    )
    lead_s = frames / take.sample_rate_hz
    events = tuple(_event_later(event, frames, lead_s) for event in take.events)
    return msgspec.structs.replace(take, start=start, events=events)


def _event_later(event: TakeEvent, frames: int, lead_s: float) -> TakeEvent:
    if event.control in _TIMES:
        return msgspec.structs.replace(event, value=event.value + lead_s)
    if event.slice is not None:
        return msgspec.structs.replace(event, slice=(event.slice[0] + frames, event.slice[1]))
    return event
