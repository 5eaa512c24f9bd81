"""Laws of the beat grid, whatever the beats."""

import itertools

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from workstation.model import BarPosition, BeatGrid
from workstation.model.beatgrid import MIN_BEAT_S, TEMPO_MAP_TOLERANCE_S


@st.composite
def grids(draw, least=2):
    """Any valid grid: steps from the shortest beat to five seconds, regular bars."""
    first = draw(st.floats(-5, 30))
    steps = draw(st.lists(st.floats(MIN_BEAT_S + 1e-3, 5.0), min_size=least - 1, max_size=60))
    beats = tuple(itertools.accumulate(steps, initial=first))
    per_bar = draw(st.integers(1, 9))
    phase = draw(st.integers(0, min(per_bar, len(beats)) - 1))
    return BeatGrid(beats, tuple(range(phase, len(beats), per_bar)), per_bar)


constant = st.builds(
    BeatGrid.constant,
    bpm=st.floats(30, 300),
    first_beat_s=st.floats(0, 5),
    duration_s=st.floats(25, 400),
    beats_per_bar=st.integers(1, 7),
    first_downbeat=st.integers(0, 6),
)
times = st.floats(-60, 400)


def assert_valid(grid):
    # Creation checks the rest.
    assert BeatGrid(grid.beats_s, grid.downbeats, grid.beats_per_bar) == grid
    assert all(b - a == grid.beats_per_bar for a, b in itertools.pairwise(grid.downbeats))
    assert grid.downbeats[0] < grid.beats_per_bar


@given(grids(), times)
def test_time_at_undoes_beat_at(grid, time_s):
    assert grid.time_at(grid.beat_at(time_s)) == pytest.approx(time_s, abs=1e-6)


@given(grids(), st.floats(-30, 90))
def test_beat_at_undoes_time_at(grid, beat):
    assert grid.beat_at(grid.time_at(beat)) == pytest.approx(beat, abs=1e-6)


@given(grids())
def test_beats_have_whole_numbers(grid):
    for index, time_s in enumerate(grid.beats_s):
        assert grid.beat_at(time_s) == pytest.approx(index, abs=1e-9)
        assert grid.time_at(index) == pytest.approx(time_s, abs=1e-9)


@given(grids(), times, times)
def test_later_is_a_higher_beat(grid, one, other):
    early, late = sorted((one, other))
    assert grid.beat_at(early) <= grid.beat_at(late)


@given(st.one_of(grids(), constant))
def test_the_tempo_map_returns_to_every_beat(grid):
    segments = grid.tempo_map()
    assert segments[0].beat == 0
    assert all(a.beat < b.beat for a, b in itertools.pairwise(segments))
    time_s, ends = segments[0].time_s, [s.beat for s in segments[1:]] + [len(grid.beats_s) - 1]
    for segment, end in zip(segments, ends, strict=True):
        # Integrating tempo from the first beat on leads to the start of every segment …
        assert time_s == pytest.approx(segment.time_s, abs=1e-6 * len(segments))
        for beat in range(segment.beat, end + 1):
            reached = segment.time_s + (beat - segment.beat) * 60 / segment.bpm
            # … and to every beat in it.
            assert abs(reached - grid.beats_s[beat]) <= 2 * TEMPO_MAP_TOLERANCE_S
        time_s += (end - segment.beat) * 60 / segment.bpm
    assert time_s == pytest.approx(grid.beats_s[-1], abs=1e-6 * (len(segments) + 1))


@given(constant)
def test_a_constant_grid_is_steady_even_when_rounded_to_microseconds(grid):
    assert grid.steady
    rounded = BeatGrid(tuple(round(t, 6) for t in grid.beats_s), grid.downbeats, grid.beats_per_bar)
    assert rounded.steady


@given(
    st.floats(30, 300), st.floats(0, 5), st.floats(25, 200), st.integers(1, 7), st.integers(0, 6)
)
def test_a_constant_grid_ends_within_the_song(bpm, first, duration, per_bar, downbeat):
    grid = BeatGrid.constant(
        bpm=bpm,
        first_beat_s=first,
        duration_s=duration,
        beats_per_bar=per_bar,
        first_downbeat=downbeat,
    )
    assert grid.bpm == pytest.approx(bpm, abs=1e-4)
    assert grid.beats_s[0] == first
    assert grid.beats_s[-1] < duration
    assert duration - grid.beats_s[-1] <= 60 / bpm * (1 + 1e-6)
    assert_valid(grid)


@given(grids(), st.floats(-50, 50))
def test_shifting_there_and_back_changes_nothing(grid, offset_s):
    shifted = grid.shifted(offset_s)
    assert shifted.beats_s == pytest.approx(tuple(t + offset_s for t in grid.beats_s))
    assert shifted.downbeats == grid.downbeats
    assert shifted.shifted(-offset_s).beats_s == pytest.approx(grid.beats_s, abs=1e-9)


@given(grids(least=4))
def test_halving_keeps_the_first_downbeat(grid):
    half = grid.halved()
    assert set(half.beats_s) <= set(grid.beats_s)
    assert grid.downbeats_s[0] in half.downbeats_s
    assert_valid(half)


@given(grids())
def test_doubling_adds_a_beat_after_every_beat(grid):
    assume(min(b - a for a, b in itertools.pairwise(grid.beats_s)) > 2 * MIN_BEAT_S + 1e-6)
    double = grid.doubled()
    assert double.beats_s[::2] == grid.beats_s
    assert len(double.beats_s) == 2 * len(grid.beats_s)
    assert grid.downbeats_s[0] in double.downbeats_s
    assert_valid(double)


@given(grids(least=4))
def test_halving_undoes_doubling_of_beats(grid):
    assume(min(b - a for a, b in itertools.pairwise(grid.beats_s)) > 2 * MIN_BEAT_S + 1e-6)
    # In an odd meter every other bar of the doubled grid begins between two old beats.
    assume(grid.beats_per_bar % 2 == 0)
    assert grid.doubled().halved().beats_s == grid.beats_s


@given(grids(), times, st.integers(1, 12))
def test_a_set_downbeat_is_one(grid, time_s, per_bar):
    changed = grid.with_downbeat(time_s, beats_per_bar=per_bar)
    nearest = min(grid.beats_s, key=lambda t: abs(t - time_s))
    assert nearest in changed.downbeats_s
    assert changed.beats_s == grid.beats_s
    assert changed.beats_per_bar == per_bar
    assert_valid(changed)


@given(grids(), st.floats(20, 400))
def test_a_set_tempo_holds_and_the_first_downbeat_stays(grid, bpm):
    changed = grid.with_tempo(bpm)
    assert changed.bpm == pytest.approx(bpm, abs=1e-4)
    assert min(abs(t - grid.downbeats_s[0]) for t in changed.downbeats_s) < 1e-9
    assert changed.steady
    assert_valid(changed)


@given(st.one_of(grids(), constant), st.floats(0, 300))
def test_bars_count_on_through_the_song(grid, time_s):
    assert grid.bar_at(grid.downbeats_s[0]) == BarPosition(1, 1.0)
    for index, downbeat_s in enumerate(grid.downbeats_s):
        assert grid.bar_at(downbeat_s) == BarPosition(index + 1, 1.0)
    here, later = grid.bar_at(time_s), grid.bar_at(time_s + 0.5)
    assert 1 <= here.beat < grid.beats_per_bar + 1
    assert (here.bar, here.beat) <= (later.bar, later.beat)


@given(grids(), times)
def test_the_tempo_at_a_time_is_that_of_the_beat_around_it(grid, time_s):
    index = min(max(int(grid.beat_at(time_s) // 1), 0), len(grid.beats_s) - 2)
    step = grid.beats_s[index + 1] - grid.beats_s[index]
    assert grid.bpm_at(time_s) == pytest.approx(60 / step, rel=1e-6)


@given(st.lists(st.floats(0, 100), min_size=2, max_size=40, unique=True))
def test_taps_in_any_order_make_a_grid_that_begins_with_a_downbeat(taps):
    in_order = sorted(taps)
    assume(all(b - a >= MIN_BEAT_S for a, b in itertools.pairwise(in_order)))
    grid = BeatGrid.from_taps(taps, beats_per_bar=3)
    assert grid.beats_s == tuple(in_order)
    assert grid.downbeats[0] == 0
    assert_valid(grid)


@pytest.mark.parametrize(
    ("beats", "downbeats", "per_bar"),
    [
        ((1.0,), (0,), 4),
        ((1.0, 1.0), (0,), 4),
        ((2.0, 1.0), (0,), 4),
        ((0.0, 0.01), (0,), 4),
        ((0.0, float("nan")), (0,), 4),
        ((0.0, float("inf")), (0,), 4),
        ((0.0, 1.0), (), 4),
        ((0.0, 1.0), (2,), 4),
        ((0.0, 1.0), (-1,), 4),
        ((0.0, 1.0), (1, 0), 4),
        ((0.0, 1.0), (0,), 0),
        ((0.0, 1.0), (0,), 33),
    ],
)
def test_a_grid_that_is_none_is_refused(beats, downbeats, per_bar):
    with pytest.raises(ValueError, match=r"beat"):
        BeatGrid(beats, downbeats, per_bar)


@pytest.mark.parametrize("bpm", [0.0, -1.0, float("nan"), float("inf"), 1e6])
def test_an_impossible_tempo_is_refused(bpm):
    with pytest.raises(ValueError, match="bpm"):
        BeatGrid.constant(bpm=bpm, first_beat_s=0, duration_s=10)
    with pytest.raises(ValueError, match="bpm"):
        BeatGrid((0.0, 1.0), (0,)).with_tempo(bpm)
