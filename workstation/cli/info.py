"""`workstation info`: what a file or a session is."""

from __future__ import annotations

from pathlib import Path

import click

from workstation.cli.options import input_argument, json_option
from workstation.cli.terminal import cells, command, console, print_json, table


@click.command(short_help="Show what an audio file or a session holds.")
@input_argument
@json_option
@command
def info(input_path: Path, *, as_json: bool) -> None:
    """Show what INPUT holds: format, length and tags of a file; stems and analysis of a session.

    Reads only, also while another process is working in the session.
    """
    from workstation.studio.info import describe_input

    facts = describe_input(input_path)
    if as_json:
        print_json(facts)
        return
    rows = table("", "")
    rows.show_header = False
    for name, value in facts.items():
        if isinstance(value, dict):
            for index, (key, inner) in enumerate(value.items()):
                rows.add_row(*cells(_words(name) if index == 0 else "", f"{key}  {inner}"))
        elif value is not None:
            rows.add_row(*cells(_words(name), _value(name, value)))
    console().print(rows)


def _words(name: str) -> str:
    return (
        name.removesuffix("_hz")
        .removesuffix("_s")
        .removesuffix("_lufs")
        .replace("_", " ")
        .capitalize()
    )


def _value(name: str, value: object) -> str:
    if name == "duration_s" and isinstance(value, float):
        return f"{int(value // 60)}:{value % 60:06.3f}"
    unit = {"sample_rate_hz": " Hz", "loudness_lufs": " LUFS", "bpm": " bpm"}.get(name, "")
    if isinstance(value, float):
        return f"{value:.2f}{unit}"
    if isinstance(value, list):
        return ", ".join(str(v) for v in value)
    return f"{value}{unit}"
