"""MIDI clock out: 24 clocks per beat along the song's own tempo map.

After the MIDI 1.0 Detailed Specification: Start begins at the first beat, Continue at the place
that a Song Position Pointer gave in sixteenths, and the first clock after either is that place.
Clocks are sent only while the song plays. When it jumps, clocks go on to the next sixteenth line
of the new place, so that none is missing; Stop, the pointer and Continue come just before it.
"""

from __future__ import annotations

import contextlib
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
# A line that was passed just now still counts, as a loop returns on its line; but at most half
# a clock ago, or two clocks would go at once.
_JUST_PASSED_S = 0.02
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
        # Where a device is to go on once the clocks before that place are sent.
        self._target: int | None = None
        self._sent_at = -math.inf
        self._next_grid: BeatGrid | None = None

    def follow(self, grid: BeatGrid) -> None:
        """Go by another grid from the next message on; any thread may say so."""
        self._next_grid = grid

    def advance(self, now: float, *, playing: bool, position_s: float) -> tuple[list[bytes], float]:
        """Tell what is due.

        Args:
            now: The time, in seconds of any clock.
            playing: Whether the song runs.
            position_s: What is heard of it now, in seconds.

        Returns:
            Messages to send at once, and when to ask again at the latest.
        """
        if not playing:
            was_running, self._running, self._target = self._running, False, None
            return [_STOP] if was_running else [], now + _POLL_S
        off = (position_s - now) - self._offset
        grid, self._next_grid = self._next_grid, None
        if grid is not None:
            self._grid = grid
        if not self._running or abs(off) > _JUMP_S or grid is not None:
            self._aim(now, position_s)
        else:
            self._offset += _FOLLOW * off
        if now - self._due() > _LOST_S:
            self._aim(now, now + self._offset)
        messages = self._relocate()
        while self._due() <= now:
            # Between the old place and the new one, a clock can be due right after another.
            if self._target is None or now - self._sent_at > self._clock_s(position_s) / 2:
                messages.append(_CLOCK)
                self._sent_at = now
            self._tick += 1
            messages += self._relocate()
        return messages, min(self._due(), now + _POLL_S)

    def _due(self) -> float:
        """When the next clock is due."""
        return self._grid.time_at(self._tick / PER_BEAT) - self._offset

    def _clock_s(self, position_s: float) -> float:
        """Seconds from one clock to the next."""
        return 60.0 / self._grid.bpm_at(position_s) / PER_BEAT

    def _aim(self, now: float, position_s: float) -> None:
        """Aim at the next sixteenth of the grid, or at one that was passed just now."""
        self._offset = position_s - now
        half = self._clock_s(position_s) / 2
        passed = min(_JUST_PASSED_S, half) if now - self._sent_at > half else 0.0
        sixteenths = self._grid.beat_at(position_s - passed) * PER_BEAT / _PER_SIXTEENTH
        self._target = max(0, math.ceil(sixteenths - 1e-9)) * _PER_SIXTEENTH
        self._tick = self._target
        if self._running:
            # One that fell due just before the jump was noticed has not been sent yet.
            following = math.ceil(self._grid.beat_at(position_s) * PER_BEAT - 0.5)
            # Before the first beat the next line can be far: nothing goes on until then.
            if self._target - following <= _PER_SIXTEENTH:
                self._tick = min(following, self._target)

    def _relocate(self) -> list[bytes]:
        """What tells a device to go on at the target, if that is the next clock."""
        if self._target is None or self._tick < self._target:
            return []
        messages = [_STOP] if self._running else []
        sixteenth = self._target // _PER_SIXTEENTH
        self._running, self._target = True, None
        place = min(sixteenth, _LAST_POSITION)
        messages.append(bytes([0xF2, place & 0x7F, place >> 7]))
        return [*messages, _START if sixteenth == 0 else _CONTINUE]


class MidiClock:
    """Sends MIDI clock from a thread of its own.

    Args:
        grid: The song's beats.
        transport: Gives whether the song plays, the position in seconds that is heard at a
            moment, and that moment in `time.monotonic` seconds.
        send: Sends one message to everything that wants the clock. If it fails, that message
            is lost and the clock goes on.
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

    def follow(self, grid: BeatGrid) -> None:
        """Go by another grid from now on: devices are told the place anew."""
        self._plan.follow(grid)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                playing, position_s, at = self._transport()
                now = time.monotonic()
                messages, due = self._plan.advance(
                    now, playing=playing, position_s=position_s + (now - at)
                )
                self._send_all(messages)
                left = due - time.monotonic()
                if left > 0:
                    # Sleeping ends a little late: the last bit is slept in small pieces.
                    self._ended.wait(left - _NEAR_S if left > 2 * _NEAR_S else min(left, 0.0002))
        finally:
            # Here, as the plan is not made for two threads.
            now = time.monotonic()
            self._send_all(self._plan.advance(now, playing=False, position_s=0.0)[0])

    def _send_all(self, messages: list[bytes]) -> None:
        for message in messages:
            with contextlib.suppress(OSError):  # A device that was unplugged must not end it.
                self._send(message)

    def close(self) -> None:
        """End it within 0.3 s; what follows is told to stop."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(0.3)
