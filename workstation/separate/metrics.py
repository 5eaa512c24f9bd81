"""How well stems were separated: SDR, SI-SDR, BSS Eval version 4, and bleed into silence.

BSS Eval (Vincent, Gribonval, Févotte, IEEE TASLP 14(4), 2006; version 4: Stöter, Liutkus, Ito,
LVA/ICA 2018) splits an estimate into four signals that sum to it:

    ŝ = s + e_spat + e_interf + e_artif

s is the true stem. s + e_spat is the projection of ŝ onto the true stem delayed by 0 to 511
samples in each channel: what a filter of 512 taps can make of it. s + e_spat + e_interf is the
projection onto all true stems delayed so. What is left is e_artif. The ratios, in dB:

    SDR = |s|² / |e_spat + e_interf + e_artif|²      ISR = |s|² / |e_spat|²
    SIR = |s + e_spat|² / |e_interf|²                SAR = |s + e_spat + e_interf|² / |e_artif|²

As in version 4, the filters are those of the whole song and the ratios those of windows of one
second. A window in which any stem or estimate is all zeros says nothing and is left out.

Where stems are little else than filtered versions of each other, the filters have enormous gains
that cancel over the song but not within a second: SIR and SAR say nothing then, nor in museval.

Nothing here holds a whole song: correlations are gathered in pieces, ratios window by window.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import msgspec
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
"""float64, shape (stems, channels, frames) unless something else is said."""

FILTER_TAPS = 512
# What has less power than this, in dB of full scale, is silent: dither and the hum of converters.
SILENCE_DBFS = -80.0
# Stands for infinite: more than any file of 32-bit floats can hold.
MOST_DB = 200.0

_HISTORY = FILTER_TAPS - 1
_FFT_FRAMES = 8192
_BLOCK_FRAMES = _FFT_FRAMES - _HISTORY
# Part of each channel's power that is added where channels say the same (mono within stereo).
_LOADS = (0.0, 1e-15, 1e-14, 1e-13, 1e-12, 1e-11, 1e-10, 1e-9, 1e-8)
_PIECE_WINDOWS = 8

Pieces = Callable[[int], Iterator[tuple[npt.ArrayLike, npt.ArrayLike]]]
"""Reads a song from its start in pieces of so many frames: true stems and estimates."""


class Correlations:
    """Correlations of true stems with each other and with estimates, gathered piece by piece.

    With x any channel of a true stem and y any channel at all: r_xy[k] = Σ_n x[n − k]·y[n] for
    k = 0 … 511, by FFT over blocks that overlap in 511 samples.

    Args:
        stems: Number of true stems.
        targets: Number of estimates.
        channels: Channels of each.
    """

    def __init__(self, stems: int, targets: int, channels: int) -> None:
        self.channels = channels
        self._own = stems * channels
        self._history = np.zeros((self._own, _HISTORY))
        self._spectrum = np.zeros(
            (_FFT_FRAMES // 2 + 1, self._own, self._own + targets * channels), np.complex128
        )

    def add(self, references: Array, estimates: Array) -> None:
        """Take in the next piece: (stems, channels, n) and (targets, channels, n)."""
        frames = references.shape[-1]
        blocks = -(-frames // _BLOCK_FRAMES)
        missing = blocks * _BLOCK_FRAMES - frames
        now = references.reshape(self._own, frames)
        earlier = np.concatenate([self._history, now], axis=1)
        self._history = earlier[:, -_HISTORY:].copy()
        late = np.pad(earlier, ((0, 0), (0, missing)))
        late = np.lib.stride_tricks.sliding_window_view(late, _FFT_FRAMES, axis=1)
        late = late[:, ::_BLOCK_FRAMES]
        both = np.concatenate([now, estimates.reshape(-1, frames)])
        both = np.pad(both, ((0, 0), (0, missing))).reshape(len(both), blocks, _BLOCK_FRAMES)
        both = np.pad(both, ((0, 0), (0, 0), (_HISTORY, 0)))
        delayed = np.fft.rfft(late, axis=2).conj().transpose(2, 0, 1)
        self._spectrum += delayed @ np.fft.rfft(both, axis=2).transpose(2, 1, 0)

    def lags(self) -> Array:
        """r_xy[k]: shape (512, channels of true stems, those and channels of estimates)."""
        return np.fft.irfft(self._spectrum, n=_FFT_FRAMES, axis=0)[:FILTER_TAPS]

    def filters(self, stems: Sequence[int], targets: Sequence[int]) -> Array:
        """Filters that turn some true stems into the best likeness of some estimates.

        They solve the normal equations G·c = d, where G holds the correlations of all delayed
        channels with each other and d those with a channel of an estimate. Channels are brought
        to equal power first, so that a quiet stem is as exact as a loud one.

        Returns:
            Shape (channels of the true stems, 512, channels of the estimates).
        """
        from scipy.linalg import LinAlgError, cho_factor, cho_solve

        lags = self.lags()
        rows = self._channels_of(stems)
        power = lags[0, rows, rows]
        scale = 1 / np.sqrt(np.where(power > 0, power, 1.0))
        columns = self._own + self._channels_of(targets)
        wanted = lags[:, rows[:, None], columns] * scale[:, None]
        wanted = wanted.transpose(1, 0, 2).reshape(-1, len(columns))
        own = lags[:, rows[:, None], rows] * (scale[:, None] * scale)
        for load in _LOADS:
            gram = _gram(own)
            # A channel without any sound has an equation too: its filter is zero.
            gram.flat[:: len(gram) + 1] += np.repeat(np.where(power > 0, load, 1.0), FILTER_TAPS)
            try:
                factor = cho_factor(gram, lower=True, overwrite_a=True, check_finite=False)
            except LinAlgError:
                continue
            solved: Array = cho_solve(factor, wanted, check_finite=False)
            return solved.reshape(len(rows), FILTER_TAPS, -1) * scale[:, None, None]
        raise AssertionError("a matrix of correlations is never negative")

    def _channels_of(self, stems: Sequence[int]) -> npt.NDArray[np.intp]:
        first = np.asarray(stems, np.intp)[:, None] * self.channels
        return (first + np.arange(self.channels)).ravel()


def _gram(lags: Array) -> Array:
    """Inner products of delayed channels, from lags of shape (512, n, n): (512 n, 512 n)."""
    from scipy.linalg import toeplitz

    count = lags.shape[1]
    gram = np.empty((count * FILTER_TAPS, count * FILTER_TAPS))
    for i in range(count):
        for j in range(i + 1):
            block = toeplitz(lags[:, i, j], lags[:, j, i])
            at, to = i * FILTER_TAPS, j * FILTER_TAPS
            gram[at : at + FILTER_TAPS, to : to + FILTER_TAPS] = block
            gram[to : to + FILTER_TAPS, at : at + FILTER_TAPS] = block.T
    return gram


class BssRatios(msgspec.Struct, frozen=True):
    """The ratios of BSS Eval in dB: each of shape (targets, windows), NaN where nothing is said.

    Attributes:
        sdr: Signal to distortion, all errors counted (`bss_eval_images`, museval).
        isr: Image to spatial distortion: what is only filtered.
        sir: Source to interference: what comes from other stems.
        sar: Sources to artefacts: what comes from no stem.
        source_sdr: SDR that forgives what a filter explains (`bss_eval_sources`).
    """

    sdr: Array
    isr: Array
    sir: Array
    sar: Array
    source_sdr: Array


class Projector:
    """Splits windows of estimates into their parts, and measures these.

    Args:
        correlations: Those of the whole song.
        stems: Which of the true stems interfere: all that are not silent.
        targets: Which estimates are measured.
        own: For every one of `targets`, its place among `stems`.
        frames: Longest window.
    """

    def __init__(
        self,
        correlations: Correlations,
        stems: Sequence[int],
        targets: Sequence[int],
        own: Sequence[int],
        frames: int,
    ) -> None:
        from scipy.fft import next_fast_len

        self._fft = next_fast_len(frames + _HISTORY, real=True)
        self._stems, self._targets, self._own = list(stems), list(targets), list(own)
        self._all = self._spectra(correlations.filters(stems, targets))
        self._alone = np.stack(
            [
                self._spectra(correlations.filters([stems[place]], [target]))
                for target, place in zip(targets, own, strict=True)
            ]
        )

    def _spectra(self, filters: Array) -> npt.NDArray[np.complex128]:
        """Spectra of filters: (frequencies, channels of estimates, channels of true stems)."""
        return np.fft.rfft(filters, n=self._fft, axis=1).transpose(1, 2, 0).copy()

    def ratios(self, references: Array, estimates: Array) -> Array:
        """The ratios of one window: shape (5, targets), in the order of `BssRatios`."""
        true = references[self._stems]
        estimate = estimates[self._targets]
        if not (true.any(axis=(1, 2)).all() and estimate.any(axis=(1, 2)).all()):
            return np.full((5, len(self._targets)), np.nan)
        stems, channels, frames = true.shape
        length = frames + _HISTORY
        spectra = np.fft.rfft(true, n=self._fft, axis=2)
        spectra = spectra.reshape(stems * channels, -1).T[:, :, None]
        everything = self._signals(self._all @ spectra, length).reshape(-1, channels, length)
        by_stem = spectra.reshape(-1, stems, channels)[:, self._own].transpose(1, 0, 2)[..., None]
        filtered = np.stack(
            [self._signals(f @ s, length) for f, s in zip(self._alone, by_stem, strict=True)]
        )
        end = ((0, 0), (0, 0), (0, _HISTORY))
        target, whole = np.pad(true[self._own], end), np.pad(estimate, end)
        return np.stack(
            [
                _ratio_db(target, whole - target),
                _ratio_db(target, filtered - target),
                _ratio_db(filtered, everything - filtered),
                _ratio_db(everything, whole - everything),
                _ratio_db(filtered, whole - filtered),
            ]
        )

    def _signals(self, spectra: npt.NDArray[np.complex128], length: int) -> Array:
        return np.fft.irfft(spectra[..., 0], n=self._fft, axis=0)[:length].T


def _ratio_db(signal: Array, error: Array) -> Array:
    """10·log10(Σ signal² / Σ error²) over channels and frames: shape (targets,)."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.sum(signal**2, axis=(1, 2)) / np.sum(error**2, axis=(1, 2))
        return np.asarray(10 * np.log10(ratio))


def bss_eval(
    references: npt.ArrayLike, estimates: npt.ArrayLike, *, window: int | None = None
) -> BssRatios:
    """BSS Eval of arrays: estimates in the order of the true stems, no permutation is tried.

    Args:
        references: True stems, shape (stems, channels, frames); none of them all zeros.
        estimates: The same shape.
        window: Frames of the windows that are measured, side by side; None for one over
            everything, which gives `bss_eval_images` and, in `source_sdr`, `bss_eval_sources`.

    Raises:
        ValueError: The shapes are different, or a signal is all zeros.
    """
    true, estimate = np.asarray(references, np.float64), np.asarray(estimates, np.float64)
    if true.shape != estimate.shape or true.ndim != 3:
        raise ValueError(f"shapes {true.shape} and {estimate.shape} are not one of three axes")
    if not (true.any(axis=(1, 2)).all() and estimate.any(axis=(1, 2)).all()):
        raise ValueError("a signal is all zeros")
    stems, channels, frames = true.shape
    correlations = Correlations(stems, stems, channels)
    for start in range(0, frames, _BLOCK_FRAMES * _PIECE_WINDOWS):
        piece = slice(start, start + _BLOCK_FRAMES * _PIECE_WINDOWS)
        correlations.add(true[..., piece], estimate[..., piece])
    window = frames if window is None else min(window, frames)
    projector = Projector(correlations, range(stems), range(stems), range(stems), window)
    found = [
        projector.ratios(true[..., at : at + window], estimate[..., at : at + window])
        for at in range(0, frames - window + 1, window)
    ]
    return BssRatios(*np.stack(found, axis=-1))


class StemScores(msgspec.Struct, frozen=True):
    """How well one stem of one song was separated; in dB, None where a figure has no meaning.

    A stem whose truth is silent everywhere has only `bleed_db`.

    Attributes:
        sdr_db: Over the whole song: 10·log10(Σ s² / Σ (s − ŝ)²).
        si_sdr_db: The same with the best gain for s, over the whole song: Le Roux, Wisdom,
            Erdogan, Hershey, "SDR – half-baked or well done?", ICASSP 2019; no mean is removed.
        window_sdr_db: SDR of BSS Eval 4, median over the windows of one second.
        isr_db: ISR, likewise.
        sir_db: SIR, likewise.
        sar_db: SAR, likewise.
        bleed_db: Power of the estimate in the seconds in which the stem is silent (under
            −80 dBFS), relative to that of the mix there; lower is better.
        silent_s: How many such seconds there are.
        ceiling_db: SDR of the ideal ratio mask on the sum of the true stems, if it was asked for.
    """

    sdr_db: float | None
    si_sdr_db: float | None
    window_sdr_db: float | None
    isr_db: float | None
    sir_db: float | None
    sar_db: float | None
    bleed_db: float | None
    silent_s: float
    ceiling_db: float | None = None


class _Powers:
    """Sums over the whole song that SDR, SI-SDR and bleed are made of."""

    def __init__(self, stems: int, own: Sequence[int]) -> None:
        self.own = list(own)
        self.frames = 0
        self.true = np.zeros(stems)
        self.estimate = np.zeros(len(own))
        self.error = np.zeros(len(own))
        self.product = np.zeros(len(own))
        self.bled = np.zeros(len(own))
        self.mix = np.zeros(len(own))
        self.silent_frames = np.zeros(len(own), np.int64)

    def add(self, references: Array, estimates: Array) -> None:
        """Take in one window of one second."""
        own = references[self.own]
        true = np.sum(references**2, axis=(1, 2))
        estimate = np.sum(estimates**2, axis=(1, 2))
        self.frames += references.shape[2]
        self.true += true
        self.estimate += estimate
        self.error += np.sum((own - estimates) ** 2, axis=(1, 2))
        self.product += np.sum(own * estimates, axis=(1, 2))
        silent = is_silent(true[self.own], own[0].size)
        self.bled += np.where(silent, estimate, 0.0)
        self.mix += np.where(silent, np.sum(references.sum(axis=0) ** 2), 0.0)
        self.silent_frames += np.where(silent, references.shape[2], 0)


def is_silent(energy: Array, samples: int) -> npt.NDArray[np.bool_]:
    """Whether signals of this energy over so many samples are under −80 dBFS."""
    return np.asarray(energy < samples * 10 ** (SILENCE_DBFS / 10))


def score_stems(
    pieces: Pieces, *, stems: int, own: Sequence[int], channels: int, rate_hz: int
) -> list[StemScores]:
    """Measure the estimates of one song, reading it twice from start to end.

    Args:
        pieces: Reads the song: true stems (stems, channels, n), estimates (targets, channels, n).
        stems: Number of true stems.
        own: For every estimate, which of the true stems it is of.
        channels: Channels of all signals.
        rate_hz: Sample rate.

    Returns:
        The scores of every estimate.
    """
    correlations, powers = Correlations(stems, len(own), channels), _Powers(stems, own)
    for references, estimates in _pieces(pieces, _PIECE_WINDOWS * rate_hz):
        correlations.add(references, estimates)
        for at in range(0, references.shape[2], rate_hz):
            powers.add(references[..., at : at + rate_hz], estimates[..., at : at + rate_hz])
    sounding = np.flatnonzero(~is_silent(powers.true, powers.frames * channels)).tolist()
    measured = [t for t, stem in enumerate(own) if stem in sounding and powers.estimate[t] > 0]
    medians = np.full((5, len(own)), np.nan)
    if measured:
        window = min(rate_hz, powers.frames)
        places = [sounding.index(own[target]) for target in measured]
        projector = Projector(correlations, sounding, measured, places, window)
        medians[:, measured] = _medians(projector, pieces, window)
    return [
        _stem_scores(powers, target, medians[:, target], rate_hz, sounding=stem in sounding)
        for target, stem in enumerate(own)
    ]


def _pieces(pieces: Pieces, frames: int) -> Iterator[tuple[Array, Array]]:
    for references, estimates in pieces(frames):
        yield np.asarray(references, np.float64), np.asarray(estimates, np.float64)


def _medians(projector: Projector, pieces: Pieces, window: int) -> Array:
    """Medians over the full windows of a song, those that say nothing left out: (5, targets)."""
    found = np.stack(
        [
            projector.ratios(references, estimates)
            for references, estimates in _pieces(pieces, window)
            if references.shape[2] == window
        ]
    )
    said = found[~np.isnan(found).any(axis=(1, 2))]
    return np.median(said, axis=0) if len(said) else np.full(found.shape[1:], np.nan)


def _stem_scores(
    powers: _Powers, target: int, medians: Array, rate_hz: int, *, sounding: bool
) -> StemScores:
    true = powers.true[powers.own[target]]
    estimate, product = powers.estimate[target], powers.product[target]
    sdr = si_sdr = None
    if sounding:
        sdr = _db(true, powers.error[target])
        if estimate > 0:
            along = product**2 / true
            si_sdr = _db(along, max(estimate - along, 0.0))
    window_sdr, isr, sir, sar = (None if np.isnan(m) else _bounded(m) for m in medians[:4])
    mix = powers.mix[target]
    return StemScores(
        sdr_db=sdr,
        si_sdr_db=si_sdr,
        window_sdr_db=window_sdr,
        isr_db=isr,
        sir_db=sir,
        sar_db=sar,
        bleed_db=_db(powers.bled[target], mix) if mix > 0 else None,
        silent_s=int(powers.silent_frames[target]) / rate_hz,
    )


def _db(signal: float, error: float) -> float:
    if signal <= 0:
        return -MOST_DB
    return MOST_DB if error <= 0 else _bounded(10 * float(np.log10(signal / error)))


def _bounded(value: float) -> float:
    return min(max(float(value), -MOST_DB), MOST_DB)
