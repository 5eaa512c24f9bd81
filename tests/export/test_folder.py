"""The folder of an export: whole or not there, and nothing of the user's is lost."""

import os
import signal
import subprocess
import sys
import tracemalloc
from collections import namedtuple
from pathlib import Path

import numpy as np
import pytest

from tests.export.conftest import FRAMES, RATE
from workstation.audio import FloatWav, write_audio
from workstation.export import ExportOptions, Project, Track, export, find_target
from workstation.export import folder as folder_module
from workstation.model import (
    CancelledError,
    ExistsError,
    InputError,
    JobContext,
    OutputError,
    Section,
    UsageError,
)

KILLED_HALFWAY = """
import os, signal, sys
from pathlib import Path
from workstation.export import ExportOptions, Project, Track, export
from workstation.model import JobContext

def listener(fraction, label):
    if fraction > 0.5:
        os.kill(os.getpid(), signal.SIGKILL)

stem, out, target = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3]
project = Project(title="T", artist="", tracks=(Track("A", stem, "#112233"),) * 3,
                  sample_rate_hz=int(sys.argv[4]), frames=int(sys.argv[5]))
export(project, target, out, ExportOptions(overwrite=True), JobContext(listener))
"""


@pytest.mark.parametrize("target", ["stems", "reaper", "dawproject"])
@pytest.mark.parametrize("earlier", [False, True])
def test_a_killed_export_leaves_what_was_there_and_the_next_one_works(
    make_project, export_to, stem_files, tmp_path, target, earlier
):
    before = export_to(make_project(), target) if earlier else None
    arguments = [stem_files["drums"][0], tmp_path, target, RATE, FRAMES]
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_HALFWAY, *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    seen = {p.name for p in tmp_path.iterdir() if not p.name.startswith(".")}
    assert seen == ({target} if earlier else set())
    if before is not None:
        assert all((tmp_path / target / name).is_file() for name in before.files)
    report = export_to(make_project(), target, overwrite=True)
    assert [p.name for p in tmp_path.iterdir()] == [target]
    assert all((tmp_path / target / name).is_file() for name in report.files)


def test_a_replacement_killed_between_its_two_renames_brings_the_earlier_export_back(
    make_project, export_to, tmp_path
):
    export_to(make_project(), "midi")
    (tmp_path / "midi").rename(tmp_path / ".midi.old")
    with pytest.raises(ExistsError):
        export_to(make_project(), "midi")
    assert (tmp_path / "midi" / "tempo-map.mid").is_file()


@pytest.mark.parametrize("target", ["stems", "reaper", "dawproject"])
def test_cancelling_in_the_middle_leaves_nothing(make_project, tmp_path, target):
    job = JobContext(lambda fraction, label: fraction > 0.5 and job.cancel())
    with pytest.raises(CancelledError):
        export(make_project(), target, tmp_path / "out", ExportOptions(), job)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_folder_that_is_not_an_export_is_never_replaced(make_project, export_to, tmp_path):
    (tmp_path / "stems").mkdir()
    (tmp_path / "stems" / "README.txt").write_text("my own album")
    with pytest.raises(ExistsError, match="not an export"):
        export_to(make_project(), "stems", overwrite=True)
    assert (tmp_path / "stems" / "README.txt").read_text() == "my own album"
    (tmp_path / "midi").write_text("a file")
    with pytest.raises(ExistsError, match="not an export"):
        export_to(make_project(), "midi", overwrite=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "reaper").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExistsError, match="not an export"):
        export_to(make_project(), "reaper", overwrite=True)


def test_a_disk_without_room_is_told_before_the_work(make_project, export_to, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(folder_module.shutil, "disk_usage", lambda _: usage(1, 1, 1_000_000))
    with pytest.raises(OutputError, match="1 MB free; about 5 MB are needed") as caught:
        export_to(make_project(), "stems")
    assert "Make room" in caught.value.remedy


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_named(make_project, tmp_path):
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OutputError, match="locked"):
        export(make_project(), "midi", tmp_path / "locked", ExportOptions(), JobContext())


def test_an_output_that_is_below_a_file_is_refused_in_words(make_project, tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(OutputError, match="part of its path is a file"):
        export(make_project(), "midi", tmp_path / "file" / "x", ExportOptions(), JobContext())


def test_a_stem_that_does_not_fit_the_song_is_refused(make_project, export_to, tmp_path):
    write_audio(tmp_path / "short.wav", np.zeros((2, 1000), np.float32), RATE, "float32")
    for track in (
        Track("Short", tmp_path / "short.wav", "#000000"),
        Track("Gone", tmp_path / "gone.wav", "#000000"),
    ):
        with pytest.raises(InputError, match=track.path.name):
            export_to(make_project(tracks=(track,)), "reaper")
    with pytest.raises(InputError, match="no stems"):
        export_to(make_project(tracks=()), "stems")
    assert not (tmp_path / "reaper").exists()


def test_a_near_name_is_suggested_and_all_are_listed():
    with pytest.raises(UsageError) as caught:
        find_target("Dawprojekt")
    assert caught.value.remedy == (
        'Did you mean "dawproject"? Targets: reaper, dawproject, flstudio, midi, stems.'
    )


def test_the_report_names_what_this_song_loses_and_nothing_else(make_project, export_to):
    full = export_to(make_project(), "stems", bar_markers=True)
    assert [words.split(",")[0].split(":")[0] for words in full.dropped] == [
        "The tempo map and the meter",
        "The markers of the bars.",
        "The colours of the tracks.",
        "The key",
    ]
    bare = export_to(make_project(key=None), "reaper")
    assert bare.dropped == ()
    flac = export_to(make_project(), "stems", encoding="flac", overwrite=True)
    assert any("markers of the sections" in words for words in flac.dropped)


def test_mp3_says_that_it_is_not_exact(make_project, export_to):
    report = export_to(make_project(), "reaper", encoding="mp3")
    assert any("LAME" in words for words in report.dropped)


def test_a_cover_that_is_gone_does_not_stop_the_export(make_project, export_to, tmp_path):
    report = export_to(make_project(cover=tmp_path / "gone.jpg"), "midi")
    assert any("cover" in words for words in report.dropped)


def test_markers_outside_the_song_stay_inside_the_file(make_project, export_to):
    wavinfo = pytest.importorskip("wavinfo")
    sections = (Section(-0.5, 1.0, "A"), Section(1.0, 900.0, "B"), Section(900.0, 901.0, "C"))
    report = export_to(make_project(sections=sections), "stems")
    info = wavinfo.WavInfoReader(str(Path(report.folder) / "01 Drums.wav"))
    assert [cue.position for cue in info.cues.cues] == [0, RATE, FRAMES - 1]


def test_the_same_song_gives_the_same_bytes(make_project, tmp_path):
    for target in ("midi", "reaper", "dawproject", "stems"):
        contents = []
        for out in (tmp_path / "one", tmp_path / "two"):
            report = export(make_project(), target, out, ExportOptions(), JobContext())
            contents.append([(n, (Path(report.folder) / n).read_bytes()) for n in report.files])
        assert contents[0] == contents[1]


@pytest.mark.parametrize("target", ["stems", "dawproject"])
def test_memory_does_not_grow_with_the_song(tmp_path, target):
    frames = 90 * RATE
    stem = tmp_path / "long.wav"
    with FloatWav(stem, sample_rate_hz=RATE, channels=2, frames=frames):
        pass  # Silence of its full length: 32 MB.
    project = Project(title="Long", artist="", tracks=(Track("A", stem, "#112233"),) * 2,
                      sample_rate_hz=RATE, frames=frames)  # fmt: skip
    tracemalloc.start()
    try:
        export(project, target, tmp_path, ExportOptions(), JobContext())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 20e6
