"""`workstation karaoke`: a song without its voice."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from workstation.cli.options import (
    input_argument,
    json_option,
    mix_options,
    open_and_separate,
    separation_options,
    session_options,
)
from workstation.cli.terminal import command, job_with_progress, print_rendered


@click.command(short_help="Take the voice out, or leave it as a soft guide.")
@input_argument
@click.option(
    "--guide",
    "guide_db",
    type=float,
    metavar="DB",
    help="Level of the voice against the song's own, such as -18.  [default: no voice]",
)
@mix_options("<title> - karaoke.wav")
@separation_options
@session_options
@json_option
@command
def karaoke(
    input_path: Path,
    guide_db: float | None,
    out: Path | None,
    encoding: str,
    session_dir: Path | None,
    *,
    overwrite: bool,
    reference: bool,
    as_json: bool,
    engine: str | None,
    **weights: Any,
) -> None:
    """Mix INPUT for singing: without its voice, or with the voice softly as a guide.

    Where the stems tell lead and backing vocals apart, only the lead is taken away. All else
    stays as it is in the song, sample for sample. Prints the file.

    \b
    Examples:
      workstation karaoke song.mp3
      workstation karaoke song.mp3 --guide -18 --out practice.flac
    """
    from workstation.studio.stem_blocks import mix_file

    with job_with_progress() as job:
        session = open_and_separate(
            input_path,
            lambda session, _: mix_file(session, "karaoke", out, encoding, overwrite=overwrite),
            job.part(0.0, 0.8),
            session_dir=session_dir,
            reference=reference,
            engine=engine,
            weights=weights,
        )
        made = session.karaoke(
            out,
            guide_db=guide_db,
            encoding=encoding,
            overwrite=overwrite,
            job=job.part(0.8, 1.0, "Mixing"),
        )
    print_rendered(made, as_json=as_json)
