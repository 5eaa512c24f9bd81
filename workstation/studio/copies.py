"""Copies of stems in a folder of the user's choice."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

from workstation.audio import writing
from workstation.model import ExistsError, JobContext, UsageError

# Its presence says that copying was interrupted, and that copies lying beside it are ours.
_WORK = ".stems.partial"


def pick_stems(there: Sequence[str], wanted: str | None) -> list[str]:
    """Take some stems by name: `vocals,drums`; None takes all.

    Raises:
        UsageError: A name is not that of a stem.
    """
    if wanted is None:
        return list(there)
    names = [name.strip() for name in wanted.split(",") if name.strip()]
    missing = [name for name in names if name not in there]
    if missing or not names:
        raise UsageError(
            f'There is no stem "{", ".join(missing) or wanted}".', f"There are: {', '.join(there)}."
        )
    return names


def check_copies(names: Sequence[str], folder: Path, *, overwrite: bool) -> None:
    """Refuse to copy over files that are there.

    Raises:
        ExistsError: A file is there, and it is not from a copy that was interrupted.
    """
    if overwrite or (folder / _WORK).is_dir():
        return
    for name in names:
        path = folder / f"{name}.wav"
        if path.exists():
            raise ExistsError(
                f"{path} is there already.",
                "Choose another folder with --out, or replace it with --overwrite.",
            )


def copy_stems(stems: dict[str, Path], folder: Path, job: JobContext) -> dict[str, Path]:
    """Copy stems to `folder/<stem>.wav`: all are complete before the first gets its name.

    Raises:
        OutputError: The folder cannot be written.
    """
    work = folder / _WORK
    with writing(folder):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        try:
            for index, (name, path) in enumerate(stems.items()):
                job.check()
                job.report(index / len(stems))
                shutil.copyfile(path, work / f"{name}.wav")
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
        for name in stems:
            (work / f"{name}.wav").replace(folder / f"{name}.wav")
        shutil.rmtree(work)
    return {name: folder / f"{name}.wav" for name in stems}
