"""`workstation perform`: play a session's stems, and ride them."""

from __future__ import annotations

import contextlib
import math
import os
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import click

from workstation.cli.options import input_argument, open_input
from workstation.cli.terminal import command, job_with_progress, print_error, say, stoppable
from workstation.model.controls import QUANTIZE
from workstation.model.mixer import SILENT_DB
from workstation.model.names import shown

if TYPE_CHECKING:
    from workstation.model import JobContext
    from workstation.perform.outputs import OutputOptions
    from workstation.studio import Session
    from workstation.studio.player import Connections, Player, PlayerState

_EVERY_S = 0.1
_PLAIN_EVERY_S = 5.0
# Waits for a key so many seconds; None if none came.
_ReadKey = Callable[[float], str | None]
_BARS = " ▁▂▃▄▅▆▇█"
_KEYS = """\b
Keys, in a terminal:
  space    play, pause            1 … 9    mute a stem
  0        stop, to the start     ! … (    solo a stem (shift and number)
  ← →      a bar back, forward    u        unmute and unsolo all
  l        loop four beats        [ ]      half, double the loop
  c        click                  g        quantise: off, beat, bar, 4 bars
  r        record a take          q        quit
"""


def _pair(ctx: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    """Two numbers of channels: `1,2`."""
    del ctx, parameter
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        left, right = (int(part) for part in text.split(","))
        return left, right
    raise click.BadParameter("give two channels, for example 3,4")


def _bars(ctx: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    """Two bars: `5:9`."""
    del ctx, parameter
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        first, last = (float(part) for part in text.split(":"))
        return first, last
    raise click.BadParameter("give two bars, for example 5:9")


def _address(ctx: click.Context, parameter: click.Parameter, text: str | None) -> Any:
    """A port, or a host and a port: `9000`, `192.168.1.5:9001`."""
    del ctx, parameter
    if text is None:
        return None
    host, _, port = text.rpartition(":")
    if not port.isdigit() or not 0 < int(port) < 65536:
        raise click.BadParameter("give a port, or HOST:PORT")
    return host or "127.0.0.1", int(port)


@click.command(short_help="Play the stems, ride them, record takes.", epilog=_KEYS)
@input_argument
@click.option(
    "--controller",
    "controllers",
    multiple=True,
    metavar="NAME",
    help="Use this MIDI mapping; see `workstation midi presets`.  [default: those that fit]",
)
@click.option("--no-controllers", is_flag=True, help="Leave MIDI controllers alone.")
@click.option("--take", metavar="TAKE", help="Play a take back: its name, number, or `last`.")
@click.option(
    "--record", "record_as", metavar="NAME", help="Record a take; with --take, over that one."
)
@click.option("--from", "from_bar", type=float, metavar="BAR", help="Start at this bar.")
@click.option("--loop", callback=_bars, metavar="BAR:BAR", help="Loop, up to the second bar.")
@click.option("--click", "with_click", is_flag=True, help="Hear the beat grid.")
@click.option("--count-in", type=click.IntRange(0, 4), default=0, metavar="BARS", help="Count-in.")
@click.option(
    "--quantize",
    type=click.Choice(QUANTIZE),
    default="off",
    show_default=True,
    help="When mutes and solos take effect.",
)
@click.option("--reset", is_flag=True, help="Start with every stem as it is, not as it was left.")
@click.option("--paused", is_flag=True, help="Wait for a pad or key to play.")
@click.option(
    "--device", metavar="NAME", help="Output; `none` is a silent clock.  [default: the system's]"
)
@click.option("--rate", "rate_hz", type=int, metavar="HZ", help="Of the device.")
@click.option("--block", "block_frames", type=int, metavar="FRAMES", help="[default: 256]")
@click.option("--channels", callback=_pair, metavar="L,R", help="Outputs.  [default: 1,2]")
@click.option("--click-channels", callback=_pair, metavar="L,R", help="Of its own for the click.")
@click.option(
    "--clock", "clock_ports", multiple=True, metavar="PORT", help="Send MIDI clock to this port."
)
@click.option("--osc", "osc_listen", callback=_address, metavar="PORT", help="Listen for OSC here.")
@click.option("--osc-to", "osc_reply_to", callback=_address, metavar="HOST:PORT", help="Send OSC.")
@click.option("--engine", metavar="NAME", help="Separation engine, if the song has no stems yet.")
@click.option(
    "--at-once",
    is_flag=True,
    help="Play the first stems while the rest is separated; there is no beat grid then.",
)
@command
def perform(input_path: Path, engine: str | None, *, at_once: bool, **options: Any) -> None:
    """Play the stems of INPUT and ride them from MIDI, OSC and keys.

    Controllers are found by name and may be pulled and put back meanwhile. Ends with the song;
    in a terminal with q. The mixer is kept for the next time.

    \b
    Examples:
      workstation perform song.remix
      workstation perform song.remix --controller korg_nanokontrol2 --record first
      workstation perform song.remix --take first --record second
    """
    from workstation.perform.outputs import OutputOptions
    from workstation.studio.player import Connections

    reset = options.pop("reset")
    start = _Start(*(options.pop(name) for name in _Start._fields))
    output = OutputOptions(
        device=options.pop("device"),
        rate_hz=options.pop("rate_hz"),
        block_frames=options.pop("block_frames"),
        channels=options.pop("channels") or (1, 2),
        click_channels=options.pop("click_channels"),
    )
    connections = Connections(any_controller=not options.pop("no_controllers"), **options)
    if at_once:
        _perform_at_once(input_path, engine, start, output, connections)
        return
    with job_with_progress() as job:
        session = open_input(input_path, job.part(0.0, 0.05, "Opening"), session_dir=None)
        session.separate(engine, say=say, job=job.part(0.05, 0.8))
        session.analyze(job=job.part(0.8, 1.0, "Analysing"))
    if reset:
        session.reset_mixer()
    _check_start(session, start)
    with stoppable() as job:
        line = _StatusLine()
        with session.player(output, connections, say=line.say) as player:
            line.say(f"{session.song.title} on {player.output.name}")
            if session.mixer_words and start.take is None:
                line.say(
                    f"The mixer is as you left it: {session.mixer_words}; --reset undoes that."
                )
            _begin(player, start)
            _run(player, start, line, job)


def _perform_at_once(
    input_path: Path,
    engine: str | None,
    start: _Start,
    output: OutputOptions,
    connections: Connections,
) -> None:
    """Play while the stems are made; then end, and keep them."""
    from workstation.model import UsageError

    if start != _Start(*(None,) * 4, with_click=False, count_in=0, quantize="off", paused=False):
        raise UsageError(
            "--at-once plays from the start, without takes, bars, click and quantising.",
            "Leave the other options out, or leave out --at-once and wait for the stems.",
        )
    with job_with_progress() as job:
        session = open_input(input_path, job, session_dir=None)
    line = _StatusLine()
    with stoppable() as job, session.early_stems(engine, say=line.say, job=job) as early:
        say("Separating; it plays as soon as the first seconds are there.")
        with early.player(output, connections) as player:
            line.say(f"{session.song.title} on {player.output.name}")
            player.play()
            _run(player, start, line, job)
        if not job.cancelled and not early.is_finished:
            say("Separating the rest; Ctrl-C leaves that for the next time.")
            while not job.cancelled and not early.is_finished:
                early.wait(0)  # Says if it failed.
                time.sleep(_EVERY_S)


class _Start(NamedTuple):
    """How the performance begins."""

    take: str | None
    record_as: str | None
    from_bar: float | None
    loop: tuple[float, float] | None
    with_click: bool
    count_in: int
    quantize: str
    paused: bool


def _check_start(session: Session, start: _Start) -> None:
    """Find out before the player starts whether there is such a take and such a bar."""
    from workstation.model import UsageError

    if start.take is not None:
        session.takes.find(start.take)
    if start.record_as in {take.name for take in session.takes.numbered().values()}:
        say(f"A take {shown(start.record_as)} is there already: this one gets a number after it.")
    grid = session.analysis.grid if session.analysis is not None else None
    if start.from_bar is None or grid is None:
        return
    last = grid.bar_at(session.song.source.duration_s).bar
    first = min(grid.bar_at(0.0).bar, 1)
    if not first <= start.from_bar < last + 1:
        raise UsageError(
            f"The song has no bar {start.from_bar:g}.", f"Its bars are {first} to {last}."
        )


def _begin(player: Player, start: _Start) -> None:
    player.set("click.on", start.with_click)
    player.set("count_in.bars", start.count_in)
    player.set("quantize.grid", QUANTIZE.index(start.quantize))
    if start.loop is not None:
        player.loop(bars=start.loop)
    if start.from_bar is not None:
        player.seek(bar=start.from_bar)
    if start.take is not None:
        player.replay(start.take, record=start.record_as is not None, name=start.record_as or "")
        return
    if start.record_as is not None:
        player.record(start.record_as)
    if not start.paused:
        player.play()


def _run(player: Player, start: _Start, line: _StatusLine, job: JobContext) -> None:
    """Show where the song is until it ends, or until the user does."""
    with _keys() as read_key:
        waits = read_key is not None
        idle, replayed = 0, False
        while not job.cancelled:
            key = read_key(_EVERY_S) if read_key is not None else None
            if read_key is None:
                time.sleep(_EVERY_S)
            if player.failure is not None:
                if not waits:
                    line.end()
                    raise player.failure
                if not _start_again(player, line, read_key, job):
                    return
            if key == "q":
                break
            if key is not None:
                _act(player, key)
            state = player.state
            line.show(player, state)
            moves = state.playing or state.counting_in or state.replaying or state.recording
            idle = 0 if moves else idle + 1
            over = state.position_s >= player.duration_s - _EVERY_S or (
                replayed and not start.paused
            )
            replayed = replayed or state.replaying
            if not waits and over and idle * _EVERY_S > 0.5:
                break
    line.end()
    state = player.state
    if state.underflows:
        say(f"{state.underflows} blocks came too late for the device; try --block 512.")


def _start_again(
    player: Player,
    line: _StatusLine,
    read_key: Callable[[float], str | None] | None,
    job: JobContext,
) -> bool:
    """After the device was lost: start again when told. False: the user leaves."""
    from workstation.model import WorkstationError

    assert player.failure is not None
    line.end()
    print_error(player.failure)
    say("Enter starts again, q quits.")
    while not job.cancelled:
        key = read_key(_EVERY_S) if read_key is not None else None
        if key == "q":
            return False
        if key in {"\n", "\r"}:
            try:
                player.restart()
            except WorkstationError as error:
                print_error(error)
            else:
                return True
    return False


def _act(player: Player, key: str) -> None:
    """Do what a key says."""
    from workstation.model.controls import ControlChange

    number = "123456789".find(key) if key in "123456789" else "!@#$%^&*(".find(key)
    if key in "123456789" or (len(key) == 1 and key in "!@#$%^&*("):
        if number < len(player.stems):
            what = "mute" if key.isdigit() else "solo"
            player.toggle(f"{player.stems[number]}.{what}")
    elif key == "u":
        for stem in player.stems:
            player.set(f"{stem}.mute", 0)
            player.set(f"{stem}.solo", 0)
    elif key == "g":
        player.set("quantize.grid", (player.value("quantize.grid") + 1) % 4)
    elif key in _ACTIONS:
        control, op = _ACTIONS[key]
        player.change(ControlChange(control, 4.0 if control == "loop.beats" else 1.0, op))


_ACTIONS: dict[str, tuple[str, Literal["set", "toggle"]]] = {
    " ": ("transport.play", "toggle"),
    "0": ("transport.stop", "set"),
    "left": ("transport.back", "set"),
    "right": ("transport.forward", "set"),
    "l": ("loop.on", "toggle"),
    "[": ("loop.halve", "set"),
    "]": ("loop.double", "set"),
    "c": ("click.on", "toggle"),
    "r": ("transport.record", "toggle"),
}


@contextlib.contextmanager
def _keys() -> Iterator[_ReadKey | None]:
    """Gives a function that waits for a key; None where there is no terminal to read from."""
    if not (sys.stdin.isatty() and sys.stderr.isatty()) or os.name == "nt":
        yield None
        return
    import termios
    import tty

    number = sys.stdin.fileno()
    before = termios.tcgetattr(number)
    tty.setcbreak(number)

    def read(timeout_s: float) -> str | None:
        if not select.select([number], [], [], timeout_s)[0]:
            return None
        data = os.read(number, 16).decode(errors="replace")
        return {"\x1b[D": "left", "\x1b[C": "right"}.get(data, data[:1])

    def awake(*_: object) -> None:
        tty.setcbreak(number)  # The shell has set the terminal back while we were stopped.

    slept = signal.signal(signal.SIGCONT, awake)
    try:
        yield read
    finally:
        signal.signal(signal.SIGCONT, slept)
        termios.tcsetattr(number, termios.TCSADRAIN, before)


class _StatusLine:
    """One line that is drawn anew in a terminal; a line now and then in a log."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._drawn = 0.0
        self._open = False

    def say(self, words: str) -> None:
        """Words above the line."""
        self.end()
        say(words)

    def end(self) -> None:
        """Leave the line as it is."""
        if self._open:
            click.echo("", err=True)
            self._open = False

    def show(self, player: Player, state: PlayerState) -> None:
        """Draw it."""
        now = time.monotonic()
        if not self._live:
            if now - self._drawn >= _PLAIN_EVERY_S:
                self._drawn = now
                say(status(player, state))
            return
        width = shutil.get_terminal_size().columns - 1
        click.echo("\r\x1b[K" + status(player, state)[:width], nl=False, err=True)
        self._open = True


def status(player: Player, state: PlayerState) -> str:
    """Where the player stands, in one line."""
    minutes, seconds = divmod(state.position_s, 60)
    moves = state.playing or state.counting_in
    mark = (
        ("●" if moves else "●■")
        if state.recording
        else "▶"
        if state.playing
        else "…"
        if state.counting_in
        else "■"
    )
    parts = [f"{mark} {minutes:.0f}:{seconds:04.1f}"]
    if state.bar is not None:
        parts.append(f"bar {state.bar.bar}.{int(state.bar.beat)}")
    levels = player.levels()
    if state.counting_in:
        parts.append("count-in")
    if state.loop_s is not None:
        parts.append("loop")
    if state.replaying:
        parts.append("take")
    grid = QUANTIZE[round(player.value("quantize.grid"))]
    if grid != "off":
        parts.append(f"at {grid}")
    if state.underflows:
        parts.append(f"{state.underflows} late")
    parts.append(" ".join(_strip(player, stem, max(levels[stem].peak)) for stem in player.stems))
    return "  ".join(parts)


def _strip(player: Player, stem: str, peak: float) -> str:
    """A stem with its level, or × while it is silent; … while a mute or solo waits."""
    waits = player.is_waiting(f"{stem}.mute") or player.is_waiting(f"{stem}.solo")
    heard = player.mixer.audible(stem) != waits  # What waits is still as it was.
    heard = heard and player.value(f"{stem}.gain") > SILENT_DB
    level_db = 20 * math.log10(peak) if peak > 1e-5 else -100.0
    mark = _BARS[min(8, max(0, round((level_db + 48) / 6)))] if heard else "×"
    solo = "S" if player.value(f"{stem}.solo") else ""
    return f"{shown(stem)[:10]} {solo}{mark}{'…' if waits else ' '}"
