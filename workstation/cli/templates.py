"""`workstation templates`: what a project looks like."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from workstation.cli.options import complete_layouts, json_option
from workstation.cli.terminal import (
    cells,
    command,
    console,
    print_json,
    print_path,
    say,
    table,
)

if TYPE_CHECKING:
    from workstation.export import Layout


@click.group()
def templates() -> None:
    """See, make and check templates: what an exported project looks like.

    \b
    Start with:
      workstation templates list
      workstation templates new mine --from remix
      workstation export song.mp3 --to reaper --template mine
    """


@templates.command("list", short_help="List the templates there are.")
@json_option
@command
def list_templates(*, as_json: bool) -> None:
    """List the templates there are: shipped ones, and your own."""
    from workstation.export.layouts import layout_files, read_layout, user_layouts
    from workstation.model import InputError

    found = []
    for name, path in layout_files().items():
        try:
            words = read_layout(path).summary
        except InputError as error:  # Told here, and the others are listed all the same.
            words = f"{error.problem} {error.remedy}"
        found.append({"name": name, "path": str(path), "summary": words})
    if as_json:
        print_json(found)
        return
    rows = table("Name", "What it is for", "From")
    for each in found:
        own = Path(each["path"]).parent == user_layouts()
        rows.add_row(*cells(each["name"], each["summary"], "you" if own else "shipped"))
    console().print(rows)


@templates.command("show", short_help="Show what a template holds.")
@click.argument("name", metavar="NAME|FILE", shell_complete=complete_layouts)
@json_option
@command
def show(name: str, *, as_json: bool) -> None:
    """Show the tracks of a template, and how it goes about markers and the lead-in."""
    from workstation.export.layouts import find_layout, layout_file

    layout = find_layout(name)
    if as_json:
        print_json(layout)
        return
    rows = table("Track", "What is on it", "Group", "Colour", "")
    for row in layout.track:
        what = ", ".join(row.stems) if row.stems else _KINDS[row.kind]
        more = [
            *(["muted"] if row.muted else []),
            *([] if row.output is None else [f"outputs {row.output}, {row.output + 1}"]),
        ]
        rows.add_row(
            *cells(row.name or "as its stem", what, row.group, row.colour, ", ".join(more))
        )
    console().print(rows)
    for title, words in _facts(layout):
        say(f"{title:<9} {words}")
    say(f"File      {layout_file(name)}")


_KINDS = {
    "empty": "nothing yet",
    "bus": "a bus",
    "click": "a click on every beat",
    "count-in": "a click before the song",
}
_MARKERS = {
    "sections": "at the sections",
    "bars": "at the sections and on every bar",
    "edges": "at intro and outro, with their bars",
    "none": "none",
}


def _facts(layout: Layout) -> list[tuple[str, str]]:
    lead_in = "the stems start at 0; the time before the first downbeat is a bar of its own"
    if layout.lead_in == "padding":
        lead_in = "silence before the stems makes whole bars"
    if layout.count_in_bars:
        lead_in += f", {layout.count_in_bars} of them to count in"
    return [
        ("Markers", _MARKERS[layout.markers]),
        ("Lead-in", lead_in),
        ("Audio", layout.encoding or "as asked for"),
        ("Loops", f"of {layout.loop_bars} bars, in loops/" if layout.loop_bars else "none"),
    ]


@templates.command("new", short_help="Write a template of your own.")
@click.argument("name")
@click.option(
    "--from",
    "model",
    default="remix",
    show_default=True,
    metavar="TEMPLATE",
    shell_complete=complete_layouts,
    help="The one to begin with.",
)
@command
def new(name: str, model: str) -> None:
    """Write a template of your own, to edit. Prints its file."""
    from workstation.studio.layouts import new_layout

    print_path(new_layout(name, model))


@templates.command("check", short_help="Tell the mistakes in a template.")
@click.argument("file", type=click.Path(path_type=Path))
@command
def check(file: Path) -> None:
    """Read a template's FILE, and tell its first mistake."""
    from workstation.export.layouts import read_layout

    layout = read_layout(file)
    say(f"{file} is a template of {len(layout.track)} rows: {layout.summary}")
