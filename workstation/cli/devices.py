"""`workstation devices` and `workstation controls`: what can be played on, and moved."""

from __future__ import annotations

from pathlib import Path

import click

from workstation.cli.options import json_option
from workstation.cli.terminal import cells, command, console, print_json, say, table


@click.command(short_help="List the audio outputs.")
@json_option
@command
def devices(*, as_json: bool) -> None:
    """List the audio outputs of this machine; the default one is marked."""
    from workstation.perform.outputs import devices as output_devices
    from workstation.studio.controllers import quiet_libraries

    with quiet_libraries():
        found = output_devices()
    if as_json:
        print_json(found)
        return
    if not found:
        say("No audio output is there; `perform` plays on a silent clock.")
        return
    rows = table("", "Device", "System", "Channels", "Rate", right=("Channels", "Rate"))
    for device in found:
        mark = "default" if device.default else ""
        rate = f"{device.rate_hz:.0f} Hz"
        rows.add_row(*cells(mark, device.name, device.host, device.channels, rate))
    console().print(rows)


@click.command(short_help="List everything that can be controlled.")
@click.argument("session", required=False, metavar="[SESSION]", type=click.Path(path_type=Path))
@json_option
@command
def controls(session: Path | None, *, as_json: bool) -> None:
    """List everything that knobs, pads, OSC and scripts can control.

    With a SESSION, its stems go by name; without one they are strip1, strip2, ….
    """
    from workstation.model.controls import control_table, mapping_targets

    if session is None:
        specs = [s for s in mapping_targets().values() if not s.id.startswith(_LATER)]
    else:
        from workstation.studio.opening import existing_session

        specs = list(control_table(list(existing_session(session).stems)).values())
    if as_json:
        print_json(specs)
        return
    rows = table("Control", "What it is", "Range", "At start", right=("At start",))
    for spec in specs:
        span = f"{spec.low:g} … {spec.high:g} {spec.unit}".strip()
        if spec.kind in {"switch", "trigger"}:
            span = "0, 1" if spec.kind == "switch" else "1"
        start = "" if spec.kind == "trigger" else f"{spec.default:g}"
        rows.add_row(*cells(spec.id, spec.label, span, start))
    console().print(rows)


# Eight strips are alike, and so are groups and snapshots: the first stands for all.
_LATER = tuple(f"{kind}{n}." for kind in ("strip", "group", "snapshot") for n in range(2, 9))
