"""`workstation surround`: a song in 5.1."""

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


@click.command(short_help="Spread the stems over 5.1 channels.")
@input_argument
@mix_options("<title> - 5.1.wav")
@separation_options
@session_options
@json_option
@command
def surround(
    input_path: Path,
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
    """Mix INPUT to 5.1: voices in the centre, drums and bass in front, all else around.

    \b
    Channels  left, right, centre, LFE, left surround, right surround (WAV mask 0x3F)
    Voices    what both sides share goes to the centre (+3 dB), the rest stays in front
    Others    surround at -6 dB, front at -3.8 dB; backing vocals too, where they are a stem
    LFE       drums and bass below 80 Hz (24 dB per octave), -10 dB

    The fold-down to stereo of ITU-R BS.775 (centre and surrounds at -3 dB, no LFE) is the song
    again, to the rounding of the file. Prints the file.

    \b
    Example:
      workstation surround song.mp3 --out "song 5.1.flac"
    """
    from workstation.studio.stem_blocks import mix_file

    with job_with_progress() as job:
        session = open_and_separate(
            input_path,
            lambda session, _: mix_file(
                session, "5.1", out, encoding, overwrite=overwrite, channels=6
            ),
            job.part(0.0, 0.8),
            session_dir=session_dir,
            reference=reference,
            engine=engine,
            weights=weights,
        )
        made = session.surround(
            out,
            encoding=encoding,
            overwrite=overwrite,
            job=job.part(0.8, 1.0, "Mixing"),
        )
    print_rendered(made, as_json=as_json)
