"""`workstation practice`: a mix for practising one part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from workstation.separate import EngineOptions
    from workstation.studio import Session


@click.command(short_help="Mute one part or bring it up, slower or in another key.")
@input_argument
@click.option("--stem", required=True, metavar="NAME", help="The part to practise: bass.")
@click.option("--mute", is_flag=True, help="Leave the part out; so it is without --up.")
@click.option("--up", "up_db", type=float, metavar="DB", help="Lower all others by so much.")
@click.option(
    "--tempo",
    "tempo_percent",
    type=float,
    default=100.0,
    metavar="PERCENT",
    help="50 (half as fast) to 150.  [default: 100]",
)
@click.option(
    "--pitch", "semitones", type=float, default=0.0, metavar="SEMITONES", help="-12 to 12."
)
@mix_options("<title> - practice <stem>.wav")
@separation_options
@session_options
@json_option
@command
def practice(
    input_path: Path,
    stem: str,
    *,
    up_db: float | None,
    tempo_percent: float,
    semitones: float,
    out: Path | None,
    encoding: str,
    session_dir: Path | None,
    mute: bool,
    overwrite: bool,
    reference: bool,
    as_json: bool,
    engine: str | None,
    **weights: Any,
) -> None:
    """Mix INPUT for practising one part: without it, or with the others lowered.

    Another tempo or pitch is made with Signalsmith Stretch, which the extra "stretch" brings.
    Prints the file.

    \b
    Examples:
      workstation practice song.mp3 --stem bass
      workstation practice song.mp3 --stem bass --up 9 --tempo 75
      workstation practice song.mp3 --stem vocals --pitch -2
    """
    from workstation.audio.stretching import check_stretch
    from workstation.model import UsageError
    from workstation.studio.practice import practice_gains
    from workstation.studio.stem_blocks import mix_file

    if mute and up_db is not None:
        raise UsageError("A part cannot be both muted and up.", "Give --mute or --up, not both.")
    check_stretch(tempo_percent, semitones)

    def check(session: Session, options: EngineOptions) -> None:
        practice_gains(tuple(session.stem_names(engine, options)), stem, up_db)
        mix_file(session, f"practice {stem}", out, encoding, overwrite=overwrite)

    with job_with_progress() as job:
        session = open_and_separate(
            input_path,
            check,
            job.part(0.0, 0.7),
            session_dir=session_dir,
            reference=reference,
            engine=engine,
            weights=weights,
        )
        made = session.practice(
            stem,
            out,
            up_db=up_db,
            tempo_percent=tempo_percent,
            semitones=semitones,
            encoding=encoding,
            overwrite=overwrite,
            job=job.part(0.7, 1.0, "Mixing"),
        )
    print_rendered(made, as_json=as_json)
