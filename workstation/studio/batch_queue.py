"""The queue of a batch, in SQLite: what is waiting, done or failed survives every crash."""

from __future__ import annotations

import errno
import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from workstation.audio import writing
from workstation.model import InputError, LockedError, OutputError, WorkstationError
from workstation.model.names import shown
from workstation.session.lock import lock_file

QUEUE_FILE = "batch.sqlite"
_LOCK_FILE = ".batch.lock"
# A path is kept as its bytes: a file name need not be text.
_TABLE = """
CREATE TABLE IF NOT EXISTS songs (
    path BLOB PRIMARY KEY,
    size INTEGER NOT NULL,
    changed_ns INTEGER NOT NULL,
    wish TEXT NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('waiting', 'running', 'done', 'failed')),
    attempts INTEGER NOT NULL DEFAULT 0,
    result TEXT,
    problem TEXT,
    remedy TEXT,
    exit_code INTEGER
)
"""


class SongResult(msgspec.Struct, frozen=True):
    """What became of a song.

    Attributes:
        session: Its session folder.
        engine: Whose stems it has.
        duration_s: How long the song is.
        bpm: Its mean tempo; None without a beat.
        key: Its key; None without one.
        exports: Folder of each project, by target.
        seconds: How long the work took.
    """

    session: str
    engine: str
    duration_s: float
    bpm: float | None
    key: str | None
    exports: dict[str, str]
    seconds: float = 0.0


class SongReport(msgspec.Struct, frozen=True):
    """How it stands with one song.

    Attributes:
        song: Its path below the folder of songs.
        state: `waiting`, `running`, `done` or `failed`.
        attempts: How often it was begun, over all batches.
        result: What was made of it, if it is done.
        problem: What it failed with.
        remedy: What to do about that.
        exit_code: Of which kind the failure is; see the README.
    """

    song: str
    state: str
    attempts: int
    result: SongResult | None = None
    problem: str | None = None
    remedy: str | None = None
    exit_code: int | None = None


class BatchQueue:
    """The queue in one output folder, for one process at a time; use `open_queue`.

    Args:
        connection: To its database.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def _run(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        with self._lock, self._connection:
            return self._execute(statement, *values)

    def _execute(self, statement: str, *values: object) -> list[tuple[object, ...]]:
        return self._connection.execute(statement, values).fetchall()

    def begin(self, songs: list[Path], wish: str) -> list[Path]:
        """Put songs into the queue, and tell which of them are to be done.

        Those that are done stay so while the file and the wish are the same. One that was in
        progress when a batch was killed, or that failed in an earlier one, waits again.

        Args:
            songs: Their files.
            wish: What is to be made of them; another wish is another task.

        Raises:
            InputError: A file cannot be read.
        """
        # One transaction: waiting for the disk after every song would take hours for a million.
        with self._lock, self._connection:
            self._execute("UPDATE songs SET state = 'waiting' WHERE state = 'running'")
            return [song for song in songs if self._is_to_be_done(song, wish)]

    def _is_to_be_done(self, song: Path, wish: str) -> bool:
        """Note a song as waiting, unless it is done."""
        try:
            stat = song.stat()
        except OSError as error:
            raise InputError(
                f"{shown(song)} cannot be read: {error.strerror}.", "Check the file."
            ) from error
        task = (stat.st_size, stat.st_mtime_ns, wish)
        there = self._execute(
            "SELECT size, changed_ns, wish, state FROM songs WHERE path = ?", _bytes(song)
        )
        if there and there[0] == (*task, "done"):
            return False
        self._execute(
            "INSERT INTO songs (path, size, changed_ns, wish, state)"
            " VALUES (?, ?, ?, ?, 'waiting') ON CONFLICT (path) DO UPDATE SET size ="
            " excluded.size, changed_ns = excluded.changed_ns, wish = excluded.wish,"
            " state = 'waiting', result = NULL, problem = NULL, remedy = NULL,"
            " exit_code = NULL",
            _bytes(song),
            *task,
        )
        return True

    def start(self, song: Path) -> None:
        """Note that a song is in progress."""
        self._run(
            "UPDATE songs SET state = 'running', attempts = attempts + 1 WHERE path = ?",
            _bytes(song),
        )

    def finish(self, song: Path, result: SongResult) -> None:
        """Note what became of a song: it is never done again."""
        self._run(
            "UPDATE songs SET state = 'done', result = ? WHERE path = ?",
            msgspec.json.encode(result).decode(),
            _bytes(song),
        )

    def fail(self, song: Path, error: WorkstationError) -> None:
        """Note that a song failed; the next batch tries it again."""
        self._run(
            "UPDATE songs SET state = 'failed', problem = ?, remedy = ?, exit_code = ?"
            " WHERE path = ?",
            shown(error.problem),
            shown(error.remedy),
            error.exit_code,
            _bytes(song),
        )

    def report(self, song: Path, name: str) -> SongReport:
        """How it stands with a song of the queue, which is called by a name."""
        ((result, *row),) = self._run(
            "SELECT result, state, attempts, problem, remedy, exit_code FROM songs WHERE path = ?",
            _bytes(song),
        )
        made = None if result is None else msgspec.json.decode(str(result))
        names = ("state", "attempts", "problem", "remedy", "exit_code")
        values = dict(zip(names, row, strict=True))
        return msgspec.convert({"song": name, "result": made, **values}, SongReport)


def _bytes(song: Path) -> bytes:
    return os.fsencode(song.absolute())


@contextmanager
def open_queue(out: Path) -> Iterator[BatchQueue]:
    """Hold the queue of an output folder, which is made if it is not there.

    Raises:
        LockedError: Another batch holds it.
        OutputError: The folder cannot be written.
        InputError: The queue is damaged.
    """
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = (out / _LOCK_FILE).open("a+b")
    with lock:
        _take(lock.fileno(), out)
        path = out / QUEUE_FILE
        try:
            connection = sqlite3.connect(path, check_same_thread=False)
        except sqlite3.Error as error:
            raise _broken(path, error) from error
        try:
            connection.execute("PRAGMA synchronous = FULL")
            with connection:
                connection.execute(_TABLE)
            yield BatchQueue(connection)
        except (sqlite3.Error, msgspec.MsgspecError) as error:
            raise _broken(path, error) from error
        finally:
            connection.close()


def _take(descriptor: int, out: Path) -> None:
    try:
        lock_file(descriptor)
    except OSError as error:
        if error.errno not in {errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK}:
            raise  # This disk knows no locks.
        os.lseek(descriptor, 0, os.SEEK_SET)
        owner = os.read(descriptor, 20).decode("ascii", "replace").strip()
        raise LockedError(
            f"Another batch{f' (process {owner})' if owner else ''} is working in {shown(out)}.",
            "Wait until it is done, stop it, or choose another folder with --out.",
        ) from error
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f"{os.getpid()}\n".encode())


def _broken(path: Path, error: Exception) -> WorkstationError:
    if isinstance(error, sqlite3.OperationalError):  # Disk full, read-only, no permission.
        return OutputError(
            f"The queue {shown(path)} cannot be written: {error}.",
            "Make room or mend its permissions, and run the batch again: it goes on from there.",
        )
    return InputError(
        f"The queue {shown(path)} cannot be used: {error}.",
        "Move it away; the sessions beside it are found again, and nothing is done twice.",
    )
