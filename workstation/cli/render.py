"""`workstation render`: a session and a take to an audio file."""

from __future__ import annotations

from pathlib import Path

import click

from workstation.cli.options import input_argument, json_option, open_input
from workstation.cli.terminal import command, job_with_progress, print_rendered, say


@click.command(short_help="Mix a session, or a take, to WAV or FLAC.")
@input_argument
@click.option("--take", metavar="TAKE", help="Name or number of a take, or `last`.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="A .wav or .flac file.  [default: <title> - mix.wav or <title> - <take>.wav]",
)
@click.option(
    "--encoding",
    type=click.Choice(["float32", "pcm24", "pcm16"]),
    default="float32",
    show_default=True,
    help="Of a .wav; .flac is 24 bit.",
)
@click.option("--overwrite", is_flag=True, help="Replace the file if it is there.")
@json_option
@command
def render(
    input_path: Path,
    take: str | None,
    out: Path | None,
    encoding: str,
    *,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Mix INPUT to an audio file: a take as it was played, or the song through the mixer.

    A take gives the very samples that the player sent to the device. Prints the file.

    \b
    Examples:
      workstation render song.remix --take last
      workstation render song.remix --take 2 --out live.flac
    """
    from workstation.model.names import file_name

    with job_with_progress() as job:
        session = open_input(input_path, job.part(0.0, 0.05), session_dir=None)
        if out is None:
            what = "mix" if take is None else session.takes.find(take).name
            name = f"{session.song.title} - {what}"
            out = Path(file_name(name, fallback="song") + ".wav")
        if take is None and session.mixer_words:
            say(f"The mixer as it was left: {session.mixer_words}.")
        made = session.render(
            out, take=take, encoding=encoding, overwrite=overwrite, job=job.part(0.05, 1.0)
        )
    print_rendered(made, as_json=as_json)
