"""Stems that several exports share."""

import os
import shutil
import zipfile
from collections import namedtuple
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile

from tests.export.conftest import RATE
from workstation.audio import write_audio
from workstation.export import TARGETS, ExportOptions, Track, export, shared_stems, with_lead
from workstation.model import BeatGrid, CancelledError, JobContext, OutputError, Section

LINKED = ["stems", "reaper", "ableton", "flstudio", "ardour"]
NAMES = ["01 Drums.wav", "02 Bass.wav", "03 Other.wav", "04 Vocals.wav"]


@pytest.fixture
def together(make_project, tmp_path):
    """Exports to several targets with shared stems."""

    def run(targets, **options):
        out = tmp_path / "out"
        with shared_stems(out, targets) as store:
            chosen = ExportOptions(shared_stems=store, **options)
            return [export(make_project(), name, out, chosen, JobContext()) for name in targets]

    return run


def refused(*_):
    raise PermissionError(1, "Operation not permitted")


def stems_in(report):
    return sorted(Path(report.folder).rglob("0? *.*"))


def test_stems_are_one_file_in_all_folders(together, make_project, tmp_path):
    reports = together([*LINKED, "logic", "aaf", "dawproject"])
    found = [stems_in(report) for report in reports[: len(LINKED)]]
    for same in zip(*found, strict=True):
        assert len({path.stat().st_ino for path in same}) == 1
        assert {path.name for path in same} < set(NAMES)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == sorted(r.target for r in reports)
    alone = export(make_project(), "stems", tmp_path / "alone", ExportOptions(), JobContext())
    for path, other in zip(stems_in(alone), found[0], strict=True):
        assert path.read_bytes() == other.read_bytes()
        assert (path.stat().st_nlink, other.stat().st_nlink) == (1, len(LINKED))
    for report in reports:
        told = any("share them on the disk" in words for words in report.dropped)
        assert told == (report.target in LINKED)
    assert not any("share them" in words for words in alone.dropped)


def test_logic_has_copies_as_it_writes_into_the_files_that_it_opens(together):
    reports = together(["stems", "logic", "reaper"])
    one, own, other = (stems_in(report) for report in reports)
    for linked, copy, same in zip(one, own, other, strict=True):
        assert linked.samefile(same)
        assert copy.stat().st_nlink == 1
        assert copy.read_bytes() == linked.read_bytes()
        with copy.open("ab") as file:
            file.write(b"overview")
        assert linked.read_bytes() == copy.read_bytes()[: -len(b"overview")]
    told = [any("share them" in words for words in report.dropped) for report in reports]
    assert told == [True, False, True]


@pytest.mark.parametrize("targets", [["reaper", "midi"], ["logic", "reaper"], ["aaf", "stems"]])
def test_what_ends_as_the_only_one_with_its_files_says_nothing_of_sharing(together, targets):
    for report in together(targets):
        assert not any("share them" in words for words in report.dropped)
        assert all(path.stat().st_nlink == 1 for path in stems_in(report))


def test_the_table_says_which_targets_link(together):
    with_audio = [target.name for target in TARGETS.values() if target.encodings]
    reports = together(with_audio)
    linked = {r.target for r in reports if any(p.stat().st_nlink > 1 for p in stems_in(r))}
    assert linked == {target.name for target in TARGETS.values() if target.links_stems}


def free_of(room, monkeypatch):
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(room, 0, room))


@pytest.mark.parametrize("disk_has_links", [True, False])
def test_links_need_no_room(make_project, tmp_path, monkeypatch, disk_has_links):
    with shared_stems(tmp_path, LINKED) as store:
        options = ExportOptions(shared_stems=store)
        if not disk_has_links:
            monkeypatch.setattr(os, "link", refused)
        export(make_project(), "stems", tmp_path, options, JobContext())
        free_of(1_000_000, monkeypatch)
        if disk_has_links:
            export(make_project(), "reaper", tmp_path, options, JobContext())
        else:
            with pytest.raises(OutputError, match="about 5 MB are needed"):
                export(make_project(), "reaper", tmp_path, options, JobContext())
        # A zip beside the links, copies, and files around the stems need theirs.
        for target in ("flstudio", "logic", "dawproject"):
            with pytest.raises(OutputError, match="are needed"):
                export(make_project(), target, tmp_path, options, JobContext())
        with pytest.raises(OutputError, match="are needed"):  # Other stems are not there yet.
            export(make_project(title="B"), "ardour", tmp_path, options, JobContext())


def test_every_folder_is_whole_when_it_is_moved_or_zipped(together, tmp_path):
    reports = together(["stems", "reaper"])
    moved = tmp_path / "moved"
    shutil.move(reports[1].folder, moved)
    archive = shutil.make_archive(str(tmp_path / "zipped"), "zip", reports[0].folder)
    shutil.rmtree(tmp_path / "out")
    assert [p.name for p in sorted((moved / "stems").iterdir())] == NAMES
    with zipfile.ZipFile(archive) as file:
        assert set(NAMES) <= set(file.namelist())
    for path in (moved / "stems").iterdir():
        samples, rate = soundfile.read(path)
        assert rate == RATE
        assert np.abs(samples).max() > 0.1


def test_a_disk_without_links_gets_copies_and_nothing_is_said(together, monkeypatch):
    monkeypatch.setattr(os, "link", refused)
    reports = together(["stems", "reaper"])
    one, other = (stems_in(report) for report in reports)
    for path, same in zip(one, other, strict=True):
        assert path.stat().st_ino != same.stat().st_ino
        assert path.read_bytes() == same.read_bytes()
    assert not any("share" in words for report in reports for words in report.dropped)


def test_other_encodings_are_other_files(make_project, tmp_path):
    with shared_stems(tmp_path / "out", LINKED) as store:
        for name, encoding in (("stems", "float32"), ("ardour", "pcm24"), ("reaper", "float32")):
            options = ExportOptions(shared_stems=store, encoding=encoding)
            export(make_project(), name, tmp_path / "out", options, JobContext())
    one, pcm, other = (
        sorted((tmp_path / "out" / name).rglob("01 *.wav"))[0].stat()
        for name in ("stems", "ardour", "reaper")
    )
    assert one.st_ino == other.st_ino != pcm.st_ino
    assert one.st_size > pcm.st_size


def with_click(project, folder, level=0.1):
    """The project with a click that was made for it."""
    folder.mkdir()
    samples = np.full((1, project.frames), level, np.float32)
    write_audio(folder / "click.wav", samples, RATE, "float32")
    made = Track("Click", folder / "click.wav", "#112233", made=True)
    return msgspec.structs.replace(project, tracks=(*project.tracks, made))


def variants(project, folder):
    """The project, and what differs from it in one thing that decides on the bytes of stems."""
    first, *others = project.tracks
    named = msgspec.structs.replace(first, name="Kit")
    elsewhere = msgspec.structs.replace(first, path=others[1].path)
    slower = BeatGrid.constant(bpm=90, first_beat_s=0.3, duration_s=4)
    changes = {
        "nothing": {},
        "fewer tracks": {"tracks": tuple(others)},
        "other name": {"tracks": (named, *others)},
        "other file": {"tracks": (elsewhere, *others)},
        "title": {"title": "Another"},
        "sections": {"sections": (Section(0.0, 4.0, "C"),)},
    }
    made = {what: msgspec.structs.replace(project, **change) for what, change in changes.items()}
    made["lead"] = with_lead(project, 2)
    made["click"] = with_click(project, folder / "click")
    other_beats = msgspec.structs.replace(project, grid=slower)
    made["click on other beats"] = with_click(other_beats, folder / "slower", level=0.2)
    return made


def test_stems_that_differ_in_anything_are_not_shared(make_project, tmp_path):
    projects = variants(make_project(), tmp_path)
    with shared_stems(tmp_path, LINKED) as store:
        for what, project in projects.items():
            for shared, out in ((store, "shared"), (None, "alone")):
                options = ExportOptions(shared_stems=shared)
                export(project, "stems", tmp_path / what / out, options, JobContext())
    for what in projects:
        for path in (tmp_path / what / "alone" / "stems").glob("*.wav"):
            same = tmp_path / what / "shared" / "stems" / path.name
            assert same.read_bytes() == path.read_bytes(), what


def test_a_click_that_is_made_anew_for_every_export_is_shared(make_project, tmp_path):
    reports = []
    with shared_stems(tmp_path / "out", LINKED) as store:
        for target in ("stems", "reaper"):
            project = with_click(make_project(), tmp_path / f"made for {target}")
            options = ExportOptions(shared_stems=store)
            reports.append(export(project, target, tmp_path / "out", options, JobContext()))
    one, other = (stems_in(report)[-1] for report in reports)
    assert one.name == "05 Click.wav"
    assert one.samefile(other)


def test_half_written_stems_are_written_again(make_project, tmp_path):
    job = JobContext(lambda fraction, _: fraction > 0.5 and job.cancel())
    with shared_stems(tmp_path / "out", LINKED) as store:
        options = ExportOptions(shared_stems=store)
        with pytest.raises(CancelledError):
            export(make_project(), "stems", tmp_path / "out", options, job)
        assert 0 < len(list(store.folder.rglob("*.wav"))) < len(NAMES)
        report = export(make_project(), "stems", tmp_path / "out", options, JobContext())
    assert [path.name for path in stems_in(report)] == NAMES


def test_what_a_killed_process_left_is_taken_away(tmp_path):
    left = tmp_path / ".stems-1.partial"
    left.mkdir()
    (left / "big.wav").write_bytes(b"0")
    with shared_stems(tmp_path, LINKED) as store, shared_stems(tmp_path / "other", LINKED):
        assert list(tmp_path.glob(".stems-*")) == [store.folder]
    assert not list(tmp_path.glob(".stems-*"))


def test_two_groups_of_exports_at_once_in_one_process_each_have_their_own(make_project, tmp_path):
    with shared_stems(tmp_path, LINKED) as one, shared_stems(tmp_path, LINKED) as other:
        for store, target in ((one, "stems"), (other, "reaper")):
            options = ExportOptions(shared_stems=store)
            report = export(make_project(), target, tmp_path, options, JobContext())
            assert [path.name for path in stems_in(report)] == NAMES
    assert sorted(path.name for path in tmp_path.iterdir()) == ["reaper", "stems"]
