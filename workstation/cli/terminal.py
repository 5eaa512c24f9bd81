"""What all commands share of the terminal: words, errors, progress, and stopping."""

from __future__ import annotations

import functools
import json
import shutil
import signal
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any, ParamSpec

import click

from workstation.model import JobContext, WorkstationError
from workstation.model.names import shown

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from workstation.studio.stem_blocks import Rendered

P = ParamSpec("P")

# Without a terminal, progress is a line now and then.
_PLAIN_EVERY_S = 5.0


def say(words: str = "") -> None:
    """Print words for the user: on standard error, so that data can be piped."""
    width = _width()
    for line in words.split("\n") if words else [""]:
        indent = " " * (len(line) - len(line.lstrip()))
        if "  " in line.strip():
            # A name and its value: what does not fit goes on below the value.
            indent = " " * (len(line) - len(line.lstrip().split("  ", 1)[1].lstrip()))
        click.echo(
            "\n".join(textwrap.wrap(shown(line), width, subsequent_indent=indent) or [""]),
            err=True,
        )


def _width() -> int:
    """Columns that words may take: those of the terminal; without one, any number."""
    return max(40, shutil.get_terminal_size().columns) if sys.stderr.isatty() else 10_000


def print_path(path: object) -> None:
    """Print a path on standard output: as it is for programs, harmless for people."""
    click.echo(shown(path) if sys.stdout.isatty() else str(path))


def print_json(value: object) -> None:
    """Print a value as JSON on standard output: model values by their own field names."""
    import msgspec

    click.echo(json.dumps(msgspec.to_builtins(value), indent=2, ensure_ascii=False))


def print_rendered(made: Rendered, *, as_json: bool) -> None:
    """Print the file that a mix was written to, and say what it could not hold."""
    if as_json:
        print_json(
            {
                "path": str(made.path),
                "duration_s": made.duration_s,
                "clipped_samples": made.clipped_samples,
            }
        )
        return
    if made.clipped_samples:
        say(f"{made.clipped_samples} samples were beyond full scale; float32 would keep them.")
    print_path(made.path)


def print_error(error: WorkstationError) -> None:
    """Print what went wrong, and what to do, as two aligned lines."""
    for name, words, colour in (("Error", error.problem, "red"), ("Remedy", error.remedy, None)):
        lines = textwrap.wrap(shown(words), _width() - 8) or [""]
        head = click.style(f"{name:<8}", fg=colour, bold=True)
        click.echo(head + f"\n{'':8}".join(lines), err=True)


def console(*, err: bool = False) -> Console:
    """A console of the terminal's width; loaded when a table or bar is drawn."""
    from rich.console import Console

    out = sys.stderr if err else sys.stdout
    # What goes to a program is not folded.
    width = None if out.isatty() else 500
    return Console(stderr=err, highlight=False, soft_wrap=False, width=width)


def table(*headings: str, right: Sequence[str] = ()) -> Table:
    """An open table in the house style: no frame, a quiet heading, two spaces between columns."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    made = Table(box=SIMPLE_HEAD, header_style="dim", pad_edge=False, show_edge=False)
    for heading in headings:
        made.add_column(heading, justify="right" if heading in right else "left", overflow="fold")
    return made


def cells(*values: object) -> list[Text]:
    """Values as cells of a table, taken literally: brackets are no markup here."""
    from rich.text import Text

    return [value if isinstance(value, Text) else Text(shown(value)) for value in values]


def command(function: Callable[P, None]) -> Callable[P, None]:
    """Give a command the product's manners: one clear error and its exit code, no traceback."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            function(*args, **kwargs)
        except WorkstationError as error:
            print_error(error)
            raise SystemExit(error.exit_code) from None
        except BrokenPipeError:
            # The reader of our output (`head`, `less`) has seen enough.
            sys.stderr.close()
            raise SystemExit(0) from None

    return run


@contextmanager
def job_with_progress() -> Iterator[JobContext]:
    """A job whose progress is shown with time left, and that Ctrl-C stops cleanly."""
    if sys.stderr.isatty():
        with _bar() as listener, stoppable(JobContext(listener)) as job:
            yield job
    else:
        with stoppable(JobContext(_PlainProgress())) as job:
            yield job


@contextmanager
def stoppable(job: JobContext | None = None) -> Iterator[JobContext]:
    """A job that Ctrl-C cancels; the second Ctrl-C ends the program."""
    job = job or JobContext()

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        if job.cancelled:  # Asked twice: the user means it.
            raise KeyboardInterrupt
        job.cancel()

    before: dict[int, Any] = {n: signal.signal(n, stop) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield job
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _bar() -> Iterator[Callable[[float, str], None]]:
    from rich.progress import (
        BarColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
    )

    with Progress(
        TextColumn("{task.description:<28}"),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=console(err=True),
        transient=True,
        expand=True,
    ) as progress:
        task = progress.add_task("", total=1.0)

        def listen(fraction: float, label: str) -> None:
            progress.update(task, completed=fraction, description=label[:1].upper() + label[1:])

        yield listen


class _PlainProgress:
    """Progress as lines, for logs and pipes."""

    def __init__(self) -> None:
        self._start = self._last = time.monotonic()
        self._label = ""

    def __call__(self, fraction: float, label: str) -> None:
        now = time.monotonic()
        if now - self._last < _PLAIN_EVERY_S:
            return
        self._last = now
        left = (now - self._start) * (1 - fraction) / fraction if fraction > 0 else 0.0
        label = label[:1].upper() + label[1:]
        say(f"{label or 'Working'}: {fraction:.0%}, about {left:.0f} s left")
