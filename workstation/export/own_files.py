"""The media of a user's own project: what is beside it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path, PurePosixPath


def file_in(home: Path, path: str) -> Path | None:
    """A file inside a folder; None if there is none, or if the path leads out of it.

    A project may name any path there is, so what it names is not simply opened.
    """
    try:
        file = (home / path).resolve()
        return file if file.is_relative_to(home) and file.is_file() else None
    except (OSError, ValueError):  # A name that no file can have.
        return None


def unused_name(name: str, paths: Iterable[str]) -> str:
    """A name like this one that is no part of any of the paths, in small or large letters.

    What a project goes on playing must not find our file in the place of its own, be that there
    or not.
    """
    taken = {part for path in paths for part in PurePosixPath(path.casefold()).parts}
    made = PurePosixPath(name)
    while made.name.casefold() in taken:
        made = made.with_name(f"{made.stem}-of-the-song{made.suffix}")
    return made.name
