"""Files that are written whole or not at all, and errors of the file system in plain words."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workstation.model import InputError, JobContext, OutputError

_REMEDIES = {
    errno.ENOSPC: ("the disk is full", "Make room, or choose another folder."),
    errno.EDQUOT: ("your disk quota is used up", "Make room, or choose another folder."),
    errno.EROFS: ("it is read-only", "Choose another folder."),
    errno.EACCES: ("permission is missing", "Mend its permissions, or choose another folder."),
    errno.EPERM: ("permission is missing", "Mend its permissions, or choose another folder."),
    errno.ENOTDIR: ("part of its path is a file", "Choose another folder."),
    errno.EEXIST: ("a file of that name is in the way", "Choose another name."),
    errno.ENAMETOOLONG: ("its name is too long", "Choose a shorter name."),
}


def output_error(path: Path, error: OSError) -> OutputError:
    """Say in plain words why a path cannot be written."""
    why, remedy = _REMEDIES.get(
        error.errno or 0, (error.strerror or str(error), "Choose another folder.")
    )
    return OutputError(f"{path} cannot be written: {why}.", remedy)


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turn errors of the file system into `OutputError`s that name the path.

    Raises:
        OutputError: Something in the block could not be written.
    """
    try:
        yield
    except OSError as error:
        raise output_error(path, error) from error


def partial_path(path: Path) -> Path:
    """Name of the temporary file beside a file; the same each time, and never too long."""
    digest = hashlib.sha256(path.name.encode("utf-8", "surrogateescape")).hexdigest()
    return path.with_name(f".{digest[:16]}.partial")


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; it becomes `path` when the block ends well.

    What was written survives a crash once the block has ended; before, `path` is untouched.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    partial = partial_path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            descriptor = os.open(partial, os.O_RDWR)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise


def file_sha256(path: Path, job: JobContext | None = None) -> str:
    """SHA-256 of a file in hexadecimal, read in pieces.

    Raises:
        InputError: The file cannot be read.
        CancelledError: The job was cancelled.
    """
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            total = max(os.fstat(file.fileno()).st_size, 1)
            done = 0
            while block := file.read(1 << 22):
                if job is not None:
                    job.check()
                    job.report(done / total)
                digest.update(block)
                done += len(block)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read: {error.strerror}.", "Check the file and its permissions."
        ) from error
    return digest.hexdigest()
