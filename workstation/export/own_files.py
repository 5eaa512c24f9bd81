"""The media of a user's own project: what is beside it, and nothing else."""

from __future__ import annotations

from pathlib import Path


def file_in(home: Path, path: str) -> Path | None:
    """A file inside a folder; None if there is none, or if the path leads out of it.

    A project may name any path there is, so what it names is not simply opened.
    """
    try:
        file = (home / path).resolve()
        return file if file.is_relative_to(home) and file.is_file() else None
    except (OSError, ValueError):  # A name that no file can have.
        return None
