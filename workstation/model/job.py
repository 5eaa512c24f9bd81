"""How long work reports where it stands and learns that it should stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from workstation.model.errors import CancelledError

ProgressListener = Callable[[float, str], None]


class JobContext:
    """Progress out, cancellation in: the argument every long function takes.

    `report` takes the fraction done (0 to 1) and hands it to the listener. `check` raises
    `CancelledError` as soon as somebody has called `cancel`; long functions call it at
    least four times a second. `part` gives a step of the work its own 0 to 1.

    >>> seen = []
    >>> job = JobContext(lambda fraction, label: seen.append((fraction, label)))
    >>> job.part(0.5, 1.0, "beats").report(0.5)
    >>> seen
    [(0.75, 'beats')]
    """

    def __init__(
        self,
        listener: ProgressListener | None = None,
        *,
        cancelled: threading.Event | None = None,
    ) -> None:
        self._listener = listener
        self._cancelled = cancelled if cancelled is not None else threading.Event()
        self._start = 0.0
        self._end = 1.0
        self._label = ""

    def report(self, fraction: float, label: str = "") -> None:
        """Say how much of this (part of the) work is done, between 0 and 1."""
        if self._listener is not None:
            clamped = min(max(fraction, 0.0), 1.0)
            whole = self._start + clamped * (self._end - self._start)
            self._listener(whole, label or self._label)

    def check(self) -> None:
        """Raise `CancelledError` if the work should stop.

        Raises:
            CancelledError: Somebody called `cancel`.
        """
        if self._cancelled.is_set():
            raise CancelledError

    def cancel(self) -> None:
        """Ask the work to stop; callable from any thread or signal handler."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether the work was asked to stop."""
        return self._cancelled.is_set()

    def part(self, start: float, end: float, label: str = "") -> JobContext:
        """Give the step from `start` to `end` of this work a context of its own."""
        step = JobContext(self._listener, cancelled=self._cancelled)
        width = self._end - self._start
        step._start = self._start + start * width
        step._end = self._start + end * width
        step._label = label or self._label
        return step
