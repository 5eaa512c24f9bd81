"""Many pieces of work, some at once: what one fails with stops no other."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from workstation.model import CancelledError, JobContext, WorkstationError

T = TypeVar("T")

_POLL_S = 0.1
_END_WITHIN_S = 0.8
# Of a name, in characters: the bar must fit beside it.
_MOST_SHOWN = 24


class _Board:
    """How far each piece of work is."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._ended = 0
        self._fractions: dict[str, float] = {}
        self._last = ""
        self._lock = threading.Lock()

    def listener(self, name: str) -> Callable[[float, str], None]:
        def listen(fraction: float, label: str) -> None:
            with self._lock:
                self._fractions[name] = fraction
                short = name if len(name) <= _MOST_SHOWN else f"…{name[-_MOST_SHOWN + 1 :]}"
                self._last = f"{short}: {label}" if label else short

        return listen

    def end(self, name: str) -> None:
        with self._lock:
            self._fractions.pop(name, None)
            self._ended += 1

    def report(self, job: JobContext) -> None:
        with self._lock:
            done = (self._ended + sum(self._fractions.values())) / self._total
            number = min(self._ended + 1, self._total)
            job.report(done, ", ".join(filter(None, [f"{number} of {self._total}", self._last])))


def side_by_side(
    works: Mapping[str, Callable[[JobContext], T]], *, at_once: int, job: JobContext
) -> Iterator[tuple[str, T | WorkstationError]]:
    """Do pieces of work on threads, in their order.

    Args:
        works: Each by the name it is shown by; it is called with its own job, and should
            leave what is heavy to a process.
        at_once: How many at a time.
        job: Progress out, cancellation in.

    Yields:
        The name of each piece as it ends, with what it returned or the error it ended with.

    Raises:
        CancelledError: The job was cancelled; all works were told to stop.
    """
    if not works:
        return
    stop = threading.Event()
    board = _Board(len(works))
    waiting = queue.SimpleQueue[str]()
    ended = queue.SimpleQueue[tuple[str, T | WorkstationError]]()
    for name in works:
        waiting.put(name)

    def run() -> None:
        while not stop.is_set():
            try:
                name = waiting.get_nowait()
            except queue.Empty:
                return
            ended.put(
                (name, _outcome(works[name], JobContext(board.listener(name), cancelled=stop)))
            )

    threads = [threading.Thread(target=run, daemon=True) for _ in range(min(at_once, len(works)))]
    for thread in threads:
        thread.start()
    try:
        for _ in works:
            name, outcome = _next(ended, board, job)
            board.end(name)
            yield name, outcome
    finally:
        stop.set()
        give_up = time.monotonic() + _END_WITHIN_S
        for thread in threads:
            thread.join(max(give_up - time.monotonic(), 0.0))


def _next(
    ended: queue.SimpleQueue[tuple[str, T | WorkstationError]], board: _Board, job: JobContext
) -> tuple[str, T | WorkstationError]:
    while True:
        job.check()
        board.report(job)
        try:
            return ended.get(timeout=_POLL_S)
        except queue.Empty:
            continue


def _outcome(work: Callable[[JobContext], T], job: JobContext) -> T | WorkstationError:
    try:
        return work(job)
    except CancelledError as error:
        return error
    except WorkstationError as error:
        return error
    except Exception as error:  # noqa: BLE001  (a defect; it is told, and the rest goes on)
        return WorkstationError(
            f"It failed: {type(error).__name__}: {error}.",
            "This is a defect of workstation; please report it.",
        )
