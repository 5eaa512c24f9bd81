"""The command line: data on standard output, words on standard error, documented exit codes."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import click

_EXIT_CODES = """\b
Exit codes:
  0  done                        5  the output is there already
  1  a defect of workstation     6  the output cannot be written
  2  wrong usage                 7  the session is in use
  3  the input cannot be read    8  a separation engine failed
  4  something is missing      130  stopped
"""

# Command -> module and the line that the list of commands shows.
_SECTIONS: dict[str, dict[str, str]] = {
    "Make": {
        "demo": "Go the whole way on an embedded song.",
        "separate": "Split a song into stems that sum to it.",
        "analyze": "Find beats, tempo, meter, key, sections, loudness.",
        "export": "Make a DAW project: stems on the song's tempo map.",
        "templates": "See and make templates: what a project looks like.",
        "batch": "Do all this for a folder of songs.",
        "train": "Train a separation network on songs whose stems you have.",
    },
    "Remix": {
        "karaoke": "Take the voice out, or leave it as a soft guide.",
        "practice": "Mute one part or bring it up, slower or in another key.",
        "loops": "Cut whole bars of every stem where sections start.",
        "surround": "Spread the stems over 5.1 channels.",
    },
    "Play": {
        "open": "Open the screen: play, mix, record, export.",
        "perform": "Play the stems, ride them from MIDI, record takes.",
        "takes": "List, rename, delete and bring back takes.",
        "render": "Mix a session, or a take, to WAV or FLAC.",
        "midi": "See, test and map MIDI controllers.",
        "devices": "List the audio outputs.",
        "controls": "List everything that can be controlled.",
        "serve": "The same screen in a web browser.",
    },
    "Look": {
        "info": "Show what an audio file or a session holds.",
        "engines": "List the separation engines and what each can do.",
        "models": "List weights: which are here, which can be had.",
        "evaluate": "Score stems against the true ones.",
        "doctor": "Check what works on this machine.",
        "completion": "Print the tab-completion script for your shell.",
    },
}
_MODULE_OF = {"models": "engines", "controls": "devices", "open": "screen", "serve": "screen"}
_FUNCTION_OF = {"open": "open_screen"}


class _Commands(click.Group):
    """Commands in sections; the module of a command is loaded when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        del ctx
        return [name for section in _SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        module = importlib.import_module(f"workstation.cli.{_MODULE_OF.get(cmd_name, cmd_name)}")
        found: click.Command = getattr(module, _FUNCTION_OF.get(cmd_name, cmd_name))
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if name not in self.list_commands(ctx) and Path(name).exists():
            args = ["open", *args]  # `workstation song.mp3` opens the song.
        elif name and not name.startswith("-") and self.get_command(ctx, name) is None:
            import difflib

            near = difflib.get_close_matches(name, self.list_commands(ctx), n=1)
            hint = f' Did you mean "{near[0]}"?' if near else ""
            ctx.fail(f'There is no command "{name}".{hint}')
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(len(name) for name in self.list_commands(ctx))
        for title, commands in _SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), words) for name, words in commands.items()])


@click.group(
    cls=_Commands,
    epilog=_EXIT_CODES,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="workstation", message="workstation %(version)s")
@click.pass_context
def cli(ctx: click.Context) -> None:
    """A remix workstation for the terminal.

    A song goes in; stems on a trusted beat grid come out, to be played and mixed here and as a
    project for your DAW. Without a command it opens the screen.

    \b
    Start with:
      workstation
      workstation song.mp3
      workstation export song.mp3 --to reaper
    """
    if ctx.invoked_subcommand is not None:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        click.echo(ctx.get_help())  # Nobody would see a screen.
        return
    from workstation.cli.screen import open_screen

    ctx.invoke(open_screen)


def main() -> None:
    """Run the command line; the entry point of the program."""
    from workstation.cli.terminal import print_error
    from workstation.model import UsageError

    try:
        code = cli.main(prog_name="workstation", standalone_mode=False)
    except click.UsageError as error:
        where = error.ctx.command_path if error.ctx else "workstation"
        words = " ".join(error.format_message().split())
        print_error(UsageError(words, f"See `{where} --help`."))
        sys.exit(UsageError.exit_code)
    except (click.Abort, KeyboardInterrupt):
        click.echo("Stopped.", err=True)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)
