"""Beats, tempo, meter: on drum machines whose every beat is known."""

import mir_eval
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workstation.analyze import find_beats, find_grid
from workstation.analyze.grid import fit_loop, smooth_beats
from workstation.model import CancelledError, JobContext

SLOW = settings(
    max_examples=12,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


def offsets(reference, estimate):
    """Estimated minus true time, for every true beat that was found within 70 ms."""
    nearest = estimate[np.abs(estimate[:, None] - reference[None]).argmin(axis=0)]
    away = nearest - reference
    return away[np.abs(away) < 0.07]


def grid_of(listen, samples, rate_hz=22050):
    features, onsets = listen(samples, rate_hz)
    return find_grid(features, onsets, job=JobContext())


@SLOW
@given(
    bpm=st.floats(62, 170),
    start_s=st.floats(0.1, 3.0),
    pattern=st.sampled_from(["click", "rock", "syncopated", "swing", "off-beat hats", "waltz"]),
)
def test_a_steady_pattern_gives_its_tempo_and_its_beats(drums, listen, bpm, start_s, pattern):
    samples, beats = drums.steady(pattern, bpm, 40, start_s=start_s)
    grid = grid_of(listen, samples)
    assert grid.bpm == pytest.approx(bpm, abs=0.1)
    found = np.array(grid.beats_s)
    assert mir_eval.beat.f_measure(beats[beats < 39], found[found > start_s - 0.1]) > 0.97
    assert abs(np.median(offsets(beats, found))) < 0.010
    assert grid.steady
    assert grid.beats_per_bar == (3 if pattern == "waltz" else 4)


@pytest.mark.parametrize("pattern", ["rock", "syncopated", "swing", "off-beat hats", "waltz"])
def test_bars_begin_where_the_kick_says(drums, listen, pattern):
    samples, beats = drums.steady(pattern, 104, 30, start_s=1.0)
    grid = grid_of(listen, samples)
    per_bar = 3 if pattern == "waltz" else 4
    ours = np.array(grid.downbeats_s)
    assert mir_eval.beat.f_measure(beats[::per_bar], ours, f_measure_threshold=0.05) > 0.9


@pytest.mark.parametrize("bpm", [60, 180, 200])
def test_bare_clicks_are_beats_at_any_tempo(drums, listen, bpm):
    samples, _ = drums.steady("click", bpm, 40, start_s=0.4)
    assert grid_of(listen, samples).bpm == pytest.approx(bpm, abs=0.1)


def test_a_first_downbeat_after_nine_seconds_of_silence(drums, listen):
    samples, beats = drums.steady("syncopated", 117, 40, start_s=9.0)
    grid = grid_of(listen, samples)
    assert min(abs(t - 9.0) for t in grid.downbeats_s) < 0.01
    # The grid also covers the silence.
    assert grid.beats_s[0] < 60 / 117
    assert len(beats) < len(grid.beats_s)


def test_a_grid_runs_through_a_break_without_drums(drums, listen):
    samples, beats = drums.steady("rock", 121, 60)
    samples[:, 20 * 22050 : 35 * 22050] = 0.0
    grid = grid_of(listen, samples)
    assert grid.bpm == pytest.approx(121, abs=0.05)
    assert (
        np.abs(np.array(grid.beats_s)[: len(beats) - 1] - beats[: len(grid.beats_s)][:-1]).max()
        < 0.01
    )


@pytest.mark.parametrize("rate_hz", [8000, 16000, 44100, 96000, 192000])
def test_any_sample_rate_gives_the_same_beats(machine_at, listen, rate_hz):
    samples, beats = machine_at(rate_hz).steady("syncopated", 96.5, 20, start_s=0.5)
    grid = grid_of(listen, samples, rate_hz)
    assert grid.bpm == pytest.approx(96.5, abs=0.1)
    assert abs(np.median(offsets(beats, np.array(grid.beats_s)))) < 0.010


def test_a_song_that_speeds_up_keeps_its_drift(drums, listen):
    tempo = np.interp(np.arange(130), [0, 30, 90, 130], [100, 100, 126, 126])
    beats = np.concatenate([[0.3], 0.3 + np.cumsum(60 / tempo)])
    samples = drums.play("rock", beats, beats[-1] + 0.5)
    grid = grid_of(listen, samples)
    found = np.array(grid.beats_s)
    assert mir_eval.beat.f_measure(beats, found) > 0.97
    assert not grid.steady
    assert grid.bpm_at(10.0) == pytest.approx(100, abs=1.5)
    assert grid.bpm_at(beats[-10]) == pytest.approx(126, abs=1.5)


def test_a_wandering_drummer_is_followed_not_averaged(drums, listen):
    beats = np.arange(0.2, 60, 0.6)
    beats = beats + 0.05 * np.sin(2 * np.pi * beats / 23)
    grid = grid_of(listen, drums.play("syncopated", beats, 60))
    away = offsets(beats, np.array(grid.beats_s))
    assert len(away) > 0.95 * len(beats)
    assert np.percentile(np.abs(away), 90) < 0.015


def test_smoothing_takes_out_jitter_and_keeps_drift():
    random = np.random.default_rng(3)
    truth = np.cumsum(60 / np.linspace(100, 120, 200))
    heard = truth + 0.005 * random.standard_normal(200)
    smooth = smooth_beats(heard, np.ones(200))
    assert np.abs(np.diff(smooth, 2)).mean() < 0.25 * np.abs(np.diff(heard, 2)).mean()
    assert np.abs(smooth - truth).max() < 0.01


@SLOW
@given(bpm=st.floats(80, 160), bars=st.sampled_from([2, 4, 8]))
def test_a_loop_takes_its_tempo_from_its_length(drums, listen, bpm, bars):
    seconds = 4 * bars * 60 / bpm
    samples, _ = drums.steady("syncopated", bpm, seconds)
    grid = grid_of(listen, samples)
    assert grid.bpm == pytest.approx(bpm, abs=0.02)
    assert grid.beats_s[0] == 0.0
    assert grid.downbeats[0] == 0


@SLOW
@given(start_s=st.floats(2, 9), seconds=st.floats(4.5, 17))
def test_an_excerpt_is_not_taken_for_a_loop(drums, listen, start_s, seconds):
    beat_s = 60 / 103.7
    bars = seconds / (4 * beat_s)
    # Unless it happens to be cut to bars.
    if abs(bars - round(bars)) < 0.1 or start_s % beat_s < 0.05 or start_s % beat_s > beat_s - 0.05:
        return
    samples, _ = drums.steady("syncopated", 103.7, 30)
    part = samples[:, round(start_s * 22050) : round((start_s + seconds) * 22050)]
    _, onsets = listen(part)
    assert fit_loop(onsets, part.shape[1] / 22050) is None


def test_cancelling_stops_the_search(drums, listen):
    samples, _ = drums.steady("rock", 120, 20, start_s=0.7)
    _, onsets = listen(samples)
    job = JobContext()
    job.cancel()
    with pytest.raises(CancelledError):
        find_beats(onsets, 20.0, job=job)
