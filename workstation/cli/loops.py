"""`workstation loops`: a pack of loops from a song."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from workstation.cli.options import (
    input_argument,
    json_option,
    open_and_separate,
    separation_options,
    session_options,
)
from workstation.cli.terminal import command, job_with_progress, print_json, print_path, say


@click.command(short_help="Cut whole bars of every stem where sections start.")
@input_argument
@click.option("--bars", type=int, default=4, show_default=True, help="Length of a loop, 1 to 64.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where the loops go.  [default: <title> - loops]",
)
@click.option(
    "--encoding",
    type=click.Choice(["pcm24", "pcm16", "float32"]),
    default="pcm24",
    show_default=True,
    help="Of the .wav files.",
)
@click.option("--overwrite", is_flag=True, help="Replace loops of the same names.")
@separation_options
@session_options
@json_option
@command
def loops(
    input_path: Path,
    bars: int,
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
    """Cut INPUT into loops: whole bars of every stem, from the start of every section.

    A loop is exactly as long as its bars on the beat grid and carries tempo, meter, key and
    loop points, so samplers and DAWs play it in time. Silent ones are left out; a section
    shorter than a loop gives as many bars as it has. Prints the files.

    \b
    Examples:
      workstation loops song.mp3
      workstation loops song.mp3 --bars 8 --out pack
    """
    from workstation.studio.loops import check_bars, loop_folder

    check_bars(bars, encoding)
    with job_with_progress() as job:
        session = open_and_separate(
            input_path,
            lambda session, _: loop_folder(session, out),
            job.part(0.0, 0.7),
            session_dir=session_dir,
            reference=reference,
            engine=engine,
            weights=weights,
        )
        pack = session.loops(
            out, bars=bars, encoding=encoding, overwrite=overwrite, job=job.part(0.7, 1.0)
        )
    if as_json:
        print_json(
            {
                "folder": str(pack.folder),
                "files": list(pack.files),
                "silent": pack.silent,
                "clipped_samples": pack.clipped_samples,
            }
        )
        return
    if pack.silent:
        say(f"{pack.silent} silent cuts were left out.")
    if pack.clipped_samples:
        say(f"{pack.clipped_samples} samples were beyond full scale; float32 would keep them.")
    for name in pack.files:
        print_path(pack.folder / name)
