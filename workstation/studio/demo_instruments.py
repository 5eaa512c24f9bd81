"""The instruments of the demo song, from first principles: drums, bass, keys and a voice.

Each gives samples at 44.1 kHz around full scale, mono (frames,) or stereo (2, frames), that
begin and end at zero, so that notes can be put anywhere without a click.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

RATE_HZ = 44100
Samples = npt.NDArray[np.float64]

# The first three formants in Hz: means of 28 women speaking (Peterson and Barney 1952);
# "m" is the hum of a closed mouth. Those above are the same for all.
_FORMANTS_HZ = {
    "a": (850, 1220, 2810),
    "e": (610, 2330, 2990),
    "i": (310, 2790, 3310),
    "o": (590, 920, 2710),
    "u": (370, 950, 2670),
    "m": (260, 1300, 2500),
}
_UPPER_FORMANTS_HZ = (4100, 5000, 6100, 7300, 8600)
_BANDWIDTHS_HZ = (90, 110, 170, 250, 300, 400, 500, 600)
# Noise of the consonants without voice: lower and upper edge in Hz, length in seconds, level.
_CONSONANTS = {
    "s": (5000, 10000, 0.085, 0.10),
    "t": (3000, 8000, 0.030, 0.16),
    "k": (1500, 4000, 0.040, 0.16),
    "h": (700, 3500, 0.070, 0.07),
}
_HUM_S = 0.08


class Syllable(NamedTuple):
    """One sung note: when and how long in beats, MIDI note, vowel, consonant before it."""

    beat: float
    beats: float
    note: int
    vowel: str
    consonant: str = ""


def _time(seconds: float) -> Samples:
    return np.arange(round(seconds * RATE_HZ)) / RATE_HZ


def _hz(note: float | Samples) -> Samples:
    return np.asarray(440.0 * 2 ** ((note - 69) / 12))


def _edges(samples: Samples, attack_s: float, release_s: float) -> Samples:
    """Fade in from zero and out to zero."""
    envelope = np.ones(samples.shape[-1])
    attack, release = round(attack_s * RATE_HZ), round(release_s * RATE_HZ)
    envelope[:attack] *= np.sin(np.linspace(0, np.pi / 2, attack)) ** 2
    envelope[-release:] *= np.cos(np.linspace(0, np.pi / 2, release)) ** 2
    return samples * envelope


def _noise(
    rng: np.random.Generator, frames: int, low_hz: float, high_hz: float, channels: int = 1
) -> Samples:
    """Noise of a band, about as strong whatever the band."""
    from scipy.signal import butter, sosfilt

    band = butter(2, [low_hz, high_hz], "bandpass", fs=RATE_HZ, output="sos")
    noise: Samples = sosfilt(band, rng.standard_normal((channels, frames)))
    noise *= np.sqrt(0.05 * RATE_HZ / (high_hz - low_hz))
    return noise[0] if channels == 1 else noise


def _smooth(curve: Samples, width_s: float) -> Samples:
    """Smooth a control curve with nearly a Gaussian: three running means."""
    from scipy.ndimage import uniform_filter1d

    for _ in range(3):
        curve = uniform_filter1d(curve, round(2 * width_s * RATE_HZ), mode="nearest")
    return curve


@cache
def _cycle(partials: int, tilt: float) -> Samples:
    turns = np.linspace(0, 1, 8193)
    cycle = np.zeros(len(turns))
    for k in range(1, partials + 1):
        cycle += np.sin(2 * np.pi * k * turns) / k**tilt
    return cycle


def _oscillator(turns: Samples, highest_hz: float, tilt: float = 1.0) -> Samples:
    """A wave whose partials fall with `k**-tilt` (1 is a sawtooth) and stop before they fold."""
    cycle = _cycle(int(16000 / highest_hz), tilt)
    wave: Samples = np.interp(turns % 1.0, np.linspace(0, 1, len(cycle)), cycle)
    return wave


# -- drums ------------------------------------------------------------------------------


def kick() -> Samples:
    """A bass drum: a sine that falls from 230 to 48 Hz, driven, with the click of the beater."""
    t = _time(0.34)
    turns = 48 * t + 182 / 42 * (1 - np.exp(-42 * t))
    body = np.tanh(1.8 * np.sin(2 * np.pi * turns) * np.exp(-7 * t))
    click = 0.35 * np.sin(2 * np.pi * 3100 * t) * np.exp(-420 * t)
    return _edges(body + click, 0.0004, 0.08)


def snare(rng: np.random.Generator) -> Samples:
    """A snare: two modes of the head and the noise of the wires."""
    t = _time(0.26)
    head = np.sin(2 * np.pi * (188 * t + 1.2 * (1 - np.exp(-60 * t))))
    head += 0.5 * np.sin(2 * np.pi * 334 * t)
    wires = _noise(rng, len(t), 1500, 11000)
    return _edges(0.5 * head * np.exp(-24 * t) + 0.9 * wires * np.exp(-17 * t), 0.0006, 0.06)


def clap(rng: np.random.Generator) -> Samples:
    """Hands: three bursts a hundredth of a second apart, then the tail."""
    t = _time(0.24)
    envelope = 0.5 * np.exp(-22 * t)
    for start in (0.0, 0.010, 0.021):
        envelope += np.where(t >= start, np.exp(-260 * (t - start).clip(0)), 0)
    return _edges(_noise(rng, len(t), 900, 4500) * envelope, 0.0006, 0.06)


def hat(rng: np.random.Generator, *, is_open: bool = False) -> Samples:
    """A hi-hat: noise and the ring of metal."""
    t = _time(0.26 if is_open else 0.08)
    ring = np.zeros(len(t))
    for hz in (6120, 7340, 8870, 10310, 11930):
        ring += np.sin(2 * np.pi * (hz * t + rng.uniform()))
    sound = _noise(rng, len(t), 6500, 15500) + 0.08 * ring
    return _edges(sound * np.exp(-(15 if is_open else 65) * t), 0.0006, 0.03)


def crash(rng: np.random.Generator) -> Samples:
    """A crash cymbal, stereo."""
    t = _time(2.4)
    sound = _noise(rng, len(t), 2500, 14000, channels=2)
    return _edges(sound * (np.exp(-2.0 * t) + 0.8 * np.exp(-25 * t)), 0.001, 0.5)


# -- bass and keys ----------------------------------------------------------------------


@cache
def bass_note(note: int, seconds: float) -> Samples:
    """A synthesiser bass: a sawtooth through a low-pass that closes, and a sine below it."""
    t = _time(seconds)
    hz = float(_hz(note))
    cutoff_hz = 170 + 2400 * np.exp(-t / 0.11)
    wave = 0.7 * np.sin(2 * np.pi * hz * t)
    for k in range(1, int(5000 / hz)):
        # The gain of a two-pole low-pass at the partial, as it moves.
        wave += np.sin(2 * np.pi * k * hz * t) / k / (1 + (k * hz / cutoff_hz) ** 2)
    return _edges(0.6 * wave * np.exp(-0.9 * t), 0.004, 0.05)


@cache
def pad_chord(notes: tuple[int, ...], seconds: float, cutoff_hz: float) -> Samples:
    """A wide pad: three sawtooths a note, detuned by some cents, others left than right."""
    from scipy.signal import butter, sosfilt

    t = _time(seconds)
    rng = np.random.default_rng(sum(notes))
    sides = np.zeros((2, len(t)))
    for note in notes:
        for cents in (-9, 0, 7):
            for side, spread in enumerate((-3, 3)):
                hz = float(_hz(note + (cents + spread) / 100))
                sides[side] += _oscillator(hz * t + rng.uniform(), hz)
    low_pass = butter(2, cutoff_hz, fs=RATE_HZ, output="sos")
    return _edges(sosfilt(low_pass, sides) / 8, 0.06, 0.3)


@cache
def piano_note(note: int, seconds: float) -> Samples:
    """An electric piano by frequency modulation (Chowning 1973): a ringing tine, a warm body."""
    t = _time(seconds)
    hz = float(_hz(note))
    turns = hz * t
    ratio = min(14, int(5000 / hz))  # Sidebands of high notes must not fold back.
    body = np.sin(2 * np.pi * turns + 1.3 * np.exp(-3 * t) * np.sin(2 * np.pi * turns))
    tine = np.sin(2 * np.pi * turns + 0.5 * np.exp(-14 * t) * np.sin(2 * np.pi * ratio * turns))
    return _edges((body + tine) / 2 * np.exp(-3.2 * t), 0.002, 0.06)


# -- the voice --------------------------------------------------------------------------


def sing(tune: Sequence[Syllable], beat_s: float, rng: np.random.Generator) -> Samples:
    """Sing a phrase: a glottal source and breath through moving formants, and consonants.

    The vocal tract is a cascade of resonators (Klatt 1980): the source falls by 6 dB an octave
    (12 of the glottis, less 6 by which the lips radiate), and the levels of the formants follow.

    Args:
        tune: Notes in order, none overlapping; the first may not begin with its consonant
            before beat 0.
        beat_s: Length of a beat.
        rng: For jitter, breath and consonants.
    """
    frames = round((tune[-1].beat + tune[-1].beats) * beat_s * RATE_HZ) + round(0.2 * RATE_HZ)
    spans = _voiced_spans(tune, beat_s)
    pitch_hz, loud = _melody(spans, frames, rng)
    turns = np.cumsum(pitch_hz) / RATE_HZ
    # Breath comes while the glottis is open: half of every cycle.
    breath = rng.standard_normal(frames) * (0.6 - 0.4 * np.cos(2 * np.pi * turns))
    source = (_oscillator(turns, float(pitch_hz.max()), 0.8) + 0.05 * breath) * loud
    voice: Samples = np.zeros(frames)
    for sound, share in _mouth(spans, frames).items():
        voice += _vocal_tract(source, sound) * share
    # As on records, a compressor evens out loud and soft notes.
    # Rounding in the running mean may leave silence a hair below zero.
    level = np.sqrt(_smooth(voice**2, 0.06).clip(0))
    voice /= np.sqrt((level + 0.05 * level.max()) * level.max())
    voice *= 0.3
    for syllable in tune:
        if syllable.consonant in _CONSONANTS:
            low_hz, high_hz, length_s, gain = _CONSONANTS[syllable.consonant]
            noise = _noise(rng, round(length_s * RATE_HZ), low_hz, high_hz)
            start = round((syllable.beat * beat_s - 0.9 * length_s) * RATE_HZ)
            voice[start : start + len(noise)] += gain * _edges(noise, 0.3 * length_s, 0.02)
    return _edges(voice, 0.005, 0.05)


class _Span(NamedTuple):
    """A stretch of voice, in samples."""

    start: int
    end: int
    note: int
    sound: str


def _voiced_spans(tune: Sequence[Syllable], beat_s: float) -> list[_Span]:
    """When the vocal cords swing: a consonant without voice cuts the note before it short."""
    spans: list[_Span] = []
    for index, syllable in enumerate(tune):
        start_s = syllable.beat * beat_s
        end_s = start_s + syllable.beats * beat_s
        if index + 1 < len(tune):
            following = tune[index + 1]
            before = _HUM_S if following.consonant == "m" else 0.0
            if following.consonant in _CONSONANTS:
                before = _CONSONANTS[following.consonant][2]
            end_s = min(end_s, following.beat * beat_s - before)
        start, end = round(start_s * RATE_HZ), round(end_s * RATE_HZ)
        if syllable.consonant == "m":
            hum = max(0, start - round(_HUM_S * RATE_HZ))
            spans.append(_Span(hum, start, syllable.note, "m"))
        spans.append(_Span(start, end, syllable.note, syllable.vowel))
    return spans


def _melody(
    spans: Sequence[_Span], frames: int, rng: np.random.Generator
) -> tuple[Samples, Samples]:
    """Pitch in Hz (gliding, vibrato that grows, jitter) and loudness, at every sample."""
    notes = np.full(frames, float(spans[0].note))
    loud, held = np.zeros(frames), np.zeros(frames)
    for span in spans:
        notes[span.start :] = span.note
        loud[span.start : span.end] = 0.5 if span.sound == "m" else rng.uniform(0.85, 1.0)
        held[span.start + round(0.22 * RATE_HZ) : span.end] = 1.0
    t = np.arange(frames) / RATE_HZ
    vibrato = 0.3 * _smooth(held, 0.07) * np.sin(2 * np.pi * 5.5 * t)
    jitter = _smooth(rng.standard_normal(frames), 0.004)
    drift = _smooth(rng.standard_normal(frames), 0.08)
    wobble = 0.05 * jitter / jitter.std() + 0.06 * drift / drift.std()
    shimmer = 1 + 0.04 * jitter[::-1] / jitter.std()
    return _hz(_smooth(notes, 0.018) + vibrato + wobble), _smooth(loud, 0.010) * shimmer


def _mouth(spans: Sequence[_Span], frames: int) -> dict[str, Samples]:
    """How much of every sound the mouth forms at every sample, with soft changes; they sum to 1."""
    shares = {span.sound: np.zeros(frames) for span in spans}
    starts = [0, *(span.start for span in spans[1:]), frames]
    for span, start, end in zip(spans, starts, starts[1:], strict=False):
        shares[span.sound][start:end] = 1.0
    return {sound: _smooth(share, 0.016) for sound, share in shares.items()}


def _vocal_tract(source: Samples, sound: str) -> Samples:
    from scipy.signal import sosfilt

    sections = []
    formants_hz = (*_FORMANTS_HZ[sound], *_UPPER_FORMANTS_HZ)
    for hz, width_hz in zip(formants_hz, _BANDWIDTHS_HZ, strict=True):
        radius = np.exp(-np.pi * width_hz / RATE_HZ)
        b = -2 * radius * np.cos(2 * np.pi * hz / RATE_HZ)
        c = radius**2
        sections.append([1 + b + c, 0, 0, 1, b, c])  # Gain 1 at 0 Hz.
    voice: Samples = sosfilt(np.array(sections), source)
    return voice


# -- the room ---------------------------------------------------------------------------


def add_room(
    track: npt.NDArray[np.float32], rng: np.random.Generator, *, share: float, decay_s: float
) -> None:
    """Add reverberation to a stereo track: noise that falls by 60 dB in `decay_s`.

    Low frequencies stay dry, as engineers keep them. Left and right differ.
    """
    from scipy.signal import oaconvolve

    t = _time(decay_s)
    response = _noise(rng, len(t), 300, 7000, channels=2) * np.exp(-6.9 * t / decay_s)
    response *= np.minimum(1, t / 0.01)
    response *= share / np.sqrt((response**2).sum(axis=1, keepdims=True))
    for side in range(2):
        wet = oaconvolve(track[side], response[side].astype(np.float32))
        track[side] += wet[: track.shape[1]]
