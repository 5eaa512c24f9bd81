"""Files that are written whole or not at all, and errors of the file system in plain words."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from workstation.model import InputError, JobContext, OutputError
from workstation.model.names import shown

_OTHER_FOLDER = "Choose another folder."
_REASONS = {
    errno.ENOSPC: ("the disk is full", "Make room, or choose another folder."),
    errno.EDQUOT: ("your disk quota is used up", "Make room, or choose another folder."),
    errno.EFBIG: ("the file is too large for this disk", _OTHER_FOLDER),
    errno.EROFS: ("the disk is read-only", _OTHER_FOLDER),
    errno.EACCES: ("permission is missing", "Mend the permissions, or choose another folder."),
    errno.EPERM: ("permission is missing", "Mend the permissions, or choose another folder."),
    errno.ENOTDIR: ("part of its path is a file", _OTHER_FOLDER),
    errno.EISDIR: ("a folder of that name is in the way", "Choose another name."),
    errno.EEXIST: ("a file of that name is in the way", "Choose another name."),
    errno.ENOTEMPTY: ("a folder of that name is in the way", "Choose another name."),
    errno.ENAMETOOLONG: ("its name is too long", "Choose a shorter name."),
    errno.ENOENT: ("its folder is not there", "Make the folder first, or choose another."),
}
_PIECE_BYTES = 1 << 22


def output_error(path: Path | str, error: OSError) -> OutputError:
    """Say in plain words why a path cannot be written."""
    why, remedy = _REASONS.get(
        error.errno or 0, ((error.strerror or str(error)).rstrip("."), _OTHER_FOLDER)
    )
    return OutputError(f"{shown(path)} cannot be written: {why}.", remedy)


@contextmanager
def writing(path: Path | str) -> Iterator[None]:
    """Turn errors of the file system into `OutputError`s that name the path.

    Raises:
        OutputError: Something in the block could not be written.
    """
    try:
        yield
    except OSError as error:
        raise output_error(path, error) from error


def need_space(folder: Path, size_bytes: float) -> None:
    """Fail early where the disk is too small for what is about to be written.

    Raises:
        OutputError: Less is free in `folder`, which must be there, than 2 % above the size.
    """
    free = shutil.disk_usage(folder).free
    if free < size_bytes * 1.02:
        raise OutputError(
            f"The disk of {shown(folder)} has {free / 1e6:.0f} MB free; "
            f"about {size_bytes / 1e6:.0f} MB are needed.",
            "Make room, or choose another folder with --out.",
        )


@contextmanager
def atomic_file(path: Path | str) -> Iterator[Path]:
    """Give a temporary path in the same folder; it becomes `path` when the block ends well.

    Missing folders are made. What was written survives a crash once the block has ended;
    until then `path` is as it was. If the block fails, nothing of it is left.

    Raises:
        OutputError: The folder cannot be written, or the disk is full.
    """
    path = Path(path)
    partial = _partial_path(path)
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield partial
            _sync(partial, os.O_RDWR)
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise
        # The new name must survive as well; not every system can sync a folder.
        with suppress(OSError):
            _sync(path.parent, os.O_RDONLY)


def _partial_path(path: Path) -> Path:
    """Name of the temporary file: the same each time, so that a crash leaves at most one."""
    digest = hashlib.sha256(os.fsencode(path.name)).hexdigest()
    return path.with_name(f".{digest[:16]}.partial")


def _sync(path: Path, flags: int) -> None:
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def file_sha256(path: Path | str, job: JobContext | None = None) -> str:
    """SHA-256 of a file in hexadecimal, read in pieces.

    Raises:
        InputError: The file cannot be read.
        CancelledError: The job was cancelled.
    """
    digest = hashlib.sha256()
    try:
        with Path(path).open("rb") as file:
            total = max(os.fstat(file.fileno()).st_size, 1)
            done = 0
            while piece := file.read(_PIECE_BYTES):
                if job is not None:
                    job.check()
                    job.report(done / total)
                digest.update(piece)
                done += len(piece)
    except OSError as error:
        raise InputError(
            f"{shown(path)} cannot be read: {error.strerror}.",
            "Check the file and its permissions.",
        ) from error
    return digest.hexdigest()
