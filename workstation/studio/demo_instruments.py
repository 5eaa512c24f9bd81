"""The instruments of the demo song: drums, bass, pads, plucks and a voice, from first principles.

Every function returns mono or stereo samples in double precision around full scale; notes
begin and end at zero.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_RATE_HZ = 44100
Samples = npt.NDArray[np.float64]

# Formants of a tenor: frequency in Hz, bandwidth in Hz, level in dB (after Csound's formant table).
_VOWELS = {
    "a": ((650, 80, 0), (1080, 90, -6), (2650, 120, -7), (2900, 130, -8), (3250, 140, -22)),
    "e": ((400, 70, 0), (1700, 80, -14), (2600, 100, -12), (3200, 120, -14), (3580, 120, -20)),
    "i": ((290, 40, 0), (1870, 90, -15), (2800, 100, -18), (3250, 120, -20), (3540, 120, -30)),
    "o": ((400, 40, 0), (800, 80, -10), (2600, 100, -12), (2800, 120, -12), (3000, 120, -26)),
    "u": ((350, 40, 0), (600, 60, -20), (2700, 100, -17), (2900, 120, -14), (3300, 120, -26)),
}
# Middle and width of the noise of a consonant in Hz, and its length in seconds.
_CONSONANTS = {
    "s": (6500, 3500, 0.09),
    "t": (4500, 4000, 0.03),
    "k": (2200, 1500, 0.035),
    "h": (1500, 1800, 0.06),
}


def _time(seconds: float) -> Samples:
    return np.arange(round(seconds * _RATE_HZ)) / _RATE_HZ


def _hz(note: float) -> float:
    return float(440.0 * 2 ** ((note - 69) / 12))


def _edges(samples: Samples, attack_s: float, release_s: float) -> Samples:
    """Fade in and out so that nothing clicks."""
    count = samples.shape[-1]
    attack = max(1, min(round(attack_s * _RATE_HZ), count))
    release = max(1, min(round(release_s * _RATE_HZ), count))
    envelope = np.ones(count)
    envelope[:attack] *= np.sin(np.linspace(0, np.pi / 2, attack)) ** 2
    envelope[-release:] *= np.cos(np.linspace(0, np.pi / 2, release)) ** 2
    return samples * envelope


def _band(samples: Samples, low_hz: float, high_hz: float, order: int = 2) -> Samples:
    from scipy.signal import butter, sosfilt

    kept = butter(order, [low_hz, high_hz], "bandpass", fs=_RATE_HZ, output="sos")
    filtered: Samples = sosfilt(kept, samples)
    return filtered


def kick() -> Samples:
    """A bass drum: a sine that falls from 180 to 48 Hz, with a short click."""
    t = _time(0.32)
    phase = 2 * np.pi * np.cumsum(48 + 132 * np.exp(-t * 38)) / _RATE_HZ
    click = np.sin(2 * np.pi * 1800 * t) * np.exp(-t * 500) * 0.25
    return _edges((np.sin(phase) * np.exp(-t * 9) + click), 0.0004, 0.05)


def snare(rng: np.random.Generator) -> Samples:
    """A snare: two tones of the shell and noise of the wires."""
    t = _time(0.24)
    shell = (np.sin(2 * np.pi * 185 * t) + 0.6 * np.sin(2 * np.pi * 331 * t)) * np.exp(-t * 26)
    wires = _band(rng.standard_normal(len(t)), 1200, 9500) * np.exp(-t * 19)
    return _edges(0.5 * shell + 0.8 * wires, 0.0005, 0.05)


def closed_hat(rng: np.random.Generator) -> Samples:
    """A closed hi-hat."""
    t = _time(0.07)
    return _edges(_band(rng.standard_normal(len(t)), 7000, 15000) * np.exp(-t * 75), 0.0005, 0.02)


def open_hat(rng: np.random.Generator) -> Samples:
    """An open hi-hat."""
    t = _time(0.22)
    return _edges(_band(rng.standard_normal(len(t)), 6500, 15000) * np.exp(-t * 17), 0.0005, 0.05)


def crash(rng: np.random.Generator) -> Samples:
    """A crash cymbal, stereo."""
    t = _time(2.2)
    noise = _band(rng.standard_normal((2, len(t))), 3000, 14000)
    return _edges(noise * np.exp(-t * 2.2), 0.001, 0.4)


def _saw(hz: float, t: Samples, phase: float = 0.0) -> Samples:
    """A sawtooth without the partials that would fold back."""
    partials = np.arange(1, min(60, int(0.45 * _RATE_HZ / hz)) + 1)[:, None]
    turns = np.linspace(0, 1, 4097)
    cycle = (np.sin(2 * np.pi * partials * turns) / partials).sum(axis=0) * (2 / np.pi)
    wave: Samples = np.interp((hz * t + phase) % 1.0, turns, cycle)
    return wave


def bass_note(note: float, seconds: float) -> Samples:
    """A plucked synth bass: sine and sawtooth through a closing low-pass."""
    t = _time(seconds + 0.06)
    hz = _hz(note)
    wave: Samples = np.sin(2 * np.pi * hz * t)
    for k in range(2, 16):
        # The filter closes: high partials die away faster.
        wave += 0.5 * np.sin(2 * np.pi * k * hz * t) / k * np.exp(-t * 2.2 * k)
    return _edges(wave * np.exp(-t * 1.5), 0.004, 0.06)


def pad_chord(notes: Sequence[int], seconds: float, rng: np.random.Generator) -> Samples:
    """A wide pad: detuned sawtooths, soft above 2 kHz, different left and right."""
    from scipy.signal import butter, sosfilt

    t = _time(seconds + 0.35)
    sides = []
    for detune in (-0.07, 0.07):
        voices = [
            _saw(_hz(note + detune * sign), t, rng.uniform()) for note in notes for sign in (-1, 1)
        ]
        sides.append(np.sum(voices, axis=0))
    soft = butter(2, 2000, "lowpass", fs=_RATE_HZ, output="sos")
    return _edges(sosfilt(soft, np.stack(sides)) * 0.35, 0.09, 0.34)


def pluck(note: float, seconds: float) -> Samples:
    """An electric-piano-like pluck by frequency modulation."""
    t = _time(seconds)
    hz = _hz(note)
    index = 2.2 * np.exp(-t * 12)
    return _edges(
        np.sin(2 * np.pi * hz * t + index * np.sin(2 * np.pi * 2 * hz * t)) * np.exp(-t * 5),
        0.002,
        0.08,
    )


def sung_phrase(
    tune: Sequence[tuple[float, float, int, str, str]],
    beat_s: float,
    seconds: float,
    rng: np.random.Generator,
) -> Samples:
    """A voice without words: a glottal source with vibrato, through the formants of its vowels.

    Args:
        tune: Notes as (beat, length in beats, MIDI note, vowel, consonant or "").
        beat_s: Length of a beat.
        seconds: Length of the phrase.
        rng: For jitter, breath and consonants.
    """
    t = _time(seconds + 0.3)
    pitch, loud = _melody(tune, beat_s, t, rng)
    source = _glottis(pitch, rng) + 0.012 * rng.standard_normal(len(t))
    voice: Samples = np.zeros(len(t))
    for vowel in {note[3] for note in tune}:
        share = _vowel_share(tune, vowel, beat_s, t)
        voice += _formants(source * loud, vowel) * share
    voice /= max(1e-9, float(np.abs(voice).max()))
    for beat, _, _, _, consonant in tune:
        if consonant:
            middle, width, length = _CONSONANTS[consonant]
            noise = _band(
                rng.standard_normal(round(length * _RATE_HZ)),
                middle - width / 2,
                middle + width / 2,
            )
            start = max(0, round((beat * beat_s - 0.8 * length) * _RATE_HZ))
            voice[start : start + len(noise)] += _edges(noise, 0.006, 0.02) * 0.12
    return _edges(voice, 0.01, 0.05)


def _melody(
    tune: Sequence[tuple[float, float, int, str, str]],
    beat_s: float,
    t: Samples,
    rng: np.random.Generator,
) -> tuple[Samples, Samples]:
    """Pitch in Hz (gliding, with vibrato and jitter) and loudness of every sample."""
    notes = np.full(len(t), float(tune[0][2]))
    loud = np.zeros(len(t))
    for beat, length, note, _, _ in tune:
        start, end = (
            round(beat * beat_s * _RATE_HZ),
            round((beat + 0.94 * length) * beat_s * _RATE_HZ),
        )
        notes[start:] = note
        loud[start:end] = 1.0
    notes = _smooth(notes, 0.018)
    depth = _smooth(loud, 0.12) ** 3 * 0.28
    jitter = _smooth(rng.standard_normal(len(t)), 0.004)
    jitter *= 0.06 / max(1e-9, float(jitter.std()))
    notes += depth * np.sin(2 * np.pi * 5.4 * t) + jitter
    return 440.0 * 2 ** ((notes - 69) / 12), _smooth(loud, 0.014)


def _smooth(curve: Samples, width_s: float) -> Samples:
    """Smooth a control curve with (nearly) a Gaussian: three running means."""
    from scipy.ndimage import uniform_filter1d

    size = max(1, round(2 * width_s * _RATE_HZ))
    for _ in range(3):
        curve = uniform_filter1d(curve, size, mode="nearest")
    return curve


def _glottis(pitch: Samples, rng: np.random.Generator) -> Samples:
    """The source of the voice: partials that fall by 12 dB an octave, none folding back."""
    phase = 2 * np.pi * np.cumsum(pitch) / _RATE_HZ
    highest = float(pitch.max())
    source: Samples = np.zeros(len(pitch))
    for k in range(1, int(7000 / highest) + 1):
        source += np.sin(k * phase + rng.uniform(0, 0.3)) / k**1.1
    return source


def _vowel_share(
    tune: Sequence[tuple[float, float, int, str, str]], vowel: str, beat_s: float, t: Samples
) -> Samples:
    """How much of a vowel sounds at every sample: 0 to 1, with soft changes."""
    share = np.zeros(len(t))
    starts = [round(note[0] * beat_s * _RATE_HZ) for note in tune] + [len(t)]
    for index, note in enumerate(tune):
        begin = 0 if index == 0 else starts[index]
        share[begin : starts[index + 1]] = float(note[3] == vowel)
    return _smooth(share, 0.02)


def _formants(source: Samples, vowel: str) -> Samples:
    """Send the source through five resonators in parallel."""
    from scipy.signal import lfilter

    voice: Samples = np.zeros(len(source))
    for hz, width, level_db in _VOWELS[vowel]:
        radius = np.exp(-np.pi * width / _RATE_HZ)
        turn = 2 * np.pi * hz / _RATE_HZ
        poles = [1, -2 * radius * np.cos(turn), radius**2]
        # Unit gain at the formant itself.
        gain = (1 - radius) * np.sqrt(1 - 2 * radius * np.cos(2 * turn) + radius**2)
        voice += 10 ** (level_db / 20) * lfilter([gain], poles, source)
    return voice


def room(track: Samples, rng: np.random.Generator, *, share: float) -> Samples:
    """Add the sound of a small room: decaying noise, different left and right."""
    from scipy.signal import fftconvolve

    t = _time(0.7)
    response = rng.standard_normal((2, len(t))) * np.exp(-t * 9)
    response *= np.minimum(1, t / 0.012)
    response /= np.sqrt((response**2).sum(axis=1, keepdims=True))
    wet = fftconvolve(track, response, axes=1)[:, : track.shape[1]]
    mixed: Samples = track + share * wet
    return mixed
