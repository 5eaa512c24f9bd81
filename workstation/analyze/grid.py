"""The beat grid of a song: loop, steady or drifting, and what decides between them.

1. A short file whose onsets all lie on an even division of its length is a **loop**: its
   tempo follows from its length, exactly (`fit_loop`).
2. Otherwise the best constant grid is fitted to the whole song (`fit_steady`). The song is
   **steady** if that grid stands out against chance, collects nearly as much onset strength
   as a tracker that may go where it likes, and is off by less than 15 ms nearly everywhere
   (`is_steady`). A steady grid runs through breakdowns without drums.
3. Else the song **drifts**, and the tracked beats are kept, smoothed so that the tempo
   moves but does not jitter (`smooth_beats`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workstation.analyze.beats import level_factor, on_offbeats, refine_peaks, track_beats
from workstation.analyze.features import LEVEL_RATE_HZ
from workstation.analyze.onsets import Onsets
from workstation.analyze.tempo import (
    TEMPI_BPM,
    Float64Array,
    preference,
    tempo_curve,
    tempogram,
)
from workstation.model import JobContext

# Longer files are songs, whose tempo is known better from their beats than from their ends.
LONGEST_LOOP_S = 30.0
# Below this nothing can be said of a beat.
SHORTEST_S = 1.5
# A rhythmic file so short that no period repeats is taken for one or two bars cut to length.
_BAR_CUT_S = 4.0
_LEAST_ONSETS = 4
_ONSET_HEARD = 0.5
_BUSIEST = 0.62
_LOOP_ALIGNMENT = 0.45
# Mean periodicity (see `tempogram`) that random events do not reach: they stay below 0.13.
_LEAST_PERIODICITY = 0.2
_LEAST_ACCENT = 2.2
_LEAST_CONTRAST = 2.0
_LEAST_GAIN = 0.65
_STEADY_WITHIN_S = 0.015
_LEAST_STEADY_SHARE = 0.75
_WHOLE_TEMPO_WITHIN_S = 0.010
_WINDOW_S = 8.0
# Attacks are looked for this near to a beat, and scatter by so much around it.
_ATTACK_REACH_S = 0.025
_ATTACK_SPREAD_S = 0.006
_END_REACH_S = 0.08
# Penalty on changes of tempo, in units of the beats' own weight.
_STIFFNESS = 8.0


@dataclass(frozen=True, slots=True)
class Pulse:
    """Beats without bars.

    Attributes:
        beats_s: Beat times in seconds.
        kind: `loop`, `steady` or `drifting`.
    """

    beats_s: Float64Array
    kind: str

    @property
    def bpm(self) -> float:
        """Mean tempo."""
        return 60.0 * (len(self.beats_s) - 1) / float(self.beats_s[-1] - self.beats_s[0])


def find_beats(onsets: Onsets, duration_s: float, *, job: JobContext) -> Pulse | None:
    """Find the beats of a song of any length.

    Args:
        onsets: Onset strength.
        duration_s: Length of the song in seconds.
        job: Progress out, cancellation in.

    Returns:
        The beats from the first at or after 0 to the end; None if there is no beat.
    """
    if duration_s < SHORTEST_S or _count_onsets(onsets) < _LEAST_ONSETS:
        return None
    if duration_s <= LONGEST_LOOP_S:
        count = fit_loop(onsets, duration_s)
        if count is not None:
            return Pulse(_beats(0.0, duration_s / count, count), "loop")
    rows = tempogram(onsets, job=job)
    job.report(0.2)
    curve = tempo_curve(rows, job=job)
    if _periodicity(rows, curve) < _LEAST_PERIODICITY:
        return None
    tracked, curve = _track_on_level(onsets, curve, job)
    job.report(0.7)
    if len(tracked) < 4 or _strength(onsets, tracked).mean() < _LEAST_ACCENT:
        return None
    job.check()
    steady = fit_steady(onsets, rows)
    job.check()
    if is_steady(onsets, steady, tracked):
        beats = steady.beats_until(duration_s)
        return Pulse(beats, "steady") if len(beats) >= 2 else None
    return Pulse(_cover(smooth_beats(tracked, _strength(onsets, tracked)), duration_s), "drifting")


def _beats(first_s: float, period_s: float, count: int) -> Float64Array:
    return first_s + period_s * np.arange(count, dtype=np.float64)


def _count_onsets(onsets: Onsets) -> int:
    inner = onsets.curve[1:-1]
    peaks = (inner > onsets.curve[:-2]) & (inner >= onsets.curve[2:]) & (inner > _ONSET_HEARD)
    return int(peaks.sum())


def _periodicity(rows: npt.NDArray[np.float32], curve: Float64Array) -> float:
    columns = np.searchsorted(TEMPI_BPM, curve * 0.9999)
    return float(rows[np.arange(len(rows)), columns].mean())


def _track_on_level(
    onsets: Onsets, curve: Float64Array, job: JobContext
) -> tuple[Float64Array, Float64Array]:
    beats = track_beats(onsets, curve, job=job)
    for _ in range(2):
        factor = level_factor(onsets, beats)
        if factor == 1.0:
            break
        curve = curve * factor
        beats = track_beats(onsets, curve, job=job)
    if len(beats) >= 4 and on_offbeats(onsets, beats):
        beats = (beats[1:] + beats[:-1]) / 2
    return beats, curve


def _smoothed(onsets: Onsets) -> Float64Array:
    from scipy.ndimage import gaussian_filter1d

    smooth: Float64Array = gaussian_filter1d(onsets.curve.astype(np.float64), 1.0)
    return smooth


def _strength(onsets: Onsets, beats_s: Float64Array) -> Float64Array:
    """Onset curve at beats, at its highest within 18 ms."""
    from scipy.ndimage import maximum_filter1d

    highest = maximum_filter1d(onsets.curve.astype(np.float64), 7, mode="constant")
    frames = np.round(beats_s * onsets.rate_hz).astype(np.intp)
    found: Float64Array = highest[np.clip(frames, 0, len(highest) - 1)]
    return found


# -- loops --------------------------------------------------------------------------


def fit_loop(onsets: Onsets, duration_s: float) -> int | None:
    """Count the beats of a loop: a file cut to whole bars.

    A file counts as a loop if its onsets lie on the grid of sixteenths (or triplets) that
    divides its length into whole bars: 0.45 of the onset strength beyond chance within
    20 ms. Loops reach 0.6 and more; excerpts cut anywhere stay below 0.25, because a grid
    that begins at the file's start and ends at its end fits them by accident only.

    Returns:
        The number of beats (whole bars of three or four), or None if the file is no loop.
    """
    counts = _bar_counts(duration_s)
    scored = []
    for count in counts:
        straight = _alignment(onsets, duration_s / count / 4)
        triplet = _alignment(onsets, duration_s / count / 3) - 0.1
        fit = max(straight, triplet)
        if fit >= _LOOP_ALIGNMENT:
            # Between counts that fit, eighths and beats count again: a coarser grid that
            # explains as much is the better one.
            fit += _alignment(onsets, duration_s / count / 2) + _alignment(
                onsets, duration_s / count
            )
            scored.append((fit / 3 + 0.3 * float(preference(60 * count / duration_s)), count))
    if scored:
        count = max(scored)[1]
        other = count * level_factor(onsets, _beats(0.0, duration_s / count, count))
        return int(other) if other in counts else count
    if duration_s < _BAR_CUT_S and _is_rhythmic(onsets):
        fours = [count for count in counts if count in {4, 8}]
        if fours:
            return max(fours, key=lambda count: float(preference(60 * count / duration_s)))
    return None


def _is_rhythmic(onsets: Onsets) -> bool:
    """Whether the curve stands still between peaks.

    Noise, which never does, has a mean of 0.7 of its RMS. The file's own start tells nothing.
    """
    curve = onsets.curve[round(0.1 * onsets.rate_hz) :].astype(np.float64)
    rms = float(np.sqrt(np.square(curve).mean()))
    return rms > 0 and float(curve.mean()) < _BUSIEST * rms


def _bar_counts(duration_s: float) -> list[int]:
    counts = sorted({meter * 2**k for meter in (3, 4) for k in range(6)})
    return [count for count in counts if 60.0 <= 60 * count / duration_s <= 200.0]


def _alignment(onsets: Onsets, step_s: float) -> float:
    """Share of onset strength within 20 ms of multiples of a step; chance is 0, all is 1."""
    reach_s = 0.02
    times = np.arange(len(onsets.curve)) / onsets.rate_hz
    away = np.abs((times / step_s + 0.5) % 1.0 - 0.5) * step_s
    near = float(onsets.curve[away <= reach_s].sum() / onsets.curve.sum())
    chance = min(2 * reach_s / step_s, 0.95)
    return (near - chance) / (1 - chance)


# -- steady songs -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Steady:
    """A constant grid: period and the time of the first beat, both in seconds."""

    period_s: float
    first_s: float

    def beats_until(self, end_s: float) -> Float64Array:
        """All beats from 0 to the end."""
        # An attack found a little before the file begins is a beat at 0.
        first = self.first_s % self.period_s
        if self.period_s - first < 0.006:
            first = 0.0
        count = max(0, int(np.ceil((end_s - first) / self.period_s - 1e-6)))
        return _beats(first, self.period_s, count)


def fit_steady(onsets: Onsets, rows: npt.NDArray[np.float32]) -> Steady:
    """Fit one tempo and one phase to a whole song.

    The period comes from the song's tempogram, is sharpened by the Fourier transform of the
    whole onset curve at the beat and its first harmonics, and then by robust least squares
    through the attacks at the beats. The phase is where the curve, folded over the period,
    is highest.
    """
    mean = np.maximum(rows.mean(axis=0), 0.0)
    bpm = float(TEMPI_BPM[int((10 * mean + preference(TEMPI_BPM)).argmax())])
    curve = _smoothed(onsets)
    steady = _fit_near(curve, onsets.rate_hz, bpm)
    for _ in range(2):
        factor = level_factor(onsets, steady.beats_until(len(curve) / onsets.rate_hz))
        if factor == 1.0:
            break
        steady = _fit_near(curve, onsets.rate_hz, 60.0 / steady.period_s * factor)
    if on_offbeats(onsets, steady.beats_until(len(curve) / onsets.rate_hz)):
        half = Steady(steady.period_s, steady.first_s + steady.period_s / 2)
        return _on_attack(curve, onsets.rate_hz, half)
    return steady


def _fit_near(curve: Float64Array, rate_hz: float, bpm: float) -> Steady:
    period = _sharpened_period(curve, rate_hz, bpm)
    period, first = _sharpest_cycle(curve, period)
    for _ in range(2):
        period, first = _through_attacks(curve, period, first)
    period = _whole_tempo(period, rate_hz, len(curve))
    first = float(_folded(curve, period, max(8, round(period))).argmax())
    first_s = first / max(8, round(period)) * period / rate_hz
    return _on_attack(curve, rate_hz, Steady(period / rate_hz, first_s))


def _sharpest_cycle(curve: Float64Array, period: float) -> tuple[float, float]:
    """Find the period near a given one whose mean cycle has the highest peak, and the peak.

    Periods are tried that move the song's end by up to `_END_REACH_S` either way.
    """
    bins = max(8, round(period))
    ends = np.linspace(-_END_REACH_S, _END_REACH_S, 41) * LEVEL_RATE_HZ
    periods = period * (1 + ends / len(curve))
    cycles = [_folded(curve, p, bins) for p in periods]
    best = int(np.argmax([cycle.max() for cycle in cycles]))
    return float(periods[best]), float(cycles[best].argmax()) / bins * float(periods[best])


def _through_attacks(curve: Float64Array, period: float, first: float) -> tuple[float, float]:
    """Lay the line of least squares through the attacks at the beats of a grid.

    Strong attacks weigh more; those far from the line less (Cauchy weights), so that
    syncopation does not bend it.

    Args:
        curve: Smoothed onset curve.
        period: Frames per beat.
        first: Frame of the first beat.

    Returns:
        Better `period` and `first`, in frames.
    """
    reach = round(_ATTACK_REACH_S * LEVEL_RATE_HZ)
    beats = first + period * np.arange(max(1, int((len(curve) - first) / period)))
    frames = np.round(beats).astype(np.intp)
    inside = (frames > reach) & (frames < len(curve) - reach - 1)
    beats, frames = beats[inside], frames[inside]
    if len(beats) < 4:
        return period, first
    around = curve[frames[:, None] + np.arange(-reach, reach + 1)]
    attacks = refine_peaks(curve, frames + around.argmax(axis=1) - reach)
    base = around.max(axis=1)
    number = (beats - first) / period
    weights, slope, start = base, period, first
    for _ in range(6):
        if weights.sum() <= 0:
            return period, first
        slope, start = (float(v) for v in np.polyfit(number, attacks, 1, w=np.sqrt(weights)))
        away_s = (attacks - start - slope * number) / LEVEL_RATE_HZ
        weights = base / (1 + (away_s / _ATTACK_SPREAD_S) ** 2)
    return slope, start


def _on_attack(curve: Float64Array, rate_hz: float, steady: Steady) -> Steady:
    """Move a grid by up to an eighth of a beat to where its mean cycle is highest."""
    period = steady.period_s * rate_hz
    bins = max(8, round(period))
    folded = _folded(curve, period, bins)
    near = round(steady.first_s * rate_hz / period * bins) + np.arange(-(bins // 8), bins // 8 + 1)
    top = int(near[int(folded[near % bins].argmax())])
    a, b, c = folded[(top - 1) % bins], folded[top % bins], folded[(top + 1) % bins]
    shift = 0.5 * (a - c) / (a - 2 * b + c) if a - 2 * b + c < 0 else 0.0
    first = (top + float(np.clip(shift, -0.5, 0.5))) / bins * steady.period_s
    return Steady(steady.period_s, first % steady.period_s)


def _whole_tempo(period: float, rate_hz: float, frames: int) -> float:
    """Take the nearest whole tempo where it fits as well.

    Machines run at whole bpm. The whole tempo is taken if, hung up in the middle of the
    song, it moves no beat by more than `_WHOLE_TEMPO_WITHIN_S`.
    """
    bpm = 60.0 * rate_hz / period
    whole = 60.0 * rate_hz / max(1, round(bpm))
    moved_s = abs(whole / period - 1) * frames / 2 / rate_hz
    return whole if moved_s <= _WHOLE_TEMPO_WITHIN_S else period


def _sharpened_period(curve: Float64Array, rate_hz: float, bpm: float) -> float:
    from scipy.fft import next_fast_len, rfft

    size = next_fast_len(len(curve) * 4, real=True)
    spectrum = np.abs(rfft(curve - curve.mean(), size))
    step = rate_hz / size
    hz = np.arange(bpm / 60 * 0.975, bpm / 60 * 1.025, step / 8)
    grid = np.arange(len(spectrum))
    score = sum(np.interp(hz * harmonic / step, grid, spectrum) for harmonic in (1, 2, 3, 4))
    return rate_hz / float(hz[int(np.argmax(score))])


def _folded(
    curve: Float64Array, period: float, bins: int, start: int = 0, end: int | None = None
) -> Float64Array:
    """Mean of the curve over all periods (in frames) that begin between two frames."""
    end = len(curve) if end is None else min(end, len(curve))
    cycles = np.arange(int(np.ceil(start / period)), max(1, int(end / period)))
    if len(cycles) == 0:
        return np.zeros(bins)
    places = (cycles[:, None] + np.arange(bins) / bins) * period
    values = np.interp(places.ravel(), np.arange(len(curve)), curve)
    folded: Float64Array = values.reshape(places.shape).mean(axis=0)
    return folded


def _window_offsets(curve: Float64Array, period: float) -> tuple[Float64Array, Float64Array]:
    """How late each window is against the song's mean cycle, in frames, and how clearly.

    Offsets beyond a quarter of a beat are not looked for: there an off-beat would match.
    """
    from scipy.fft import irfft, rfft

    bins = max(8, round(period))
    whole = _folded(curve, period, bins)
    pattern = np.conj(rfft(whole - whole.mean()))
    lag = np.arange(bins)
    lag = np.where(lag > bins // 2, lag - bins, lag)
    window = round(_WINDOW_S * LEVEL_RATE_HZ)
    offsets, weights = [], []
    for start in range(0, max(1, len(curve) - window // 2), window):
        part = _folded(curve, period, bins, start, start + window)
        match = irfft(rfft(part - part.mean()) * pattern, bins)
        match = np.where(np.abs(lag) <= bins // 4, match, -np.inf)
        best = int(match.argmax())
        offsets.append(float(lag[best]) * period / bins)
        weights.append(max(0.0, float(match[best])))
    return np.array(offsets), np.array(weights)


def is_steady(onsets: Onsets, steady: Steady, tracked: Float64Array) -> bool:
    """Whether one tempo describes a song: see the head of this module.

    Args:
        onsets: Onset strength.
        steady: The best constant grid.
        tracked: Beats of the free tracker.
    """
    curve = _smoothed(onsets)
    period = steady.period_s * onsets.rate_hz
    folded = _folded(curve, period, max(8, round(period)))
    if folded.max() < _LEAST_CONTRAST * folded.mean():
        return False
    beats = steady.beats_until(len(curve) / onsets.rate_hz)
    ours = _strength(onsets, beats)
    gain = ours.mean() / max(float(_strength(onsets, tracked).mean()), 1e-9)
    if gain < _LEAST_GAIN:
        return False
    offsets, weights = _window_offsets(curve, period)
    near = np.abs(offsets) <= _STEADY_WITHIN_S * onsets.rate_hz
    return bool(weights[near].sum() >= _LEAST_STEADY_SHARE * weights.sum())


# -- drifting songs -----------------------------------------------------------------


def smooth_beats(beats_s: Float64Array, weights: Float64Array) -> Float64Array:
    """Take the jitter out of tracked beats but leave the drift in.

    Weighted penalised least squares on the second difference (Whittaker 1923): the tempo
    may change from beat to beat, but pays for every change. Beats with strong onsets weigh
    more, and beats far from their neighbours' line less.

    Returns:
        As many beats, strictly rising.
    """
    from scipy.linalg import solveh_banded

    count = len(beats_s)
    if count < 4:
        return beats_s
    base = np.clip(weights / max(float(np.median(weights)), 1e-9), 0.05, 2.0)
    weight = base.copy()
    smooth = beats_s
    for _ in range(3):
        bands = np.zeros((3, count))
        # The banded form of D'D for second differences.
        for i, square in enumerate((1.0, 4.0, 1.0)):
            bands[2, i : count - 2 + i] += square
        for i in (1, 2):
            bands[1, i : count - 2 + i] -= 2.0
        bands[0, 2:] += 1.0
        bands *= _STIFFNESS
        bands[2] += weight
        smooth = solveh_banded(bands, weight * beats_s)
        stray = np.abs(beats_s - smooth)
        weight = base / (1 + (stray / 0.02) ** 2)
    least = 0.25 * float(np.median(np.diff(beats_s)))
    return smooth if bool((np.diff(smooth) > least).all()) else beats_s


def _cover(beats_s: Float64Array, end_s: float) -> Float64Array:
    """Continue beats at their outermost tempo to the song's start and end."""
    first = float(np.mean(np.diff(beats_s[:5])))
    last = float(np.mean(np.diff(beats_s[-5:])))
    before = beats_s[0] - first * np.arange(int((beats_s[0] + 0.006) / first), 0, -1)
    after = beats_s[-1] + last * np.arange(1, max(0, int((end_s - beats_s[-1]) / last)) + 1)
    beats = np.concatenate([before, beats_s, after])
    if -0.006 <= beats[0] < 0:
        beats[0] = 0.0
    return beats[(beats >= 0) & (beats < end_s)]
