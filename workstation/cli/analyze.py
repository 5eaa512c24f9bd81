"""`workstation analyze`: beats, tempo, meter, key, sections and loudness, and their editing."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workstation.cli.options import input_argument, json_option, session_options
from workstation.cli.terminal import (
    cells,
    command,
    console,
    job_with_progress,
    print_json,
    say,
    table,
)

if TYPE_CHECKING:
    from workstation.model import Analysis


@click.command(short_help="Find beats, tempo, meter, key, sections and loudness.")
@input_argument
@click.option("--again", is_flag=True, help="Analyse anew; forgets edits of the grid.")
@click.option(
    "--shift",
    "shift_ms",
    type=float,
    metavar="MS",
    help="Move the grid later by milliseconds (negative: earlier).",
)
@click.option("--halve", is_flag=True, help="Half the tempo: every other beat.")
@click.option("--double", is_flag=True, help="Double the tempo: a beat between every two.")
@click.option(
    "--downbeat",
    "downbeat_s",
    type=float,
    metavar="S",
    help="Make the beat nearest to this second the first of a bar.",
)
@click.option("--meter", type=click.IntRange(1, 32), metavar="N", help="Beats in a bar.")
@click.option(
    "--tempo",
    "bpm",
    type=click.FloatRange(6, 1500),
    metavar="BPM",
    help="Make the grid steady at this tempo.",
)
@click.option(
    "--taps",
    "taps",
    metavar="S,S,…",
    help="Take these seconds as the beats; the first is a downbeat.",
)
@session_options
@json_option
@command
def analyze(
    input_path: Path,
    session_dir: Path | None,
    *,
    again: bool,
    reference: bool,
    as_json: bool,
    **edits: Any,
) -> None:
    """Find the beats, downbeats, tempo, meter, key, sections and loudness of INPUT.

    An audio file is only listened to, and nothing is left behind; for a session the result
    is kept in it. Options that edit the grid need a session and make one where INPUT has
    none; they are carried out in the order shift, halve, double, downbeat, tempo.

    \b
    Examples:
      workstation analyze song.mp3 --json
      workstation analyze "Song.remix" --downbeat 12.4
      workstation analyze "Song.remix" --halve --shift -8
    """
    from workstation.studio.analysis import GridEdits, analyze_input, describe

    parsed = GridEdits.parse(**edits)
    with job_with_progress() as job:
        found, session = analyze_input(
            input_path, parsed, parent=session_dir, again=again, copy_source=not reference, job=job
        )
    if as_json:
        print_json(describe(found))
        return
    _print(found)
    if session is not None:
        say(f"Kept in {session.path}")


def _print(found: Analysis) -> None:
    rows = table("", "")
    rows.show_header = False
    grid, key = found.grid, found.key
    if grid is None:
        rows.add_row(*cells("Tempo", "no beat found"))
    else:
        steady = "steady" if grid.steady else "drifting"
        rows.add_row(*cells("Tempo", f"{grid.bpm:.2f} bpm, {steady}"))
        rows.add_row(*cells("Meter", f"{grid.beats_per_bar}/4"))
        rows.add_row(*cells("Beats", f"{len(grid.beats_s)}, first at {grid.beats_s[0]:.3f} s"))
        rows.add_row(*cells("Bars", f"{len(grid.downbeats)}, first at {grid.downbeats_s[0]:.3f} s"))
    rows.add_row(
        *cells("Key", "none" if key is None else f"{key.name} ({key.confidence:.0%} sure)")
    )
    loudness = found.loudness_lufs
    rows.add_row(*cells("Loudness", "silent" if loudness is None else f"{loudness:.1f} LUFS"))
    if found.peak_dbfs is not None:
        rows.add_row(*cells("Peak", f"{found.peak_dbfs:.1f} dBFS"))
    out = console()
    out.print(rows)
    if found.sections:
        form = table("Section", "from s", "to s", right=("from s", "to s"))
        for section in found.sections:
            form.add_row(*cells(section.label, f"{section.start_s:.2f}", f"{section.end_s:.2f}"))
        out.print()
        out.print(form)
