"""Mixture consistency: stems that sum to the mix they came from, to the last bit or so."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from workstation.separate.protocol import FloatArray

_BLOCK_S = 0.05


def share_residual(stems: dict[str, FloatArray], mix: FloatArray, rate_hz: int) -> None:
    """Spread what the stems miss of the mix over them, in place, by their local energy.

    This is the weighted form of the mixture-consistency projection (Wisdom et al., "Differentiable
    consistency constraints for improved deep speech enhancement", ICASSP 2019): the change
    is the smallest one that makes the stems sum to the mix. The weights follow the energy of
    each stem in blocks of 50 ms, so a stem that is silent stays silent while others play.
    No stem is scaled, clipped or normalised by itself.

    Args:
        stems: Arrays of shape (channels, frames); changed in place.
        mix: The mix, of the same shape.
        rate_hz: Sample rate.
    """
    arrays = list(stems.values())
    residual = mix - np.sum(arrays, axis=0, dtype=np.float32)
    if residual.any():
        weights = _energy_weights(arrays, rate_hz)
        for stem, weight in zip(arrays, weights, strict=True):
            np.add(stem, residual * weight, out=stem)
    # The rounding that is left goes into the stem that is loudest, where it is inaudible.
    loudest = max(arrays, key=lambda stem: float(np.vdot(stem, stem)))
    loudest += mix - np.sum(arrays, axis=0, dtype=np.float32)


def _energy_weights(arrays: list[FloatArray], rate_hz: int) -> FloatArray:
    """Share of each stem in the energy around every frame: shape (stems, 1, frames), sums to 1."""
    frames = arrays[0].shape[1]
    block = max(1, round(_BLOCK_S * rate_hz))
    starts = np.arange(0, frames, block)
    energy: npt.NDArray[np.float64] = np.stack(
        [np.add.reduceat(np.einsum("cf,cf->f", a, a, dtype=np.float64), starts) for a in arrays]
    )
    total = energy.sum(axis=0)
    shares = np.where(total > 0, energy / np.where(total > 0, total, 1), 1 / len(arrays))
    centres = starts + block / 2
    at = np.arange(frames)
    return np.stack([np.interp(at, centres, share) for share in shares])[:, None].astype(np.float32)
