"""One writer at a time: a lock on the session folder that ends with its process."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from workstation.model import LockedError

LOCK_FILE = ".lock"


class SessionLock:
    """Holds the session for writing; a killed process leaves no lock behind.

    Raises:
        LockedError: On entering, if another process (or another session object) holds it.
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._descriptor: int | None = None

    def __enter__(self) -> Self:
        descriptor = os.open(self._folder / LOCK_FILE, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            lock_file(descriptor)
        except OSError as error:
            if error.errno not in {errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}:
                os.close(descriptor)
                raise  # This disk knows no locks.
            owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
            os.close(descriptor)
            raise LockedError(
                f"The session {self._folder} is in use by another process"
                + (f" (number {owner})." if owner else "."),
                "Wait until it is done, or close it; reading the session works meanwhile.",
            ) from error
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())
        self._descriptor = descriptor
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)  # Closing releases the lock.
            self._descriptor = None


def lock_file(descriptor: int) -> None:
    """Lock an open file until it is closed or the process ends.

    Raises:
        OSError: Somebody else holds it, or this disk knows no locks.
    """
    if os.name == "nt":
        import msvcrt

        # Windows locks are mandatory: a byte far behind the text, so that it can be read.
        os.lseek(descriptor, 1 << 20, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined,unused-ignore]
        os.lseek(descriptor, 0, os.SEEK_SET)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
