"""Mixture consistency: stems that sum to the mix they came from, to the last bit or so."""

from __future__ import annotations

from collections.abc import Iterator

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


def block_frames(rate_hz: int) -> int:
    """Frames of the blocks whose energy decides."""
    return max(1, round(_BLOCK_S * rate_hz))


class Sharing:
    """`share_residual` over a signal that comes piece by piece: the same as over all of it.

    Args:
        frames: Length of the signal.
        rate_hz: Sample rate.
        start: Where the first piece begins: a multiple of `block_frames`, one block before the
            first frame that is wanted, or 0.
    """

    def __init__(self, frames: int, rate_hz: int, start: int) -> None:
        self._frames, self._rate_hz = frames, rate_hz
        self._block = block_frames(rate_hz)
        self._begin = start
        self._given = start + self._block if start else 0
        self._stems: FloatArray | None = None
        self._mix: FloatArray | None = None

    def add(self, stems: FloatArray, mix: FloatArray) -> Iterator[tuple[int, FloatArray]]:
        """Take the next piece, and give what is finished by it.

        Args:
            stems: Shape (stems, channels, n).
            mix: Shape (channels, n).

        Yields:
            Where it begins, and stems that sum to the mix there.
        """
        if self._stems is None or self._mix is None:
            self._stems, self._mix = stems, mix
        else:
            self._stems = np.concatenate([self._stems, stems], axis=2)
            self._mix = np.concatenate([self._mix, mix], axis=1)
        known = self._begin + self._mix.shape[1]
        # Weights between the middles of two blocks need both of them to be whole.
        ready = known if known == self._frames else known // self._block * self._block - self._block
        if ready <= self._given:
            return
        size = min(ready + self._block, known) - self._begin
        shared = {str(k): stem[:, :size].copy() for k, stem in enumerate(self._stems)}
        share_residual(shared, self._mix[:, :size], self._rate_hz)
        cut = slice(self._given - self._begin, ready - self._begin)
        yield self._given, np.stack([stem[:, cut] for stem in shared.values()])
        drop = max(0, ready - self._block - self._begin)
        self._stems, self._mix = self._stems[:, :, drop:].copy(), self._mix[:, drop:].copy()
        self._begin += drop
        self._given = ready


def _energy_weights(arrays: list[FloatArray], rate_hz: int) -> FloatArray:
    """Share of each stem in the energy around every frame: shape (stems, 1, frames), sums to 1."""
    frames = arrays[0].shape[1]
    block = block_frames(rate_hz)
    starts = np.arange(0, frames, block)
    energy: npt.NDArray[np.float64] = np.stack(
        [np.add.reduceat(np.einsum("cf,cf->f", a, a, dtype=np.float64), starts) for a in arrays]
    )
    total = energy.sum(axis=0)
    shares = np.where(total > 0, energy / np.where(total > 0, total, 1), 1 / len(arrays))
    centres = starts + block / 2
    at = np.arange(frames)
    return np.stack([np.interp(at, centres, share) for share in shares])[:, None].astype(np.float32)
