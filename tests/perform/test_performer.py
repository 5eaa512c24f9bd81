"""The performer: what pads ask for comes at exact frames, and takes play again as they were."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.perform.conftest import NAMES, RATE, Rig, plain_mix
from workstation.model.controls import ControlChange, control_table
from workstation.model.mixer import MixerState, Strip
from workstation.perform.performer import Ended
from workstation.perform.render import render_mix, render_take

RAMP = round(0.005 * RATE)
BEAT, BAR, FIRST = 4000, 16000, 4000  # Frames; the first downbeat is at FIRST.


def effects(rig, control):
    """Frame and value of every effect on a control, in the one take."""
    (take,) = rig.takes()
    return [(e.frame, e.value) for e in take.events if e.control == control]


def recorded(rig):
    rig.change("transport.record")
    rig.change("transport.play")
    return rig


@pytest.mark.parametrize(
    ("unit", "line"),
    [("off", 5056), ("beat", 8000), ("bar", FIRST + BAR), ("4 bars", FIRST + 4 * BAR)],
)
def test_a_quantised_mute_fires_on_the_frame_of_its_line(rig, unit, line):
    recorded(rig).run(5050)
    rig.run(6)
    rig.change("drums.mute", quantize=unit)
    assert rig.performer.value("drums.mute") == 1
    waiting = rig.performer.waiting[rig.performer.ids.index("drums.mute")]
    assert waiting == (unit != "off")
    rig.run(FIRST + 4 * BAR - 5056 + 10, block=100)
    assert effects(rig, "drums.mute") == [(line, 1.0)]


def test_the_setting_counts_where_a_change_names_no_line(rig):
    recorded(rig).run(5000)
    rig.change("quantize.grid", 2)
    rig.change("bass.solo", op="toggle")
    rig.run(BAR + 10)
    assert effects(rig, "bass.solo") == [(FIRST + BAR, 1.0)]


def test_a_second_press_takes_a_waiting_mute_back(rig):
    recorded(rig).run(5000)
    rig.change("drums.mute", op="toggle", quantize="bar")
    rig.change("drums.mute", op="toggle", quantize="bar")
    assert not rig.performer.waiting.any()
    rig.run(BAR)
    assert effects(rig, "drums.mute") == []


def test_in_a_short_loop_a_long_line_is_the_return_of_the_loop(rig):
    recorded(rig)
    rig.change("loop.start", FIRST / RATE)
    rig.change("loop.end", (FIRST + 2 * BEAT) / RATE)
    rig.change("loop.on")
    rig.run(6000)
    rig.change("drums.mute", quantize="4 bars")
    rig.run(8000)
    assert effects(rig, "drums.mute") == [(FIRST + 2 * BEAT, 1.0)]


def test_at_rest_nothing_waits(rig):
    rig.change("drums.mute", quantize="bar")
    assert rig.deck.strip(0).muted


def test_all_but_this_and_groups(make_rig):
    rig = make_rig(groups={1: ("drums", "bass")})
    rig.change("vocals.others")
    assert [rig.deck.strip(k).muted for k in range(4)] == [True, True, True, False]
    assert rig.performer.value("vocals.others") == 1
    assert rig.performer.value("group1.mute") == 1
    rig.change("vocals.others", op="toggle")
    assert not any(rig.deck.strip(k).muted for k in range(4))
    rig.change("group1.mute", op="toggle")
    assert [rig.deck.strip(k).muted for k in range(4)] == [True, True, False, False]
    rig.change("bass.mute", 0)
    assert rig.performer.value("group1.mute") == 0


def test_a_stutter_finds_its_slice_on_the_grid(rig):
    recorded(rig).run(9100, block=50)
    rig.change("drums.stutter", 16)
    rig.run(5000)
    rig.change("drums.stutter", 0)
    rig.run(1000)
    (take,) = rig.takes()
    on, off = (e for e in take.events if e.control == "drums.stutter")
    assert on.slice == (9000, 1000)  # A sixteenth is a quarter of a beat.
    assert off.value == 0
    assert off.slice is None


def test_a_fade_lasts_its_bars_and_returns_to_what_it_was(rig):
    recorded(rig)
    rig.change("drums.gain", -6)
    rig.run(FIRST)
    rig.change("drums.fade_out", 2)
    rig.run(2 * BAR)
    rig.change("drums.fade_in", 1)
    rig.run(100)
    (take,) = rig.takes()
    gains = [(e.frame, e.value, e.over_frames) for e in take.events if e.control == "drums.gain"]
    assert gains == [
        (0, -6.0, 0), (FIRST, -90.0, 2 * BAR), (FIRST + 2 * BAR, -6.0, BAR),
    ]  # fmt: skip


def test_snapshots_bring_a_mixer_back(rig):
    rig.change("drums.gain", -12)
    rig.change("bass.mute")
    rig.change("snapshot2.store")
    stored = rig.deck.mixer
    rig.change("drums.gain", 3)
    rig.change("bass.mute", 0)
    rig.change("vocals.filter", 0.5)
    rig.change("snapshot2.recall")
    assert rig.deck.mixer == stored
    rig.change("snapshot5.recall")
    assert "Snapshot 5 is empty" in rig.performer.notices[0]


def test_the_count_in_is_silent_music_of_whole_bars_with_clicks(rig):
    rig.change("count_in.bars", 1)
    recorded(rig)
    out = rig.run(BAR)
    assert rig.performer.counting_in is False
    beats = [np.abs(out[k * BEAT : k * BEAT + 300]).max() for k in range(4)]
    assert min(beats) > 0.2
    assert not out[2000:BEAT].any()
    music = rig.run(100)
    np.testing.assert_allclose(music, plain_mix(rig.deck.tracks)[:100], atol=1e-6)
    (take,) = rig.takes()
    assert take.length_frames == 100  # A take begins with the music.


def test_the_click_is_on_the_beats_and_its_downbeats_are_higher(make_rig):
    rig = make_rig()
    for stem in NAMES:
        rig.change(f"{stem}.mute")
    rig.change("click.on")
    rig.change("transport.play")
    out = rig.run(FIRST + BAR)[:, 0]
    starts = np.flatnonzero((np.abs(out) > 1e-4) & (np.abs(np.roll(out, 1)) <= 1e-4))
    for k in range(5):
        assert any(abs(s - k * BEAT) <= 2 for s in starts), k
    pitch = [np.argmax(np.abs(np.fft.rfft(out[k * BEAT :][:240], RATE))) for k in (1, 2)]
    assert pitch[0] > pitch[1]  # The first downbeat is beat 1.


def test_a_click_with_an_output_of_its_own_leaves_the_mix_alone(rig):
    rig.change("click.on")
    rig.change("transport.play")
    mix, click = np.zeros((6000, 2), np.float32), np.zeros((6000, 2), np.float32)
    rig.performer.render(mix, click)
    np.testing.assert_allclose(mix, plain_mix(rig.deck.tracks)[:6000], atol=1e-6)
    assert np.abs(click).max() > 0.2


def test_stop_fades_and_returns_to_the_start(rig):
    rig.change("transport.play")
    rig.run(5000)
    rig.change("transport.stop")
    rig.run(500)
    assert (rig.deck.head, rig.deck.playing) == (0, False)


def test_bars_back_and_forward(rig):
    rig.change("transport.play")
    rig.run(FIRST + BAR + 6000)
    rig.change("transport.back")
    assert rig.deck.head == FIRST + BAR
    rig.run(100)
    rig.change("transport.back")
    assert rig.deck.head == FIRST
    rig.run(100)
    rig.change("transport.forward")
    assert rig.deck.head == FIRST + BAR


def test_loop_points_snap_and_bring_the_head_back_in_time(rig):
    rig.change("transport.play")
    rig.run(FIRST + 100)
    rig.change("loop.in")
    rig.run(2 * BEAT)
    rig.change("loop.out")
    assert rig.deck.loop == (FIRST, FIRST + 2 * BEAT)
    assert rig.deck.head == FIRST + 100
    rig.change("loop.halve")
    assert rig.deck.loop == (FIRST, FIRST + BEAT)
    rig.change("loop.double")
    rig.change("loop.double")
    assert rig.deck.loop == (FIRST, FIRST + 4 * BEAT)
    rig.change("loop.on", 0)
    rig.change("loop.beats", 2)
    assert rig.deck.loop == (FIRST, FIRST + 2 * BEAT)


def test_without_a_grid_beats_are_refused_in_words(make_rig):
    rig = make_rig(lines=None)
    rig.change("transport.play")
    rig.run(100)
    rig.change("drums.mute", quantize="bar")
    assert rig.deck.strip(0).muted  # There is no line to wait for.
    rig.change("drums.stutter", 8)
    rig.change("loop.beats", 4)
    assert len(rig.performer.notices) == 2
    assert "no beat grid" in rig.performer.notices[0]


def test_a_take_renders_to_what_was_heard_also_one_that_began_in_the_midst(rig, tracks):
    rig.change("transport.play")
    rig.change("drums.filter", -0.5)
    rig.run(3000)
    rig.change("vocals.fade_out", 4)
    rig.run(1000)
    before = len(rig.output)
    rig.change("transport.record")
    for k in range(20):
        rig.change(NAMES[k % 4] + ".mute", op="toggle", quantize=("off", "beat")[k % 2])
        rig.change(NAMES[k % 4] + ".filter", (k - 10) / 10)
        rig.run(777)
    (take,) = rig.takes()
    rendered = np.concatenate(list(render_take(tracks, take)))
    np.testing.assert_array_equal(rendered, rig.output[before:])


def test_a_replay_sounds_like_the_take_and_ends_with_it(rig, make_rig):
    recorded(rig).run(5000)
    rig.change("drums.mute", quantize="beat")
    rig.change("bass.gain", -20)
    rig.run(9000)
    (take,) = rig.takes()
    other = make_rig()
    other.performer.replay(take)
    np.testing.assert_array_equal(other.run(14000, block=100), rig.output)
    other.run(200)
    assert other.performer.replaying is None
    assert not other.deck.playing


def test_a_take_that_follows_on_what_plays_begins_after_its_fade(rig, tracks):
    recorded(rig).run(3000)
    rig.change("bass.mute")
    rig.run(2000)
    (first,) = rig.takes()
    rig.performer.happened.clear()
    rig.performer.replay(first, record=True)
    out = rig.run(6000, block=64)
    (second,) = rig.takes()
    steps = np.abs(np.diff(out[:RAMP], axis=0)).max(axis=1)
    assert steps[-5:].max() < 0.02  # It has faded out, before the take begins anew.
    rendered = np.concatenate(list(render_take(tracks, second)))
    np.testing.assert_array_equal(out[RAMP : RAMP + len(rendered)], rendered)


def test_an_overdub_replaces_what_is_touched_and_keeps_the_rest(rig, make_rig, tracks):
    recorded(rig).run(2000)
    rig.change("drums.mute")
    rig.change("bass.mute")
    rig.run(4000)
    rig.change("drums.mute", 0)
    rig.run(2000)
    (first,) = rig.takes()
    over = make_rig()
    over.performer.replay(first, record=True)
    over.run(1000)
    over.change("drums.gain", -12)
    over.change("drums.mute", 0)
    over.run(7500)
    (second,) = over.takes()
    assert second.over == first.name
    assert second.length_frames == first.length_frames
    controls = [(e.control, e.value) for e in second.events]
    assert ("bass.mute", 1.0) in controls
    assert ("drums.mute", 1.0) not in controls
    assert ("drums.gain", -12.0) in controls
    rendered = np.concatenate(list(render_take(tracks, second)))
    np.testing.assert_array_equal(rendered, over.output[: len(rendered)])


def test_a_take_ends_with_the_song(rig):
    recorded(rig).run(rig.deck.frames + 500)
    (ended,) = (e for e in rig.performer.happened if isinstance(e, Ended))
    assert ended.length_frames == rig.deck.frames
    assert not rig.performer.recording


def test_a_mixer_that_nobody_touches_renders_the_song(tracks):
    state = MixerState({name: Strip() for name in NAMES})
    rendered = np.concatenate(list(render_mix(tracks, RATE, state)))
    assert np.abs(rendered - plain_mix(tracks)).max() < 1e-7


TABLE = control_table(NAMES)
anything = st.sampled_from(sorted(TABLE)).flatmap(
    lambda name: st.builds(
        ControlChange,
        control=st.just(name),
        value=st.one_of(
            st.floats(TABLE[name].low, min(TABLE[name].high, 14.0)), st.just(1.0), st.just(0.0)
        ),
        op=st.sampled_from(["set", "set", "toggle", "move"]),
        quantize=st.sampled_from([None, "off", "beat", "bar", "4 bars"]),
        over_beats=st.sampled_from([0.0, 0.5, 3.0]),
    )
)


@settings(max_examples=40)
@given(st.lists(st.tuples(anything, st.integers(1, 3000)), max_size=25))
def test_whatever_is_played_renders_again_to_the_same_samples(tracks, lines, acts):
    rig = recorded(Rig(tracks, lines))
    for change, frames in acts:
        if change.control != "transport.record":
            rig.performer.change(change)
        click = np.zeros((frames, 2), np.float32)
        out = np.zeros((frames, 2), np.float32)
        rig.performer.render(out, click)
        rig.blocks.append(out)
    rig.run(64)
    take = rig.takes()[0]
    rendered = np.concatenate([*render_take(tracks, take), np.zeros((0, 2))])
    np.testing.assert_array_equal(rendered, rig.output[: take.length_frames])
    assert np.isfinite(rendered).all()
