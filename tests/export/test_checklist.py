"""The list in the README by which one sees that a project opened right."""

from pathlib import Path

import pytest

from tests.export.conftest import FRAMES, RATE, read_midi
from tests.export.test_cubase import read_smt
from tests.export.test_takes import DRIFTING, STRAIGHT
from workstation.export import TARGETS
from workstation.model import BeatGrid

DAWS = ["logic", "flstudio", "reaper", "ableton", "dawproject", "ardour", "aaf"]
LONG = BeatGrid(tuple(0.3 + 0.25 * k + 0.002 * (k % 5) for k in range(14)), (2, 6, 10), 4)


def readme(report):
    text = " ".join((Path(report.folder) / "README.txt").read_text(encoding="utf-8").split())
    return text.partition("To see that it opened right:")[2]


@pytest.mark.parametrize("target", TARGETS)
def test_every_project_for_a_program_has_a_list_and_says_what_is_confirmed(
    make_project, export_to, target
):
    words = readme(export_to(make_project(), target))
    assert bool(words) == (target in DAWS)
    if target in DAWS:
        assert ("Confirmed by Ardour 7.3 itself" in words) == (target == "ardour")
        assert ("Not yet confirmed in" in words) == (target != "ardour")
        assert "Markers: 2. The first is A at 0:00.000, the last B at 0:01.300." in words
        assert "Tracks: 4, none of them stretched." in words
        assert ("The tempo is the one" in words) == (target == "flstudio")
        assert "Together all are silent." in words


@pytest.mark.parametrize("grid", [DRIFTING, LONG])
def test_the_bar_and_the_tempo_are_those_of_the_tempo_map(make_project, export_to, grid):
    report = export_to(make_project(grid=grid), "logic")
    words = readme(report)
    bar, rest = words.split("Bar ")[1].split(" starts at 0:", 1)
    time_s, bpm = float(rest[:6]), float(rest.split("tempo there is ")[1].split(" bpm")[0])
    for tempos, meters in (
        read_smt(Path(report.folder) / "tempo-map.smt"),
        read_midi(Path(report.folder) / "tempo-map.mid")[:2],
    ):
        at, count = 0.0, 1
        while count < int(bar):
            _, numerator, denominator = next(m for m in reversed(meters) if m[0] <= at + 1e-9)
            at += 4 * numerator / denominator
            count += 1
        assert tempos.time_at(at) == pytest.approx(time_s, abs=6e-4)
        held = next(value for quarter, value in reversed(tempos.points) if quarter <= at + 1e-9)
        assert held == pytest.approx(bpm, abs=0.02)


def test_what_is_not_there_is_not_to_be_looked_for(make_project, export_to):
    words = readme(export_to(make_project(grid=None, sections=()), "reaper"))
    assert "Bar " not in words
    assert "Markers" not in words
    assert "silent" in words
    taken = readme(export_to(make_project(take=STRAIGHT), "reaper", overwrite=True))
    assert "silent" not in taken
    assert "Bar 2 starts at" in taken
    assert FRAMES / RATE > 4
