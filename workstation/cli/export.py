"""`workstation export`: a song becomes a DAW project."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from workstation.cli.options import (
    complete_layouts,
    complete_targets,
    input_argument,
    json_option,
    open_input,
    separation_options,
    session_options,
)
from workstation.cli.terminal import command, job_with_progress, print_json, print_path, say

if TYPE_CHECKING:
    from workstation.model import ExportReport


class _TargetsOption(click.Option):
    """An option whose help lists the targets there are, looked up when help is asked for."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        from workstation.export import TARGETS

        self.help = f"One or more of {', '.join(TARGETS)}, separated by commas; or all."
        return super().get_help_record(ctx)


@click.command(short_help="Make a DAW project: stems on tracks, on the song's tempo map.")
@input_argument
@click.option(
    "--to",
    "targets",
    cls=_TargetsOption,
    required=True,
    metavar="TARGETS",
    shell_complete=complete_targets,
)
@click.option(
    "--take",
    metavar="TAKE",
    help="Name or number of a take, or `last`: the project's mixer moves as in it.",
)
@click.option(
    "--template",
    "templates",
    multiple=True,
    metavar="NAME|FILE",
    shell_complete=complete_layouts,
    help="What it looks like: see `workstation templates list`; and a project of your own, such "
    "as an .als or a .logicx, that the stems are put into. Only read.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write DIR/<target>/.  [default: exports/ in the session]",
)
@click.option(
    "--encoding",
    type=click.Choice(["pcm24", "float32", "flac", "mp3", "aac"]),
    help="Of the audio, where the target can.  [default: pcm24]",
)
@click.option("--bar-markers", is_flag=True, help="A marker on every bar, besides the sections.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier export.")
@separation_options
@session_options
@json_option
@command
def export(
    input_path: Path,
    targets: str,
    take: str | None,
    templates: tuple[str, ...],
    out: Path | None,
    encoding: str | None,
    session_dir: Path | None,
    *,
    bar_markers: bool,
    overwrite: bool,
    reference: bool,
    as_json: bool,
    engine: str | None,
    **weights: Any,
) -> None:
    """Make projects for DAWs from INPUT: stems on named tracks, on the song's tempo map.

    INPUT is an audio file, a .stem.mp4 or folder of ready-made stems, or a session folder.
    What is missing, separation and analysis, is done first. Every project is a folder that can
    be moved or zipped, with a README that says what to open. Prints these folders.

    \b
    Examples:
      workstation export song.mp3 --to reaper
      workstation export song.mp3 --to dawproject,midi --out projects
      workstation export song.remix --to reaper --take last
      workstation export song.mp3 --to reaper --template remix
      workstation export song.mp3 --to ableton --template "My Set.als"
      workstation export stems/ --to reaper --bar-markers
    """
    from workstation.studio.exporting import (
        asks_for_all,
        check_free,
        check_played,
        check_targets,
        export_to,
    )
    from workstation.studio.layouts import split_templates
    from workstation.studio.session import engine_options

    layout, own_project = split_templates(templates)
    options = engine_options(**weights)
    names, every = check_targets(targets), asks_for_all(targets)
    with job_with_progress() as job:
        session = open_input(
            input_path,
            job.part(0.0, 0.05, "Opening"),
            session_dir=session_dir,
            reference=reference,
        )
        check_free(
            session,
            names,
            out=out,
            encoding=encoding,
            overwrite=overwrite,
            layout=layout,
            own_project=own_project,
            every=every,
        )
        if take is not None:
            check_played(session, take, engine)
        # What is done already takes no time, so it gets no room on the bar.
        begin = 0.06 if session.has_stems(engine) else 0.7
        middle = begin + (0.01 if session.analysis is not None else 0.1)
        session.separate(engine, options=options, say=say, job=job.part(0.05, begin))
        session.analyze(job=job.part(begin, middle, "Analysing"))
        reports = export_to(
            session,
            names,
            out=out,
            encoding=encoding,
            bar_markers=bar_markers,
            overwrite=overwrite,
            take=take,
            layout=layout,
            own_project=own_project,
            every=every,
            job=job.part(middle, 1.0),
        )
    made = [report for report in reports if report.problem is None]
    if as_json:
        print_json(reports)
    else:
        for report in made:
            print_report(report)
            print_path(report.folder)
    failures = [report for report in reports if report.problem is not None]
    if failures:
        say()
    for report in failures:
        say(f"Not made  {report.target}: {report.problem} {report.remedy}")
    if failures:
        raise SystemExit(failures[0].exit_code)


def print_report(report: ExportReport) -> None:
    """Say what was made, what to open, and what could not be carried."""
    say()
    say(f"{report.target}: {len(report.files)} files")
    say(f"  Open      {report.open_with}")
    if report.lead_in:
        say(f"  Start     {report.lead_in}")
    for index, words in enumerate(report.dropped):
        say(("  Left out  " if index == 0 else "            ") + words)
