"""Separation in a process of its own: it can be killed at once and leaves no memory behind.

Run as `python -m workstation.separate.worker`. The parent writes one line of JSON, the order,
to standard input and keeps the pipe open: when it closes, because the parent is gone, the
worker ends too. The worker answers on standard output with one line of JSON per event:
`{"progress": 0.5, "label": "…"}`, then `{"done": {stem: path}}` or `{"error": {…}}`. Whatever
libraries print goes to a log file.
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
from pathlib import Path
from typing import IO, Any

import msgspec

from workstation.audio import writing
from workstation.config import cache_dir
from workstation.model import EngineError, JobContext, WorkstationError, errors
from workstation.separate.engines import engine
from workstation.separate.protocol import EngineOptions
from workstation.separate.stream import separate_file

_POLL_S = 0.1
_REPORT_EVERY_S = 0.1
_GRACE_S = 0.5


class Order(msgspec.Struct, frozen=True):
    """What the worker is to do."""

    source: Path
    engine: str
    options: EngineOptions
    folder: Path
    key: str


def _encode_path(path: object) -> str:
    """Paths travel as hexadecimal bytes: a file name need not be text."""
    return os.fsencode(str(path)).hex()


def _decode_path(kind: type, text: object) -> object:
    return kind(os.fsdecode(bytes.fromhex(str(text))))


def log_file() -> Path:
    """Where the worker's libraries, and its own last words, go."""
    return cache_dir() / "separate.log"


def separate_in_worker(order: Order, job: JobContext) -> dict[str, Path]:
    """Carry out an order in a child process and wait for it.

    Returns:
        Path of every stem.

    Raises:
        WorkstationError: Whatever went wrong in the worker.
        EngineError: The worker died.
        CancelledError: The job was cancelled; the worker is gone within a second.
    """
    log = log_file()
    with writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        output = log.open("wb")
    with output:
        process = subprocess.Popen(
            # -P: a folder of songs is no place to import modules from.
            [sys.executable, "-P", "-m", "workstation.separate.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=output,
            start_new_session=True,  # Ctrl-C in the terminal is for the parent to pass on.
        )
    try:
        return _converse(process, order, job, log)
    finally:
        _end(process)


def _converse(
    process: subprocess.Popen[bytes], order: Order, job: JobContext, log: Path
) -> dict[str, Path]:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # The worker's own end says why, below.
        process.stdin.write(msgspec.json.encode(order, enc_hook=_encode_path) + b"\n")
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
            raise _death(process, log)
        if "progress" in event:
            job.report(event["progress"], event["label"])
        elif "done" in event:
            return {name: Path(path) for name, path in event["done"].items()}
        else:
            kind = getattr(errors, event["error"]["kind"])
            raise kind(event["error"]["problem"], event["error"]["remedy"])


def _listen(stdout: IO[bytes], events: queue.SimpleQueue[dict[str, Any] | None]) -> None:
    try:
        for line in stdout:
            events.put(json.loads(line))
    except ValueError:
        pass  # Half a line: the worker died while it wrote, as the next event says.
    finally:
        events.put(None)


def _death(process: subprocess.Popen[bytes], log: Path) -> EngineError:
    code = process.wait()
    if code == -9:
        return EngineError(
            "The separation process was killed, most likely because memory ran out.",
            "Close other programs, or choose a lighter engine such as --engine dsp.",
        )
    return EngineError(
        f"The separation process ended unexpectedly (status {code}).",
        f"Its last words are in {log}.",
    )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Leave no worker behind, whatever it is doing."""
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


def _end_with_parent(stdin: IO[bytes]) -> None:
    stdin.read()
    os._exit(1)


def main() -> None:
    """Take one order from standard input and carry it out."""
    # Libraries that print must not break the conversation: their output joins the log.
    reporter = _Reporter(os.fdopen(os.dup(1), "w"))
    os.dup2(2, 1)
    order = msgspec.json.decode(sys.stdin.buffer.readline(), type=Order, dec_hook=_decode_path)
    threading.Thread(target=_end_with_parent, args=(sys.stdin.buffer,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(5)  # Playing and drawing come first.
    try:
        paths = separate_file(
            order.source,
            engine(order.engine, order.options),
            order.folder,
            key=order.key,
            job=JobContext(reporter.progress),
        )
    except WorkstationError as error:
        reporter.send(
            {
                "error": {
                    "kind": type(error).__name__,
                    "problem": error.problem,
                    "remedy": error.remedy,
                }
            }
        )
    except Exception as error:  # noqa: BLE001  engines of others may fail in any way
        traceback.print_exc()
        words = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        reporter.send(
            {
                "error": {
                    "kind": "EngineError",
                    "problem": f"The engine {order.engine} failed: {words}.",
                    "remedy": f"Choose another engine; the details are in {log_file()}.",
                }
            }
        )
    else:
        reporter.send({"done": {name: str(path) for name, path in paths.items()}})
    # The thread that watches the parent is blocked in a read and would not let us go.
    os._exit(0)


if __name__ == "__main__":
    main()
