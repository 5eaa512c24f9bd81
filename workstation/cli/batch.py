"""`workstation batch`: a folder of songs, each separated, analysed and exported."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workstation.cli.options import complete_targets, json_option, separation_options
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
    from workstation.studio.batch import BatchReport


@click.command(short_help="Separate, analyse and export a folder of songs.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="For sessions, queue and report.  [default: FOLDER-batch in the working folder]",
)
@click.option(
    "--to",
    "targets",
    default="",
    metavar="TARGETS",
    shell_complete=complete_targets,
    help="Export each song: one or more of reaper, dawproject, stems, …, separated by commas.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Songs at once.",
)
@click.option(
    "--retry",
    type=click.IntRange(min=0),
    default=1,
    show_default=True,
    metavar="N",
    help="Try a song that failed so often again, unless its file is to blame.",
)
@click.option(
    "--cluster", metavar="ADDRESS", help="Have the workers of a Dask cluster do them: tcp://…."
)
@separation_options
@json_option
@command
def batch(
    folder: Path,
    out: Path | None,
    targets: str,
    jobs: int,
    retry: int,
    cluster: str | None,
    engine: str | None,
    *,
    as_json: bool,
    **weights: Any,
) -> None:
    """Separate, analyse and export every song in FOLDER and the folders in it.

    A song that fails is listed at the end, and the others go on. Run it again, also after a
    crash, and it goes on where it stopped; songs that are done are never done again. Sessions
    lie in the output folder as the songs do in FOLDER, and report.json tells all.

    \b
    Examples:
      workstation batch songs
      workstation batch songs --to reaper,stems --out projects --jobs 2
      workstation batch songs --cluster tcp://studio:8786
    """
    from workstation.studio.batch import REPORT_FILE, BatchOptions
    from workstation.studio.batch import batch as run
    from workstation.studio.session import engine_options

    options = BatchOptions(engine_options(**weights), jobs, retry, cluster)
    with job_with_progress() as job:
        report = run(folder, out=out, engine=engine, to=targets, options=options, say=say, job=job)
    if as_json:
        print_json(report)
    else:
        _print(report)
    say(
        f"{report.done} of {len(report.songs)} songs are done, {report.done_before} of them before."
    )
    for song in report.songs:
        if song.problem is not None:
            say(f"Failed  {song.song}: {song.problem} {song.remedy}")
    say(f"Report  {Path(report.out) / REPORT_FILE}")
    failures = [song.exit_code for song in report.songs if song.exit_code]
    if failures:
        raise SystemExit(failures[0])


def _print(report: BatchReport) -> None:
    rows = table("Song", "", "bpm", "Key", "Stems", "Took s", right=("bpm", "Took s"))
    for song in report.songs:
        made = song.result
        if made is None:
            rows.add_row(*cells(song.song, song.state, "", "", "", ""))
            continue
        bpm = "–" if made.bpm is None else f"{made.bpm:.1f}"
        rows.add_row(
            *cells(song.song, song.state, bpm, made.key or "–", made.engine, f"{made.seconds:.0f}")
        )
    console().print(rows)
