"""`workstation midi`: what is plugged in, what it sends, and learning it."""

from __future__ import annotations

from typing import Any

import click

from workstation.cli.options import json_option
from workstation.cli.terminal import (
    cells,
    command,
    console,
    print_json,
    print_path,
    say,
    stoppable,
    table,
)


@click.group()
def midi() -> None:
    """See, test and map MIDI controllers.

    \b
    Start with:
      workstation midi ports
      workstation midi learn "strip#.gain" "strip#.mute" transport.play
    """


@midi.command("ports", short_help="List the inputs and their mappings.")
@json_option
@command
def ports(*, as_json: bool) -> None:
    """List the MIDI inputs, and the mapping that each gets."""
    from workstation.studio.controllers import midi_ports

    facts = midi_ports()
    if as_json:
        print_json(facts)
        return
    if not facts:
        say("No MIDI input is there. Plug a controller in.")
        return
    rows = table("Port", "Device", "Mapping", "Lights")
    for fact in facts:
        lights = "yes" if fact.output else "no output"
        rows.add_row(
            *cells(fact.port, fact.device or "unknown", fact.mapping or "midi learn", lights)
        )
    console().print(rows)


@midi.command("presets", short_help="List the mappings there are.")
@json_option
@command
def presets(*, as_json: bool) -> None:
    """List the mappings there are: shipped ones, and your own."""
    from workstation.midi.mapping import all_mappings, as_values, mapping_files, user_presets

    mappings = all_mappings()
    if as_json:
        print_json([as_values(mapping) for mapping in mappings])
        return
    files = mapping_files()
    rows = table("Name", "Device", "Controls", "Tried", "From", right=("Controls",))
    for mapping in mappings:
        own = files[mapping.id].parent == user_presets()
        rows.add_row(
            *cells(
                mapping.id,
                mapping.name,
                len(mapping.bindings),
                "yes" if mapping.verified else "no",
                "you" if own else "shipped",
            )
        )
    console().print(rows)


@midi.command("monitor", short_help="Print every message that comes in.")
@click.option("--port", metavar="NAME", help="Part of the name of a port.  [default: all]")
@click.option("--seconds", type=float, help="End after so long.  [default: Ctrl-C]")
@command
def monitor(port: str | None, seconds: float | None) -> None:
    """Print every MIDI message that comes in."""
    import time

    from workstation.midi.messages import words
    from workstation.studio.controllers import Listener

    with stoppable() as job, Listener(port) as listener:
        say(f"Listening to {', '.join(listener.ports)}.")
        end = None if seconds is None else time.monotonic() + seconds
        while not job.cancelled and (end is None or time.monotonic() < end):
            found = listener.next(0.1)
            if found is not None:
                click.echo(f"{found[0]}  {words(found[1])}")


@midi.command("learn", short_help="Learn which knob or pad moves what.")
@click.argument("controls", nargs=-1, required=True, metavar="CONTROL…")
@click.option("--port", metavar="NAME", help="Part of the name of its port.")
@click.option("--name", metavar="NAME", help="Name of the mapping.  [default: the device]")
@click.option(
    "--takeover",
    type=click.Choice(["jump", "pickup", "scale"]),
    help="What a knob does that stands apart.  [default: pickup]",
)
@click.option("--invert", is_flag=True, help="The knobs work upside down.")
@click.option(
    "--mode",
    type=click.Choice(["toggle", "hold", "set"]),
    help="What a pad does.  [default: toggle for switches]",
)
@click.option("--value", type=float, help="What a pad sets, for example 16 for a stutter.")
@click.option(
    "--light",
    type=click.IntRange(0, 127),
    default=127,
    show_default=True,
    help="Value that lights a pad: its colour on many devices.",
)
@command
def learn(controls: tuple[str, ...], port: str | None, name: str | None, **options: Any) -> None:
    """Learn which knob, fader or pad moves which CONTROL; writes a mapping of your own.

    Sweep knobs and faders through their whole way, both ways; press pads once. `strip#.gain`
    asks for eight faders in a row. Names of controls: `workstation controls`.

    \b
    Examples:
      workstation midi learn "strip#.gain" "strip#.mute"
      workstation midi learn vocals.filter --takeover scale
      workstation midi learn strip1.stutter --mode hold --value 16
    """
    from workstation.studio import controllers

    with stoppable() as job:
        path = controllers.learn(
            controls, port, name, controllers.LearnOptions(**options), say, job
        )
    say("The mapping is used whenever this device is plugged in.")
    print_path(path)


@midi.command("test", short_help="Light the lights; say what each knob would do.")
@click.argument("name", required=False, metavar="[MAPPING]")
@click.option("--port", metavar="NAME", help="Part of the name of its port.")
@click.option("--seconds", type=float, help="End after so long.  [default: Ctrl-C]")
@command
def test(name: str | None, port: str | None, seconds: float | None) -> None:
    """Light every light of a controller, then say what each knob and pad would do."""
    import time

    from workstation.midi.mapping import all_mappings, find_mapping, mapping_for_port
    from workstation.midi.messages import words as message_words
    from workstation.model import UsageError
    from workstation.studio.controllers import ControllerTest, Listener

    with stoppable() as job, Listener(port) as listener:
        source = listener.ports[0]
        if name is not None:
            mapping = find_mapping(name)
        else:
            found = [(p, mapping_for_port(p, all_mappings())) for p in listener.ports]
            known = [(p, m) for p, m in found if m is not None]
            if not known:
                raise UsageError(
                    f"No mapping fits {', '.join(listener.ports)}.",
                    "Name one, or make one with `workstation midi learn`.",
                )
            source, mapping = known[0]
        trial = ControllerTest(mapping)
        count = trial.lights(lambda messages: listener.send(source, messages), job)
        say(f"{mapping.name} on {source}: {count} lights. Move something.")
        end = None if seconds is None else time.monotonic() + seconds
        while not job.cancelled and (end is None or time.monotonic() < end):
            event = listener.next(0.05)
            if event is not None and event[0] == source:
                said = trial.receive(event[1])
                for words in said or [f"{message_words(event[1])}: moves nothing"]:
                    click.echo(words)
            listener.send(source, trial.feedback())
