"""`workstation train`: a separation network of your own."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from workstation.cli.options import json_option
from workstation.cli.terminal import (
    cells,
    command,
    console,
    job_with_progress,
    print_json,
    print_path,
    say,
    table,
)

if TYPE_CHECKING:
    from workstation.studio.training import TrainingReport


@click.command(short_help="Train a separation network on songs whose stems you have.")
@click.argument("folder", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The network: a .safetensors file. Where the training stands is kept beside it.",
)
@click.option(
    "--network",
    type=click.Choice(["waveform", "spectrogram"]),
    help="What is trained.  [default: waveform]",
)
@click.option(
    "--valid",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Songs to judge by.  [default: a fifth of those in FOLDER, held out]",
)
@click.option(
    "--minutes",
    type=click.FloatRange(min=0, min_open=True),
    metavar="N",
    help="Stop after N minutes.",
)
@click.option(
    "--epochs",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    metavar="N",
    help="Stop after N epochs, those before --resume counted in.",
)
@click.option(
    "--batch",
    type=click.IntRange(min=1),
    metavar="N",
    help="Excerpts of 3 s that are learnt from at once.  [default: 8]",
)
@click.option(
    "--learning-rate",
    type=click.FloatRange(min=0, min_open=True, max=1),
    metavar="RATE",
    help="How large the steps are.  [default: 0.001]",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    help="Decides all that is drawn by chance.  [default: 0]",
)
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda", "mps"]),
    help="Where to compute.  [default: the fastest there is]",
)
@click.option("--resume", is_flag=True, help="Go on with the training whose network is FILE.")
@click.option("--overwrite", is_flag=True, help="Begin anew although FILE is there.")
@json_option
@command
def train(
    folder: Path,
    *,
    out: Path,
    network: Literal["waveform", "spectrogram"] | None,
    valid: Path | None,
    minutes: float | None,
    epochs: int,
    batch: int | None,
    learning_rate: float | None,
    seed: int | None,
    device: str | None,
    resume: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Train a network that separates songs like those in FOLDER.

    FOLDER holds songs whose stems are known, as `workstation evaluate` takes them:
    <song>/<stem>.wav as in MUSDB18-HQ, .stem.mp4 files, sessions. All need the same stems and
    one sample rate. A mix beside the stems is not needed: mixes are made, also of stems of
    different songs.

    \b
    There are two networks of 2.8 million parameters, small enough for a processor:
      waveform     encoder, BLSTM and decoder on samples, after Demucs
      spectrogram  masks on the spectrum by dilated convolutions, after TCN

    A few songs and minutes show that it learns, no more: good stems take a hundred songs and
    days. The figures say how it does on songs that it did not learn from, against the mix
    divided by the number of stems. It stops early when these get no better; stopped by Ctrl-C
    or by its limit, it goes on with --resume as if it had not been.

    \b
    Examples:
      workstation train songs --out my.safetensors --minutes 30
      workstation train musdb18hq/train --out my.safetensors --network spectrogram
      workstation separate song.mp3 --engine my.safetensors
    """
    from workstation.studio.training import TrainingOptions
    from workstation.studio.training import train as run

    with job_with_progress() as job:
        report = run(
            folder,
            out,
            options=TrainingOptions(
                network=network,
                valid=valid,
                minutes=minutes,
                epochs=epochs,
                seed=seed,
                batch=batch,
                learning_rate=learning_rate,
                device=device,
            ),
            resume=resume,
            overwrite=overwrite,
            say=say,
            job=job,
        )
    if as_json:
        print_json(report)
        return
    _say(report)
    print_path(report.path)


def _say(report: TrainingReport) -> None:
    rows = table(
        "Stem", "Mix shared out", "Network", "Gain", right=("Mix shared out", "Network", "Gain")
    )
    for name, one in report.stems.items():
        if one.sdr_db is None or one.mix_sdr_db is None:
            rows.add_row(*cells(name, "–", "–", "–"))
        else:
            gain = one.sdr_db - one.mix_sdr_db
            rows.add_row(*cells(name, f"{one.mix_sdr_db:.2f}", f"{one.sdr_db:.2f}", f"{gain:+.2f}"))
    console(err=True).print(rows)
    say(f"SDR in dB on songs held out: {', '.join(report.held_out)}.")
    say(
        f"Stopped after {report.stopped}: {report.steps} steps; the file holds the network of "
        f"step {report.best_step}. Add --resume to train on."
    )
