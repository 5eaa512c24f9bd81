"""Replacing an export takes away nothing that somebody put into it."""

import json

import pytest

from workstation.export import ExportOptions, export
from workstation.model import JobContext, OutputError


def replace(project, out, own_project=None):
    options = ExportOptions(encoding="pcm24", overwrite=True, own_project=own_project)
    return export(project, "reaper", out, options, JobContext())


def names(folder):
    return {path.name for path in folder.iterdir()}


def test_an_export_that_nobody_touched_is_replaced(make_project, tmp_path):
    project = make_project()
    for _ in range(3):
        report = replace(project, tmp_path)
    assert names(tmp_path) == {"reaper"}
    assert not any("earlier" in words for words in report.dropped)
    assert not any(name.startswith(".") for name in report.files)


def test_what_was_added_or_changed_is_kept_and_told(make_project, tmp_path):
    project = make_project()
    first = replace(project, tmp_path)
    folder = tmp_path / "reaper"
    (folder / "Bounces").mkdir()
    (folder / "Bounces" / "mix.wav").write_bytes(b"my mix")
    mine = folder / first.open_with
    mine.write_text(mine.read_text() + "\n")
    report = replace(project, tmp_path)
    kept = tmp_path / "reaper (earlier 1)"
    assert (kept / "Bounces" / "mix.wav").read_bytes() == b"my mix"
    assert (kept / first.open_with).read_text().endswith("\n\n")
    assert not (folder / "Bounces").exists()
    (words,) = (words for words in report.dropped if "earlier" in words)
    assert "Bounces/mix.wav" in words
    assert kept.name in words
    assert kept.name in " ".join((folder / "README.txt").read_text().split())
    replace(project, tmp_path)  # Nobody touched the second.
    assert names(tmp_path) == {"reaper", "reaper (earlier 1)"}
    (folder / "notes.txt").write_text("mine")
    replace(project, tmp_path)
    assert names(tmp_path) == {"reaper", "reaper (earlier 1)", "reaper (earlier 2)"}


def test_a_project_of_ones_own_inside_the_place_is_kept(make_project, tmp_path):
    project = make_project()
    first = replace(project, tmp_path)
    own = tmp_path / "reaper" / first.open_with
    before = own.read_bytes()
    replace(project, tmp_path, own)
    assert (tmp_path / "reaper (earlier 1)" / first.open_with).read_bytes() == before


def test_a_list_that_was_lost_or_damaged_makes_all_theirs(make_project, tmp_path):
    project = make_project()
    replace(project, tmp_path)
    (tmp_path / "reaper" / ".workstation.json").write_text(json.dumps({"x": 1}))
    replace(project, tmp_path)
    assert names(tmp_path) == {"reaper", "reaper (earlier 1)"}


def test_a_name_that_is_too_long_is_one_error(make_project, tmp_path):
    with pytest.raises(OutputError):
        replace(make_project(), tmp_path / ("x" * 300))
