"""The deck: exact sums, exact frames, ramps without clicks, the same samples in any blocks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.perform.conftest import NAMES, RATE, SECONDS, folded, plain_mix
from workstation.model.mixer import MixerState, Strip
from workstation.model.take import Take, TakeEvent
from workstation.perform.deck import Deck, Track, fold_to_stereo

FRAMES = RATE * SECONDS
RAMP = round(0.005 * RATE)


def play(tracks, events=(), frames=FRAMES, block=64, mixer=None):
    """Play from the start, with events at their frames, in blocks of a size."""
    deck = Deck(tracks, RATE)
    if mixer is not None:
        deck.set_mixer(mixer)
    out = np.zeros((frames, 2), np.float32)
    todo = sorted([TakeEvent(0, "transport.play", 1.0), *events], key=lambda e: e.frame)
    at = 0
    while at < frames:
        while todo and todo[0].frame <= at:
            deck.apply(todo.pop(0))
        until = min(at + block, frames, todo[0].frame if todo else frames)
        deck.render(out[at:until])
        at = until
    return out, deck


def test_stems_at_unity_sum_to_the_song(tracks):
    out, deck = play(tracks)
    assert np.abs(out - plain_mix(tracks)).max() < 1e-7
    stereo = [t for t in tracks if t.samples.shape[1] == 2]
    exact, _ = play(stereo)
    np.testing.assert_array_equal(exact, plain_mix(stereo).astype(np.float32))
    deck.render(np.zeros((10, 2), np.float32))
    assert not deck.playing


def test_at_rest_it_is_silent(tracks):
    deck = Deck(tracks, RATE)
    out = np.ones((100, 2), np.float32)
    deck.render(out)
    assert not out.any()


def test_a_mute_takes_effect_at_its_frame_and_is_done_after_five_milliseconds(tracks):
    at = 1234
    out, _ = play(tracks, [TakeEvent(at, "drums.mute", 1.0)], 4000)
    everything, without = plain_mix(tracks), plain_mix(tracks[1:])
    assert np.abs(out[:at] - everything[:at]).max() < 1e-7
    assert np.abs(out[at + RAMP :] - without[at + RAMP : 4000]).max() < 1e-7
    assert np.abs(out[at] - everything[at]).max() > 0  # The ramp begins with that very frame.


def test_a_mute_of_a_sine_sounds_like_its_ramp_and_nothing_else():
    """No energy above -80 dB beside that of the ideal ramp: no step, no kink, no zipper."""
    rate = 48000
    t = np.arange(rate) / rate
    sine = (0.5 * np.sin(2 * np.pi * 997 * t)).astype(np.float32)
    tracks = [Track("a", np.ascontiguousarray(np.stack([sine, sine], axis=1)))]
    at, ramp = rate // 2, round(0.005 * rate)
    deck = Deck(tracks, rate)
    out = np.zeros((rate, 2), np.float32)
    deck.apply(TakeEvent(0, "transport.play", 1.0))
    deck.render(out[:at])
    deck.apply(TakeEvent(at, "a.mute", 1.0))
    deck.render(out[at:])
    u = np.clip(1 - (np.arange(rate) - at + 1) / ramp, 0, 1)
    ideal = sine * u * u * (3 - 2 * u)
    window = np.hanning(rate)
    error = np.abs(np.fft.rfft((out[:, 0] - ideal) * window)).max()
    reference = np.abs(np.fft.rfft(sine * window)).max()
    assert 20 * np.log10(error / reference + 1e-12) < -120
    # And the ramp itself is soft: 10 kHz off the sine it is 80 dB down.
    spectrum = np.abs(np.fft.rfft(out[:, 0] * window)) / reference
    assert 20 * np.log10(spectrum[11000:].max()) < -80


@pytest.mark.parametrize("control", ["a.gain", "a.pan", "a.filter", "a.solo", "transport.seek"])
def test_no_change_makes_a_step(control):
    rate = 48000
    t = np.arange(rate) / rate
    sine = (0.5 * np.sin(2 * np.pi * 220 * t)).astype(np.float32)
    stereo = np.ascontiguousarray(np.stack([sine, sine], axis=1))
    deck = Deck([Track("a", stereo), Track("b", stereo * 0.5)], rate)
    out = np.zeros((9600, 2), np.float32)
    deck.apply(TakeEvent(0, "transport.play", 1.0))
    deck.render(out[:4800])
    value = {"a.gain": -40.0, "a.pan": 1.0, "a.filter": 0.8, "a.solo": 1.0}.get(control, 0.33)
    deck.apply(TakeEvent(4800, control, value))
    deck.render(out[4800:])
    steepest = np.abs(np.diff(out, axis=0))[:4799].max()
    assert np.abs(np.diff(out, axis=0)).max() < steepest + 0.02


def test_gain_pan_and_solo_do_what_they_say(tracks):
    strips = {name: Strip() for name in NAMES}
    strips["drums"] = Strip(gain_db=-6.0, pan=-0.5)
    strips["vocals"] = Strip(pan=1.0, gain_db=3.0)
    strips["bass"] = Strip(gain_db=-90.0)
    out, _ = play(tracks, mixer=MixerState(strips, master_db=-3.0))
    expected = 10 ** (-6 / 20) * folded(tracks[0]) * [1.0, 0.5] + folded(tracks[2])
    expected = expected + 10 ** (3 / 20) * folded(tracks[3]) * [0.0, 1.0]
    assert np.abs(out - expected * 10 ** (-3 / 20)).max() < 1e-6
    strips = {
        name: Strip(soloed=name in {"bass", "other"}, muted=name == "other") for name in NAMES
    }
    out, _ = play(tracks, mixer=MixerState(strips))
    assert np.abs(out - folded(tracks[1])).max() < 1e-7  # Mute wins over solo.


@pytest.mark.parametrize(("position", "kept_hz", "lost_hz"), [(-0.6, 60, 9000), (0.6, 9000, 60)])
def test_the_filter_takes_one_end_away_and_leaves_the_other(position, kept_hz, lost_hz):
    rate = 48000
    t = np.arange(rate) / rate
    levels = {}
    for hz in (kept_hz, lost_hz):
        sine = np.sin(2 * np.pi * hz * t).astype(np.float32)
        deck = Deck([Track("a", np.ascontiguousarray(np.stack([sine] * 2, axis=1)))], rate)
        deck.set_mixer(MixerState({"a": Strip(filter=position)}))
        deck.apply(TakeEvent(0, "transport.play", 1.0))
        out = np.zeros((rate, 2), np.float32)
        deck.render(out)
        levels[hz] = 20 * np.log10(np.sqrt(np.mean(out[rate // 2 :] ** 2) * 2))
    assert abs(levels[kept_hz]) < 1.5
    assert levels[lost_hz] < -20


def test_a_filter_at_the_centre_is_not_there(tracks):
    there_and_back = [TakeEvent(500, "drums.filter", 0.7), TakeEvent(900, "drums.filter", 0.0)]
    out, _ = play(tracks, there_and_back, 4000)
    assert np.abs(out[900 + RAMP :] - plain_mix(tracks)[900 + RAMP : 4000]).max() < 1e-7


def test_a_loop_returns_on_its_frame_and_keeps_the_attack_of_its_start(tracks):
    start, end = 4000, 8000
    events = [
        TakeEvent(0, "loop.start", start / RATE),
        TakeEvent(0, "loop.end", end / RATE),
        TakeEvent(14000, "loop.on", 0.0),
    ]
    out, deck = play(tracks, events, 20000)
    mix = plain_mix(tracks)
    assert np.abs(out[: end - RAMP] - mix[: end - RAMP]).max() < 1e-7
    assert np.abs(out[end : end + 3900] - mix[start : start + 3900]).max() < 1e-7
    assert np.abs(out[16000:] - mix[8000:12000]).max() < 1e-7  # Out of the loop, and on.
    assert deck.head == 12000


def steepest_step(events, frames=24000, rate=48000):
    """The largest step between two samples of a soft low sine that is played with events."""
    t = np.arange(rate * 4) / rate
    sine = (0.5 * np.sin(2 * np.pi * 55 * t + 0.3)).astype(np.float32)
    deck = Deck([Track("a", np.ascontiguousarray(np.stack([sine, sine], axis=1)))], rate)
    out = np.zeros((frames, 2), np.float32)
    at = 0
    for event in [TakeEvent(0, "transport.play", 1.0), *events, None]:
        until = frames if event is None else event.frame
        deck.render(out[at:until])
        at = until
        if event is not None:
            deck.apply(event)
    return np.abs(np.diff(out[:, 0])).max()


@pytest.mark.parametrize("before", [1, 60, 130, 239, 240, 241])
def test_nothing_that_happens_just_before_the_end_of_a_loop_makes_a_step(before):
    """A ramp has 240 frames; the loop is 5000 … 11000, and so is what is done to it."""
    start, end = 5000 / 48000, 11000 / 48000
    late = 11000 - before
    loop = [TakeEvent(100, "loop.start", start), TakeEvent(100, "loop.end", end)]
    plain = steepest_step(loop)
    assert plain < 0.012
    for events in (
        [TakeEvent(late, "loop.start", start), TakeEvent(late, "loop.end", end)],
        [*loop, TakeEvent(late, "loop.on", 0.0)],
        [*loop, TakeEvent(6000, "transport.seek", late / 48000)],
        [*loop, *(TakeEvent(8000 + k, "transport.seek", k / 100) for k in range(0, before, 17))],
        [*loop, TakeEvent(late, "transport.seek", 4.0)],
    ):
        assert steepest_step(events) < 0.012


def test_a_stutter_repeats_its_slice_and_returns_in_time(tracks):
    at, back = 5200, 9000
    events = [
        TakeEvent(at, "drums.stutter", 8.0, slice=(5000, 1000)),
        TakeEvent(back, "drums.stutter", 0.0),
    ]
    out, _ = play(tracks, events, 12000)
    rest = plain_mix(tracks[1:])
    drums = out - rest[:12000]
    own = folded(tracks[0])
    assert np.abs(drums[6000:6900] - own[5000:5900]).max() < 1e-6
    assert np.abs(drums[7000:7900] - own[5000:5900]).max() < 1e-6
    assert np.abs(drums[back + RAMP + 1 :] - own[back + RAMP + 1 : 12000]).max() < 1e-6


def test_a_pause_fades_and_goes_on_where_it_stopped(tracks):
    out, deck = play(tracks, [TakeEvent(3000, "transport.play", 0.0)], 6000)
    assert not out[3000 + RAMP :].any()
    assert deck.head == 3000 + RAMP
    deck.apply(TakeEvent(0, "transport.play", 1.0))
    more = np.zeros((500, 2), np.float32)
    deck.render(more)
    mix = plain_mix(tracks)
    assert np.abs(more[RAMP:] - mix[3000 + 2 * RAMP : 3500 + RAMP]).max() < 1e-7


def test_meters_tell_peak_and_power(tracks):
    _, deck = play(tracks, frames=4000)
    for index, track in enumerate(tracks):
        sound = folded(track)[:4000]
        np.testing.assert_allclose(deck.meters[index, :2], np.abs(sound).max(axis=0), rtol=1e-6)
        np.testing.assert_allclose(deck.meters[index, 2:], (sound**2).sum(axis=0), rtol=1e-6)


def test_every_layout_folds_to_stereo():
    for channels in (1, 2, 3, 6, 8):
        assert fold_to_stereo(channels).shape == (2, channels)
    np.testing.assert_allclose(fold_to_stereo(6)[:, 3], 0)  # The LFE is left out.


controls = st.sampled_from(NAMES).flatmap(
    lambda stem: st.one_of(
        st.tuples(st.just(f"{stem}.gain"), st.floats(-90, 10)),
        st.tuples(st.just(f"{stem}.pan"), st.floats(-1, 1)),
        st.tuples(st.just(f"{stem}.filter"), st.floats(-1, 1)),
        st.tuples(st.sampled_from([f"{stem}.mute", f"{stem}.solo"]), st.sampled_from([0.0, 1.0])),
        st.tuples(st.just(f"{stem}.stutter"), st.sampled_from([0.0, 8.0, 32.0])),
        st.tuples(st.sampled_from(["transport.seek", "loop.end"]), st.floats(0, SECONDS)),
        st.tuples(st.sampled_from(["transport.play", "loop.on"]), st.sampled_from([0.0, 1.0])),
        st.tuples(st.just("master.gain"), st.floats(-90, 10)),
    )
)
events = st.lists(
    st.tuples(
        st.integers(0, 7999), controls, st.integers(0, 3000), st.integers(0, 9000),
        st.integers(1, 2000),
    ).map(
        lambda e: TakeEvent(
            e[0], e[1][0], 0.0 if e[1] == ("loop.on", 1.0) else e[1][1], e[2], (e[3], e[4])
        )
    ),
    max_size=25,
)  # fmt: skip


@settings(max_examples=60)
@given(events=events, block=st.integers(1, 1500))
def test_the_samples_do_not_depend_on_the_blocks(tracks, events, block):
    ordered = sorted(events, key=lambda e: e.frame)
    one, _ = play(tracks, ordered, 8000, 64)
    other, _ = play(tracks, ordered, 8000, block)
    np.testing.assert_array_equal(one, other)
    assert np.isfinite(one).all()


def test_a_take_may_begin_between_the_two_moves_that_set_a_loop(tracks):
    deck = Deck(tracks, RATE)
    deck.apply(TakeEvent(0, "loop.end", 0.5))
    deck.apply(TakeEvent(0, "loop.start", 0.75))
    start = deck.start_of_take()
    assert start.loop == (round(0.75 * RATE), round(0.75 * RATE))
    end = TakeEvent(0, "loop.end", 1.0)
    Take("", tuple(t.name for t in tracks), "dsp", RATE, start, 100, (end,)).check()
    other = Deck(tracks, RATE)
    other.begin(start)
    for each in (deck, other):
        each.apply(end)
        assert each.loop == (round(0.75 * RATE), RATE)
