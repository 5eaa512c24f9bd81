"""Exporting takes, to all targets, and into a project of the user's own."""

import json
import shutil
from pathlib import Path

import pytest

import workstation
from tests.cli.test_commands import check_error
from workstation.export import TARGETS
from workstation.export.als import new_set
from workstation.model import InputError, UsageError
from workstation.model.mixer import MixerState
from workstation.model.take import Take, TakeEvent, TakeStart


@pytest.fixture
def song(finished, tmp_path):
    """A session with a take that mutes the drums after a second, and one of other stems."""
    shutil.copytree(finished / "song.remix", tmp_path / "song.remix")
    session = workstation.open(tmp_path / "song.remix")
    stems, rate = tuple(session.stems), session.song.source.sample_rate_hz
    start = TakeStart(0, False, None, MixerState.neutral(stems))
    events = (TakeEvent(0, "transport.play", 1.0), TakeEvent(rate, "drums.mute", 1.0))
    session.takes.add(Take("Night", stems, "hpss", rate, start, 4 * rate, events))
    session.takes.add(Take("Day", stems, "dsp", rate, start, 4 * rate, events))
    return tmp_path


def test_a_take_is_exported_where_the_target_carries_it(song, program):
    made = program(
        "export", "song.remix", "--to", "reaper,midi", "--take", "last", "--out", "out", "--json",
        cwd=song,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    reaper, midi = json.loads(made.stdout)
    text = Path(song, reaper["folder"], reaper["open_with"]).read_text(encoding="utf-8")
    assert text.count("<MUTEENV") == 1
    assert "PT 1.000000000000 0 1" in text
    assert "The take Day." in midi["dropped"]


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--take", "Noon"], 2, '"Noon"'),
        (["--take", "Night"], 3, "--engine hpss"),
        (["--take", "Day", "--engine", "hpss"], 3, "--engine dsp"),
        (["--template", "gone.als"], 2, "reaper"),
        (["--template", "song.rpp", "--to", "ableton"], 2, ".als"),
        (["--template", "gone.als", "--to", "ableton"], 3, "gone.als"),
        (["--template", "song.flp", "--to", "midi,ableton"], 2, "None of the targets"),
    ],
)
def test_what_cannot_be_is_told_before_the_work(song, program, arguments, code, words):
    arguments = arguments if "--to" in arguments else [*arguments, "--to", "reaper"]
    result = program("export", "song.remix", *arguments, "--out", "out", cwd=song)
    check_error(result, code, words)
    assert not (song / "out").exists()


def test_the_call_refuses_what_the_command_does(song):
    session = workstation.open(song / "song.remix")
    with pytest.raises(UsageError, match="Noon"):
        session.export("reaper", take="Noon", out=song / "out")
    with pytest.raises(InputError, match="stems of hpss"):
        session.export("reaper", take="Night", out=song / "out")
    other = session.takes.find("Day")
    for changes in ({"sample_rate_hz": 48000}, {"stems": ("drums", "rest")}):
        take = Take(**{**{f: getattr(other, f) for f in other.__struct_fields__}, **changes})
        if "stems" in changes:
            start = TakeStart(0, False, None, MixerState.neutral(take.stems))
            take = Take(**{**{f: getattr(take, f) for f in take.__struct_fields__},
                           "start": start})  # fmt: skip
        name = session.takes.add(take).name
        with pytest.raises(InputError, match="was played"):
            session.export("reaper", take=name, out=song / "out")
    assert not (song / "out").exists()


def test_all_is_every_target_and_an_own_project_goes_where_it_fits(song, program):
    (song / "own.als").write_bytes(_own_set())
    made = program(
        "export", "song.remix", "--to", "all", "--template", "own.als", "--out", "out", "--json",
        cwd=song,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    assert [report["target"] for report in json.loads(made.stdout)] == list(TARGETS)
    assert {p.name for p in (song / "out").iterdir()} == set(TARGETS)
    readme = (song / "out" / "ableton" / "README.txt").read_text(encoding="utf-8")
    assert "Tracks that were there" in readme


def _own_set():
    live_set, plain, _ = new_set()
    live_set.add_track(plain, "Drums")
    return live_set.to_bytes()


def test_the_help_lists_the_targets_there_are(tmp_path, program):
    text = " ".join(program("export", "--help", cwd=tmp_path).stdout.split())
    assert f"One or more of {', '.join(TARGETS)}, separated by commas; or all." in text


def test_all_leaves_out_what_cannot_carry_the_encoding_and_says_so(song, program):
    made = program(
        "export", "song.remix", "--to", "all", "--encoding", "float32", "--out", "out", "--json",
        cwd=song,
    )  # fmt: skip
    reports = json.loads(made.stdout)
    able = {name for name, t in TARGETS.items() if not t.encodings or "float32" in t.encodings}
    assert {r["target"] for r in reports if r["problem"] is None} == able
    assert {p.name for p in (song / "out").iterdir()} == able
    refused = [r for r in reports if r["problem"]]
    assert {r["target"] for r in refused} == set(TARGETS) - able
    assert {"aaf", "nistems"} <= set(TARGETS) - able
    assert (made.returncode, {r["exit_code"] for r in refused}) == (2, {2})
    for report in refused:
        assert f"Not made  {report['target']}: {report['problem']}" in made.stderr
    first = {
        name: next((song / "out" / name).rglob("01 *.wav"))
        for name in ("reaper", "ardour", "stems", "ableton", "flstudio", "logic")
    }
    own = first.pop("logic")  # Logic writes into the files that it opens.
    assert len({path.stat().st_ino for path in first.values()}) == 1
    assert not own.samefile(first["reaper"])
    assert own.read_bytes() == first["reaper"].read_bytes()


def test_targets_that_are_named_are_all_made_or_none(song, program):
    result = program(
        "export", "song.remix", "--to", "reaper,aaf", "--encoding", "float32", "--out", "out",
        cwd=song,
    )  # fmt: skip
    check_error(result, 2, "aaf")
    assert not (song / "out").exists()
