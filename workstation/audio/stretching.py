"""Another tempo or another pitch, in bounded memory, with Signalsmith Stretch.

The library (MIT, the optional package `python-stretch`) takes a piece of sound and gives one of
exactly the length asked for, its own delay made up for. A song is handed over in pieces of
20 s with half a second of what comes before and after; neighbours are cross-faded in the
middle of what they share.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator
from fractions import Fraction

import numpy as np

from workstation.audio.arrays import FloatArray
from workstation.model import JobContext, UnavailableError, UsageError

_PIECE_S = 20.0
_CONTEXT_S = 0.5
_FADE_S = 0.05
_TONALITY_LIMIT_HZ = 8000.0  # Above, hiss and sibilants are shifted less: they stay natural.
TEMPO_PERCENT = (50.0, 150.0)
SEMITONES = (-12.0, 12.0)


def check_stretch(tempo_percent: float, semitones: float) -> None:
    """Find out before the work whether a tempo and a pitch can be had.

    Raises:
        UsageError: They are outside 50 to 150 % and ±12 semitones.
        UnavailableError: The package is not installed, and they need it.
    """
    low, high = TEMPO_PERCENT
    if not low <= tempo_percent <= high:
        raise UsageError(
            f"A tempo of {tempo_percent:g} % is out of range.", f"Give {low:g} to {high:g}."
        )
    low, high = SEMITONES
    if not low <= semitones <= high:
        raise UsageError(
            f"A shift by {semitones:g} semitones is out of range.", f"Give {low:g} to {high:g}."
        )
    if (tempo_percent, semitones) == (100, 0):
        return
    if importlib.util.find_spec("python_stretch") is None:
        raise UnavailableError(
            "Another tempo or pitch needs the package python-stretch, which is not installed.",
            "Install it (pip install python-stretch), or leave tempo and pitch alone.",
        )


def stretched_frames(frames: int, tempo_percent: float) -> int:
    """Length of a stretched song in frames.

    >>> stretched_frames(44100, 50), stretched_frames(44100, 150)
    (88200, 29400)
    """
    return round(frames * 100 / Fraction(tempo_percent))


def stretch(
    read: Callable[[int, int], FloatArray],
    frames: int,
    sample_rate_hz: int,
    *,
    tempo_percent: float = 100.0,
    semitones: float = 0.0,
    job: JobContext,
) -> Iterator[FloatArray]:
    """Give a song at another tempo or pitch, in pieces.

    Args:
        read: Gives samples of shape (channels, n) from a frame on: `read(start, n)`.
        frames: Length of the song.
        sample_rate_hz: Its rate.
        tempo_percent: 50 is half as fast and twice as long.
        semitones: Up or down.
        job: Progress out, cancellation in.

    Yields:
        float32, shape (channels, n); together `stretched_frames` frames.

    Raises:
        CancelledError: The job was cancelled.
    """
    piece = round(_PIECE_S * sample_rate_hz)
    context = round(_CONTEXT_S * sample_rate_hz)
    fade = round(_FADE_S * sample_rate_hz)
    tail: FloatArray | None = None
    for start in range(0, frames, piece):
        job.check()
        job.report(start / frames)
        end = min(start + piece, frames)
        begin, until = max(0, start - context), min(frames, end + context)
        made = _stretch_piece(read(begin, until - begin), sample_rate_hz, tempo_percent, semitones)
        # Places in the result are rounded from the song's start, so nothing drifts.
        offset = stretched_frames(begin, tempo_percent)
        first = stretched_frames(start, tempo_percent) - offset
        last = stretched_frames(end, tempo_percent) - offset
        missing = max(0, last + (fade if end < frames else 0) - made.shape[1])
        made = np.pad(made, ((0, 0), (0, missing)))
        out = made[:, first:last]
        if tail is not None:
            out = out.copy()
            shared = min(tail.shape[1], out.shape[1])
            out[:, :shared] = _cross_fade(tail[:, :shared], out[:, :shared])
        tail = made[:, last : last + fade] if end < frames else None
        yield out


def _stretch_piece(
    samples: FloatArray, rate_hz: int, tempo_percent: float, semitones: float
) -> FloatArray:
    from python_stretch import Signalsmith

    engine = Signalsmith.Stretch()
    engine.preset(samples.shape[0], rate_hz)
    engine.setTransposeSemitones(semitones, _TONALITY_LIMIT_HZ / rate_hz)
    engine.timeFactor = tempo_percent / 100
    made: FloatArray = np.asarray(engine.process(np.ascontiguousarray(samples)), np.float32)
    return made


def _cross_fade(old: FloatArray, new: FloatArray) -> FloatArray:
    """Fade from one to the other at an even level, however alike they are.

    Two signals of equal level and correlation r, weighed by 1 - t and t, are as loud as one
    when divided by the root of (1 - t)² + t² + 2·r·t·(1 - t).
    """
    t = (np.arange(old.shape[1], dtype=np.float32) + 0.5) / max(1, old.shape[1])
    power = float(np.sqrt(np.vdot(old, old) * np.vdot(new, new)))
    # Below -0.8 they all but cancel, and what is left would be blown up.
    alike = max(-0.8, float(np.vdot(old, new)) / power) if power > 0 else 1.0
    level = np.sqrt((1 - t) ** 2 + t**2 + 2 * alike * t * (1 - t))
    faded: FloatArray = (old * (1 - t) + new * t) / level
    return faded
