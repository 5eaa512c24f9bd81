"""The README in every export folder: what to open, and what to know, for a musician."""

from __future__ import annotations

import textwrap

from workstation.export.plan import Plan, Written

_WIDTH = 78
_STEPS = {
    "reaper": "Open the .rpp file in REAPER. The stems lie in stems/ beside it.",
    "dawproject": (
        "Open the .dawproject file: in Bitwig Studio, Studio One and n-Track with File > Open, in "
        "Cubase with File > Import > DAWproject. The audio is inside the file."
    ),
    "midi": (
        "Open tempo-map.mid as a new project, do not import it into one: in Logic Pro with "
        "File > Open. Then drag all stems together to bar 1 of new tracks, and say no if the "
        "program offers to adapt them to its tempo (in Logic Pro: Smart Tempo off)."
    ),
    "stems": (
        "Drag all files together to the very start of new tracks. They are equally long and "
        "start together; switch off stretching to the project's tempo."
    ),
}


def readme_text(plan: Plan, target: str, title: str, written: Written) -> str:
    """Write the README of one export."""
    project, grid = plan.project, plan.project.grid
    head = project.title if not project.artist else f"{project.artist} - {project.title}"
    facts = [("For", title), ("Tracks", ", ".join(track.name for track in project.tracks))]
    if project.engine:
        facts.append(("Separated by", project.engine))
    if grid is not None:
        tempo = f"{grid.bpm:.2f} bpm" + (
            "" if grid.steady else " on average; the map follows the song"
        )
        facts += [("Tempo", tempo), ("Meter", f"{grid.beats_per_bar}/4")]
    if project.key is not None:
        facts.append(("Key", project.key.name))
    if project.loudness_lufs is not None:
        facts.append(("Loudness", f"{project.loudness_lufs:.1f} LUFS"))
    facts.append(("Audio", f"{project.sample_rate_hz} Hz, {project.duration_s:.3f} s"))
    if target != "midi":
        facts.append(("Encoding", plan.options.encoding))
    width = max(len(name) for name, _ in facts) + 2
    parts = [
        head,
        "=" * min(len(head), _WIDTH),
        "",
        *(f"{name:<{width}}{value}" for name, value in facts),
        "",
        _wrap(_STEPS[target]),
        "",
        _wrap(plan.timeline.lead_in),
    ]
    if target != "midi":
        parts += ["", _wrap("All tracks are at unity gain; together they sum to the song.")]
    if written.dropped:
        parts += ["", "Not carried by this format:", ""]
        parts += [
            textwrap.fill(words, _WIDTH, initial_indent="- ", subsequent_indent="  ")
            for words in written.dropped
        ]
    parts += ["", _wrap("This folder is complete: it can be moved or zipped.")]
    return "\n".join(parts) + "\n"


def _wrap(text: str) -> str:
    return textwrap.fill(text, _WIDTH)
