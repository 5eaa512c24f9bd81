"""`workstation engines` and `workstation models`: who can separate, and with what weights."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from workstation.cli.options import json_option
from workstation.cli.terminal import cells, command, console, print_json, say, table
from workstation.model.names import shown

if TYPE_CHECKING:
    from workstation.separate.protocol import EngineCard

# What the engines of a family tell stems apart by.
_HEADINGS = {
    "instrument": "By instrument",
    "texture": "By texture: what repeats, what sounds on",
    "place": "By place in the stereo image; of two channels",
}

_models_dir = click.option(
    "--models-dir",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of your own weights.",
)


@click.command(short_help="List the separation engines and what each can do.")
@_models_dir
@json_option
@command
def engines(models_dir: Path | None, *, as_json: bool) -> None:
    """List the separation engines: stems, speed, licences and downloads.

    The cost is seconds of computing per second of stereo audio on two CPU cores. Engines that
    tell stems apart by their place in the stereo image need two channels; duet and projet take
    the number of sources behind their name: duet-2, projet-4.

    \b
    Engines can be combined. The name of an engine may be, in quotes for the shell:
      A@vocals+drums           only these stems of A, and what is left of the mix
      average(A,B=2,C@vocals)  weighted mean of the stems; C takes part in vocals only
      median(A,B,C)            the middle one, sample by sample
      max(A,B)                 the loudest in every bin of the spectrum
      cascade(A@vocals,B)      vocals by A, then the rest by B on what is left of the mix
      residual(A,other)        what the stems miss of the mix goes into `other`; or `own`
                               makes it a stem; or `energy` shares it out (so it is anyway)
      gate(A)  gate(A,-50)     silences stems where they are 40 dB (50 dB) below the mix
      wiener(A)  wiener(A,2)   refines the stems by a multichannel Wiener filter; for
                               networks, since stems of dsp and nmf get no better by it
      shifts(A,4)              the mean of 4 runs on the shifted mix

    \b
    A, B and C may be combinations themselves. Stems are matched by what they are: in an
    average of htdemucs and htdemucs_6s, guitar and piano are a part of `other`.

    A network that you trained with `workstation train` is an engine by its file, or by its name
    with the folder of the file as --models-dir.

    \b
    Examples:
      workstation separate song.mp3 --engine htdemucs_ft@vocals
      workstation separate song.mp3 --engine "cascade(htdemucs_ft@vocals,htdemucs_6s)"
      workstation separate song.mp3 --engine "gate(average(htdemucs=2,dsp))"
      workstation separate song.mp3 --engine my.safetensors
    """
    from rich.text import Text

    from workstation.separate import engine_cards
    from workstation.studio.session import engine_options

    cards = engine_cards(engine_options(models_dir=models_dir, offline=True))
    if as_json:
        print_json(cards)
        return
    rows = table("Engine", "What it makes, and what it is", "Cost", "Download", right=("Cost",))
    for index, (heading, family) in enumerate(_by_family(cards).items()):
        if index:
            rows.add_row()
        rows.add_row("", Text(heading, style="bold"))
        for card in family:
            words = Text(shown(" ".join(card.stems)))
            words.append("\n" + shown(card.summary), style="dim")
            download = card.download or "–"
            rows.add_row(*cells(card.name, words, f"{card.realtime_factor:g}", download))
    console().print(rows)
    say("Cost: seconds of computing per second of audio on two processor cores.")
    say("Engines can be combined: see `workstation engines --help`.")


def _by_family(cards: list[EngineCard]) -> dict[str, list[EngineCard]]:
    """The cards below their headings, in their order; those of no known family come last."""
    found: dict[str, list[EngineCard]] = {}
    for card in cards:
        found.setdefault(_HEADINGS.get(card.family, "Others"), []).append(card)
    order = [*_HEADINGS.values(), "Others"]
    return {heading: found[heading] for heading in order if heading in found}


@click.command(short_help="List weights: which are here, which can be downloaded.")
@_models_dir
@json_option
@command
def models(models_dir: Path | None, *, as_json: bool) -> None:
    """List the weights of the networks: where they are, what they weigh, their licence."""
    from workstation.studio.models import model_rows
    from workstation.studio.session import engine_options

    found = model_rows(engine_options(models_dir=models_dir, offline=True))
    if as_json:
        print_json(found)
        return
    rows = table("Model", "State", "Size", "Stems", "Licence", right=("Size",))
    licences = list(dict.fromkeys(row.licence for row in found))
    for row in found:
        rows.add_row(
            *cells(
                row.name,
                row.state,
                row.download,
                " ".join(row.stems),
                f"[{licences.index(row.licence) + 1}]",
            )
        )
    out = console()
    out.print(rows, markup=False)
    out.print("\nLicence of the weights; the code that runs them is MIT.")
    for number, licence in enumerate(licences, start=1):
        out.print(f"[{number}] {licence}.", markup=False)
