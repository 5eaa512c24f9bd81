"""Ideal masks: the ceiling of all engines that mask, made from the true stems.

Nothing that only multiplies the bins of the mix by numbers from 0 to 1 does much better than the
masks of those who know the truth: the ideal ratio mask, each stem's share,

    IRM: |Sⱼ|ᵃ / Σₖ |Sₖ|ᵃ,   a = 2

(the Wiener filter of the true powers; a = 1 takes magnitudes: Liutkus & Badeau, "Generalized
Wiener filtering with fractional power spectrograms", ICASSP 2015), and the ideal binary mask,
which is 1 for the loudest stem of a bin and 0 for the others (IBM; Wang, "On ideal binary mask
as the computational goal of auditory scene analysis", 2005). Over three real and three synthetic
songs the first gives 11.9 dB of SDR in the mean of four stems, magnitudes 10.7, the second 11.4.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt

from workstation.model import JobContext
from workstation.separate.protocol import FloatArray
from workstation.separate.stft import istft, stft, window_size

KINDS = ("ratio", "binary")
_WINDOW_S = 0.093
_BLOCK_S = 20.0


def ideal_masks(magnitudes: FloatArray, kind: str = "ratio", *, power: float = 2.0) -> FloatArray:
    """Masks that know the true stems; they sum to one.

    Args:
        magnitudes: Of the true stems: float32, shape (stems, …), not negative.
        kind: `ratio` or `binary`.
        power: Exponent of a ratio mask: 2 for powers, 1 for magnitudes.

    Returns:
        float32, shape of `magnitudes`. Silent bins are shared out evenly, or go to the first.

    Raises:
        ValueError: There is no such kind.
    """
    if kind not in KINDS:
        raise ValueError(f'kind must be one of {", ".join(KINDS)}, not "{kind}"')
    if kind == "binary":
        loudest = magnitudes.argmax(axis=0)
        places = np.arange(len(magnitudes)).reshape(-1, *[1] * loudest.ndim)
        chosen: FloatArray = (places == loudest).astype(np.float32)
        return chosen
    largest = magnitudes.max(axis=0)
    # Divided by the largest one first, so that no power overflows or vanishes.
    shares = np.divide(
        magnitudes, largest, out=np.ones_like(magnitudes), where=largest > 0
    ) ** np.float32(power)
    made: FloatArray = shares / shares.sum(axis=0)
    return made


def ideal_stems(
    mix: FloatArray,
    references: Mapping[str, FloatArray],
    rate_hz: int,
    *,
    kind: str = "ratio",
    power: float = 2.0,
    job: JobContext | None = None,
) -> dict[str, FloatArray]:
    """Split a mix by the ideal masks of its true stems.

    Args:
        mix: float32, shape (channels, frames).
        references: The true stems, of the same shape.
        rate_hz: Sample rate.
        kind: `ratio` or `binary`.
        power: Exponent of a ratio mask.
        job: Cancellation in.

    Returns:
        A stem for every reference, in their order; they sum to the mix.
    """
    job = job or JobContext()
    size = window_size(rate_hz, _WINDOW_S)
    hop = size // 4
    magnitudes = np.stack([np.abs(stft(stem, size, hop)) for stem in references.values()])
    job.check()
    masks = ideal_masks(magnitudes, kind, power=power)
    spectrum = stft(mix, size, hop)
    stems = {}
    for name, mask in zip(references, masks, strict=True):
        job.check()
        stems[name] = istft(spectrum, size, hop, mix.shape[1], mask)
    return stems


def ceilings_db(
    pieces: Callable[[int], Iterator[FloatArray]],
    rate_hz: int,
    *,
    kind: str = "ratio",
    job: JobContext | None = None,
) -> list[float | None]:
    """SDR of ideal masks on the sum of the true stems, block by block.

    Args:
        pieces: Reads the true stems from the start in pieces of so many frames, each of
            shape (stems, channels, frames).
        rate_hz: Sample rate.
        kind: `ratio` or `binary`.
        job: Cancellation in.

    Returns:
        10·log10(Σ s² / Σ (s - ŝ)²) in dB of every stem over the whole song; None for one that is
        silent, or that the masks give back without any error.
    """
    job = job or JobContext()
    size = window_size(rate_hz, _WINDOW_S)
    # A block begins on a window and goes on beyond both ends by what touches it: so what is
    # kept of it is what the whole song would give.
    block = max(1, round(_BLOCK_S * rate_hz / size)) * size
    energy: npt.NDArray[np.float64] | float = 0.0
    error: npt.NDArray[np.float64] | float = 0.0
    for stems, kept in _with_context(pieces(block), context=size):
        job.check()
        truth = {str(place): stem for place, stem in enumerate(stems)}
        mix: FloatArray = np.sum(list(truth.values()), axis=0)
        found = np.stack(list(ideal_stems(mix, truth, rate_hz, kind=kind, job=job).values()))
        true = stems[:, :, kept].astype(np.float64)
        energy = energy + np.sum(true**2, axis=(1, 2))
        error = error + np.sum((true - found[:, :, kept]) ** 2, axis=(1, 2))
    return [
        10 * float(np.log10(e / missed)) if e > 0 and missed > 0 else None
        for e, missed in zip(np.atleast_1d(energy), np.atleast_1d(error), strict=True)
    ]


def _with_context(
    pieces: Iterator[FloatArray], *, context: int
) -> Iterator[tuple[FloatArray, slice]]:
    """Pieces with some frames of their neighbours, and where in them the piece itself lies."""
    before: FloatArray | None = None
    here = next(pieces, None)
    while here is not None:
        after = next(pieces, None)
        parts = [] if before is None else [before[:, :, -context:]]
        start = parts[0].shape[2] if parts else 0
        parts.append(here)
        if after is not None:
            parts.append(after[:, :, :context])
        yield np.concatenate(parts, axis=2), slice(start, start + here.shape[2])
        before, here = here, after
