"""Work in a process of its own: it can be killed at once and leaves no memory behind.

The parent writes one line of JSON, the order, to the child's standard input and keeps the pipe
open: when it closes, because the parent is gone, the child ends too. The child answers on
standard output with one line of JSON per event: `{"progress": 0.5, "label": "…"}`, then
`{"done": …}` or `{"error": {…}}`. Whatever libraries print goes to a log file.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

import msgspec

from workstation.audio import writing
from workstation.config import cache_dir
from workstation.model import EngineError, JobContext, WorkstationError, errors

_POLL_S = 0.1
_REPORT_EVERY_S = 0.1
_GRACE_S = 0.5


class Trade(msgspec.Struct, frozen=True):
    """What a kind of child does, and how its failures are told.

    Attributes:
        module: Run as `python -m`; it calls `take_order`.
        name: `separation`: names the process in words, and its log.
        killed: What to do when it was killed, most likely because memory ran out.
        environment: Variables that it gets besides those of the parent.
    """

    module: str
    name: str
    killed: str
    environment: Mapping[str, str] = {}

    @property
    def log(self) -> Path:
        """Where the child's libraries, and its own last words, go."""
        return cache_dir() / f"{self.name}.log"


def encode_path(path: object) -> str:
    """Paths travel as hexadecimal bytes: a file name need not be text."""
    return os.fsencode(str(path)).hex()


def decode_path(kind: type, text: object) -> object:
    """Take back what `encode_path` made."""
    return kind(os.fsdecode(bytes.fromhex(str(text))))


# -- the parent -------------------------------------------------------------------------


def give_order(trade: Trade, order: msgspec.Struct, job: JobContext) -> Any:  # noqa: ANN401
    """Have an order carried out in a child process, and wait for it.

    Returns:
        What the child made of it: plain JSON values.

    Raises:
        WorkstationError: Whatever went wrong in the child.
        EngineError: The child died.
        CancelledError: The job was cancelled; the child is gone within a second.
    """
    log = trade.log
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("wb")
    with output:
        process = subprocess.Popen(
            # -P: a folder of songs is no place to import modules from.
            [sys.executable, "-P", "-m", trade.module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            env={**os.environ, **trade.environment},
            start_new_session=True,  # Ctrl-C in the terminal is for the parent to pass on.
        )
    try:
        return _converse(process, order, job, trade)
    finally:
        _end(process)


def _converse(
    process: subprocess.Popen[bytes], order: msgspec.Struct, job: JobContext, trade: Trade
) -> Any:  # noqa: ANN401
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # The child's own end says why, below.
        process.stdin.write(msgspec.json.encode(order, enc_hook=encode_path) + b"\n")
        process.stdin.flush()
    events: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(process.stdout, events), daemon=True).start()
    while True:
        job.check()
        try:
            event = events.get(timeout=_POLL_S)
        except queue.Empty:
            continue
        if event is None:
            raise _death(process, trade)
        if "progress" in event:
            job.report(event["progress"], event["label"])
        elif "done" in event:
            return event["done"]
        else:
            kind = getattr(errors, event["error"]["kind"])
            raise kind(event["error"]["problem"], event["error"]["remedy"])


def _listen(stdout: IO[bytes], events: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    try:
        for line in stdout:
            events.put(json.loads(line))
    except ValueError:
        pass  # Half a line: the child died while it wrote, as the next event says.
    finally:
        events.put(None)


def _death(process: subprocess.Popen[bytes], trade: Trade) -> EngineError:
    code = process.wait()
    if code == -9:
        return EngineError(
            f"The {trade.name} process was killed, most likely because memory ran out.",
            trade.killed,
        )
    return EngineError(
        f"The {trade.name} process ended unexpectedly (status {code}).",
        f"Its last words are in {trade.log}.",
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no child behind, whatever it is doing."""
    if process.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


# -- the child --------------------------------------------------------------------------


class _Reporter:
    """Sends progress, at most ten times a second."""

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._last = 0.0

    def send(self, event: dict[str, Any]) -> None:
        self._out.write(json.dumps(event) + "\n")
        self._out.flush()

    def progress(self, fraction: float, label: str) -> None:
        now = time.monotonic()
        if now - self._last >= _REPORT_EVERY_S or fraction >= 1:
            self._last = now
            self.send({"progress": fraction, "label": label})

    def fail(self, error: WorkstationError) -> None:
        kind, problem, remedy = type(error).__name__, error.problem, error.remedy
        self.send({"error": {"kind": kind, "problem": problem, "remedy": remedy}})


def _end_with_parent(stdin: IO[bytes]) -> None:
    stdin.read()
    os._exit(1)


def take_order(
    work: Callable[[bytes, JobContext], Any], defect: Callable[[bytes, str], WorkstationError]
) -> None:
    """Be the child: take one order from standard input, carry it out, and end.

    Args:
        work: Is given the order as JSON, and returns what the parent gets.
        defect: Tells in words what no error in words foresaw: the order, and what happened.
    """
    # Libraries that print must not break the conversation: their output joins the log.
    reporter = _Reporter(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)
    order = sys.stdin.buffer.readline()
    threading.Thread(target=_end_with_parent, args=(sys.stdin.buffer,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(5)  # Playing and drawing come first.
    try:
        done = work(order, JobContext(reporter.progress))
    except WorkstationError as error:
        reporter.fail(error)
    except Exception as error:  # noqa: BLE001  (code of others may fail in any way)
        traceback.print_exc()
        reporter.fail(defect(order, f"{type(error).__name__}: {error}".splitlines()[0][:200]))
    else:
        reporter.send({"done": msgspec.to_builtins(done, enc_hook=str)})
    # The thread that watches the parent is blocked in a read and would not let us go.
    os._exit(0)
