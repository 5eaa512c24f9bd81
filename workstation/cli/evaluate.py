"""`workstation evaluate`: how well stems were separated, where the true ones are known."""

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
    say,
    table,
)

if TYPE_CHECKING:
    from workstation.studio.evaluation import Evaluation

_COLUMNS = {
    "SDR": "sdr_db",
    "SI-SDR": "si_sdr_db",
    "SDR 1 s": "window_sdr_db",
    "SIR": "sir_db",
    "SAR": "sar_db",
    "Bleed": "bleed_db",
}
_CEILING = {"Ceiling": "ceiling_db"}
# Over songs: means of what is measured over the whole, medians of medians.
_MEANS = {"sdr_db", "si_sdr_db", "bleed_db", "ceiling_db"}


@click.command(short_help="Score stems against the true ones: SDR, SIR, SAR, bleed.")
@click.argument("references", type=click.Path(path_type=Path))
@click.argument("estimates", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Keep the scores of each song here, and go on from there.  [default: workstation-scores]",
)
@click.option(
    "--csv",
    "csv_path",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write a table, one line per song and stem.",
)
@click.option(
    "--plots",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Draw box plots and spectrograms as PNG and SVG; needs matplotlib.",
)
@click.option(
    "--ceiling",
    is_flag=True,
    help="Score the ideal ratio mask of the true stems as well, about the most masks reach.",
)
@click.option(
    "--jobs",
    type=click.IntRange(min=1),
    metavar="N",
    help="Songs at once.  [default: one per core, at most 8]",
)
@click.option("--overwrite", is_flag=True, help="Replace the CSV file and the plots.")
@json_option
@command
def evaluate(
    references: Path,
    estimates: Path,
    out: Path | None,
    csv_path: Path | None,
    plots: Path | None,
    jobs: int | None,
    *,
    ceiling: bool,
    overwrite: bool,
    as_json: bool,
) -> None:
    """Measure how well stems were separated, where the true stems are known.

    REFERENCES is a folder with one audio file per stem, a .stem.mp4, a session, or a folder of
    such, like MUSDB18 and MUSDB18-HQ. ESTIMATES is the same; songs and stems belong together by
    their names. All files need one sample rate; mono ones sound on every channel.

    \b
    All in dB:
      SDR      over the whole song
      SI-SDR   the same with the best gain
      SDR 1 s  BSS Eval 4: median of seconds, as museval gives it; so are SIR and SAR
      SIR      without what is left of other stems
      SAR      without what belongs to no stem
      Bleed    what sounds while the stem is silent, against the mix; lower is better
      Ceiling  SDR of the ideal ratio mask on the sum of the true stems (with --ceiling)

    \b
    Examples:
      workstation evaluate "true stems" stems
      workstation evaluate musdb18hq/test estimates --csv scores.csv
      workstation evaluate "true stems" stems --ceiling
    """
    from workstation.studio.evaluation import check_csv, write_csv
    from workstation.studio.evaluation import evaluate as run

    if csv_path is not None:
        check_csv(csv_path, overwrite=overwrite)
    with job_with_progress() as job:
        found = run(
            references,
            estimates,
            out=out,
            plots=plots,
            ceiling=ceiling,
            jobs=jobs,
            overwrite=overwrite,
            job=job,
        )
    if csv_path is not None:
        write_csv(found, csv_path)
    if as_json:
        print_json(found)
    else:
        _print(found, {**_COLUMNS, **_CEILING} if ceiling else _COLUMNS)
    _say_what_is_missing(found)
    if found.failures:
        raise SystemExit(found.failures[0].exit_code)


def _print(found: Evaluation, columns: dict[str, str]) -> None:
    out = console()
    rows = table("Song", "Stem", *columns, right=tuple(columns))
    for song in found.songs:
        name = song.song
        for stem, scores in song.stems.items():
            rows.add_row(*cells(name, stem, *(_db(getattr(scores, f)) for f in columns.values())))
            name = ""  # Once is enough.
    out.print(rows)
    if len(found.songs) < 2:
        return
    over_all = table("Stem", "Songs", *columns, right=("Songs", *columns))
    for stem, one in found.summary.items():
        figures = [
            _db((one.mean if field in _MEANS else one.median)[field]) for field in columns.values()
        ]
        over_all.add_row(*cells(stem, one.songs, *figures))
    out.print()
    out.print(over_all)
    say("Over songs: means of SDR, SI-SDR, bleed and ceiling; medians of the others.")


def _db(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def _say_what_is_missing(found: Evaluation) -> None:
    for song in found.songs:
        for names, words in (
            (song.without_estimate, "true, but not estimated: it only interferes"),
            (song.without_reference, "estimated, but its truth is not known: left out"),
        ):
            for name in names:
                say(f"{song.song}: {name}: {words}.")
        for note in song.notes:
            say(f"{song.song}: {note}.")
    if found.without_estimates:
        say(f"Without estimates: {', '.join(found.without_estimates)}.")
    for failure in found.failures:
        say(f"Failed  {failure.song}: {failure.problem} {failure.remedy}")
