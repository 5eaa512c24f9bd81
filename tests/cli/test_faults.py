"""Full disks, read-only folders and odd names: one clear line, and nothing half-written."""

import os
import shutil
import subprocess

import pytest

from tests.cli.conftest import make_song
from tests.cli.test_commands import check_error
from workstation.audio import probe


@pytest.fixture
def small_disk(tmp_path):
    """A disk of two megabytes."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(disk)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small disk needs root")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


def files_of(folder):
    return sorted(p.name for p in folder.rglob("*") if p.is_file() and p.name != ".lock")


def test_a_disk_too_small_for_the_song_is_named(tmp_path, small_disk, program):
    make_song(tmp_path / "song.wav", seconds=20)
    result = program("separate", tmp_path / "song.wav", "--engine", "dsp", cwd=small_disk)
    check_error(result, 6, "disk", "Make room")
    assert files_of(small_disk) == []


def test_a_disk_too_small_for_the_stems_is_noticed_before_the_work(tmp_path, small_disk, program):
    make_song(tmp_path / "song.wav", seconds=20)
    result = program(
        "separate", tmp_path / "song.wav", "--engine", "dsp", "--reference", cwd=small_disk
    )
    check_error(result, 6, "MB are needed", "Make room")
    assert files_of(small_disk) == ["session.json"]


@pytest.mark.parametrize("target", ["stems", "reaper", "dawproject"])
def test_a_disk_that_fills_during_an_export_leaves_no_project(
    finished, small_disk, program, target
):
    before = set(files_of(small_disk))
    (small_disk / "ballast").write_bytes(b"x" * 1_200_000)
    result = program(
        "export", finished / "song.remix", "--to", target, "--out", small_disk, cwd=finished
    )
    check_error(result, 6, "Make room")
    assert not (small_disk / target).exists()
    assert set(files_of(small_disk)) - before == {"ballast"}


def test_a_disk_that_fills_during_copies_leaves_none(finished, small_disk, program):
    result = program("separate", finished / "song.remix", "--out", small_disk, cwd=finished)
    check_error(result, 6, "disk is full")
    assert files_of(small_disk) == []


@pytest.fixture
def read_only_disk(small_disk):
    """A disk that cannot be written; root is not stopped by permissions alone."""
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    return small_disk


def test_a_read_only_disk_is_named(finished, read_only_disk, program):
    out = read_only_disk / "out"
    result = program("export", finished / "song.remix", "--to", "midi", "--out", out, cwd=finished)
    check_error(result, 6, "read-only", "another folder")
    result = program("separate", finished / "song.wav", "--engine", "dsp", cwd=read_only_disk)
    check_error(result, 6, "read-only")


@pytest.mark.skipif(os.geteuid() == 0, reason="permissions do not stop root")
def test_a_file_without_permission_is_named(tmp_path, program):
    make_song(tmp_path / "song.wav", seconds=1)
    (tmp_path / "song.wav").chmod(0)
    check_error(program("info", "song.wav", cwd=tmp_path), 3, "song.wav")


@pytest.mark.parametrize(
    "name",
    [
        "歌 🎛️ – Jóga.wav",
        "-rf.wav",
        "a'b\"c$(x)`y`.wav",
        "x" * 240 + ".wav",
        "two\nlines.wav",
        ".wav.wav",
        "CON.wav",
    ],
)
def test_odd_names_work(tmp_path, program, name):
    make_song(tmp_path / name, seconds=2)
    arguments = ["--to", "reaper,midi,stems,dawproject", "--engine", "dsp", "--out", "out"]
    result = program("export", *arguments, "--", name, cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert sorted(
        p.name for p in (tmp_path / "out").iterdir() if not p.name.endswith(".remix")
    ) == ["dawproject", "midi", "reaper", "stems"]
    for wav in (tmp_path / "out" / "stems").glob("*.wav"):
        assert probe(wav).frames == 44100


@pytest.mark.parametrize(
    ("rate", "channels", "seconds"),
    [
        (8000, 1, 1),
        (8000, 2, 3),
        (22050, 6, 2),
        (192000, 2, 1),
        (96000, 1, 2),
    ],
)
def test_every_rate_and_channel_count_goes_the_whole_way(
    tmp_path, program, rate, channels, seconds
):
    import numpy as np

    from workstation.audio import write_audio

    rng = np.random.default_rng(1)
    mix = rng.uniform(-0.3, 0.3, (channels, rate * seconds)).astype(np.float32)
    write_audio(tmp_path / "song.wav", mix, rate, "float32")
    result = program("export", "song.wav", "--to", "reaper,stems", "--engine", "dsp", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for wav in (tmp_path / "song.remix" / "exports" / "stems").glob("*.wav"):
        info = probe(wav)
        assert (info.sample_rate_hz, info.channels, info.frames) == (rate, channels, mix.shape[1])


def test_silence_goes_the_whole_way_and_says_that_there_is_no_beat(tmp_path, program):
    import numpy as np

    from workstation.audio import write_audio

    write_audio(tmp_path / "song.wav", np.zeros((2, 44100), np.float32), 44100, "pcm24")
    result = program(
        "export",
        "song.wav",
        "--to",
        "reaper,midi,dawproject,stems",
        "--engine",
        "dsp",
        cwd=tmp_path,
    )
    assert result.returncode == 0, result.stderr
    assert "no beat" in program("analyze", "song.remix", cwd=tmp_path).stdout
