"""FastICA: as many independent sources as channels, mixed by nothing but gains.

Mixed sources are more Gaussian than single ones, so the directions in which the whitened mix z is
least Gaussian are the sources (Hyvärinen & Oja, "Independent component analysis: algorithms and
applications", Neural Networks 13, 2000). All rows of the unmixing matrix W are found at once:

    W ← mean(g(W·z)·zᵀ) - diag(mean(g'(W·z)))·W,  g = tanh,  then  W ← (W·Wᵀ)^(-1/2)·W

A stem is its source as it sounds in the channels: the column of the mixing matrix times the
source. The stems sum to the mix exactly.
"""

from __future__ import annotations

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.model import JobContext
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator

Matrix = npt.NDArray[np.float64]

_MOST_FRAMES = 1 << 19  # Statistics of more frames are no better.
_LEAST_POWER = 1e-9  # Of the weakest direction against the strongest: below, channels are alike.


def whitening(samples: Matrix) -> Matrix | None:
    """The matrix that makes channels uncorrelated and of power one.

    Args:
        samples: Shape (channels, frames), of mean zero.

    Returns:
        Shape (channels, channels); None if some channel is only gains of others, or silent.
    """
    powers, axes = np.linalg.eigh(samples @ samples.T / max(samples.shape[1], 1))
    if powers[0] <= _LEAST_POWER * powers[-1] or powers[-1] <= 0:
        return None
    white: Matrix = axes.T / np.sqrt(powers)[:, None]
    return white


def fast_ica(
    white: Matrix,
    start: Matrix,
    *,
    iterations: int = 200,
    tolerance: float = 1e-7,
    job: JobContext | None = None,
) -> Matrix:
    """Find the rotation of whitened channels that makes them independent.

    Args:
        white: Shape (channels, frames), uncorrelated and of power one.
        start: A first guess, shape (channels, channels).
        iterations: How many at most.
        tolerance: Stop when no row turns by more than this.
        job: Progress out, cancellation in.

    Returns:
        The rotation W, shape (channels, channels).
    """
    job = job or JobContext()
    rotation = _uncorrelated(start)
    for step in range(iterations):
        job.check()
        job.report(step / iterations)
        bent = np.tanh(rotation @ white)
        slope = 1 - np.mean(bent * bent, axis=1)
        turned = _uncorrelated(bent @ white.T / white.shape[1] - slope[:, None] * rotation)
        moved = np.abs(np.abs(np.einsum("ij,ij->i", turned, rotation)) - 1).max()
        rotation = turned
        if moved < tolerance:
            break
    return rotation


def _uncorrelated(rotation: Matrix) -> Matrix:
    """(W·Wᵀ)^(-1/2)·W, by the singular value decomposition of W."""
    u, _, v = np.linalg.svd(rotation)
    nearest: Matrix = u @ v
    return nearest


class FastIca(msgspec.Struct, frozen=True):
    """The `fastica` engine. What has two channels alike is one source; the other is silent."""

    chunk_s: float = 300.0
    overlap_s: float = 2.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="fastica",
            summary="Two independent sources, left to right, if gains alone mixed them.",
            stems=("source_1", "source_2"),
            family="place",
            code_licence="MIT",
            min_channels=2,
            max_channels=2,
            realtime_factor=0.002,
            source="Hyvärinen & Oja, Neural Networks 13, 2000",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (2, frames)."""
        del rate_hz
        names = self.card.stems
        some = mix[:, :: -(-mix.shape[1] // _MOST_FRAMES)].astype(np.float64)
        some -= some.mean(axis=1, keepdims=True)
        job.check()
        white = whitening(some)
        if white is None:
            return {names[0]: mix.copy(), names[1]: np.zeros_like(mix)}
        start = np.random.default_rng(0).standard_normal((2, 2))
        unmixing = fast_ica(white @ some, start, job=job.part(0.0, 0.8)) @ white
        mixing = np.linalg.inv(unmixing)
        # From left to right: by how much more of the source is on the right.
        order = np.argsort(np.arctan2(np.abs(mixing[1]), np.abs(mixing[0])))
        stems = {}
        for name, column in zip(names, order, strict=True):
            job.check()
            image = np.outer(mixing[:, column], unmixing[column]).astype(np.float32)
            stems[name] = image @ mix
        return stems


def make_fastica(options: EngineOptions) -> Separator:
    """Make the engine; it needs no weights, so the options do not matter to it."""
    del options
    return FastIca()
