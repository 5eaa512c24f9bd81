"""Hidden folders of one's own, which no other work has or takes away."""

import errno
import os
import shutil
import signal
import subprocess
import sys

import pytest

from workstation.model import OutputError
from workstation.session import own_folder as module
from workstation.session.lock import SessionLock
from workstation.session.own_folder import own_folder

KILLED = """
import os, signal, sys
from pathlib import Path
from workstation.session.own_folder import own_folder
with own_folder(Path(sys.argv[1]), ".work-") as own:
    (own / "big.wav").write_bytes(b"0")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_two_at_once_in_one_process_are_two_folders(tmp_path):
    with own_folder(tmp_path, ".work-") as one, own_folder(tmp_path, ".work-") as other:
        assert one != other
        (one / "a").write_text("a")
        with own_folder(tmp_path, ".work-"):
            assert (one / "a").read_text() == "a"
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_process_left_is_taken_away_and_nothing_else(tmp_path):
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    assert len(list(tmp_path.glob(".work-*/big.wav"))) == 1
    (tmp_path / ".other-1.partial").mkdir()
    with own_folder(tmp_path, ".work-") as own:
        assert sorted(tmp_path.iterdir()) == [tmp_path / ".other-1.partial", own]


@pytest.mark.parametrize("moment", ["before its lock", "while it is locked"])
def test_a_folder_that_is_taken_for_left_over_is_made_again(tmp_path, monkeypatch, moment):
    """Another process clears between the making of the folder and its lock."""
    lost = []

    class Late(SessionLock):
        def __enter__(self):
            if lost:
                return super().__enter__()
            lost.append(self._folder)
            if moment == "before its lock":
                shutil.rmtree(self._folder)
                return super().__enter__()
            held = super().__enter__()
            shutil.rmtree(self._folder)
            return held

    monkeypatch.setattr(module, "SessionLock", Late)
    with own_folder(tmp_path, ".work-") as own:
        assert [own] == list(tmp_path.iterdir()) != lost
    assert list(tmp_path.iterdir()) == []


def test_a_disk_without_locks_is_told_in_words(tmp_path, monkeypatch):
    def refused(_):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("workstation.session.lock.lock_file", refused)
    with pytest.raises(OutputError, match="No locks available"), own_folder(tmp_path, ".work-"):
        pass
    assert list(tmp_path.iterdir()) == []
