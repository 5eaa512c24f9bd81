"""`workstation completion`: tab completion for the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from workstation.cli.terminal import command


@click.command(short_help="Print the tab-completion script for your shell.")
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
@command
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script for SHELL.

    \b
    Bash:  echo 'eval "$(workstation completion bash)"' >> ~/.bashrc
    Zsh:   echo 'eval "$(workstation completion zsh)"' >> ~/.zshrc
    Fish:  workstation completion fish > ~/.config/fish/completions/workstation.fish
    """
    kind = get_completion_class(shell)
    assert kind is not None
    root = ctx.find_root()
    click.echo(kind(root.command, {}, "workstation", "_WORKSTATION_COMPLETE").source())
