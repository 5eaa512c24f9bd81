"""A take as automation, held against the deck that plays the take."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from workstation.export import Project, Timeline, Track
from workstation.export.automation import (
    FLOOR_ERROR,
    LOUDEST,
    MOST_ERROR_DB,
    Point,
    arrange,
    in_quarters,
    value_at,
)
from workstation.export.pieces import MOST_PIECES, Clip, pieces_of
from workstation.model import BeatGrid, Section
from workstation.model.mixer import MixerState, Strip
from workstation.model.take import Take, TakeEvent, TakeStart
from workstation.perform import deck as deck_module
from workstation.perform import kernel
from workstation.perform.deck import Deck

RATE = 8000
SECONDS = 6
FRAMES = RATE * SECONDS
NAMES = ("drums", "bass", "vocals")
RAMP = round(0.005 * RATE)
ERROR = 10 ** (MOST_ERROR_DB / 20) - 1

TRACKS = [deck_module.Track(name, np.zeros((FRAMES, 1), np.float32)) for name in NAMES]
GRID = BeatGrid.constant(bpm=120, first_beat_s=0.3, duration_s=SECONDS)
SECTIONS = (Section(0.0, 2.3, "A"), Section(2.3, SECONDS, "B"))


def take_of(*events, length=3 * RATE, start=0, playing=False, loop=None, mixer=None, running=None):
    began = TakeStart(start, playing, loop, mixer or MixerState.neutral(NAMES), running or {})
    ordered = tuple(sorted(events, key=lambda e: e.frame))
    take = Take("One", NAMES, "dsp", RATE, began, length, ordered)
    take.check()
    return take


def event(frame, control, value=1.0, over=0, part=None):
    return TakeEvent(frame, control, value, over, part)


def play(frame=0):
    return event(frame, "transport.play")


def project_of(take, grid=GRID):
    tracks = tuple(Track(n.capitalize(), f"{n}.wav", "#112233", n) for n in NAMES)
    return Project(title="T", artist="", tracks=tracks, sample_rate_hz=RATE, frames=FRAMES,
                   grid=grid, sections=SECTIONS, take=take)  # fmt: skip


def arranged(*events, grid=GRID, **start):
    return arrange(project_of(take_of(*events, **start), grid))


class Watched:
    """A deck that plays a take, looked at after every stretch of samples."""

    def __init__(self, take):
        self.heads = np.full(take.length_frames, -1)
        self.looks = []
        deck, frame = Deck(TRACKS, RATE), 0
        deck.begin(take.start)
        for change in (*take.events, None):
            until = take.length_frames if change is None else min(change.frame, take.length_frames)
            while frame < until:
                head, moving = deck.head, deck.moving
                out = np.zeros((min(until - frame, 37), 2), np.float32)
                count = deck.render_stretch(out)
                if moving and count:
                    self.heads[frame : frame + count] = head + np.arange(count)
                    self.looks.append((frame + count - 1, *self.levels(deck)))
                frame += count
            if change is not None:
                deck.apply(change)
        self.heads[self.heads >= FRAMES] = -1

    @staticmethod
    def levels(deck):
        """Amplitudes, pans and whether it is heard (0 … ramp) of all strips, and the master's."""

        def amplitude(numbers):
            left = numbers[kernel.GAIN_LEFT]
            if not left:
                return numbers[kernel.GAIN_EXACT]
            return (numbers[kernel.GAIN] - numbers[kernel.GAIN_STEP] * left) ** 3

        pans = [s[kernel.PAN] - s[kernel.PAN_STEP] * s[kernel.PAN_LEFT] for s in deck._strips]
        heard = [s[kernel.HEARD] for s in deck._strips]
        return [amplitude(s) for s in deck._strips], pans, heard, amplitude(deck._master)


def gains(most=6.0):
    return st.one_of(st.floats(-90, most), st.sampled_from([0.0, -90.0, most]))


def controls(most=6.0):
    return st.sampled_from(NAMES).flatmap(
        lambda stem: st.one_of(
            st.tuples(st.just(f"{stem}.gain"), gains(most)),
            st.tuples(st.just(f"{stem}.pan"), st.floats(-1, 1)),
            st.tuples(st.sampled_from([f"{stem}.mute", f"{stem}.solo"]), st.sampled_from([0, 1.0])),
            st.tuples(st.just("master.gain"), gains(most)),
        )
    )


transport = st.one_of(
    st.tuples(st.sampled_from(["transport.seek", "loop.end", "loop.start"]), st.floats(0, SECONDS)),
    st.tuples(st.just("transport.play"), st.sampled_from([0.0, 1.0])),
    st.tuples(st.just("loop.on"), st.just(0.0)),
)


@st.composite
def takes(draw, moves=True, most=6.0):
    """Random performances, also such as begin in the midst of a fade."""
    what = st.one_of(controls(most), transport) if moves else controls(most)
    frames = st.one_of(st.integers(0, 11999), st.integers(3000, 3200))
    events = [
        event(frame, control, value, over)
        for frame, (control, value), over in draw(
            st.lists(
                st.tuples(frames, what, st.sampled_from([0, 0, 1, 300, 5000, 20000])), max_size=20
            )
        )
    ]
    strips = {
        name: Strip(draw(gains(most)), draw(st.floats(-1, 1)), draw(st.booleans()),
                    draw(st.booleans()))
        for name in draw(st.sets(st.sampled_from(NAMES)))
    }  # fmt: skip
    mixer = MixerState({**MixerState.neutral(NAMES).strips, **strips}, draw(gains(most)))
    start = TakeStart(draw(st.integers(0, FRAMES)), draw(st.booleans()), None, mixer)
    if draw(st.booleans()):  # Let it run for a while first, and begin there.
        deck = Deck(TRACKS, RATE)
        deck.begin(start)
        if not start.playing:
            deck.apply(play())
        for change in draw(st.lists(st.tuples(what, st.sampled_from([0, 700])), max_size=4)):
            deck.apply(event(0, *change[0], change[1]))
            deck.render(np.zeros((draw(st.integers(1, 90)), 2), np.float32))
        start = deck.start_of_take()
        assume(start.loop is None or start.loop[0] < start.loop[1])
    if draw(st.booleans()):
        events.append(play(draw(frames)))
    return take_of(*events, length=draw(st.integers(1, 12000)), start=start.frame,
                   playing=start.playing, loop=start.loop, mixer=start.mixer,
                   running=start.running)  # fmt: skip


@settings(deadline=None, max_examples=400)
@given(take=takes())
def test_the_pieces_are_what_the_deck_reads(take):
    pieces = pieces_of(take, FRAMES)
    assert pieces.complete
    heads = np.full(take.length_frames, -1)
    for clip in pieces.clips:
        heads[clip.project_frame : clip.project_frame + clip.frames] = clip.song_frame + np.arange(
            clip.frames
        )
    np.testing.assert_array_equal(heads, Watched(take).heads)


def shift_of(take, laid_out):
    """Frames from the time of the take to that of the project."""
    first = pieces_of(take, FRAMES).clips[0]
    return (0 if laid_out.unrolled else first.song_frame) - first.project_frame


def near(found, wanted):
    return abs(found - wanted) <= wanted * ERROR + FLOOR_ERROR


@settings(deadline=None, max_examples=400)
@given(take=takes())
def test_at_any_time_the_automation_is_what_the_mixer_was(take):
    laid_out = arrange(project_of(take))
    pieces = pieces_of(take, FRAMES)
    if not pieces.clips:
        assert not laid_out.stems
        return
    shift = shift_of(take, laid_out)
    begin = pieces.clips[0].project_frame
    end = pieces.clips[-1].project_frame + pieces.clips[-1].frames
    for frame, volumes, pans, heard, master in Watched(take).looks:
        if not begin <= frame < end:
            continue
        at = frame + shift
        assert near(value_at(laid_out.master or (Point(0, 1.0),), at), master)
        for index, name in enumerate(NAMES):
            strip = laid_out.stems[name]
            assert near(value_at(strip.volume or (Point(0, 1.0),), at), volumes[index])
            assert value_at(strip.pan or (Point(0, 0.0),), at) == pytest.approx(
                pans[index], abs=1e-9
            )
            if heard[index] in {0, RAMP}:  # Between them it fades.
                muted = [s.on for s in strip.mute if s.frame <= at][-1:] == [True]
                assert muted == (heard[index] == 0)


@settings(deadline=None, max_examples=150)
@given(take=takes(most=10.0))
def test_louder_than_any_mixer_goes_to_the_master_and_what_is_lost_is_told(take):
    laid_out = arrange(project_of(take))
    clips = pieces_of(take, FRAMES).clips
    if not clips:
        return
    curves = [laid_out.master, *(strip.volume for strip in laid_out.stems.values())]
    assert all(0 <= p.value <= LOUDEST + 1e-9 for curve in curves for p in curve)
    lost = [words for words in laid_out.notes if "dB lower" in words]
    factors = []
    end = clips[-1].project_frame + clips[-1].frames
    for frame, volumes, _, _, master in Watched(take).looks:
        if not clips[0].project_frame <= frame < end:
            continue
        at = frame + shift_of(take, laid_out)
        for name, volume in zip(NAMES, volumes, strict=True):
            own = value_at(laid_out.stems[name].volume or (Point(0, 1.0),), at)
            found = own * value_at(laid_out.master or (Point(0, 1.0),), at)
            if volume * master > 0.02:
                factors.append(found / (volume * master))
    if factors and not lost:
        assert all(abs(20 * math.log10(f)) <= 2.5 * MOST_ERROR_DB for f in factors)
    elif factors:
        wanted = -float(lost[0].split(" dB lower")[0].split()[-1])
        # The peak that is told may be a corner between two looks.
        assert all(abs(20 * math.log10(f) - wanted) <= 0.06 + 2.5 * MOST_ERROR_DB for f in factors)


@settings(deadline=None, max_examples=200)
@given(take=takes())
def test_the_points_can_be_written_down(take):
    laid_out = arrange(project_of(take))
    timeline = Timeline.of(laid_out.grid, laid_out.frames / RATE)
    assert all(a.time_s < b.time_s for a, b in itertools.pairwise(timeline.tempos))
    for strip in laid_out.stems.values():
        for curve in (strip.volume, strip.pan):
            assert not curve or curve[0].frame == 0
            assert all(a.frame <= b.frame for a, b in itertools.pairwise(curve))
            assert all(0 <= p.frame <= laid_out.frames for p in curve)
            points = in_quarters(curve, RATE, timeline)
            assert all(a[0] <= b[0] + 1e-9 for a, b in itertools.pairwise(points))
        assert not strip.mute or strip.mute[0].frame == 0
        assert all(a.frame < b.frame and a.on != b.on for a, b in itertools.pairwise(strip.mute))
    assert sum(clip.frames for clip in laid_out.clips) <= max(laid_out.frames, FRAMES)


# -- where things are --------------------------------------------------------------------------


def test_a_song_without_a_take_is_there_as_a_whole():
    laid_out = arrange(project_of(None))
    assert laid_out.clips == (Clip(0, 0, FRAMES),)
    assert (laid_out.stems, laid_out.master, laid_out.notes) == ({}, (), ())
    assert not laid_out.unrolled


def test_a_straight_take_leaves_the_song_whole_and_moves_the_mixer_where_it_was_played():
    laid_out = arranged(
        play(100), event(100 + 800, "bass.mute"), event(100 + 1600, "bass.mute", 0.0),
        event(100 + 4000, "transport.play", 0.0), event(100 + 5000, "vocals.mute"), start=8000,
    )  # fmt: skip
    assert laid_out.clips == (Clip(0, 0, FRAMES),)
    assert laid_out.grid is GRID
    assert laid_out.stems["bass"].mute == ((0, False), (8800, True), (9600, False))
    assert laid_out.stems["drums"].mute == laid_out.stems["vocals"].mute == ()
    assert "One: its mixer moves from 0:01.0 to 0:01.5 of the project" in laid_out.summary


def test_a_solo_mutes_the_others_and_a_mute_wins():
    laid_out = arranged(
        play(), event(100, "bass.solo"), event(200, "bass.mute"), event(300, "drums.solo"),
        event(400, "bass.solo", 0.0), event(500, "drums.solo", 0.0),
    )  # fmt: skip
    assert laid_out.stems["drums"].mute == ((0, False), (100, True), (300, False))
    assert laid_out.stems["bass"].mute == ((0, False), (200, True))
    assert laid_out.stems["vocals"].mute == ((0, False), (100, True), (500, False))


def test_what_is_set_at_rest_is_there_from_the_first_sample():
    laid_out = arranged(event(5, "bass.gain", -6.0, 9000), event(5, "bass.pan", 0.5), play(5))
    assert laid_out.stems["bass"].volume == ((0.0, pytest.approx(10 ** (-6 / 20))),)
    assert laid_out.stems["bass"].pan == ((0.0, 0.5),)


def test_a_long_fade_is_a_few_lines():
    laid_out = arranged(play(), event(1000, "bass.gain", -90.0, 16000))
    curve = laid_out.stems["bass"].volume
    assert curve[0] == (0, 1.0)
    assert curve[1] == (999, 1.0)
    assert curve[-1] == (16999, 0.0)
    assert 20 < len(curve) < 40
    decibels = [20 * math.log10(p.value) for p in curve[1:-1]]
    assert max(a - b for a, b in itertools.pairwise(decibels)) < 3.1
    assert "lines stand for them" in " ".join(laid_out.notes)


def test_a_loop_is_unrolled_with_its_beats_and_sections():
    # Two bars of 120 bpm, from 0.3 s on, are 32000 frames; the loop is one bar.
    laid_out = arranged(
        event(0, "loop.end", 2.3), event(0, "loop.start", 0.3), play(), length=FRAMES, start=2400
    )
    assert laid_out.unrolled
    assert [c.song_frame for c in laid_out.clips] == [2400, 2400, 2400]
    assert [c.project_frame for c in laid_out.clips] == [0, 16000, 32000]
    assert laid_out.grid.downbeats_s == pytest.approx((0, 2, 4))
    assert np.diff(laid_out.grid.beats_s) == pytest.approx(0.5)
    assert [(s.start_s, s.label) for s in laid_out.sections] == [
        (pytest.approx(2 * k), "A") for k in range(3)
    ]
    assert laid_out.stems["bass"].volume == ()
    assert "3 pieces" in " ".join(laid_out.notes)


def test_a_pause_stays_a_silence_of_its_length():
    laid_out = arranged(
        play(1000), event(3000, "transport.play", 0.0), play(5000),
        event(7000, "transport.play", 0.0), length=9000,
    )  # fmt: skip
    assert laid_out.clips == (Clip(0, 0, 2000 + RAMP), Clip(4000, 2000 + RAMP, 2000 + RAMP))
    assert laid_out.frames == 6000 + RAMP


@settings(deadline=None, max_examples=200)
@given(take=takes())
@example(take=take_of(play(), event(0, "loop.end", 0.31), event(0, "loop.start", 0.3)))
def test_unrolled_beats_lie_on_beats_of_the_song_and_never_crowd(take):
    laid_out = arrange(project_of(take))
    if laid_out.grid is None or not laid_out.unrolled:
        return
    beats = laid_out.grid.beats_s
    assert min(b - a for a, b in itertools.pairwise(beats)) >= 0.29
    ends = [(c.project_frame, c.song_frame, c.frames) for c in laid_out.clips]
    for time_s in beats:
        assert any(
            -1.01 * RAMP <= time_s * RATE - at < frames
            and abs((time_s + (song - at) / RATE - 0.3) / 0.5 % 1 - 0.5) > 0.48
            for at, song, frames in ends
        )


def test_filters_and_stutters_are_counted_where_they_were_played():
    laid_out = arranged(
        event(10, "drums.filter", 0.5), play(100), event(200, "bass.filter", -0.5),
        event(300, "bass.filter", 0.0), event(400, "vocals.stutter", 8.0, 0, (0, 100)),
        event(500, "vocals.stutter", 0.0), event(600, "transport.play", 0.0),
        event(2000, "vocals.stutter", 8.0, 0, (0, 100)),
    )  # fmt: skip
    words = " ".join(laid_out.notes)
    assert "The filters of the take, on drums, bass. Moves: 2." in words
    assert "The stutters of the take. Played: 1." in words


def test_a_take_that_plays_nothing_leaves_the_song_as_it_is():
    laid_out = arranged(event(10, "bass.mute"))
    assert (laid_out.clips, laid_out.stems) == ((Clip(0, 0, FRAMES),), {})
    assert "does not play" in laid_out.notes[0]


def test_more_pieces_than_anyone_can_edit_are_not_unrolled():
    events = (event(0, "loop.end", 1.001), event(0, "loop.start", 1.0), play(),
              event(50000, "bass.mute"))  # fmt: skip
    laid_out = arranged(*events, length=10**12, start=RATE)
    assert laid_out.clips == (Clip(0, 0, FRAMES),)
    assert f"more than {MOST_PIECES} pieces" in laid_out.notes[0]
    assert laid_out.stems["bass"].mute == ()  # It came after the end of the song.


def test_lines_get_a_point_where_the_tempo_changes():
    timeline = Timeline.of(BeatGrid((0.0, 0.5, 1.0, 1.25, 1.5, 1.75), (0,), 4), 3.0)
    points = in_quarters((Point(0, 0.0), Point(2 * RATE, 1.0)), RATE, timeline)
    for time_s in np.linspace(0, 2, 50):
        quarters = [q for q, _ in points]
        found = np.interp(timeline.quarter_at(time_s), quarters, [v for _, v in points])
        assert found == pytest.approx(time_s / 2, abs=1e-9)
