"""One engine made better: shifts, Wiener filter, bleed gate, and where the residual goes."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workstation.model import JobContext, UsageError
from workstation.model.stem_roles import role_of
from workstation.separate.fitted import separate_fitted
from workstation.separate.parts import combined_card
from workstation.separate.protocol import FloatArray, Separator
from workstation.separate.stft import ComplexArray, istft, stft, window_size

RESIDUALS = ("other", "own", "energy")
_SHIFT_S = 0.5
_GATE_BLOCK_S = 0.05
_GATE_REACH_S = 0.5
_WINDOW_S = 0.093
_EPSILON = 1e-10
_INAUDIBLE = 1e-30


class Shifts:
    """The mean of several runs on the mix delayed by steps of at most half a second.

    What an engine makes depends on how its segments lie over the music; the mean of several
    lies nearer to the truth (the shift trick of Défossez et al., "Music Source Separation in
    the Waveform Domain", 2019). The delays are evenly spaced, so that the same mix always gives
    the same stems.
    """

    def __init__(self, name: str, engine: Separator, count: int) -> None:
        self._engine, self._count = engine, count
        self.card = combined_card(
            name,
            [engine],
            engine.card.stems,
            f"The mean of {count} runs of {engine.card.name} on the shifted mix.",
            times=count,
        )
        self.chunk_s, self.overlap_s = engine.chunk_s - _SHIFT_S, engine.overlap_s

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix several times; see `Separator.separate`."""
        total: dict[str, FloatArray] = {}
        for run in range(self._count):
            delay = round(run * _SHIFT_S * rate_hz / self._count)
            step = job.part(run / self._count, (run + 1) / self._count)
            delayed = np.pad(mix, ((0, 0), (delay, 0)))
            found = separate_fitted(self._engine, delayed, rate_hz, step)
            for name, samples in found.items():
                part = samples[:, delay:] / np.float32(self._count)
                total[name] = total[name] + part if name in total else part
        return total


class Gate:
    """Silences a stem where an engine gives no more than bleed: far below the mix.

    The level of a stem and of the mix is that of the loudest 50 ms within half a second
    before and after; the gate is open where the stem is above the threshold, and moves within
    50 ms. What is silenced goes to the stems that sound, since they sum to the mix.

    Args:
        name: Its expression.
        engine: Whose stems.
        threshold_db: Level of a stem against the mix below which it is bleed.
    """

    def __init__(self, name: str, engine: Separator, threshold_db: float) -> None:
        self._engine, self._threshold_db = engine, threshold_db
        self.card = combined_card(
            name,
            [engine],
            engine.card.stems,
            f"{engine.card.name}, its stems silent where they are {-threshold_db:g} dB below.",
        )
        self.chunk_s, self.overlap_s = engine.chunk_s, engine.overlap_s

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix and gate its stems; see `Separator.separate`."""
        stems = separate_fitted(self._engine, mix, rate_hz, job)
        block = max(1, round(_GATE_BLOCK_S * rate_hz))
        reach = round(_GATE_REACH_S / _GATE_BLOCK_S)
        floor = _levels(mix, block, reach) * 10 ** (self._threshold_db / 20)
        return {
            name: samples * _opening(_levels(samples, block, reach) > floor, block, samples)
            for name, samples in stems.items()
        }


def _levels(samples: FloatArray, block: int, reach: int) -> npt.NDArray[np.float64]:
    """Root mean square of blocks, of which each takes the largest around it."""
    from scipy.ndimage import maximum_filter1d

    starts = np.arange(0, samples.shape[1], block)
    power = np.einsum("cf,cf->f", samples, samples, dtype=np.float64)
    counts = np.diff([*starts, samples.shape[1]]) * samples.shape[0]
    levels = np.sqrt(np.add.reduceat(power, starts) / counts)
    around: npt.NDArray[np.float64] = maximum_filter1d(levels, 2 * reach + 1)
    return around


def _opening(is_open: npt.NDArray[np.bool_], block: int, samples: FloatArray) -> FloatArray:
    """Gain of a gate for every frame: 0 or 1, and lines between the centres of blocks.

    Blocks are open half a second around what is above the threshold: it is never cut into.
    """
    centres = (np.arange(len(is_open)) + 0.5) * block
    gain: FloatArray = np.interp(
        np.arange(samples.shape[1]), centres, is_open.astype(np.float64)
    ).astype(np.float32)
    return gain


class Wiener:
    """Refines stems with a multichannel Wiener filter, which gives each what is most like it.

    In every bin a stem is taken for Gaussian with a power v of its own and, per frequency, a
    spatial covariance R; from the mix x its best estimate is v·R·(Σ v·R)⁻¹·x, whose sum over
    the stems is the mix. v and R come from the engine's estimate and, in further rounds, from
    the refined one (Duong, Vincent, Gribonval, "Under-determined reverberant audio source
    separation using a full-rank spatial covariance model", IEEE TASLP 2010).
    """

    def __init__(self, name: str, engine: Separator, rounds: int) -> None:
        self._engine, self._rounds = engine, rounds
        self.card = combined_card(
            name,
            [engine],
            engine.card.stems,
            f"{engine.card.name}, refined by a Wiener filter.",
            more=0.05 + 0.05 * rounds,
        )
        # Spectra of all stems are held at once.
        self.chunk_s, self.overlap_s = min(engine.chunk_s, 30.0), min(engine.overlap_s, 4.0)

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix and refine the stems; see `Separator.separate`."""
        stems = separate_fitted(self._engine, mix, rate_hz, job.part(0.0, 0.7))
        peak = float(np.abs(mix).max())
        if peak < _INAUDIBLE:
            return stems
        # Powers of a very soft mix would be too small for single precision; this is exact.
        up = round(-np.log2(peak))
        size = window_size(rate_hz, _WINDOW_S)
        hop = size // 4
        for first in range(0, mix.shape[0], 2):  # Two channels at a time.
            pair = slice(first, first + 2)
            spectrum = stft(np.ldexp(mix[pair], up), size, hop)
            spectra = [stft(np.ldexp(s[pair], up), size, hop) for s in stems.values()]
            for done in range(self._rounds):
                job.check()
                job.report(0.7 + 0.3 * done / self._rounds)
                spectra = wiener_round(spectrum, spectra)
            for samples, refined in zip(stems.values(), spectra, strict=True):
                samples[pair] = np.ldexp(istft(refined, size, hop, mix.shape[1]), -up)
        return stems


def wiener_round(mix: ComplexArray, stems: list[ComplexArray]) -> list[ComplexArray]:
    """One round of the filter on spectra of one or two channels.

    Args:
        mix: complex64, shape (channels, windows, bins).
        stems: Estimates of the same shape.

    Returns:
        Estimates that sum to the mix.
    """
    # Relative to the loudest bin, so that a soft mix is treated like a loud one.
    floor = np.float32(_EPSILON * max(float(np.max(np.abs(mix) ** 2)), 1e-30))
    powers = [np.mean(np.abs(stem) ** 2, axis=0) for stem in stems]
    spaces = [_covariance(stem, power) for stem, power in zip(stems, powers, strict=True)]
    total = sum(
        (
            power[None, None] * space[:, :, None]
            for power, space in zip(powers, spaces, strict=True)
        ),
        start=np.zeros((1,), np.complex64),
    )
    for channel in range(len(mix)):
        total[channel, channel] += floor
    white = _solved(total, mix)
    refined = []
    for power, space in zip(powers, spaces, strict=True):
        turned = np.einsum("abf,btf->atf", space, white)
        refined.append((power[None] * turned).astype(np.complex64))
    return refined


def _covariance(stem: ComplexArray, power: FloatArray) -> ComplexArray:
    """Spatial covariance of a stem per frequency: shape (channels, channels, bins)."""
    energy = np.maximum(power.sum(axis=0), 1e-20)
    found: ComplexArray = (np.einsum("atf,btf->abf", stem, stem.conj()) / energy).astype(
        np.complex64
    )
    return found


def _solved(matrix: ComplexArray, mix: ComplexArray) -> ComplexArray:
    """matrix⁻¹·mix in every bin, for one or two channels; in double precision where it matters."""
    if len(mix) == 1:
        alone: ComplexArray = mix / matrix[0, 0]
        return alone
    (a, b), (c, d) = matrix.astype(np.complex128)
    determinant = a * d - b * c
    x, y = mix
    return np.stack([(d * x - b * y) / determinant, (a * y - c * x) / determinant]).astype(
        np.complex64
    )


class Residual:
    """Says where that goes which the stems of an engine miss of the mix.

    Args:
        name: Its expression.
        engine: Whose stems.
        policy: `other`: into the stem of that role; `own`: a stem `residual`; `energy`: shared
            out by the energy of the stems, as it is done without this.

    Raises:
        UsageError: The engine makes no stem of the role `other`, or has a residual already.
    """

    def __init__(self, name: str, engine: Separator, policy: str) -> None:
        stems = engine.card.stems
        self._engine, self._into = engine, None
        if policy == "other":
            self._into = next((stem for stem in stems if role_of(stem) == "other"), None)
            if self._into is None:
                raise UsageError(
                    f"{engine.card.name} makes no other: its stems are {', '.join(stems)}.",
                    "Give the residual a stem of its own: residual(…,own).",
                )
        if policy == "own":
            if "residual" in stems:
                raise UsageError(
                    f"{engine.card.name} has a residual already.", "Leave residual(…) away."
                )
            self._into = "residual"
            stems = (*stems, "residual")
        summary = f"{engine.card.name}; what it misses goes into {self._into or 'all stems'}."
        self.card = combined_card(name, [engine], stems, summary)
        self.chunk_s, self.overlap_s = engine.chunk_s, engine.overlap_s

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix; see `Separator.separate`."""
        stems = separate_fitted(self._engine, mix, rate_hz, job)
        if self._into is not None:
            missing = mix - np.sum(list(stems.values()), axis=0, dtype=np.float32)
            stems[self._into] = stems[self._into] + missing if self._into in stems else missing
        return stems
