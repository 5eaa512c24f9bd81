"""`workstation demo`: the whole way, on a song that the product makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from workstation.cli.options import json_option
from workstation.cli.terminal import command, console, job_with_progress, print_json, say, table

if TYPE_CHECKING:
    from workstation.studio.demo import DemoResult


@click.command(short_help="Make a song, separate it, and export it for DAWs.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    default=Path("workstation-demo"),
    show_default=True,
    help="Where everything goes.",
)
@click.option("--overwrite", is_flag=True, help="Replace an earlier demo.")
@json_option
@command
def demo(out: Path, *, overwrite: bool, as_json: bool) -> None:
    """Go the whole way on an embedded song: no download, no sound card.

    The song is synthesised, so its stems and beats are known; what separation and analysis
    find is compared with them. Ends with projects to open in a DAW.
    """
    from workstation.studio.demo import run_demo

    with job_with_progress() as job:
        result = run_demo(out, overwrite=overwrite, job=job)
    if as_json:
        print_json(result)
    else:
        _print(result)


def _print(result: DemoResult) -> None:
    out = console()
    stems = table("Stem", "SDR dB", "mix ÷ 4 dB", right=("SDR dB", "mix ÷ 4 dB"))
    for stem in result.stems:
        stems.add_row(stem.name, f"{stem.sdr_db:.1f}", f"{stem.trivial_db:.1f}")
    out.print(stems)
    beats = result.beats
    say()
    say(
        f"Beats      {beats.f_measure:.2f} F-measure, {beats.offset_ms:+.1f} ms median offset, "
        f"{beats.bpm:.2f} bpm found for {beats.true_bpm:.2f}"
    )
    say(
        f"Downbeats  {beats.downbeat_f_measure:.2f} F-measure, "
        f"key {result.key} found for {result.true_key}"
    )
    say(
        f"Null test  {result.null_db:.0f} dB: what is left of the mix when the stems are subtracted"
    )
    say(f"Time       {result.seconds:.0f} s")
    say()
    files = table("Open this", "in")
    for project in result.projects:
        files.add_row(project.path, project.opens_in)
    out.print(files)
