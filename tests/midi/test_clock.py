"""MIDI clock: where every clock falls, what is told at starts, stops and jumps."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workstation.midi.clock import ClockPlan, MidiClock
from workstation.model import BeatGrid

START, CONTINUE, STOP, CLOCK = b"\xfa", b"\xfb", b"\xfc", b"\xf8"
STEADY = BeatGrid.constant(bpm=120, first_beat_s=0.5, duration_s=30)


def position(sixteenths):
    return bytes([0xF2, sixteenths & 0x7F, sixteenths >> 7])


class Song:
    """A plan that is driven by an ideal clock; it jumps and stops when it is told."""

    def __init__(self, grid):
        self.plan = ClockPlan(grid)
        self.now = 100.0
        self.at = 0.0
        self.sent = []

    def run(self, seconds, *, playing=True, step=0.0005):
        for _ in range(round(seconds / step)):
            messages, due = self.plan.advance(self.now, playing=playing, position_s=self.at)
            self.sent += [(self.at, message) for message in messages]
            assert due <= self.now + 0.004 + 1e-9
            self.now += step
            self.at += step if playing else 0.0

    def messages(self):
        return [message for _, message in self.sent if message != CLOCK]

    def clocks(self):
        return [at for at, message in self.sent if message == CLOCK]


def test_from_the_start_it_starts_and_every_clock_is_on_its_line():
    song = Song(STEADY)
    song.run(5)
    assert song.messages() == [position(0), START]
    expected = [STEADY.time_at(k / 24) for k in range(len(song.clocks()))]
    assert len(expected) == 24 * 9
    assert np.abs(np.array(song.clocks()) - expected).max() < 0.001


@given(
    st.lists(st.floats(0.3, 1.2), min_size=4, max_size=30),
    st.floats(0, 3),
)
def test_it_follows_any_tempo_map_from_anywhere(gaps, begin):
    beats = tuple(0.2 + np.cumsum([0, *gaps]).tolist()[k] for k in range(len(gaps) + 1))
    grid = BeatGrid(beats, (0,))
    song = Song(grid)
    song.at = begin
    song.run(1.5)
    place, begun = song.messages()[:2]
    first = 6 * (place[1] | place[2] << 7)
    assert begun == (START if first == 0 else CONTINUE)
    lines = [grid.time_at((first + k) / 24) for k in range(len(song.clocks()))]
    late = np.array(song.clocks()) - lines
    assert late.min(initial=0) > -0.001
    assert late.max(initial=0) < 0.031  # A line just passed counts, and its clock comes at once.


def test_a_pause_stops_and_goes_on_at_the_next_sixteenth():
    song = Song(STEADY)
    song.run(2.3)
    song.run(0.5, playing=False)
    song.run(0.5)
    assert song.messages() == [position(0), START, STOP, position(15), CONTINUE]


def test_a_jump_is_told_as_stop_place_and_continue():
    song = Song(STEADY)
    song.run(1.0)
    song.at = 10.5
    song.run(0.4)
    assert song.messages() == [position(0), START, STOP, position(80), CONTINUE]


def test_a_loop_loses_no_clock_and_doubles_none():
    song = Song(STEADY)
    for _ in range(4):
        song.run(2.0)  # From 0.5 s, four beats at a time.
        song.at = 0.5
    song.at = 0.5
    clocks = song.clocks()
    assert len(clocks) == pytest.approx(24 * (3 + 4 + 4 + 4), abs=2)


def test_after_a_stall_what_was_missed_is_not_poured_out():
    song = Song(STEADY)
    song.run(1.0)
    song.now += 3.0
    song.at += 3.0
    before = len(song.clocks())
    song.run(0.001)
    assert len(song.clocks()) - before <= 3
    assert song.messages()[-3:] == [STOP, position(28), CONTINUE]


def test_the_place_stays_within_fourteen_bits():
    long = BeatGrid.constant(bpm=300, first_beat_s=0, duration_s=1200)
    song = Song(long)
    song.at = 1100.0
    song.run(0.1)
    assert song.messages()[0] == position(0x3FFF)


def test_the_thread_keeps_time_and_ends_with_a_stop():
    began = time.monotonic()
    sent = []
    clock = MidiClock(
        STEADY,
        lambda: (True, 0.5 + (time.monotonic() - began), time.monotonic()),
        lambda message: sent.append((time.monotonic() - began, message)),
    )
    clock.start()
    time.sleep(2.0)
    ended = time.monotonic()
    clock.close()
    assert time.monotonic() - ended < 0.4
    assert sent[-1][1] == STOP
    times = np.array([at for at, message in sent if message == CLOCK])
    assert len(times) == pytest.approx(96, abs=3)
    late = times - np.arange(len(times)) * (0.5 / 24)
    assert np.percentile(late, 90) < 0.01
    assert threading.active_count() < 50
