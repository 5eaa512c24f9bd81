"""The embedded demo song: synthesised on the spot, so that its stems and beats are known.

Twenty-one bars of house-like pop at 116 bpm in A minor after a pick-up of two beats, so that
the first downbeat is not at 0. Every stem has a generator of its own with a fixed seed: the
samples are the same at every run on one machine with the same numpy and scipy (others may
differ in the last bits). Kicks lie on the beats to the sample; the rest is played by hand.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.studio.demo_instruments import (
    RATE_HZ,
    Samples,
    Syllable,
    add_room,
    bass_note,
    clap,
    crash,
    hat,
    kick,
    pad_chord,
    piano_note,
    sing,
    snare,
)

FloatArray = npt.NDArray[np.float32]

TITLE = "Terminal Velocity"
BPM = 116.0
BEATS_PER_BAR = 4
_BEAT_S = 60.0 / BPM
_PICKUP_BEATS = 2
_LEAD_S = 0.5 * _BEAT_S  # A breath before the pick-up.
_TAIL_S = 2.5
_SEED = 116

# Bars of each section, in order; the outro is the last chord.
_FORM = (("Intro", 4), ("Verse", 8), ("Chorus", 8), ("Outro", 1))
_BARS = [name for name, bars in _FORM for _ in range(bars)]
_BEATS = _PICKUP_BEATS + (len(_BARS) - 1) * BEATS_PER_BAR + 1
# Bass note and chord of each bar, as MIDI notes: Am, F, Dm, E.
_LOOP = (
    (33, (57, 60, 64, 67)),
    (29, (53, 57, 60, 64)),
    (38, (53, 57, 62, 65)),
    (28, (52, 56, 59, 64)),
)
_TUNES = {
    "Verse": (
        Syllable(0.5, 0.5, 57, "a", "s"),
        Syllable(1.0, 0.5, 60, "e", "m"),
        Syllable(1.5, 1.0, 62, "o", "t"),
        Syllable(3.0, 0.5, 60, "i", "k"),
        Syllable(3.5, 1.5, 57, "a", "m"),
        Syllable(5.5, 0.5, 60, "o", "s"),
        Syllable(6.0, 1.5, 57, "u"),
        Syllable(8.5, 0.5, 57, "a", "h"),
        Syllable(9.0, 0.5, 62, "i", "m"),
        Syllable(9.5, 1.0, 65, "e", "t"),
        Syllable(11.0, 0.5, 64, "o", "k"),
        Syllable(11.5, 1.5, 62, "a"),
        Syllable(13.5, 0.5, 59, "e", "s"),
        Syllable(14.0, 1.5, 59, "o", "m"),
    ),
    "Chorus": (
        Syllable(0.5, 1.0, 69, "a", "h"),
        Syllable(1.5, 0.5, 67, "e", "m"),
        Syllable(2.0, 1.5, 64, "o", "t"),
        Syllable(3.5, 0.5, 67, "i", "m"),
        Syllable(4.0, 1.5, 69, "a"),
        Syllable(5.5, 0.5, 72, "e", "k"),
        Syllable(6.0, 1.5, 69, "o", "s"),
        Syllable(8.0, 1.0, 65, "a", "m"),
        Syllable(9.0, 0.5, 69, "e", "t"),
        Syllable(9.5, 1.5, 74, "a", "h"),
        Syllable(11.0, 0.5, 72, "o", "s"),
        Syllable(11.5, 2.0, 71, "a", "m"),
        Syllable(13.5, 0.5, 69, "e", "k"),
        Syllable(14.0, 1.5, 68, "a"),
    ),
}


class DemoSong(msgspec.Struct, frozen=True):
    """A song with its truth.

    Attributes:
        title: What it is called.
        artist: Who it is by.
        sample_rate_hz: Sample rate in Hz.
        stems: float32 of shape (2, frames) by name: drums, bass, other, vocals.
        mix: Their float32 sum, added in that order; same shape.
        beats_s: Time of every beat in seconds, the pick-up's included.
        downbeats: Indices into `beats_s` of the first beat of every bar.
        beats_per_bar: Beats in a bar.
        bpm: Tempo, which is steady.
        key: Key, like `A minor`.
        sections: Start in seconds and name of every section.
    """

    title: str
    artist: str
    sample_rate_hz: int
    stems: dict[str, FloatArray]
    mix: FloatArray
    beats_s: tuple[float, ...]
    downbeats: tuple[int, ...]
    beats_per_bar: int
    bpm: float
    key: str
    sections: tuple[tuple[float, str], ...]


def compose() -> DemoSong:
    """Synthesise the song: 47 s of audio in some two seconds."""
    stems = {"drums": _drums(), "bass": _bass(), "other": _other(), "vocals": _vocals()}
    mix = np.zeros_like(stems["drums"])
    for stem in stems.values():
        mix += stem
    return DemoSong(
        title=TITLE,
        artist="The Demo",
        sample_rate_hz=RATE_HZ,
        stems=stems,
        mix=mix,
        beats_s=tuple(_LEAD_S + k * _BEAT_S for k in range(_BEATS)),
        downbeats=tuple(range(_PICKUP_BEATS, _BEATS, BEATS_PER_BAR)),
        beats_per_bar=BEATS_PER_BAR,
        bpm=BPM,
        key="A minor",
        sections=tuple((_bar_s(_BARS.index(name)), name) for name, _ in _FORM),
    )


def _bar_s(bar: int, beat: float = 0.0) -> float:
    """Time of a beat of a bar; bar 0 follows the pick-up, which is the end of bar -1."""
    return _LEAD_S + (_PICKUP_BEATS + bar * BEATS_PER_BAR + beat) * _BEAT_S


def _track() -> FloatArray:
    return np.zeros((2, round((_bar_s(len(_BARS) - 1) + _TAIL_S) * RATE_HZ)), np.float32)


def _put(
    track: FloatArray, time_s: float, note: Samples, gain: float = 1.0, pan: float = 0.0
) -> None:
    """Add a note at a time, panned from -1 (left) to 1 (right) at constant power."""
    start = round(time_s * RATE_HZ)
    angle = (pan + 1) * np.pi / 4
    sides = np.array([[np.cos(angle)], [np.sin(angle)]]) * np.sqrt(2) * gain
    end = min(start + note.shape[-1], track.shape[1])
    track[:, start:end] += sides * note[..., : end - start]


def _finish(track: FloatArray, gain: float) -> FloatArray:
    """Take away what is below hearing, set the level, and fade the end out."""
    from scipy.signal import butter, sosfilt

    rumble = butter(1, 15, "highpass", fs=RATE_HZ, output="sos").astype(np.float32)
    finished: FloatArray = sosfilt(rumble, track) * np.float32(gain)
    fade = round(0.8 * RATE_HZ)
    finished[:, -fade:] *= np.linspace(1, 0, fade, dtype=np.float32) ** 2
    return finished


def _drums() -> FloatArray:
    rng = np.random.default_rng([_SEED, 0])
    kicks, track = _track(), _track()
    for k in range(_BEATS):
        _put(kicks, _LEAD_S + k * _BEAT_S, kick(), rng.uniform(0.92, 1.0))
    for step in (2.5, 3.5):
        _put(track, _bar_s(-1, step), hat(rng, is_open=True), 0.16, pan=0.25)
    for bar, name in enumerate(_BARS):
        if bar in {0, _BARS.index("Chorus"), len(_BARS) - 1}:
            _put(track, _bar_s(bar), crash(rng), 0.3, pan=-0.2)
        if name != "Outro":
            _drum_bar(track, bar, name, rng)
    add_room(track, rng, share=0.25, decay_s=0.35)
    # A bus driven a little, as on records: peaks come down, the body stays.
    return _finish(np.tanh(0.75 * kicks + 1.2 * track), 0.43)


def _drum_bar(track: FloatArray, bar: int, name: str, rng: np.random.Generator) -> None:
    """One bar of everything but the kick, a hair early or late as hands are."""
    for beat in range(BEATS_PER_BAR):
        _put(track, _bar_s(bar, beat + 0.5), hat(rng, is_open=True), 0.22, pan=0.25)
        for sixteenth in (0.0, 0.25, 0.75) if name != "Intro" else (0.0,):
            at = _bar_s(bar, beat + sixteenth) + rng.normal(0, 0.0015)
            _put(track, at, hat(rng), rng.uniform(0.10, 0.18), pan=0.25)
        if name != "Intro" and beat % 2:
            late = _bar_s(bar, beat) + rng.uniform(0, 0.003)
            _put(track, late, snare(rng), rng.uniform(0.66, 0.74), pan=-0.05)
            if name == "Chorus":
                _put(track, late, clap(rng), 0.5, pan=0.1)
    if bar + 1 in {_BARS.index("Verse"), _BARS.index("Chorus")}:
        for sixteenth in range(8):
            at = _bar_s(bar, 2 + sixteenth / 4) + rng.normal(0, 0.0015)
            _put(track, at, snare(rng), 0.18 + 0.05 * sixteenth, pan=-0.05)


def _bass() -> FloatArray:
    rng = np.random.default_rng([_SEED, 1])
    track = _track()
    patterns = {
        "Intro": (),
        "Verse": ((0.0, 0.4), (0.5, 0.8), (1.5, 0.8), (2.5, 0.4), (3.0, 0.4), (3.5, 0.4)),
        "Chorus": tuple((step / 2, 0.45) for step in range(8)),
        "Outro": ((0.0, 3.5),),
    }
    for bar, name in enumerate(_BARS):
        root = _LOOP[bar % 4][0]
        for beat, beats in patterns[name]:
            note = root + 12 if beat == 3.5 else root
            at = _bar_s(bar, beat) + (abs(rng.normal(0, 0.002)) if beat else 0.0)
            _put(track, at, bass_note(note, beats * _BEAT_S), rng.uniform(0.92, 1.0))
    return _finish(track * _pumping(0.5), 0.20)


def _other() -> FloatArray:
    rng = np.random.default_rng([_SEED, 2])
    pads, keys = _track(), _track()
    brightness_hz = {"Intro": 2200.0, "Verse": 1800.0, "Chorus": 6000.0, "Outro": 6000.0}
    for bar, name in enumerate(_BARS):
        chord = _LOOP[bar % 4][1]
        pad = pad_chord(chord, 4.3 * _BEAT_S, brightness_hz[name])
        _put(pads, _bar_s(bar), pad, 0.16 if name == "Verse" else 0.24)
        if name == "Verse":
            for beat in (0.0, 1.5, 3.0):
                for note in chord:
                    at = _bar_s(bar, beat) + rng.uniform(0, 0.008)
                    _put(keys, at, piano_note(note, 0.9), rng.uniform(0.13, 0.17), pan=-0.35)
        elif name != "Outro":
            for step in range(8):
                note = chord[step * 3 % 4] + (24 if step % 4 == 3 else 12)
                at = _bar_s(bar, step / 2) + rng.uniform(0, 0.003)
                pan = -0.7 if step % 2 else 0.7
                _put(keys, at, piano_note(note, 0.9), rng.uniform(0.28, 0.36), pan=pan)
    add_room(keys, rng, share=0.35, decay_s=1.1)
    return _finish(pads * _pumping(0.5) + keys, 0.42)


def _pumping(depth: float) -> FloatArray:
    """The gain of a compressor that the kick drives: down at every beat, all back at the next."""
    frames = _track().shape[1]
    since_s = np.arange(frames) / RATE_HZ - _LEAD_S
    played = (since_s >= 0) & (since_s < _BEATS * _BEAT_S)
    since_s %= _BEAT_S
    dip = (1 - np.exp(-since_s / 0.003)) ** 2 * np.exp(-since_s / 0.09) * (1 - since_s / _BEAT_S)
    return (1 - depth * dip * played).astype(np.float32)


def _vocals() -> FloatArray:
    rng = np.random.default_rng([_SEED, 3])
    track = _track()
    for bar, name in enumerate(_BARS):
        if name in _TUNES and bar % 4 == 0:
            late_s = rng.uniform(0, 0.01)
            _put(track, _bar_s(bar) + late_s, sing(_TUNES[name], _BEAT_S, rng))
    add_room(track, rng, share=0.10, decay_s=0.9)
    return _finish(track, 0.36)
