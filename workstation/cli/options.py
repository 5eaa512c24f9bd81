"""Options that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from workstation.cli.terminal import say

if TYPE_CHECKING:
    from workstation.model import JobContext
    from workstation.separate import EngineOptions
    from workstation.studio import Session

_FOLDER_OF_ENGINE = "workstation.folder_of_engine"

F = TypeVar("F", bound=Callable[..., Any])


def complete_targets(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Offer the export targets, also after a comma."""
    from workstation.export import TARGETS

    del ctx, parameter
    done, comma, last = incomplete.rpartition(",")
    return [done + comma + name for name in (*TARGETS, "all") if name.startswith(last)]


def complete_layouts(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Offer the layouts."""
    from workstation.export.layouts import layout_files

    del ctx, parameter
    return [name for name in layout_files() if name.startswith(incomplete)]


def _complete_engines(ctx: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    from workstation.separate import EngineOptions, engine_cards

    del parameter
    models_dir = ctx.params.get("models_dir")
    cards = engine_cards(EngineOptions(models_dir=models_dir, offline=True))
    return [name for name in ("auto", *(c.name for c in cards)) if name.startswith(incomplete)]


def input_argument(function: F) -> F:
    """The INPUT of a command: a song, a folder of stems or a session."""
    return click.argument("input_path", metavar="INPUT", type=click.Path(path_type=Path))(function)


def json_option(function: F) -> F:
    """`--json`."""
    return click.option(
        "--json", "as_json", is_flag=True, help="Print the result as JSON on standard output."
    )(function)


def mix_options(default: str) -> Callable[[F], F]:
    """Where a mix goes, how it is coded, and whether it may replace a file.

    Args:
        default: The name of the file where none is given, in words.
    """

    def add(function: F) -> F:
        for option in reversed(
            [
                click.option(
                    "--out",
                    type=click.Path(path_type=Path, dir_okay=False),
                    metavar="FILE",
                    help=f"A .wav or .flac file.  [default: {default}]",
                ),
                click.option(
                    "--encoding",
                    type=click.Choice(["float32", "pcm24", "pcm16"]),
                    default="float32",
                    show_default=True,
                    help="Of a .wav; .flac is 24 bit.",
                ),
                click.option("--overwrite", is_flag=True, help="Replace the file if it is there."),
            ]
        ):
            function = option(function)
        return function

    return add


def session_options(function: F) -> F:
    """Where the session lies and whether the song is copied into it."""
    function = click.option(
        "--session-dir",
        type=click.Path(path_type=Path, file_okay=False),
        metavar="DIR",
        help="Keep the session <Title>.remix here.  [default: the working folder]",
    )(function)
    return click.option(
        "--reference",
        is_flag=True,
        help="Refer to the song where it lies; without this it is copied into the session.",
    )(function)


def _engine_file(ctx: click.Context, parameter: click.Parameter, name: str | None) -> str | None:
    """Take the file of a trained network as the engine of that name in the file's folder."""
    del parameter
    if name is None or not name.endswith(".safetensors"):
        return name
    from workstation.separate.engines import is_taken

    path = Path(name)
    if not path.is_file() or is_taken(path.stem):
        raise click.BadParameter(
            f"{name} is not there."
            if not path.is_file()
            else f"{path.stem} is the name of an engine of our own; rename the file."
        )
    ctx.meta[_FOLDER_OF_ENGINE] = path.parent
    return path.stem


def _folder_of_engine(
    ctx: click.Context, parameter: click.Parameter, folder: Path | None
) -> Path | None:
    """The folder of models that was named, or that of the engine's file."""
    del parameter
    of_engine: Path | None = ctx.meta.get(_FOLDER_OF_ENGINE)
    if folder is not None and of_engine is not None:
        raise click.BadParameter("--engine names a file already, which lies in a folder.")
    return folder or of_engine


def separation_options(function: F) -> F:
    """Which engine separates, and from which weights."""
    for option in reversed(
        [
            click.option(
                "--engine",
                metavar="NAME",
                shell_complete=_complete_engines,
                is_eager=True,  # It may say where the models are.
                callback=_engine_file,
                help="Separation engine, several combined (see `workstation engines --help`), or "
                "the .safetensors file of one you trained.  [default: auto]",
            ),
            click.option(
                "--models-dir",
                metavar="DIR",
                type=click.Path(path_type=Path, file_okay=False),
                callback=_folder_of_engine,
                help="Folder of your own weights (.safetensors, .th, .yaml bags).",
            ),
            click.option(
                "--trust",
                is_flag=True,
                help="Load a .th checkpoint of unknown origin; it may run any code.",
            ),
            click.option("--offline", is_flag=True, help="Never touch the network."),
            click.option(
                "--device",
                type=click.Choice(["cpu", "cuda", "mps"]),
                help="Where networks compute.  [default: the fastest there is]",
            ),
            click.option(
                "--precision",
                type=click.Choice(["f32", "bf16"]),
                help="Of htdemucs on the processor; bf16 is faster, rounds (about 40 dB below the "
                'stems), and needs the extra "fast".  [default: f32]',
            ),
        ]
    ):
        function = option(function)
    return function


def open_input(
    input_path: Path,
    job: JobContext,
    *,
    session_dir: Path | None,
    reference: bool = False,
) -> Session:
    """Open what the user named, with the session where the options say."""
    from workstation.studio import open_session

    return open_session(input_path, parent=session_dir, copy_source=not reference, job=job)


def open_and_separate(
    input_path: Path,
    check: Callable[[Session, EngineOptions], object],
    job: JobContext,
    *,
    session_dir: Path | None,
    reference: bool,
    engine: str | None,
    weights: dict[str, Any],
) -> Session:
    """Open what the user named and have its stems.

    Args:
        input_path: What the user named.
        check: Is called before the long work; raises what would only fail behind it.
        job: Progress out, cancellation in.
        session_dir: As `session_options` have it.
        reference: As `session_options` have it.
        engine: As `separation_options` have it.
        weights: The rest of them.
    """
    from workstation.studio.session import engine_options

    session = open_input(
        input_path, job.part(0.0, 0.06, "Opening"), session_dir=session_dir, reference=reference
    )
    options = engine_options(**weights)
    check(session, options)
    session.separate(engine, options=options, say=say, job=job.part(0.06, 1.0))
    return session
