"""`workstation doctor`: what works on this machine, and how to get the rest."""

from __future__ import annotations

import click

from workstation.cli.options import json_option
from workstation.cli.terminal import cells, command, console, print_json, table

_MARKS = {"ok": ("ok", "green"), "missing": ("missing", "yellow"), "broken": ("broken", "red")}


@click.command(short_help="Check what works on this machine, and how to get the rest.")
@json_option
@command
def doctor(*, as_json: bool) -> None:
    """Check this machine: audio formats, engines, weights, disk, network.

    Leaves with 1 if something that everything needs is broken.
    """
    from rich.text import Text

    from workstation.studio.doctor import examine

    checks = examine()
    if as_json:
        print_json(checks)
    else:
        rows = table("Part", "State", "What was found")
        for check in checks:
            word, colour = _MARKS[check.state]
            rows.add_row(*cells(check.part, Text(word, style=colour), check.found))
            if check.remedy:
                rows.add_row(*cells("", "", f"→ {check.remedy}"))
        console().print(rows)
    if any(check.state == "broken" for check in checks):
        raise SystemExit(1)
