"""The README in every export folder: what to open, and what to know, for a musician."""

from __future__ import annotations

import textwrap

from workstation.export.checklist import checklist
from workstation.export.project import Track
from workstation.export.stem_files import LOWERED
from workstation.export.target import Part, Plan, Target, where_it_starts
from workstation.export.text import one_line

_WIDTH = 78
# The last line, by which an export is known for one before it is replaced.
SIGNATURE = "Made by workstation. This folder is complete: it can be moved or zipped."


def readme_text(plan: Plan, target: Target, dropped: tuple[str, ...]) -> str:
    """Write the README of one export."""
    project = plan.project
    names = [one_line(project.artist), one_line(project.title)]
    head = " - ".join(name for name in names if name) or "Song"
    facts = _facts(plan, target)
    width = max(len(name) for name in facts) + 2
    parts = [
        head,
        "=" * min(len(head), _WIDTH),
        "",
        *(
            textwrap.fill(f"{name:<{width}}{value}", _WIDTH, subsequent_indent=" " * width)
            for name, value in facts.items()
        ),
        "",
        _wrap(target.how_to),
        "",
        _wrap(where_it_starts(plan, target)),
        "",
    ]
    sums = False
    if Part.AUDIO in target.carries:
        exact = plan.options.encoding not in {"mp3", "aac"} and plan.project.engine != "imported"
        if plan.project.take is not None and Part.AUTOMATION in target.carries:
            parts += [_wrap("The faders, pans and mutes follow the take."), ""]
        elif plan.options.own_project is not None:
            parts += [_wrap("Tracks that were there keep their levels and their devices."), ""]
        elif exact and not any(LOWERED in words for words in dropped):
            sums = not any(track.muted or track.made or track.output for track in project.tracks)
            parts += [_wrap(_sum_words(project.tracks)), ""]
        else:
            muted = _muted_words(project.tracks)
            parts += [_wrap(f"All tracks are at unity gain.{muted}"), ""]
    if checks := checklist(plan, target, sums=sums):
        parts += ["To see that it opened right:", "", *map(_item, checks), ""]
    if dropped:
        parts += ["What this export does not carry, and what to know of it:", ""]
        parts += [*map(_item, dropped), ""]
    return "\n".join([*parts, _wrap(SIGNATURE)]) + "\n"


def _sum_words(tracks: tuple[Track, ...]) -> str:
    muted = _muted_words(tracks)
    made = ", ".join(one_line(track.name) for track in tracks if track.made)
    if not muted and not made:
        return "All tracks are at unity gain; together they sum to the song."
    words = "All tracks are at unity gain; the stems together sum to the song."
    return words + muted + (f" No stem of it: {made}." if made else "")


def _muted_words(tracks: tuple[Track, ...]) -> str:
    muted = ", ".join(one_line(track.name) for track in tracks if track.muted)
    return f" Muted at first: {muted}." if muted else ""


def _facts(plan: Plan, target: Target) -> dict[str, str]:
    project, grid = plan.project, plan.project.grid
    facts = {
        "For": target.opens_in,
        "Tracks": ", ".join(one_line(track.name) for track in project.tracks),
    }
    if project.engine and project.engine != "imported":
        facts["Stems by"] = one_line(project.engine)
    if grid is not None and plan.timeline.downbeat_s is not None:
        steady = "" if grid.steady else " on average; the map follows the song"
        if Part.TEMPO not in target.carries:
            steady = "" if grid.steady else " on average"
        numerator, denominator = plan.timeline.meter
        facts["Tempo"] = f"{grid.bpm * 4 / denominator:.2f} bpm{steady}"
        facts["Meter"] = f"{numerator}/{denominator}"
    if Part.AUTOMATION in target.carries and plan.arrangement.summary:
        facts["Take"] = plan.arrangement.summary
    if project.key is not None:
        facts["Key"] = project.key.name
    if project.loudness_lufs is not None:
        facts["Loudness"] = f"{project.loudness_lufs:.1f} LUFS, the whole song"
    facts["Length"] = f"{project.duration_s:.3f} s"
    if Part.AUDIO in target.carries:
        facts["Audio"] = f"{plan.options.encoding}, {project.sample_rate_hz} Hz"
    return facts


def _item(words: str) -> str:
    return textwrap.fill(words, _WIDTH, initial_indent="- ", subsequent_indent="  ")


def _wrap(text: str) -> str:
    return textwrap.fill(text, _WIDTH)
