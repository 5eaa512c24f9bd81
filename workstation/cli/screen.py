"""`workstation open` and `workstation serve`: the screen, in a terminal or a browser."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

import click

from workstation.cli.terminal import command, say
from workstation.model import UsageError

_LOCAL = {"127.0.0.1", "localhost", "::1"}


@click.command("open", short_help="Open the screen.")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option(
    "--device", metavar="NAME", help="Output; `none` is a silent clock.  [default: the system's]"
)
@click.option("--block", "block_frames", type=int, metavar="FRAMES", help="[default: 256]")
@click.option("--rate", "rate_hz", type=int, metavar="HZ", help="Of the device.")
@click.option("--controller", "controllers", multiple=True, metavar="NAME", help="MIDI mapping.")
@command
def open_screen(
    path: Path | None = None,
    device: str | None = None,
    block_frames: int | None = None,
    rate_hz: int | None = None,
    controllers: tuple[str, ...] = (),
) -> None:
    """Open the screen, at home or with PATH: a song, a folder of stems or a session.

    `workstation` and `workstation PATH` are short for it.
    """
    if path is not None and not path.exists():
        from workstation.model import InputError

        raise InputError(f"{path} is not there.", "Give a song, a folder of stems or a session.")
    if not sys.stdout.isatty() and "TEXTUAL_DRIVER" not in os.environ:
        raise UsageError(
            "The screen needs a terminal, and this is none.",
            "Use `workstation perform` or `workstation export` in scripts; see --help.",
        )
    from workstation.perform.outputs import OutputOptions
    from workstation.studio.player import Connections
    from workstation.tui.app import WorkstationApp

    output = OutputOptions(device=device, rate_hz=rate_hz, block_frames=block_frames)
    WorkstationApp(path, output, Connections(controllers=controllers)).run()


@click.command(short_help="The same screen in a web browser.")
@click.argument("path", required=False, type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", default=8000, show_default=True, type=click.IntRange(1, 65535))
@command
def serve(path: Path | None, host: str, port: int) -> None:
    """Serve the screen to web browsers; every browser gets a workstation of its own.

    Sound and MIDI are those of the machine that serves. There is no password: whoever reaches
    the port can read and write files as you. So it listens on 127.0.0.1, this machine alone,
    unless you say otherwise; to reach it from elsewhere, tunnel it through ssh.
    """
    import socket

    from textual_serve.server import Server

    with socket.socket() as probe:
        try:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
        except OSError as error:
            raise UsageError(
                f"Port {port} of {host} cannot be used: {error.strerror or error}.",
                "Choose another one with --port.",
            ) from error
    if host not in _LOCAL:
        say(f"Everybody who reaches {host}:{port} can read and write files as you, ")
        say("and nothing that is sent is encrypted.")
    words = [sys.executable, "-P", "-m", "workstation", "open"]
    if path is not None:
        words.append(str(path.resolve()))
    say(f"Open http://{host}:{port} in a browser; Ctrl-C ends it.")
    Server(shlex.join(words), host=host, port=port, title="workstation").serve()
