"""One rule, three formats: read back and integrated, every beat is where it was in the song."""

import mido
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.export.conftest import (
    bar_lines,
    read_midi,
    read_project_xml,
    read_rpp,
    rpp_tempo_map,
    worst_beat_s,
)
from workstation.export import ExportOptions, Project, Timeline, Track
from workstation.export.dawproject import project_xml
from workstation.export.lead_in import FASTEST_BPM, SHORTEST_S, SLOWEST_BPM, lead_in_quarters
from workstation.export.midi import write_tempo_map
from workstation.export.rpp import project_lines
from workstation.export.stem_files import StemFiles
from workstation.export.target import Plan
from workstation.model import BeatGrid

STEMS = StemFiles(("01 Drums.wav",), (2,), ())


@st.composite
def grids(draw):
    """Songs that drift or not, in 2/4 to 7/8, which start on a beat, late, or within a bar."""
    meter, bpm = draw(st.sampled_from([(2, 110), (3, 93.7), (4, 124.37), (5, 71), (7, 380)]))
    first_s = draw(st.sampled_from([0.0, 0.0126, 0.05, 0.2, 0.7, 9.0]) | st.floats(0.0126, 10.0))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    drift = draw(st.sampled_from([0.0, 0.001, 0.05]))
    periods = 60 / bpm * (1 + drift * rng.uniform(-1, 1, 4 * meter + 3))
    beats = first_s + np.concatenate([[0], np.cumsum(periods)])
    downbeat = draw(st.integers(0, meter - 1))
    return BeatGrid(tuple(beats.tolist()), tuple(range(downbeat, len(beats), meter)), meter)


def plan_of(grid, tmp_path, *, cut_bars=False):
    frames = round((grid.beats_s[-1] + 1) * 44100)
    track = Track("Drums", tmp_path / "drums.wav", "#e95a5a")
    project = Project(title="T", artist="", tracks=(track,), sample_rate_hz=44100, frames=frames,
                      grid=grid)  # fmt: skip
    timeline = Timeline.of(grid, project.duration_s, cut_bars=cut_bars)
    return Plan(project, timeline, ExportOptions())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("maps")


@settings(deadline=None, max_examples=150)
@given(grid=grids())
def test_the_midi_file_meets_every_beat(folder, grid):
    write_tempo_map(plan_of(grid, folder), folder / "map.mid")
    tempos, meters, _ = read_midi(folder / "map.mid")
    assert worst_beat_s(grid, tempos, meters) < 30e-6


@settings(deadline=None, max_examples=150)
@given(grid=grids())
def test_the_dawproject_meets_every_beat(folder, grid):
    _, tempos, meters = read_project_xml(project_xml(plan_of(grid, folder), STEMS))
    assert worst_beat_s(grid, tempos, meters) < 10e-6


@settings(deadline=None, max_examples=100)
@given(grid=grids())
def test_the_reaper_project_meets_every_beat_with_the_tempo_of_the_song(folder, grid):
    text = "\n".join(project_lines(plan_of(grid, folder, cut_bars=True), STEMS))
    tempos, meters = rpp_tempo_map(read_rpp(text)[1])
    assert worst_beat_s(grid, tempos, meters) < 10e-6
    fastest = max(60 / (b - a) for a, b in zip(grid.beats_s, grid.beats_s[1:], strict=False))
    assert max(bpm for _, bpm in tempos.points) <= fastest + 1e-3


@given(lead_s=st.floats(SHORTEST_S, 60.0), bpm=st.floats(SLOWEST_BPM, FASTEST_BPM))
def test_every_lead_in_runs_at_a_tempo_that_hosts_accept(lead_s, bpm):
    quarters = lead_in_quarters(lead_s, bpm)
    assert SLOWEST_BPM - 1e-6 <= 60 * quarters / lead_s <= FASTEST_BPM + 1e-4
    assert quarters % 1 == 0 or quarters in {1 / 2, 1 / 4, 1 / 8, 1 / 16}


@given(beats=st.integers(1, 40), bpm=st.floats(SLOWEST_BPM, FASTEST_BPM))
def test_a_lead_in_of_whole_beats_keeps_the_tempo_of_the_song(beats, bpm):
    assert lead_in_quarters(beats * 60 / bpm, bpm) == beats


@pytest.mark.parametrize("first_s", [0.0, 0.0009, 0.006, 0.012])
def test_what_is_too_short_for_any_bar_moves_one_beat_and_no_other(folder, first_s):
    steady = BeatGrid.constant(bpm=120, first_beat_s=first_s, duration_s=8)
    write_tempo_map(plan_of(steady, folder), folder / "map.mid")
    tempos, meters, _ = read_midi(folder / "map.mid")
    assert bar_lines(meters, 8)[:2] == [0, 4]
    assert all(abs(tempos.time_at(i) - t) < 30e-6 for i, t in enumerate(steady.beats_s) if i)
    assert max(bpm for _, bpm in tempos.points) < 121


@pytest.mark.parametrize("first_s", [0.0011, 0.006])
def test_reaper_needs_no_such_compromise(folder, first_s):
    grid = BeatGrid.constant(bpm=120, first_beat_s=first_s, duration_s=8)
    text = "\n".join(project_lines(plan_of(grid, folder, cut_bars=True), STEMS))
    tempos, meters = rpp_tempo_map(read_rpp(text)[1])
    assert worst_beat_s(grid, tempos, meters) < 1e-6


def test_a_steady_song_is_one_tempo_to_the_eye_and_in_time_to_the_end(folder):
    grid = BeatGrid.constant(bpm=124.37, first_beat_s=0.3, duration_s=1200)
    write_tempo_map(plan_of(grid, folder), folder / "map.mid")
    tempos, meters, _ = read_midi(folder / "map.mid")
    assert worst_beat_s(grid, tempos, meters) < 22e-6
    assert {round(bpm, 3) for _, bpm in tempos.points[1:]} == {124.37}
    events = [m for m in mido.MidiFile(folder / "map.mid").tracks[0] if m.type == "set_tempo"]
    assert len(events) < 60
