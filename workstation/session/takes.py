"""The takes of a session: one readable file each, and a journal for the one in progress.

takes/<n>.json        a take, numbered in the order of recording
takes/.<id>.journal   a take that is being recorded: one line of JSON at a time
takes/.deleted/       takes that were deleted, until that is undone
takes/.history.json   what was done last, for undo
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from workstation.audio import atomic_file, writing
from workstation.model import InputError, UsageError
from workstation.model.names import shown
from workstation.model.take import TAKE_SCHEMA_VERSION, Take, TakeEvent, TakeStart
from workstation.session.lock import lock_file

_HISTORY = ".history.json"
_DELETED = ".deleted"
_LOCK = ".lock"
_LOCKED_FOR_S = 5.0


class _Act(msgspec.Struct, frozen=True):
    """Something that was done to the takes: `added`, `renamed` or `deleted`."""

    act: str
    file: str
    name: str = ""


class TakeShelf:
    """The folder of takes of one session; it is made when the first take comes.

    Args:
        folder: `takes/` in the session folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def _files(self) -> list[Path]:
        numbered = [path for path in self.folder.glob("*.json") if path.stem.isdigit()]
        return sorted(numbered, key=lambda path: int(path.stem))

    def numbered(self) -> dict[int, Take]:
        """All takes by their numbers, the oldest first; also those that a crash cut short.

        Raises:
            InputError: The file of a take is damaged.
        """
        self._recover()
        return {int(path.stem): _read(path) for path in self._files()}

    def find(self, name: str) -> Take:
        """Find a take by its name (in any case) or number; `last` is the newest.

        Raises:
            UsageError: There is none.
            InputError: Its file is damaged.
        """
        return self._find(name)[1]

    def _find(self, name: str) -> tuple[Path, Take]:
        takes = self.numbered()
        number: int | None = None
        if name == "last" and takes:
            number = max(takes)
        elif name.isdigit() and int(name) in takes:
            number = int(name)
        else:
            called = {take.name: n for n, take in takes.items()}
            alike = {take.name.casefold(): n for n, take in takes.items()}
            number = called.get(name, alike.get(name.casefold()))
        if number is None:
            there = ", ".join(f"{n} ({shown(take.name)})" for n, take in takes.items())
            raise UsageError(
                f'There is no take "{shown(name)}" in this session.',
                f"There are: {there}."
                if there
                else "Record one: `workstation perform SESSION --record NAME`.",
            )
        return self.folder / f"{number}.json", takes[number]

    def add(self, take: Take) -> Take:
        """Keep a take; one without a name is called after its number, and no two are called alike.

        Raises:
            OutputError: The folder cannot be written.
        """
        with self._held():
            number = max((int(p.stem) for p in (*self._files(), *self._deleted())), default=0) + 1
            wanted = take.name or f"Take {number}"
            taken = {_read(path).name for path in self._files()}
            name, again = wanted, 1
            while name in taken:
                again += 1
                name = f"{wanted} {again}"
            take = msgspec.structs.replace(take, name=name)
            _write(self.folder / f"{number}.json", take)
            self._remember(_Act("added", f"{number}.json"))
        return take

    @contextlib.contextmanager
    def _held(self) -> Iterator[None]:
        """Let nobody else change the shelf meanwhile: two players may end their takes at once."""
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            held = (self.folder / _LOCK).open("w")
            give_up = time.monotonic() + _LOCKED_FOR_S
            while True:
                try:
                    lock_file(held.fileno())
                    break
                except OSError:
                    if time.monotonic() > give_up:
                        raise
                    time.sleep(0.01)
        with held:
            yield

    def rename(self, name: str, new_name: str) -> Take:
        """Call a take otherwise.

        Raises:
            UsageError: There is no such take, or another one is called so.
        """
        path, take = self._find(name)
        new_name = new_name.strip()
        if not new_name or new_name.isdigit() or new_name == "last":
            raise UsageError(
                f'"{shown(new_name)}" cannot be the name of a take.',
                "Choose a name with a letter; numbers and `last` find takes already.",
            )
        if any(t.name == new_name for n, t in self.numbered().items() if f"{n}.json" != path.name):
            raise UsageError(f'There is a take "{shown(new_name)}" already.', "Choose another.")
        renamed = msgspec.structs.replace(take, name=new_name)
        with self._held():
            _write(path, renamed)
            self._remember(_Act("renamed", path.name, take.name))
        return renamed

    def delete(self, name: str) -> Take:
        """Put a take away; `undo` brings it back.

        Raises:
            UsageError: There is no such take.
        """
        path, take = self._find(name)
        with self._held():
            (self.folder / _DELETED).mkdir(exist_ok=True)
            path.replace(self.folder / _DELETED / path.name)
            self._remember(_Act("deleted", path.name))
        return take

    def undo(self) -> str:
        """Take back what was done to the takes last; tells in words what that was.

        Raises:
            UsageError: Nothing is left to undo.
        """
        history = self._history()
        if not history:
            raise UsageError("There is nothing to undo.", "Takes are as they were recorded.")
        last = history[-1]
        path = self.folder / last.file
        with self._held():
            if last.act == "added" and path.is_file():
                take = _read(path)
                (self.folder / _DELETED).mkdir(exist_ok=True)
                path.replace(self.folder / _DELETED / path.name)
                words = f'Recording of "{take.name}" undone.'
            elif last.act == "deleted":
                (self.folder / _DELETED / last.file).replace(path)
                words = f'"{_read(path).name}" is back.'
            elif last.act == "renamed" and path.is_file():
                take = _read(path)
                _write(path, msgspec.structs.replace(take, name=last.name))
                words = f'"{take.name}" is called "{last.name}" again.'
            else:
                words = f"{last.file} is gone already."
            self._write_history(history[:-1])
        return words

    def _deleted(self) -> list[Path]:
        return [p for p in (self.folder / _DELETED).glob("*.json") if p.stem.isdigit()]

    def _history(self) -> list[_Act]:
        try:
            text = (self.folder / _HISTORY).read_bytes()
            acts = msgspec.json.decode(text, type=list[_Act])
        except (OSError, msgspec.MsgspecError):
            return []  # Without its history a session has its takes all the same.
        return [act for act in acts if Path(act.file).stem.isdigit() and act.file.count(".") == 1]

    def _remember(self, act: _Act) -> None:
        self._write_history([*self._history(), act][-100:])

    def _write_history(self, history: Sequence[_Act]) -> None:
        with atomic_file(self.folder / _HISTORY) as partial:
            partial.write_bytes(msgspec.json.encode(history))

    def _recover(self) -> None:
        """Make takes of journals whose process is gone."""
        for path in sorted(self.folder.glob(".*.journal")):
            with contextlib.suppress(OSError), path.open("r+b") as file:
                lock_file(file.fileno())  # Its player is alive while this fails.
                try:
                    take = _take_of_journal(file)
                except ValueError:  # No player wrote this; nothing is thrown away.
                    path.rename(path.with_suffix(".damaged"))
                    continue
                if take is not None and take.length_frames > 0:
                    self.add(take)
                path.unlink()


class TakeJournal:
    """A take that is being recorded, written so that a crash loses at most what came last.

    Args:
        shelf: Where it will be kept.
        take: What is known of it at the start.

    Raises:
        OutputError: The folder cannot be written.
    """

    def __init__(self, shelf: TakeShelf, take: Take) -> None:
        self._shelf = shelf
        self._events: list[TakeEvent] = []
        self._take = take
        with writing(shelf.folder):
            shelf.folder.mkdir(parents=True, exist_ok=True)
            self._path = shelf.folder / f".{uuid.uuid4().hex}.journal"
            self._file = self._path.open("xb")
            lock_file(self._file.fileno())
            self._write([msgspec.to_builtins(take)])

    def _write(self, lines: Sequence[Any]) -> None:
        self._file.write(b"".join(msgspec.json.encode(line) + b"\n" for line in lines))
        self._file.flush()
        os.fsync(self._file.fileno())

    def append(self, events: Sequence[TakeEvent], length_frames: int) -> None:
        """Keep what happened up to a frame, safe from a crash when this returns.

        Raises:
            OutputError: The disk is full.
        """
        self._events += events
        with writing(self._path):
            self._write([*events, length_frames])

    def finish(self, length_frames: int) -> Take:
        """Make the take of it.

        Raises:
            OutputError: The folder cannot be written; the journal stays and is found later.
        """
        take = msgspec.structs.replace(
            self._take, events=tuple(self._events), length_frames=length_frames
        )
        take = self._shelf.add(take)
        self._file.close()
        self._path.unlink(missing_ok=True)
        return take


def _take_of_journal(file: IO[bytes]) -> Take | None:
    take: Take | None = None
    events: list[TakeEvent] = []
    length = 0
    for value in _lines(file):
        if take is None:
            take = _convert(value)
        elif isinstance(value, int):
            length = value
        else:
            events.append(msgspec.convert(value, TakeEvent))
    if take is None:
        return None
    kept = tuple(event for event in events if event.frame <= length)
    whole = msgspec.structs.replace(take, events=kept, length_frames=length)
    whole.check()
    return whole


def _lines(file: IO[bytes]) -> Iterator[Any]:
    for line in file:
        try:
            yield json.loads(line)
        except ValueError:
            return  # The line that was being written when the process ended.


def _convert(values: Any) -> Take:  # noqa: ANN401  (decoded JSON)
    take = msgspec.convert(values, Take)
    take.check()
    return take


def _read(path: Path) -> Take:
    try:
        values = json.loads(path.read_bytes())
        version = values["schema_version"]
        if version > TAKE_SCHEMA_VERSION:
            raise InputError(
                f"{shown(path)} was written by a newer version of workstation (schema {version}).",
                f"Install a newer workstation; this one knows takes up to {TAKE_SCHEMA_VERSION}.",
            )
        return _convert(values)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(
            f"The take {shown(path)} is damaged: {error}.", "Restore it from a copy, or remove it."
        ) from error


def _write(path: Path, take: Take) -> None:
    with atomic_file(path) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(take), indent=1) + b"\n")


def begin_take(start: TakeStart, *, stems: Sequence[str], engine: str, sample_rate_hz: int) -> Take:
    """A take that begins now, still without a name, events and length."""
    import datetime

    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Take("", tuple(stems), engine, sample_rate_hz, start, 0, (), created=now)
