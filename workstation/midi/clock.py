"""MIDI clock out: 24 clocks per beat along the song's own tempo map.

After the MIDI 1.0 Detailed Specification: Start begins at the first beat, Continue at the place
that a Song Position Pointer gave in sixteenths, and the first clock after either is that place.
Clocks are sent only while the song plays.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from workstation.model import BeatGrid

PER_BEAT = 24
_PER_SIXTEENTH = 6
_LAST_POSITION = 0x3FFF
_CLOCK, _START, _CONTINUE, _STOP = b"\xf8", b"\xfa", b"\xfb", b"\xfc"

# The song has jumped if it is further than this from where it should be.
_JUMP_S = 0.02
# A line that was passed just now still counts: a loop returns on its line.
_JUST_PASSED_S = 0.03
# Clocks that are later than this are not sent after the event.
_LOST_S = 0.05
# Blocks tell their time a little unevenly; the clock follows them slowly.
_FOLLOW = 0.05
_POLL_S = 0.004
_NEAR_S = 0.001


class ClockPlan:
    """Decides what to send when; it knows no threads and no real time.

    Args:
        grid: The song's beats.
    """

    def __init__(self, grid: BeatGrid) -> None:
        self._grid = grid
        self._running = False
        self._offset = 0.0
        self._tick = 0

    def advance(self, now: float, *, playing: bool, position_s: float) -> tuple[list[bytes], float]:
        """Tell what is due.

        Args:
            now: The time, in seconds of any clock.
            playing: Whether the song runs.
            position_s: What is heard of it now, in seconds.

        Returns:
            Messages to send at once, and when to ask again at the latest.
        """
        messages: list[bytes] = []
        if not playing:
            if self._running:
                messages.append(_STOP)
                self._running = False
            return messages, now + _POLL_S
        off = (position_s - now) - self._offset
        if not self._running or abs(off) > _JUMP_S:
            messages += self._locate(now, position_s)
        else:
            self._offset += _FOLLOW * off
        if now - self._due() > _LOST_S:
            messages += self._locate(now, now + self._offset)
        while self._due() <= now:
            messages.append(_CLOCK)
            self._tick += 1
        return messages, min(self._due(), now + _POLL_S)

    def _due(self) -> float:
        """When the next clock is due."""
        return self._grid.time_at(self._tick / PER_BEAT) - self._offset

    def _locate(self, now: float, position_s: float) -> list[bytes]:
        """Go to the next sixteenth of the grid, or to one that was passed just now."""
        messages = [_STOP] if self._running else []
        self._running = True
        self._offset = position_s - now
        tick = self._grid.beat_at(position_s - _JUST_PASSED_S) * PER_BEAT
        sixteenth = max(0, math.ceil(tick / _PER_SIXTEENTH - 1e-9))
        self._tick = sixteenth * _PER_SIXTEENTH
        place = min(sixteenth, _LAST_POSITION)
        messages.append(bytes([0xF2, place & 0x7F, place >> 7]))
        return [*messages, _START if sixteenth == 0 else _CONTINUE]


class MidiClock:
    """Sends MIDI clock from a thread of its own.

    Args:
        grid: The song's beats.
        transport: Gives whether the song plays, the position in seconds that is heard at a
            moment, and that moment in `time.monotonic` seconds.
        send: Sends one message to everything that wants the clock.
    """

    def __init__(
        self,
        grid: BeatGrid,
        transport: Callable[[], tuple[bool, float, float]],
        send: Callable[[bytes], None],
    ) -> None:
        self._plan = ClockPlan(grid)
        self._transport = transport
        self._send = send
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="clock", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            playing, position_s, at = self._transport()
            now = time.monotonic()
            messages, due = self._plan.advance(
                now, playing=playing, position_s=position_s + (now - at)
            )
            for message in messages:
                self._send(message)
            left = due - time.monotonic()
            if left > 0:
                # Sleeping ends a little late: the last bit is slept in small pieces.
                self._ended.wait(left - _NEAR_S if left > 2 * _NEAR_S else min(left, 0.0002))

    def close(self) -> None:
        """End it; what follows is told to stop."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(0.3)
        for message in self._plan.advance(0.0, playing=False, position_s=0.0)[0]:
            self._send(message)
