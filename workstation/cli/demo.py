"""`workstation demo`: the whole way, on a song that the product makes itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

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
    stems = table("Stem", "SDR dB", "without dB", right=("SDR dB", "without dB"))
    for stem in result.stems:
        stems.add_row(*cells(stem.name, f"{stem.sdr_db:.1f}", f"{stem.trivial_db:.1f}"))
    out.print(stems)
    say("SDR: how far the true stem stands above what is wrong in ours; higher is better.")
    say("without: the same if nothing had been separated, a quarter of the mix for each stem.")
    beats = result.beats
    say()
    say(
        f"Beats      {beats.f_measure:.0%} found, {beats.offset_ms:+.1f} ms off in the median; "
        f"{beats.bpm:.2f} bpm for {beats.true_bpm:.2f}"
    )
    say(f"Downbeats  {beats.downbeat_f_measure:.0%} found; key {result.key} for {result.true_key}")
    say(f"Null test  {result.null_db:.0f} dB are left when the stems are taken from the mix")
    say(f"Time       {result.seconds:.0f} s")
    say()
    say(f'Play it with `workstation perform "{result.session}"`, or see it with `workstation`.')
    for project in result.projects:
        say()
        say(f"Opens in {project.opens_in}")
        print_path(project.path)
