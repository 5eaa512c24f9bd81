"""Files are written whole or not at all, and the file system's errors come in plain words."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from tests.audio.encode import names_in
from workstation.audio import atomic_file, file_sha256, writing
from workstation.model import CancelledError, InputError, JobContext, OutputError
from workstation.model.names import shown


def test_the_file_gets_its_name_only_when_the_block_ends_well(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    with atomic_file(path) as partial:
        partial.write_text("whole")
        assert partial.parent == path.parent
        assert not path.exists()
    assert path.read_text() == "whole"
    assert names_in(path.parent) == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt, CancelledError])
def test_a_failed_block_leaves_what_was_there_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def fail():
        with atomic_file(path) as partial:
            partial.write_text("half")
            raise error

    with pytest.raises(error):
        fail()
    assert path.read_text() == "old"
    assert names_in(tmp_path) == ["a.txt"]


def test_a_leftover_of_a_killed_process_is_written_over(tmp_path):
    with atomic_file(tmp_path / "a.txt") as partial:
        partial.write_text("x" * 1000)
        leftover = partial
        partial.with_suffix(".keep").write_bytes(partial.read_bytes())
    leftover.with_suffix(".keep").rename(leftover)
    with atomic_file(tmp_path / "a.txt") as partial:
        partial.write_text("new")
    assert (tmp_path / "a.txt").read_text() == "new"
    assert names_in(tmp_path) == ["a.txt"]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "disk is full"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "read-only"),
        (errno.EACCES, "permission"),
        (errno.EFBIG, "too large"),
        (errno.EIO, "Input/output error"),
    ],
)
def test_errors_of_the_file_system_name_the_file_the_reason_and_a_remedy(tmp_path, number, words):
    with pytest.raises(OutputError, match=words) as caught, writing(tmp_path / "a.wav"):
        raise OSError(number, os.strerror(number))
    assert str(tmp_path / "a.wav") in caught.value.problem
    assert caught.value.remedy


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_said_to_be_full(tmp_path):

    def fill():
        with atomic_file(tmp_path / "a") as partial:
            partial.symlink_to("/dev/full")
            partial.write_bytes(b"x")

    with pytest.raises(OutputError, match="disk is full"):
        fill()
    assert names_in(tmp_path) == []


def test_what_is_in_the_way_is_said(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for path, words in [
        (tmp_path / "folder", "folder of that name"),
        (tmp_path / "file" / "a.txt", "is a file|in the way"),
        (tmp_path / ("x" * 300), "too long"),
    ]:
        with pytest.raises(OutputError, match=words), atomic_file(path) as partial:
            partial.write_text("x")
    assert names_in(tmp_path) == ["file", "folder"]


def test_the_digest_is_that_of_the_whole_file_and_reports(tmp_path):
    data = bytes(range(256)) * 40_000
    (tmp_path / "a").write_bytes(data)
    seen = []
    job = JobContext(lambda fraction, _label: seen.append(fraction))
    assert file_sha256(tmp_path / "a", job) == hashlib.sha256(data).hexdigest()
    assert seen == sorted(seen)
    assert len(seen) == 3
    job.cancel()
    with pytest.raises(CancelledError):
        file_sha256(tmp_path / "a", job)
    with pytest.raises(InputError, match="cannot be read"):
        file_sha256(tmp_path / "b")


def test_shown_names_fit_in_a_line_and_can_always_be_printed():
    name = shown(os.fsdecode(b"a\n\x1b[2J\xff.wav"))
    assert name.isprintable()
    name.encode()
