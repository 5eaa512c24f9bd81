"""`workstation takes`: the recorded performances of a session."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from workstation.cli.options import json_option
from workstation.cli.terminal import cells, command, console, print_json, say, table

if TYPE_CHECKING:
    from workstation.session import TakeShelf

_session = click.argument("session", metavar="SESSION", type=click.Path(path_type=Path))


def _shelf(session: Path) -> TakeShelf:
    from workstation.studio.opening import existing_session

    return existing_session(session).takes


@click.group()
def takes() -> None:
    """List, rename, delete and bring back the takes of a session.

    Record one with `workstation perform SESSION --record NAME`.
    """


@takes.command("list")
@_session
@json_option
@command
def list_takes(session: Path, *, as_json: bool) -> None:
    """List the takes of SESSION."""
    numbered = _shelf(session).numbered()
    if as_json:
        print_json(
            [
                {
                    "number": number,
                    "name": take.name,
                    "duration_s": round(take.duration_s, 3),
                    "events": len(take.events),
                    "created": take.created,
                    "over": take.over,
                }
                for number, take in numbered.items()
            ]
        )
        return
    if not numbered:
        say("No take yet. Record one: workstation perform SESSION --record NAME")
        return
    rows = table("No.", "Name", "Length", "Changes", "Recorded", "Over", right=("No.", "Changes"))
    for number, take in numbered.items():
        minutes, seconds = divmod(take.duration_s, 60)
        rows.add_row(
            *cells(
                number,
                take.name,
                f"{minutes:.0f}:{seconds:04.1f}",
                len(take.events),
                take.created.replace("T", " ").removesuffix("+00:00"),
                take.over or "",
            )
        )
    console().print(rows)


@takes.command("rename")
@_session
@click.argument("take")
@click.argument("name")
@command
def rename(session: Path, take: str, name: str) -> None:
    """Call TAKE (its name, number, or `last`) NAME."""
    renamed = _shelf(session).rename(take, name)
    say(f'The take is called "{renamed.name}" now.')


@takes.command("delete")
@_session
@click.argument("take")
@command
def delete(session: Path, take: str) -> None:
    """Delete TAKE; `takes undo` brings it back."""
    say(f'"{_shelf(session).delete(take).name}" is deleted; `takes undo` brings it back.')


@takes.command("undo")
@_session
@command
def undo(session: Path) -> None:
    """Take back the last recording, renaming or deletion."""
    say(_shelf(session).undo())
