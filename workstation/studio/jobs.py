"""Work in the background: what runs, how far it is, how it ended."""

from __future__ import annotations

import itertools
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Literal

from workstation.model import CancelledError, JobContext, WorkstationError

State = Literal["waiting", "running", "done", "failed", "cancelled"]

_TELL_EVERY_S = 0.1
_MOST_KEPT = 200


class Job:
    """One piece of work.

    Attributes:
        number: Counts from 1.
        title: What it does to what: `Separate Song`.
        state: `waiting`, `running`, `done`, `failed` or `cancelled`.
        fraction: How much is done, 0 to 1.
        label: The step it is at.
        result: What the work returned.
        error: What it failed with.
        cancelled: Set when it is to stop.
    """

    def __init__(self, number: int, title: str, work: Callable[[JobContext], Any]) -> None:
        self.number = number
        self.title = title
        self.work = work
        self.state: State = "waiting"
        self.fraction = 0.0
        self.label = ""
        self.result: Any = None
        self.error: WorkstationError | None = None
        self.cancelled = threading.Event()
        self._started = 0.0

    @property
    def ended(self) -> bool:
        """Whether it is over, well or not."""
        return self.state not in {"waiting", "running"}

    @property
    def left_s(self) -> float | None:
        """Seconds that it will probably still take; None while nobody can tell."""
        if self.state != "running" or self.fraction < 0.02:
            return None
        return (time.monotonic() - self._started) * (1.0 - self.fraction) / self.fraction

    def begin(self) -> None:
        """Note that it starts now."""
        self.state, self._started = "running", time.monotonic()


class Jobs:
    """Runs jobs on threads: long ones one after another, short ones beside them.

    Args:
        on_change: Is called with a job whenever it has moved on; from any thread.
    """

    def __init__(self, on_change: Callable[[Job], None]) -> None:
        self._on_change = on_change
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._waiting: deque[Job] = deque()
        self._long_runs = False
        self.all: list[Job] = []

    @property
    def active(self) -> list[Job]:
        """Jobs that run or wait."""
        return [job for job in self.all if not job.ended]

    def start(self, title: str, work: Callable[[JobContext], Any], *, long: bool = False) -> Job:
        """Run some work.

        Args:
            title: What it does to what.
            work: Is called with its `JobContext`; what it returns is the result.
            long: It takes both cores for minutes, so that only one such job runs at a time.
        """
        job = Job(next(self._numbers), title, work)
        with self._lock:
            ended = [old for old in self.all if old.ended]
            for old in ended[: max(0, len(self.all) - _MOST_KEPT)]:
                self.all.remove(old)
            self.all.append(job)
            wait = long and self._long_runs
            if wait:
                self._waiting.append(job)
            elif long:
                self._long_runs = True
        self._on_change(job)
        if not wait:
            threading.Thread(
                target=self._run_long if long else self._run, args=(job,), daemon=True
            ).start()
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job, or take it off the queue."""
        job.cancelled.set()
        with self._lock:
            if job in self._waiting:
                self._waiting.remove(job)
                job.state = "cancelled"
        self._on_change(job)

    def cancel_all(self, within_s: float = 3.0) -> None:
        """Stop everything, and wait until it has stopped."""
        for job in self.active:
            self.cancel(job)
        give_up = time.monotonic() + within_s
        while self.active and time.monotonic() < give_up:
            time.sleep(0.02)

    def _run_long(self, job: Job) -> None:
        following: Job | None = job
        while following is not None:
            self._run(following)
            with self._lock:
                following = self._waiting.popleft() if self._waiting else None
                self._long_runs = following is not None

    def _run(self, job: Job) -> None:
        told = 0.0

        def listen(fraction: float, label: str) -> None:
            nonlocal told
            changed = label != job.label
            job.fraction, job.label = fraction, label
            if changed or time.monotonic() - told > _TELL_EVERY_S:
                told = time.monotonic()
                self._on_change(job)

        job.begin()
        self._on_change(job)
        try:
            job.result = job.work(JobContext(listen, cancelled=job.cancelled))
        except CancelledError:
            job.state = "cancelled"
        except WorkstationError as error:
            job.state, job.error = "failed", error
        except Exception as error:  # noqa: BLE001  (a defect; it is shown, and the rest goes on)
            job.state = "failed"
            job.error = WorkstationError(
                f"{job.title} failed: {type(error).__name__}: {error}.",
                "This is a defect of workstation; please report it.",
            )
        else:
            job.fraction, job.state = 1.0, "done"
        self._on_change(job)
