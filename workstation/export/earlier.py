"""What an export wrote, so that replacing it takes nothing else away.

Programs save into the folder of their project, and users put files into it. A list of what was
written lies in the folder; what is not on it, or looks different by now, is theirs.
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from workstation.session.lock import LOCK_FILE

LIST_FILE = ".workstation.json"
_MOST_NAMED = 3


class _Written(msgspec.Struct, frozen=True):
    """A file as it was written: its size in bytes and its time in nanoseconds."""

    size: int
    mtime_ns: int


def files_in(folder: Path) -> list[str]:
    """Every file of an export, relative to its folder, with forward slashes."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in {LOCK_FILE, LIST_FILE}
    )


def write_list(folder: Path) -> None:
    """List what is in a folder now."""
    files = {name: _look_at(folder / name) for name in files_in(folder)}
    (folder / LIST_FILE).write_bytes(msgspec.json.encode(files))


def touched(folder: Path) -> list[str]:
    """Files of an export that were added or changed since; all, if its list is not there."""
    try:
        listed = msgspec.json.decode((folder / LIST_FILE).read_bytes(), type=dict[str, _Written])
    except (OSError, msgspec.MsgspecError):
        listed = {}
    return [name for name in files_in(folder) if listed.get(name) != _look_at(folder / name)]


def words_on_kept(names: list[str], place: Path) -> str:
    """In words, where the earlier export is kept, and why."""
    more = len(names) - _MOST_NAMED
    some = ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    return (
        f"The earlier export, because of what was changed or added there ({some}): it is kept "
        f"beside this folder as {place.name}."
    )


def free_place(folder: Path) -> Path:
    """A name beside a folder for an earlier one that is kept: `reaper (earlier 1)`."""
    number = 1
    while (place := folder.with_name(f"{folder.name} (earlier {number})")).exists():
        number += 1
    return place


def _look_at(path: Path) -> _Written:
    found = path.stat()
    return _Written(found.st_size, found.st_mtime_ns)
