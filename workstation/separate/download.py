"""Fetch one file over the network: verified, resumable, whole or not at all."""

from __future__ import annotations

import functools
import http.client
import queue
import threading
import time
from pathlib import Path
from typing import IO
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from workstation.audio import file_sha256, writing
from workstation.model import JobContext

PROBE_S = 3.0
_STALL_S = 10.0
_BLOCK = 1 << 18
_USER_AGENT = ("User-Agent", "workstation")


class DownloadError(Exception):
    """One source could not give the file; the message says why."""


def fetch(url: str, target: Path, job: JobContext, *, sha256: str | None = None) -> None:
    """Download a file; it appears under its final name only when its SHA-256 is right.

    What was got before an interruption is kept beside it as `<name>.partial` and continued.

    Args:
        url: Where the file is.
        target: Where it goes; its folder exists.
        job: Progress out, cancellation in.
        sha256: What the file must be; None to take what the server announces for it (the
            header `X-Linked-Etag` of the Hugging Face hub).

    Raises:
        DownloadError: The server cannot be reached, breaks off, or sends another file.
        OutputError: The folder cannot be written.
        CancelledError: The job was cancelled; the part stays for the next time.
    """
    partial = target.with_name(target.name + ".partial")
    done = partial.stat().st_size if partial.exists() else 0
    hops = _Redirects()
    opener = build_opener(hops)
    opener.addheaders = [_USER_AGENT, *([("Range", f"bytes={done}-")] if done else [])]
    try:
        with opener.open(url, timeout=_STALL_S) as response:
            expected = sha256 or hops.announced or _announced(response.headers)
            if not expected:
                raise DownloadError(f"{url} does not say what the file's SHA-256 is")
            _store(response, partial, done if response.status == 206 else 0, job.part(0, 0.95))
    except HTTPError as error:
        if error.code == 416 and done:  # The part is longer than the file: it is of another one.
            partial.unlink()
            fetch(url, target, job, sha256=sha256)
            return
        raise DownloadError(f"{url} answered {error.code} {error.reason}") from error
    except (OSError, http.client.HTTPException) as error:
        raise DownloadError(f"{url} could not be read: {_reason(error)}") from error
    if file_sha256(partial, job.part(0.95, 1.0)) != expected:
        partial.unlink()
        raise DownloadError(f"{url} sent a file with a wrong SHA-256")
    with writing(target):
        partial.replace(target)


class _Redirects(HTTPRedirectHandler):
    """Follows redirects and keeps the SHA-256 that the hub announces on the way."""

    announced = ""

    def redirect_request(
        self,
        req: Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> Request | None:
        self.announced = self.announced or _announced(headers)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _announced(headers: http.client.HTTPMessage) -> str:
    digest = str(headers.get("X-Linked-Etag", "")).strip('"').lower()
    return digest if len(digest) == 64 else ""


def _store(response: http.client.HTTPResponse, partial: Path, start: int, job: JobContext) -> None:
    total = start + int(response.headers.get("Content-Length") or 0)
    done = start
    with writing(partial), partial.open("ab" if start else "wb") as file:
        while True:
            job.check()
            # An error of the network is none of the disk, which `writing` would make of it.
            try:
                block = response.read(_BLOCK)
            except (OSError, http.client.HTTPException) as error:
                raise DownloadError(f"the connection broke: {_reason(error)}") from error
            if not block:
                break
            file.write(block)
            done += len(block)
            job.report(done / max(total, done))
    if done < total:
        raise DownloadError(f"the connection broke after {done} of {total} bytes")


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "") or error or type(error).__name__)


@functools.cache
def any_answers(urls: tuple[str, ...]) -> bool:
    """Tell within `PROBE_S` whether one of the files can be had; remembered for the run.

    All are asked at once, in threads, because looking up a name has no time limit of its own.
    """
    answers: queue.SimpleQueue[bool] = queue.SimpleQueue()

    def ask(url: str) -> None:
        opener = build_opener()
        opener.addheaders = [_USER_AGENT]
        try:
            with opener.open(url, timeout=PROBE_S):
                answers.put(item=True)
        except (OSError, http.client.HTTPException):
            answers.put(item=False)

    for url in urls:
        threading.Thread(target=ask, args=(url,), daemon=True).start()
    deadline = time.monotonic() + PROBE_S
    for _ in urls:
        try:
            if answers.get(timeout=max(0.0, deadline - time.monotonic())):
                return True
        except queue.Empty:
            return False
    return False
