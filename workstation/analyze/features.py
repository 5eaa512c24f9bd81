"""From audio to features, in one pass and bounded memory.

Everything else in this room works on `Features`: about 14 kB per second of audio, whatever
the sample rate. Two short-time Fourier transforms are taken of the mono fold at 22.05 kHz: a
short one (23 ms every 5.8 ms) that tells *when* things happen, kept as levels in 32 bands,
and a long one (372 ms every 93 ms) that tells *which pitches* sound, kept as the strength of
spectral peaks folded into one octave.

Frame k of either is centred on sample k * hop: the signal is padded by half a window on both
sides, so no feature is late.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from workstation.analyze.source import BlockSource, FloatArray
from workstation.model import JobContext

RATE_HZ = 22050
LEVEL_WINDOW = 512
LEVEL_HOP = 128
PITCH_WINDOW = 8192
PITCH_HOP = 2048
LEVEL_RATE_HZ = RATE_HZ / LEVEL_HOP
PITCH_RATE_HZ = RATE_HZ / PITCH_HOP
# Pitch classes are kept in thirds of a semitone until the tuning is known.
PITCH_BINS = 36
# Level of silence: below every 24-bit file's own noise.
FLOOR_DB = -120.0
_BLOCK_S = 6.0
# Below the split a pitch counts as bass.
_PITCH_RANGE_HZ = (55.0, 2000.0)
_BASS_TOP_HZ = 220.0
_MIN_PEAK_DB = 12.0


def _band_edges() -> npt.NDArray[np.intp]:
    """First Fourier bin of every band: single bins at the bottom, then thirds of octaves."""
    bins = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    while bins[-1] < LEVEL_WINDOW // 2:
        bins.append(max(bins[-1] + 1, round(bins[-1] * 1.16)))
    return np.array([b for b in bins if b < LEVEL_WINDOW // 2], np.intp)


BAND_EDGES = _band_edges()
BAND_HZ = BAND_EDGES * (RATE_HZ / LEVEL_WINDOW)


@dataclass(frozen=True, slots=True)
class Features:
    """What is kept of a song.

    Attributes:
        duration_s: Length of the audio in seconds.
        levels_db: float16, shape (level frames, bands): level of each band, from `FLOOR_DB`.
            Frame k is centred on k / `LEVEL_RATE_HZ` seconds.
        pitches: float32, shape (pitch frames, 2, `PITCH_BINS`): strength of the spectral peaks
            in the bass and above it, by pitch class from C in thirds of a semitone (A4 =
            440 Hz). Frame k is centred on k / `PITCH_RATE_HZ` seconds.
        pitched: float32, shape (pitch frames,): share of the power that lies in clear
            spectral peaks, 0 to 1.
        tuning_vector: Sum over all peaks of strength * exp(2 pi i * deviation in semitones).
    """

    duration_s: float
    levels_db: npt.NDArray[np.float16]
    pitches: FloatArray
    pitched: FloatArray
    tuning_vector: complex

    @property
    def tuning_semitones(self) -> float:
        """How far the song is tuned above A4 = 440 Hz, -0.5 to 0.5 semitones."""
        return float(np.angle(self.tuning_vector) / (2 * np.pi))


@dataclass(slots=True)
class _Spectra:
    """Takes mono blocks at `RATE_HZ` and gives the frames that they complete."""

    window_frames: int
    hop: int
    pending: FloatArray = field(init=False)
    window: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        # Half a window of silence before the start puts frame 0 on sample 0.
        self.pending = np.zeros(self.window_frames // 2, np.float32)
        n = np.arange(self.window_frames)
        hann = 0.5 - 0.5 * np.cos(2 * np.pi * n / self.window_frames)
        # Scaled so that a full-scale sine has a peak of 1.
        self.window = (hann * 2 / hann.sum()).astype(np.float32)

    def push(self, block: FloatArray) -> FloatArray:
        """Power spectra of shape (frames, bins) of all windows that are now complete."""
        from scipy.fft import rfft

        signal = np.concatenate([self.pending, block])
        count = max(0, (len(signal) - self.window_frames) // self.hop + 1)
        self.pending = signal[count * self.hop :]
        if count == 0:
            return np.zeros((0, self.window_frames // 2 + 1), np.float32)
        frames = np.lib.stride_tricks.sliding_window_view(signal, self.window_frames)
        spectrum = rfft(frames[:: self.hop][:count] * self.window, axis=1)
        power: FloatArray = spectrum.real**2 + spectrum.imag**2
        return power


class _PitchFold:
    """Finds spectral peaks that last and folds them into one octave.

    A peak is a local maximum `_MIN_PEAK_DB` above the spectrum around it that was there in
    the frame before as well, which drums and noise are not. Its frequency is interpolated
    by a parabola through the levels (Smith & Serra, PARSHL, 1987).
    """

    def __init__(self) -> None:
        bin_hz = RATE_HZ / PITCH_WINDOW
        self._low = int(_PITCH_RANGE_HZ[0] / bin_hz)
        self._high = int(_PITCH_RANGE_HZ[1] / bin_hz)
        self._bin_hz = bin_hz
        self._before = np.zeros((1, self._high - self._low), bool)
        self.tuning_vector = 0j

    def fold(self, power: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Turn power spectra (frames, bins) into `Features.pitches` and `Features.pitched`."""
        from scipy.ndimage import uniform_filter1d

        frames = len(power)
        level = 10 * np.log10(power[:, self._low - 1 : self._high + 1] + 1e-12)
        around = uniform_filter1d(level, 41, axis=1, mode="nearest")
        left, here, right = level[:, :-2], level[:, 1:-1], level[:, 2:]
        peak = (here > left) & (here >= right) & (here > around[:, 1:-1] + _MIN_PEAK_DB)
        peak &= here > -90.0
        wide = peak.copy()
        wide[:, 1:] |= peak[:, :-1]
        wide[:, :-1] |= peak[:, 1:]
        earlier = np.concatenate([self._before, wide])
        self._before = earlier[-1:]
        lasting = peak & earlier[:-1]
        t, k = np.nonzero(lasting)
        a, b, c = left[t, k], here[t, k], right[t, k]
        shift = 0.5 * (a - c) / np.minimum(a - 2 * b + c, -1e-6)
        hz = (self._low + k + np.clip(shift, -0.5, 0.5)) * self._bin_hz
        semitones = 12 * np.log2(hz / 440.0) + 9.0
        height = 10 ** ((b - 0.25 * (a - c) * shift) / 20)
        # Loudness grows with about the 0.6th power of pressure (Stevens).
        strength = height**0.6
        self.tuning_vector += complex(np.sum(strength * np.exp(2j * np.pi * semitones)))
        pitches = np.zeros((frames, 2, PITCH_BINS), np.float32)
        place = (semitones % 12.0) * (PITCH_BINS / 12)
        lower = np.floor(place).astype(np.intp)
        part = place - lower
        register = (hz > _BASS_TOP_HZ).astype(np.intp)
        np.add.at(pitches, (t, register, lower % PITCH_BINS), strength * (1 - part))
        np.add.at(pitches, (t, register, (lower + 1) % PITCH_BINS), strength * part)
        # A sine spreads over the Hann window's main lobe: 1.5 times the power of its top bin.
        tonal = np.bincount(t, weights=1.5 * height**2, minlength=frames)
        total = power[:, self._low : self._high].sum(axis=1) + 1e-9
        return pitches, np.minimum(tonal / total, 1.0).astype(np.float32)


def _mono(block: FloatArray) -> FloatArray:
    """Fold to mono; where the channels cancel (opposite polarity), take the first."""
    first: FloatArray = block[0]
    if block.shape[0] == 1:
        return first
    mono: FloatArray = block.mean(axis=0)
    cancels = np.square(mono).sum() < 1e-3 * np.square(block).mean(axis=0).sum()
    return first if cancels else mono


def extract_features(
    source: BlockSource, *, job: JobContext, meter: Meter | None = None
) -> Features:
    """Read a song once and keep what analysis needs.

    Args:
        source: The audio, at any sample rate and number of channels.
        job: Progress out, cancellation in.
        meter: Something that wants to hear every block as well, like a loudness meter.

    Returns:
        The features; with no frames if the source is empty. Samples that are not numbers
        count as silence.

    Raises:
        CancelledError: The job was cancelled.
    """
    import soxr

    to_rate = soxr.ResampleStream(source.sample_rate_hz, RATE_HZ, 1, dtype="float32", quality="MQ")
    builder = _Builder()
    total = source.frames
    done = 0
    size = round(_BLOCK_S * source.sample_rate_hz)
    while True:
        job.check()
        block = source.read(size)
        if block.shape[1] == 0:
            break
        if meter is not None:
            meter.update(block)
        clean = np.nan_to_num(_mono(block), nan=0.0, posinf=0.0, neginf=0.0)
        builder.push(to_rate.resample_chunk(clean))
        done += block.shape[1]
        if total:
            job.report(done / total)
    if done:
        builder.push(to_rate.resample_chunk(np.zeros(0, np.float32), last=True))
    return builder.finish(done / source.sample_rate_hz)


class Meter(Protocol):
    """Something that listens along, like `workstation.audio.Loudness`."""

    def update(self, block: FloatArray, /) -> None:
        """Hear the next block, shape (channels, n)."""
        ...


class _Builder:
    def __init__(self) -> None:
        self._short = _Spectra(LEVEL_WINDOW, LEVEL_HOP)
        self._long = _Spectra(PITCH_WINDOW, PITCH_HOP)
        self._fold = _PitchFold()
        self._levels: list[npt.NDArray[np.float16]] = []
        self._pitches: list[FloatArray] = []
        self._pitched: list[FloatArray] = []

    def push(self, mono: FloatArray) -> None:
        power = np.add.reduceat(self._short.push(mono)[:, :-1], BAND_EDGES, axis=1)
        self._levels.append((10 * np.log10(power + 1e-12)).astype(np.float16))
        pitches, pitched = self._fold.fold(self._long.push(mono))
        self._pitches.append(pitches)
        self._pitched.append(pitched)

    def finish(self, duration_s: float) -> Features:
        # Half a window of silence after the end completes the last frames.
        self.push(np.zeros(PITCH_WINDOW // 2, np.float32))
        levels = np.concatenate(self._levels)[: int(duration_s * LEVEL_RATE_HZ) + 1]
        kept = int(duration_s * PITCH_RATE_HZ) + 1
        return Features(
            duration_s,
            levels,
            np.concatenate(self._pitches)[:kept],
            np.concatenate(self._pitched)[:kept],
            self._fold.tuning_vector,
        )
