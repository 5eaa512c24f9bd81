"""The embedded demo song: synthesised on the spot, so that its stems and beats are known.

Fourteen bars of house-like pop at 116 bpm in A minor after a pick-up of two beats: intro,
verse, chorus, outro. Seeded, so the samples are the same at every run on one machine.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.studio.demo_instruments import (
    bass_note,
    closed_hat,
    crash,
    kick,
    open_hat,
    pad_chord,
    pluck,
    room,
    snare,
    sung_phrase,
)

FloatArray = npt.NDArray[np.float32]

RATE_HZ = 44100
BPM = 116.0
BEATS_PER_BAR = 4
_BEAT_S = 60.0 / BPM
_PICKUP_BEATS = 2
_LEAD_S = 0.5 * _BEAT_S  # A breath before the pick-up: the first beat is not at 0.

# Bars of each section, in order.
_FORM = (("Intro", 4), ("Verse", 6), ("Chorus", 8), ("Outro", 2))
# Root of the bass and notes of the chord, as MIDI numbers, one entry a bar.
_CHORDS = {
    "Am": (33, (57, 60, 64, 67)),
    "F": (29, (53, 57, 60, 64)),
    "Dm": (38, (53, 57, 62, 65)),
    "E": (28, (52, 56, 59, 64)),
}
_LOOP = ("Am", "F", "Dm", "E")
# The melody: (beat in a phrase of two bars, length in beats, MIDI note, vowel, consonant).
_VERSE_TUNE = (
    (0.5, 0.5, 57, "a", "s"),
    (1.0, 0.5, 60, "e", ""),
    (1.5, 1.0, 62, "o", "t"),
    (3.0, 0.5, 60, "i", "k"),
    (3.5, 1.5, 57, "a", ""),
    (5.5, 0.5, 60, "o", "s"),
    (6.0, 1.5, 64, "u", ""),
)
_CHORUS_TUNE = (
    (0.0, 1.5, 69, "a", "h"),
    (1.5, 0.5, 67, "e", ""),
    (2.0, 1.5, 64, "o", "t"),
    (3.5, 0.5, 67, "i", ""),
    (4.0, 2.0, 64, "a", "s"),
    (6.0, 0.5, 65, "e", "k"),
    (6.5, 1.5, 64, "o", ""),
)


class DemoSong(msgspec.Struct, frozen=True):
    """A song with its truth.

    Attributes:
        title: What it is called.
        artist: Who it is by.
        sample_rate_hz: Sample rate.
        stems: float32 of shape (2, frames): drums, bass, other, vocals.
        mix: Their exact float32 sum.
        beats_s: Time of every beat.
        downbeats: Indices into `beats_s`.
        bpm: Tempo.
        key: Key.
        sections: Start in seconds and name of every section.
    """

    title: str
    artist: str
    sample_rate_hz: int
    stems: dict[str, FloatArray]
    mix: FloatArray
    beats_s: tuple[float, ...]
    downbeats: tuple[int, ...]
    bpm: float
    key: str
    sections: tuple[tuple[float, str], ...]


def compose() -> DemoSong:
    """Synthesise the song; takes a second or two."""
    bars = sum(count for _, count in _FORM)
    beats = _PICKUP_BEATS + bars * BEATS_PER_BAR
    frames = round((_LEAD_S + beats * _BEAT_S + 1.5) * RATE_HZ)
    score = _Score(frames, np.random.default_rng(1164))
    stems = {
        "drums": _drums(score),
        "bass": _bass(score),
        "other": _other(score),
        "vocals": _vocals(score),
    }
    mix: FloatArray = np.zeros((2, frames), np.float32)
    for stem in stems.values():
        mix += stem
    starts = np.cumsum([0] + [count for _, count in _FORM])
    return DemoSong(
        title="Terminal Velocity",
        artist="The Demo",
        sample_rate_hz=RATE_HZ,
        stems=stems,
        mix=mix,
        beats_s=tuple(_LEAD_S + k * _BEAT_S for k in range(beats)),
        downbeats=tuple(range(_PICKUP_BEATS, beats, BEATS_PER_BAR)),
        bpm=BPM,
        key="A minor",
        sections=tuple(
            (_bar_s(int(bar)), name) for bar, (name, _) in zip(starts, _FORM, strict=False)
        ),
    )


def _bar_s(bar: float) -> float:
    """Start of a bar in seconds; bar 0 follows the pick-up."""
    return _LEAD_S + (_PICKUP_BEATS + bar * BEATS_PER_BAR) * _BEAT_S


def _bars() -> list[tuple[int, str]]:
    """Every bar with the section it is in."""
    names = [name for name, count in _FORM for _ in range(count)]
    return list(enumerate(names))


class _Score:
    """Stereo tracks onto which notes are put."""

    def __init__(self, frames: int, rng: np.random.Generator) -> None:
        self.frames = frames
        self.rng = rng

    def track(self) -> npt.NDArray[np.float64]:
        return np.zeros((2, self.frames))

    def put(
        self,
        track: npt.NDArray[np.float64],
        time_s: float,
        note: npt.NDArray[np.float64],
        *,
        gain: float = 1.0,
        pan: float = 0.0,
    ) -> None:
        """Add a mono or stereo note at a time; pan from -1 (left) to 1 (right), constant power."""
        start = round(time_s * RATE_HZ)
        if note.ndim == 1:
            angle = (pan + 1) * np.pi / 4
            note = np.stack([np.cos(angle) * note, np.sin(angle) * note]) * np.sqrt(2)
        count = min(note.shape[1], self.frames - start)
        track[:, start : start + count] += gain * note[:, :count]


def _drums(score: _Score) -> FloatArray:
    track = score.track()
    rng = score.rng
    for step in range(2):
        score.put(track, _LEAD_S + step * _BEAT_S, kick(), gain=0.75)
        score.put(track, _LEAD_S + (step + 0.5) * _BEAT_S, closed_hat(rng), gain=0.14, pan=0.2)
    for bar, name in _bars():
        start = _bar_s(bar)
        if bar == 0 or (name == "Chorus" and _bars()[bar - 1][1] != "Chorus"):
            score.put(track, start, crash(rng), gain=0.22, pan=-0.25)
        for beat in range(BEATS_PER_BAR):
            at = start + beat * _BEAT_S
            score.put(track, at, kick(), gain=0.85 if beat == 0 else 0.75)
            if name in {"Verse", "Chorus"} and beat % 2:
                score.put(track, at, snare(rng), gain=0.5, pan=0.05)
            score.put(track, at + _BEAT_S / 2, open_hat(rng), gain=0.16, pan=0.2)
            if name != "Intro":
                for sixteenth in (0.25, 0.75):
                    late = at + sixteenth * _BEAT_S + rng.uniform(0, 0.004)
                    score.put(track, late, closed_hat(rng), gain=rng.uniform(0.06, 0.1), pan=0.2)
    return _finish(room(track, rng, share=0.06), 0.42)


def _bass(score: _Score) -> FloatArray:
    track = score.track()
    for bar, name in _bars():
        if name == "Intro":
            continue
        root = _CHORDS[_LOOP[bar % 4]][0]
        pattern = (0.5, 1.5, 2.5, 3.5) if name == "Verse" else (0.5, 1.5, 2.0, 2.5, 3.5)
        for index, beat in enumerate(pattern):
            note = root + (12 if index == len(pattern) - 1 else 0)
            score.put(
                track, _bar_s(bar) + beat * _BEAT_S, bass_note(note, 0.45 * _BEAT_S), gain=0.5
            )
        score.put(track, _bar_s(bar), bass_note(root, 0.4 * _BEAT_S), gain=0.45)
    return _finish(track, 0.40)


def _other(score: _Score) -> FloatArray:
    pads, plucks = score.track(), score.track()
    for bar, name in _bars():
        notes = _CHORDS[_LOOP[bar % 4]][1]
        loud = {"Intro": 0.16, "Verse": 0.12, "Chorus": 0.16, "Outro": 0.18}[name]
        score.put(pads, _bar_s(bar), pad_chord(notes, 4 * _BEAT_S, score.rng), gain=loud)
        if name in {"Verse", "Outro"}:
            continue
        for step in range(8):
            note = notes[(step * 3) % 4] + (12 if step % 4 == 3 else 0)
            pan = 0.7 if step % 2 else -0.7
            score.put(plucks, _bar_s(bar) + step * _BEAT_S / 2, pluck(note, 0.5), gain=0.2, pan=pan)
    return _finish(pads + room(plucks, score.rng, share=0.25), 0.66)


def _vocals(score: _Score) -> FloatArray:
    track = score.track()
    tunes: dict[str, tuple[tuple[float, float, int, str, str], ...]] = {
        "Verse": _VERSE_TUNE,
        "Chorus": _CHORUS_TUNE,
    }
    first = 0
    for name, count in _FORM:
        for phrase in range(0, count if name in tunes else 0, 2):
            sung = sung_phrase(tunes[name], _BEAT_S, 8 * _BEAT_S, score.rng)
            score.put(track, _bar_s(first + phrase), sung, gain=0.5 if name == "Verse" else 0.58)
        first += count
    return _finish(room(track, score.rng, share=0.12), 0.50)


def _finish(track: npt.NDArray[np.float64], gain: float) -> FloatArray:
    """Fade the last half second out, take the offset away, and make it float32."""
    fade = np.ones(track.shape[1])
    fade[-RATE_HZ // 2 :] = np.linspace(1, 0, RATE_HZ // 2) ** 2
    finished: FloatArray = ((track - track.mean(axis=1, keepdims=True)) * fade * gain).astype(
        np.float32
    )
    return finished
