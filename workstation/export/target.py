"""What a target is, and what the writers of all targets share."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from functools import cached_property
from pathlib import Path

import msgspec

from workstation.export.automation import Arrangement, arrange
from workstation.export.lead_in import EVERY_HOST, LeadInLimits
from workstation.export.project import EmptyTrack, ExportOptions, Project, Track
from workstation.export.text import one_line
from workstation.export.timeline import Timeline
from workstation.model import JobContext


class Part(enum.Enum):
    """A part of a project that a format carries or loses.

    `ONE_TEMPO` is for a format without a tempo map; its writer notes what a song loses by that.
    """

    AUDIO = "audio"
    TEMPO = "tempo map and meter"
    ONE_TEMPO = "one tempo and the meter"
    SECTIONS = "section markers"
    BARS = "bar markers"
    COLOURS = "track colours"
    KEY = "key"
    AUTOMATION = "take as automation"


class LayoutPart(enum.Enum):
    """A part of a layout that a format carries or loses."""

    GROUPS = "groups"
    EMPTY = "empty tracks"
    MUTES = "mutes"
    OUTPUTS = "outputs"
    MADE = "tracks that are no stems"


class Plan(msgspec.Struct, frozen=True, dict=True):
    """A project laid out in time, and the user's options.

    Attributes:
        project: The song; its grid, sections and frames are those of the song.
        timeline: Of the project that is written: the song's own, or that of its arrangement
            where the target carries a take.
        options: The user's choices.
    """

    project: Project
    timeline: Timeline
    options: ExportOptions

    @cached_property
    def arrangement(self) -> Arrangement:
        """What the tracks play and how their mixers move, for targets that carry a take."""
        return arrange(self.project)


class Written(msgspec.Struct, frozen=True):
    """What a writer made.

    Attributes:
        open_with: The file to open.
        notes: In words, what this export had to change.
        filled: Numbers of the tracks that lie on tracks of the user's own project.
    """

    open_with: str
    notes: tuple[str, ...] = ()
    filled: tuple[int, ...] = ()


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """A format that can be exported to.

    A new one is a module with a writer and such a row, and a line in the table of `targets`.

    Attributes:
        name: As it is typed.
        title: As its makers write it.
        summary: What is made, in a few words.
        opens_in: Which programs open it, in words.
        how_to: What a musician does with it; the README of the folder says so.
        carries: Parts of a project that arrive; all others are reported as dropped.
        encodings: What its audio can be; empty if it has none.
        scratch_copies: How often all audio lies on the disk besides the finished files.
        links_stems: Whether exports made together share its stems by links; not where its
            program writes into audio files that it opens, nor where they lie inside another file.
        cut_bars: Whether a bar may be shorter than its meter (see `lead_in`).
        lead_in: How short and fast its first bar may be, where bars cannot be cut.
        layout: Parts of a layout that arrive.
        own_projects: Suffixes of the user's own projects that it can fill; empty if it cannot.
        confirmed: In words, which program has opened it, or that the real one has not yet; empty
            where nothing opens as a project.
        write: Writes the project into a folder.
    """

    name: str
    title: str
    summary: str
    opens_in: str
    how_to: str
    carries: frozenset[Part]
    encodings: tuple[str, ...]
    scratch_copies: int = 0
    links_stems: bool = False
    cut_bars: bool = False
    lead_in: LeadInLimits = EVERY_HOST
    layout: frozenset[LayoutPart] = frozenset({LayoutPart.MADE})
    own_projects: tuple[str, ...] = ()
    confirmed: str = ""
    write: Callable[[Plan, Path, JobContext], Written]


def plan_for(target: Target, project: Project, options: ExportOptions) -> Plan:
    """Lay a project out in time as a target has it."""
    if LayoutPart.MADE not in target.layout:
        stems = tuple(track for track in project.tracks if not track.made)
        project = msgspec.structs.replace(project, tracks=stems)
    if Part.AUTOMATION not in target.carries:
        laid_out, grid, duration_s = None, project.grid, project.duration_s
    else:
        laid_out = arrange(project)
        grid, duration_s = laid_out.grid, laid_out.frames / project.sample_rate_hz
    timeline = Timeline.of(grid, duration_s, cut_bars=target.cut_bars, limits=target.lead_in)
    if laid_out is not None and laid_out.unrolled:
        timeline = msgspec.structs.replace(timeline, lead_in=_words_on_unrolled(timeline))
    return Plan(project, timeline, options)


def _words_on_unrolled(timeline: Timeline) -> str:
    words = "The project starts where the take starts to play."
    if timeline.downbeat_s is None:
        return f"{words} It runs at a constant 120 bpm, and its bars do not follow the song."
    return (
        f"{words} Its first downbeat is at {timeline.downbeat_s:.3f} s, on a bar line, and the "
        "tempo map follows the take from piece to piece."
    )


def lost_parts(plan: Plan, project: Project, target: Target, written: Written) -> list[str]:
    """In words, which parts of a project what was written for the target does not have."""
    options = plan.options
    tempo = "The tempo map and the meter: the target midi writes them."
    missing = {
        Part.AUDIO: "The audio: the target stems writes it.",
        Part.TEMPO: "" if Part.ONE_TEMPO in target.carries else tempo,
        Part.SECTIONS: "The markers of the sections." if project.sections else "",
        Part.BARS: "The markers of the bars." if options.bar_markers else "",
        Part.COLOURS: "The colours of the tracks.",
        Part.KEY: f"The key, {project.key.name}." if project.key else "",
        Part.AUTOMATION: f"The take {one_line(project.take.name)}." if project.take else "",
    }
    lost = [words for part, words in missing.items() if words and part not in target.carries]
    filled = [plan.project.tracks[index] for index in written.filled]
    return [*lost, *_lost_layout(project, target, filled)]


def _lost_layout(project: Project, target: Target, filled: list[Track]) -> list[str]:
    """The same for what a layout asks for.

    What a format carries does not come onto tracks of the user's own: they keep their place and
    their way. They are muted, though.
    """

    def names(tracks: Iterable[Track | EmptyTrack]) -> str:
        return ", ".join(one_line(track.name) for track in tracks)

    tracks = project.tracks
    groups = list(dict.fromkeys(one_line(track.group) for track in tracks if track.group))
    muted = names(track for track in tracks if track.muted)
    made = names(track for track in tracks if track.made)
    missing = {
        LayoutPart.GROUPS: f"Groups of tracks: {', '.join(groups)}." if groups else "",
        LayoutPart.EMPTY: f"Empty tracks: {names(project.empty)}." if project.empty else "",
        LayoutPart.MUTES: f"The mute of {muted}: mute it there yourself." if muted else "",
        LayoutPart.OUTPUTS: "An output for each track: all go to the master."
        if any(track.output for track in tracks)
        else "",
        LayoutPart.MADE: f"Tracks that are no stems: {made}." if made else "",
    }
    kept = {
        LayoutPart.GROUPS: ("group", names(track for track in filled if track.group)),
        LayoutPart.OUTPUTS: ("output", names(track for track in filled if track.output)),
    }
    return [
        *(words for part, words in missing.items() if words and part not in target.layout),
        *(
            f"The {what} of {which}: your project keeps its own."
            for part, (what, which) in kept.items()
            if which and part in target.layout
        ),
    ]


def where_it_starts(plan: Plan, target: Target) -> str:
    """In words, where the first downbeat is in this target."""
    project = plan.project
    cut = Part.AUTOMATION in target.carries and plan.arrangement.unrolled
    if project.lead_frames and project.grid is not None and not cut:
        lead_s = project.lead_frames / project.sample_rate_hz
        downbeats = [project.grid.beats_s[index] for index in project.grid.downbeats]
        number = sum(t < lead_s - 0.001 for t in downbeats)
        first_s = downbeats[min(number, len(downbeats) - 1)]
        return (
            f"{lead_s:.3f} s of silence precede the song, so that whole bars lead to its first "
            f"downbeat: it is at {first_s:.3f} s, bar {number + 1}. All stems start together."
        )
    if Part.TEMPO in target.carries:
        return plan.timeline.lead_in
    if cut:
        return "The project starts where the take starts to play."
    if plan.timeline.downbeat_s is None:
        return "No beats were found. All files start together."
    at = f"{plan.timeline.downbeat_s:.3f} s"
    return f"The first downbeat is {at} into every file. All files start together."
