"""The sessions a user has worked on, newest first."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from workstation.audio import atomic_file
from workstation.config import config_dir
from workstation.model import InputError, OutputError
from workstation.session import SessionFolder, is_session

_MOST = 100


class SessionFacts(msgspec.Struct, frozen=True):
    """What a list of sessions shows of one.

    Attributes:
        path: The session folder.
        title: Of the song.
        artist: Of the song; empty if unknown.
        duration_s: Length.
        bpm: Mean tempo; None before analysis, or without beats.
        key: Name of the key; empty if unknown.
        stems: Names of the stems in use.
        takes: How many there are.
        problem: Why it cannot be opened; empty if it can.
    """

    path: Path
    title: str
    artist: str = ""
    duration_s: float = 0.0
    bpm: float | None = None
    key: str = ""
    stems: tuple[str, ...] = ()
    takes: int = 0
    problem: str = ""


def _list_file() -> Path:
    return config_dir() / "recent.json"


def _paths() -> list[Path]:
    """The remembered paths; a list that cannot be read counts as none, as it is only a list."""
    try:
        values = json.loads(_list_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [Path(v) for v in values if isinstance(v, str)] if isinstance(values, list) else []


def remember(path: Path) -> None:
    """Put a session to the top of the list."""
    path = path.resolve()
    paths = [path, *(p for p in _paths() if p != path)][:_MOST]
    _write(paths)


def forget(path: Path) -> None:
    """Take a session off the list; the session itself stays."""
    _write([p for p in _paths() if p != path.resolve()])


def _write(paths: Iterable[Path]) -> None:
    with contextlib.suppress(OutputError, OSError):  # Where nothing can be kept, nothing is.
        _list_file().parent.mkdir(parents=True, exist_ok=True)
        with atomic_file(_list_file()) as partial:
            text = json.dumps([os.fspath(p) for p in paths], indent=1)
            partial.write_text(text, encoding="utf-8")


def recent_sessions(here: Path | None = None) -> list[SessionFacts]:
    """Sessions of the list, and those that lie in a folder, with what is known of them.

    A session that has vanished is still listed, and says so.

    Args:
        here: A folder to look for sessions in; None looks in none.
    """
    paths = _paths()
    if here is not None:
        found = (p.resolve() for p in sorted(here.glob("*.remix")) if is_session(p))
        paths += [p for p in found if p not in paths]
    return [session_facts(path) for path in paths]


def session_facts(path: Path) -> SessionFacts:
    """Look a session up without opening it."""
    folder = SessionFolder(path)
    try:
        state = folder.load()
    except InputError as error:
        problem = error.problem if path.exists() else "It is not there any more."
        return SessionFacts(path, path.stem, problem=problem)
    song = state.song
    analysis = song.analysis
    return SessionFacts(
        path=path,
        title=song.title,
        artist=song.artist,
        duration_s=song.source.duration_s,
        bpm=analysis.bpm if analysis else None,
        key=analysis.key.name if analysis and analysis.key else "",
        stems=tuple(stem.name for stem in state.stems_of(state.engine)),
        takes=sum(1 for p in (path / "takes").glob("*.json") if p.stem.split("-")[0].isdigit()),
    )
