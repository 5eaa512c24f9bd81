"""A session on disk: plain files that people can read, move and zip.

Song Title.remix/
  session.json                 song, analysis, stems: see `session/state.py`
  source.<ext>                 a copy of the song, unless it is referenced
  cover.<ext>                  its picture
  stems/<engine>/<stem>.wav    float32, rate and length of the source
  takes/<n>.json               performances: see `session/takes.py`
  exports/<target>/…
  .work/                       what is being made; gone when it is complete
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from workstation.audio import atomic_file, writing
from workstation.model import AudioRef, InputError
from workstation.session.lock import SessionLock
from workstation.session.state import SessionState, decode_state, encode_state
from workstation.session.takes import TakeShelf

SUFFIX = ".remix"
STATE_FILE = "session.json"


def is_session(path: Path) -> bool:
    """Whether a path is a session folder."""
    return (path / STATE_FILE).is_file()


class SessionFolder:
    """A session folder: the one place that knows what lies where in it.

    The folder need not exist; `save` makes it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def work(self) -> Path:
        """Where unfinished things are kept until they are complete."""
        return self.path / ".work"

    @property
    def exports(self) -> Path:
        """Where exports go unless the user says otherwise."""
        return self.path / "exports"

    @property
    def takes(self) -> TakeShelf:
        """The recorded performances."""
        return TakeShelf(self.path / "takes")

    def stem_folder(self, engine: str) -> Path:
        """Where the stems of an engine lie."""
        return self.path / "stems" / engine

    def load(self) -> SessionState:
        """Read the state.

        Raises:
            InputError: There is no session here, or it is damaged.
        """
        file = self.path / STATE_FILE
        try:
            text = file.read_bytes()
        except OSError as error:
            raise InputError(
                f"{self.path} cannot be opened as a session: {error.strerror}.",
                "Give a session folder (….remix), an audio file or a folder of stems.",
            ) from error
        return decode_state(text, file)

    def save(self, state: SessionState) -> None:
        """Write the state whole or not at all.

        Raises:
            OutputError: The folder cannot be written.
        """
        with atomic_file(self.path / STATE_FILE) as partial:
            partial.write_bytes(encode_state(state))

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the session for writing.

        Raises:
            LockedError: Another process holds it.
            OutputError: The folder cannot be written.
        """
        with writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
            lock = SessionLock(self.path)
            lock.__enter__()
        try:
            yield
        finally:
            lock.__exit__(None, None, None)

    def audio_path(self, ref: AudioRef, *, may_be_outside: bool = False) -> Path:
        """Where a piece of audio lies: inside the folder, unless it is a referenced source.

        Raises:
            InputError: It is gone, or points outside although it may not.
        """
        path = Path(ref.path)
        if not (may_be_outside and path.is_absolute()):
            path = (self.path / path).resolve()
            if not path.is_relative_to(self.path.resolve()):
                raise InputError(
                    f"The session {self.path} names a file outside itself: {ref.path}.",
                    "Do not trust this session; start a new one from the song.",
                )
        if not path.is_file():
            raise InputError(
                f"The session {self.path} misses its file {ref.path}.",
                "Put the file back, or start a new session from the song.",
            )
        return path

    def publish(self, finished: Path, final: Path) -> None:
        """Move a finished folder from `work` to its final place, replacing what is there.

        Raises:
            OutputError: The folder cannot be written.
        """
        with writing(final):
            final.parent.mkdir(parents=True, exist_ok=True)
            old = self.work / "old"
            shutil.rmtree(old, ignore_errors=True)
            if final.exists():
                final.rename(old)
            finished.rename(final)
            shutil.rmtree(old, ignore_errors=True)
            if self.work.is_dir() and not any(self.work.iterdir()):
                self.work.rmdir()


def find_session(parent: Path, name: str, source_sha256: str) -> tuple[SessionFolder, bool]:
    """Find the session of a source in a folder, or a free name for a new one.

    Args:
        parent: Folder of sessions.
        name: Safe file name made from the title.
        source_sha256: Whose session it must be.

    Returns:
        The session folder, and whether it is there already.
    """
    number = 1
    while True:
        label = name if number == 1 else f"{name} {number}"
        folder = SessionFolder(parent / (label + SUFFIX))
        if not is_session(folder.path):
            if _unfinished(folder.path):
                return folder, False
        elif folder.load().song.source.sha256 == source_sha256:
            return folder, True
        number += 1


def _unfinished(path: Path) -> bool:
    """Whether nothing is there, or only what a session that was never completed leaves."""
    if not path.is_dir():
        return not path.exists()
    ours = {".lock", ".work", "stems"}
    return all(
        p.name in ours or p.name.startswith(("source.", "cover.")) or p.suffix == ".partial"
        for p in path.iterdir()
    )
