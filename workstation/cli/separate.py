"""`workstation separate`: a song becomes stems."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from workstation.cli.options import (
    input_argument,
    json_option,
    open_input,
    separation_options,
    session_options,
)
from workstation.cli.terminal import command, job_with_progress, print_json, print_path, say


@click.command(short_help="Split a song into stems that sum to it.")
@input_argument
@click.option(
    "--stems",
    metavar="NAMES",
    help="Only these, separated by commas: vocals,drums. To compute no others, name them behind "
    "the engine: --engine htdemucs_ft@vocals.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Copy the stems to DIR/<stem>.wav (float32).",
)
@click.option("--overwrite", is_flag=True, help="Replace stems that are in DIR already.")
@separation_options
@session_options
@json_option
@command
def separate(
    input_path: Path,
    stems: str | None,
    out: Path | None,
    session_dir: Path | None,
    *,
    overwrite: bool,
    reference: bool,
    as_json: bool,
    engine: str | None,
    **weights: Any,
) -> None:
    """Split INPUT into stems that sum to it, sample for sample.

    INPUT is an audio file, a .stem.mp4 or folder of ready-made stems, or a session folder.
    The stems are float32 WAV of the song's own rate and length, kept in the session
    <Title>.remix; asked again, they are taken from there. Prints the path of every stem.

    \b
    Examples:
      workstation separate song.mp3
      workstation separate song.mp3 --stems vocals --out acapella
      workstation separate song.flac --engine htdemucs_ft
      workstation separate song.flac --engine htdemucs_ft@vocals
      workstation separate song.flac --engine "average(htdemucs,dsp)"
    """
    from workstation.studio.copies import check_copies, copy_stems, pick_stems
    from workstation.studio.session import engine_options

    options = engine_options(**weights)
    with job_with_progress() as job:
        session = open_input(
            input_path,
            job.part(0.0, 0.05, "Opening"),
            session_dir=session_dir,
            reference=reference,
        )
        names = pick_stems(session.stem_names(engine, options), stems)
        if out is not None:
            check_copies(names, out, overwrite=overwrite)
        found = session.separate(engine, options=options, say=say, job=job.part(0.05, 0.95))
        wanted = {name: found[name] for name in names}
        if out is not None:
            wanted = copy_stems(wanted, out, job.part(0.95, 1.0, "Copying"))
    if as_json:
        print_json(
            {
                "session": str(session.path),
                "engine": session.engine,
                "stems": {name: str(path) for name, path in wanted.items()},
            }
        )
    else:
        say(f"Session: {session.path}")
        for path in wanted.values():
            print_path(path)
