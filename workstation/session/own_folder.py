"""A hidden folder of one's own, for files that are there only as long as the work lasts."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from workstation.audio import writing
from workstation.model import LockedError
from workstation.session.lock import LOCK_FILE, SessionLock


@contextmanager
def own_folder(place: Path, prefix: str) -> Iterator[Path]:
    """Make the folder `<prefix>….partial` in a place, and take it away when the block ends.

    No other work has it, in this process or another. What killed processes left there under
    this prefix is taken away, too.

    Args:
        place: The folder that it is made in; it is made if it is not there.
        prefix: Of its name.

    Raises:
        OutputError: It cannot be made.
    """
    with ExitStack() as stack:
        with writing(place):
            place.mkdir(parents=True, exist_ok=True)
            for left in place.glob(f"{prefix}*.partial"):
                # What others are using stays, and so does what is not ours to take away.
                with suppress(LockedError, OSError):
                    take_away(left)
            try:
                own = _made(place, prefix, stack)
            except (LockedError, FileNotFoundError):  # Taken for left over, before its lock.
                own = _made(place, prefix, stack)
        yield own


def _made(place: Path, prefix: str, stack: ExitStack) -> Path:
    """Make such a folder and lock it until the stack ends.

    Raises:
        LockedError: Another process is taking it away.
        FileNotFoundError: Another process has taken it away.
    """
    place.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix=prefix, suffix=".partial", dir=place))
    stack.callback(shutil.rmtree, own, ignore_errors=True)
    stack.enter_context(SessionLock(own))
    (own / LOCK_FILE).stat()  # A lock on a file that is gone protects nothing.
    return own


def take_away(left: Path) -> None:
    """Take away a folder that nobody has locked.

    Raises:
        LockedError: Somebody has.
        OSError: It cannot be taken away.
    """
    with SessionLock(left):
        # Under the lock, so that nobody begins to use it meanwhile.
        shutil.rmtree(left, ignore_errors=os.name == "nt")
    if os.name == "nt":  # There, a file that is open cannot be taken away.
        shutil.rmtree(left, ignore_errors=True)
