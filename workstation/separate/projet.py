"""PROJET: sources by how loud they are in projections of the stereo image.

The mix x is projected onto M directions pₘ; a source that stands at right angles to one is not
heard in it. The magnitudes of all projections are modelled by spectrograms P of the sources,
which stand at several of D places l_d by shares Q:

    |pₘ·x(t, f)| ≈ Σⱼ Pⱼ(t, f) · Σ_d K(m, d) · Q(d, j),    K(m, d) = |pₘ·l_d|

fitted by multiplicative updates for the Kullback-Leibler divergence. Each projection is then
split by the shares of the model, and the projections are turned back into two channels by the
pseudo-inverse (Fitzgerald, Liutkus, Badeau, "PROJET - spatial audio separation using
projections", ICASSP 2016). Unlike with masks, a stem has its own place in the stereo image.
"""

from __future__ import annotations

import msgspec
import numpy as np

from workstation.model import JobContext
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator
from workstation.separate.stft import ComplexArray, istft, stft, window_size

_WINDOW_S = 0.093
_BLOCK_WINDOWS = 64
_TINY = np.float32(1e-12)


def directions(first: float, last: float, count: int) -> FloatArray:
    """Unit vectors, shape (count, 2), between two angles: 0 is left, a quarter turn is right."""
    angles = np.linspace(first, last, count)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


class Model(msgspec.Struct, frozen=True):
    """What PROJET fits.

    Attributes:
        spectrograms: P, float32, shape (sources, windows, bins).
        shares: Q, float32, shape (places, sources).
    """

    spectrograms: FloatArray
    shares: FloatArray


def start_model(spectrum: ComplexArray, sources: int, places: int) -> Model:
    """Sources spread from left to right, each with all of the mix."""
    at = np.linspace(0, 1, places)[:, None]
    middles = (np.arange(sources) + 0.5) / sources
    shares = np.exp(-0.5 * ((at - middles) * sources) ** 2)
    level = np.abs(spectrum).mean(axis=0) / sources
    return Model(
        np.repeat(level[None], sources, axis=0), (shares / shares.sum(axis=0)).astype(np.float32)
    )


def improve(
    model: Model,
    spectrum: ComplexArray,
    towards: FloatArray,
    kernel: FloatArray,
    job: JobContext | None = None,
) -> Model:
    """One multiplicative update of P, then of Q.

    Args:
        model: The model so far.
        spectrum: The mix: complex64, shape (2, windows, bins).
        towards: Directions of the projections, shape (projections, 2).
        kernel: K above, shape (projections, places).
        job: Cancellation in.
    """
    job = job or JobContext()
    spectrograms = np.empty_like(model.spectrograms)
    heard = kernel @ model.shares
    up, down = np.zeros(model.shares.shape), np.zeros(model.shares.shape)
    for start in range(0, spectrum.shape[1], _BLOCK_WINDOWS):
        job.check()
        part = slice(start, start + _BLOCK_WINDOWS)
        flat = spectrum[:, part].reshape(2, -1)
        level = np.abs(towards @ flat)
        sources = model.spectrograms[:, part].reshape(len(model.spectrograms), -1)
        ratio = level / (heard @ sources + _TINY)
        sources = sources * (heard.T @ ratio) / (heard.sum(axis=0)[:, None] + _TINY)
        spectrograms[:, part] = sources.reshape(spectrograms[:, part].shape)
        ratio = level / (heard @ sources + _TINY)
        up += kernel.T @ (ratio @ sources.T)
        down += np.outer(kernel.sum(axis=0), sources.sum(axis=1))
    shares = (model.shares * up / np.maximum(down, _TINY)).astype(np.float32)
    # A gain could go from one factor to the other for ever.
    total = np.maximum(shares.sum(axis=0), _TINY)
    return Model(spectrograms * total[:, None, None], shares / total)


def split(
    model: Model,
    spectrum: ComplexArray,
    towards: FloatArray,
    kernel: FloatArray,
    job: JobContext | None = None,
) -> ComplexArray:
    """The spectra of the sources: complex64, shape (sources, 2, windows, bins)."""
    job = job or JobContext()
    heard = kernel @ model.shares
    back = np.linalg.pinv(towards).astype(np.float32)
    stems = np.empty((len(model.spectrograms), *spectrum.shape), np.complex64)
    for start in range(0, spectrum.shape[1], _BLOCK_WINDOWS):
        job.check()
        part = slice(start, start + _BLOCK_WINDOWS)
        flat = spectrum[:, part].reshape(2, -1)
        projected = towards @ flat
        sources = model.spectrograms[:, part].reshape(len(stems), -1)
        projected /= heard @ sources + _TINY
        for index, source in enumerate(sources):
            own = back @ (projected * (heard[:, index, None] * source))
            stems[index, :, part] = own.reshape(stems[index, :, part].shape)
    return stems


class Projet(msgspec.Struct, frozen=True):
    """The `projet` engine.

    Attributes:
        sources: How many stems.
        projections: How many directions the mix is heard from; if odd, one is deaf to the middle.
        places: How many places sources can stand at; if odd, one is the middle.
        iterations: Updates of the model.
    """

    sources: int = 3
    projections: int = 11
    places: int = 31
    iterations: int = 50
    chunk_s: float = 40.0
    overlap_s: float = 2.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="projet" if self.sources == 3 else f"projet-{self.sources}",
            summary=f"{self.sources} sources, left to right, also where they overlap; "
            "in blocks of 40 s.",
            stems=tuple(f"source_{number}" for number in range(1, self.sources + 1)),
            family="place",
            code_licence="MIT",
            min_channels=2,
            max_channels=2,
            realtime_factor=0.15,
            source="Fitzgerald, Liutkus, Badeau, ICASSP 2016",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (2, frames)."""
        size = window_size(rate_hz, _WINDOW_S)
        hop = size // 2
        spectrum = stft(mix, size, hop)
        # In parts of the loudest bin, so that what is tiny is so against the song.
        loudest = max(float(np.abs(spectrum).max()), float(_TINY))
        spectrum /= np.float32(loudest)
        # A projection is at right angles to the place a quarter turn from it.
        towards = directions(-np.pi / 2, 0, self.projections)
        at = directions(0, np.pi / 2, self.places)
        kernel = np.abs(towards @ at.T)
        model = start_model(spectrum, self.sources, self.places)
        for step in range(self.iterations):
            job.report(0.05 + 0.85 * step / self.iterations)
            model = improve(model, spectrum, towards, kernel, job)
        order = np.argsort(np.arange(self.places) @ model.shares)
        found = split(model, spectrum, towards, kernel, job)
        stems = {}
        for name, index in zip(self.card.stems, order, strict=True):
            job.check()
            stems[name] = istft(found[index], size, hop, mix.shape[1]) * np.float32(loudest)
        return stems


def make_projet(options: EngineOptions, sources: int = 3) -> Separator:
    """Make the engine; it needs no weights, so the options do not matter to it."""
    del options
    return Projet(sources=sources)
