"""Whatever the grid: stems start at 0, every beat is met, the first downbeat is on a bar line."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.export.conftest import TempoMap, bar_lines
from workstation.export.midi import tempo_events
from workstation.export.timeline import Timeline
from workstation.model import BeatGrid


@st.composite
def grids(draw):
    """Grids of any tempo, steady or drifting, with any lead-in, pick-up, meter and stray bars."""
    count = draw(st.integers(8, 120))
    bpm = draw(st.floats(60, 200))
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    drift = draw(st.sampled_from([0.0, 0.02, 0.08]))
    first = draw(
        st.sampled_from([-0.3, -0.003, 0.0, 0.002, 0.05, 0.21, 0.5, 3.3, 9.0])
        | st.floats(0.0, 12.0)
    )
    periods = 60 / bpm * (1 + drift * rng.uniform(-1, 1, count))
    beats = first + np.concatenate([[0], np.cumsum(periods)])
    meter = draw(st.sampled_from([2, 3, 4, 5, 7]))
    downbeats = list(range(draw(st.integers(0, meter - 1)), count, meter))
    if draw(st.booleans()) and len(downbeats) > 3:
        del downbeats[draw(st.integers(1, len(downbeats) - 2))]  # one bar of double length
    return BeatGrid(tuple(beats.tolist()), tuple(downbeats), meter)


@settings(deadline=None, max_examples=300)
@given(grid=grids())
def test_beats_lie_on_quarters_and_downbeats_on_bar_lines(grid):
    duration_s = grid.beats_s[-1] + 1
    timeline = Timeline.of(grid, duration_s)
    assert timeline.tempos[0].quarter == timeline.tempos[0].time_s == 0
    assert timeline.meters[0].quarter == 0
    tempos = TempoMap([(t.quarter, t.bpm) for t in timeline.tempos])
    kept = [t for t in grid.beats_s if t >= 0.0125]
    lead = round((timeline.quarter_at(kept[0])) * 16) / 16
    for index, time_s in enumerate(kept):
        assert tempos.time_at(lead + index) == pytest.approx(time_s, abs=1e-5)
    lines = bar_lines(
        [(m.quarter, m.numerator, m.denominator) for m in timeline.meters],
        timeline.quarter_at(duration_s),
    )
    for downbeat_s in grid.downbeats_s:
        if downbeat_s >= 0.0125:
            nearest = min(lines, key=lambda q: abs(tempos.time_at(q) - downbeat_s))
            assert tempos.time_at(nearest) == pytest.approx(downbeat_s, abs=1e-5)
    assert all(m.numerator >= 1 and m.denominator in {4, 8, 16, 32, 64} for m in timeline.meters)


@settings(deadline=None, max_examples=300)
@given(grid=grids())
def test_midi_ticks_meet_every_beat_within_a_few_samples(grid):
    duration_s = grid.beats_s[-1] + 1
    timeline = Timeline.of(grid, duration_s)
    events = tempo_events(timeline, duration_s)
    tempos = TempoMap([(tick / 960, 60e6 / tempo) for tick, tempo in events])
    assert all(1 <= tempo < 1 << 24 for _, tempo in events)
    kept = [t for t in grid.beats_s if t >= 0.0125]
    lead = round(timeline.quarter_at(kept[0]) * 16) / 16
    worst = max(abs(tempos.time_at(lead + i) - t) for i, t in enumerate(kept))
    assert worst < 30e-6


@given(first_s=st.floats(0.0125, 12.0), bpm=st.floats(20, 300))
def test_the_tempo_of_the_lead_in_stays_within_what_hosts_accept(first_s, bpm):
    grid = BeatGrid.constant(bpm=bpm, first_beat_s=first_s, duration_s=first_s + 20)
    tempo = Timeline.of(grid, first_s + 20).tempos[0].bpm
    assert 20 - 1e-6 <= tempo <= 300 + 1e-4


@pytest.mark.parametrize(
    ("first_s", "words"),
    [
        (0.0, "0.000 s into the song, is bar 1; all stems start at bar 1."),
        (0.008, "The first beat, 8.0 ms into the song, is drawn at its very start"),
        (0.05, "0.050 s into the song, is bar 2"),
        (9.0, "9.000 s into the song, is bar 6"),
    ],
)
def test_the_lead_in_is_told_in_words(first_s, words):
    grid = BeatGrid.constant(bpm=120, first_beat_s=first_s, duration_s=first_s + 10)
    assert words in Timeline.of(grid, first_s + 10).lead_in


def test_a_song_without_beats_runs_at_120_and_says_so():
    timeline = Timeline.of(None, 10.0)
    assert timeline.tempos[0].bpm == 120
    assert len(timeline.bars_s) == 5
    assert "No beats were found" in timeline.lead_in


def test_a_long_steady_song_needs_no_visible_tempo_changes():
    grid = BeatGrid.constant(bpm=124, first_beat_s=0.0, duration_s=240)
    events = tempo_events(Timeline.of(grid, 240.0), 240.0)
    assert {round(60e6 / tempo, 2) for _, tempo in events} == {124.0}
    assert len(events) <= 2


@settings(deadline=None)
@given(grid=grids(), time_s=st.floats(0, 60))
def test_times_and_quarters_are_inverse(grid, time_s):
    timeline = Timeline.of(grid, 60.0)
    assert timeline.time_at(timeline.quarter_at(time_s)) == pytest.approx(time_s, abs=1e-6)


def test_seven_quick_beats_make_seven_eighths_at_a_tempo_that_hosts_accept():
    grid = BeatGrid.constant(bpm=400, first_beat_s=0.0, duration_s=9, beats_per_bar=7)
    timeline = Timeline.of(grid, 9.0)
    assert timeline.tempos[0].bpm == pytest.approx(200)
    assert [(m.numerator, m.denominator) for m in timeline.meters] == [(7, 8)]
    assert timeline.bars_s[1] == pytest.approx(grid.downbeats_s[1])


def test_a_break_without_beats_is_filled_so_that_no_tempo_is_too_slow():
    grid = BeatGrid((0.0, 0.5, 1.0, 1.5, 2.0, 30.0, 30.5, 31.0, 31.5), (0, 4, 5), 4)
    timeline = Timeline.of(grid, 33.0)
    assert all(20 <= t.bpm <= 300 for t in timeline.tempos)
    tempos = TempoMap([(t.quarter, t.bpm) for t in timeline.tempos])
    assert tempos.time_at(4 + 28 / 0.5) == pytest.approx(30.0)
    assert max(m.numerator for m in timeline.meters) == 4
    assert min(abs(b - 30.0) for b in timeline.bars_s) < 1e-6


def test_few_downbeats_are_counted_on_in_bars_of_the_song():
    grid = BeatGrid(tuple(k * 0.5 for k in range(300)), (0, 200), 4)
    timeline = Timeline.of(grid, 150.0)
    assert [(m.numerator, m.denominator) for m in timeline.meters] == [(4, 4)]


def test_a_grid_whose_downbeats_lie_before_the_start_keeps_its_bars():
    grid = BeatGrid(tuple(-0.5 + k * 0.5 for k in range(20)), (0,), 4)
    timeline = Timeline.of(grid, 9.0)
    assert timeline.downbeat_s == pytest.approx(1.5)
    assert min(abs(b - 1.5) for b in timeline.bars_s) < 1e-6


def test_tempos_that_some_programs_cannot_follow_are_told():
    grid = BeatGrid((0.0, 0.5, 1.0, 1.1, 1.6, 2.1, 2.6, 3.1), (0, 4), 4)
    assert "up to 600 bpm" in Timeline.of(grid, 4.0).lead_in


@settings(deadline=None)
@given(grid=grids())
def test_where_bars_can_be_cut_no_tempo_is_invented(grid):
    timeline = Timeline.of(grid, grid.beats_s[-1] + 1, cut_bars=True)
    song = {round(s.bpm, 6) for s in grid.tempo_map()}
    if grid.beats_s[0] >= 0.001:
        assert {round(t.bpm, 6) for t in timeline.tempos} <= song
        assert sum(m.cuts_bar for m in timeline.meters) == 1
        cut = next(m for m in timeline.meters if m.cuts_bar)
        assert cut.time_s == pytest.approx(grid.downbeats_s[0], abs=1e-6)
