"""Four stems by non-negative matrix factorisation, guided by bands and by HPSS.

The magnitude spectrogram is split into four rough parts: the percussive part, the harmonic
part of the bass band, the harmonic part of the band of voices where it moves, and the rest.
Each is modelled by a few spectra and their activations, V ≈ H·W, with multiplicative updates; the
four models become soft masks that sum to one, on the phase of the mix. The divergence that the
updates lower is that of Kullback and Leibler between magnitudes (`nmf`; Lee & Seung, "Algorithms
for non-negative matrix factorization", NIPS 2000), or that of Itakura and Saito between powers
(`nmf-is`; Févotte, Bertin, Durrieu, "Nonnegative matrix factorization with the Itakura-Saito
divergence", Neural Computation 21(3), 2009), for which what is quiet counts as much as what is
loud. With V̂ = H·W the updates are, and likewise for the other factor,

    KL: H ← H · (V/V̂)·Wᵀ / 1·Wᵀ        IS: H ← H · √((V/V̂²)·Wᵀ / (1/V̂)·Wᵀ)

where the root makes sure that the divergence never rises (Févotte & Idier, "Algorithms for
nonnegative matrix factorization with the β-divergence", Neural Computation 23(9), 2011).
"""

from __future__ import annotations

from typing import Literal

import msgspec
import numpy as np

from workstation.model import JobContext
from workstation.separate.hpss import hpss_masks
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator
from workstation.separate.stft import istft, stft, window_size

Divergence = Literal["kl", "is"]

_STEMS = ("drums", "bass", "other", "vocals")
_SUMMARIES = {
    "kl": "Four stems from spectra that recur, guided by bands: for teaching.",
    "is": "The same with a divergence for which quiet parts count as loud ones do.",
}
_SOURCES = {
    "kl": "Lee & Seung, NIPS 2000",
    "is": "Févotte, Bertin, Durrieu, Neural Computation 21(3), 2009",
}
_WINDOW_S = 0.046
_BASS_HZ = 220.0
_VOICE_HZ = (180.0, 5000.0)
_TINY = np.float32(1e-9)
# Of the mean power: the divergence of Itakura and Saito from nothing is infinite.
_IS_FLOOR = np.float32(1e-8)
_TINIEST = np.float32(1e-30)  # Powers of very quiet magnitudes still count beside it.


def nmf(
    power: FloatArray,
    components: int,
    *,
    iterations: int,
    seed: int,
    divergence: Divergence = "kl",
    job: JobContext,
) -> FloatArray:
    """Model a spectrogram as a sum of a few spectra with activations: V ≈ H · W.

    Args:
        power: Magnitudes, or powers for `is`: float32, shape (windows, bins), not negative.
        components: Number of spectra.
        iterations: Number of multiplicative updates of both factors.
        seed: Of the random start, so that the result is the same every time.
        divergence: What the updates lower: `kl` or `is`.
        job: Progress out, cancellation in.

    Returns:
        The model: float32, shape of `power`, not negative. Zero for silence.
    """
    windows, bins = power.shape
    rng = np.random.default_rng(seed)
    mean = power.mean(dtype=np.float64)
    if mean == 0:
        return np.zeros_like(power)
    scale = np.float32(1)
    if divergence == "is":
        # Powers of quiet songs have squares that single precision cannot hold.
        scale = np.float32(mean)
        power = np.maximum(power / scale, _IS_FLOOR)
        mean = 1.0
    level = np.float32(np.sqrt(mean / components))
    activations = level * (0.5 + rng.random((windows, components), np.float32))
    spectra = level * (0.5 + rng.random((components, bins), np.float32))
    update = _update_is if divergence == "is" else _update_kl
    for step in range(iterations):
        job.check()
        job.report(step / iterations)
        activations = update(power, activations, spectra)
        spectra = update(power.T, spectra.T, activations.T).T
    return (activations @ spectra) * scale


def _update_kl(power: FloatArray, left: FloatArray, right: FloatArray) -> FloatArray:
    """The left factor of V ≈ left · right, improved for the Kullback-Leibler divergence."""
    ratio = power / (left @ right + _TINY)
    updated: FloatArray = left * (ratio @ right.T) / (right.sum(axis=1) + _TINY)
    return updated


def _update_is(power: FloatArray, left: FloatArray, right: FloatArray) -> FloatArray:
    """The left factor of V ≈ left · right, improved for the Itakura-Saito divergence."""
    inverse = 1 / (left @ right + _TINY)
    ups = (power * inverse * inverse) @ right.T
    updated: FloatArray = left * np.sqrt(ups / (inverse @ right.T + _TINY))
    return updated


class Nmf(msgspec.Struct, frozen=True):
    """The `nmf` engine.

    Attributes:
        components: Spectra of drums, bass, other and vocals.
        iterations: Updates of each model.
        divergence: `kl` for magnitudes or `is` for powers.
    """

    components: tuple[int, int, int, int] = (16, 8, 24, 24)
    iterations: int = 40
    divergence: Divergence = "kl"
    chunk_s: float = 60.0
    overlap_s: float = 2.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="nmf" if self.divergence == "kl" else "nmf-is",
            summary=_SUMMARIES[self.divergence],
            stems=_STEMS,
            family="instrument",
            code_licence="MIT",
            realtime_factor=0.06 if self.divergence == "kl" else 0.08,
            source=f"{_SOURCES[self.divergence]}; guided by HPSS (Fitzgerald, DAFx 2010)",
            revision="3" if self.divergence == "kl" else "1",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (channels, frames); one set of masks serves all channels."""
        size = window_size(rate_hz, _WINDOW_S)
        hop = size // 2
        spectrum = stft(mix, size, hop)
        magnitude = np.abs(spectrum).mean(axis=0)
        # Masks are shares of powers: those of models of magnitudes are their squares.
        weights = []
        for index, part in enumerate(_rough_parts(magnitude, size / rate_hz)):
            step = job.part(0.05 + 0.2 * index, 0.25 + 0.2 * index)
            model = nmf(
                part if self.divergence == "kl" else part * part,
                self.components[index],
                iterations=self.iterations,
                seed=index,
                divergence=self.divergence,
                job=step,
            )
            weights.append(model * model if self.divergence == "kl" else model)
        total = np.sum(weights, axis=0, dtype=np.float32) + _TINIEST
        stems = {}
        for name, weight in zip(_STEMS, weights, strict=True):
            job.check()
            stems[name] = istft(spectrum, size, hop, mix.shape[1], weight / total)
        return stems


def _rough_parts(magnitude: FloatArray, bins_per_hz: float) -> list[FloatArray]:
    """Drums, bass, other and vocals as HPSS and bands alone tell them; they sum to the whole."""
    harmonic, percussive = hpss_masks(magnitude)
    # What moves within a quarter of a second is harmonic to a short filter, not to a long one.
    lasting, _ = hpss_masks(magnitude, kernel=(63, 31))
    hz = np.arange(magnitude.shape[1], dtype=np.float32) / np.float32(bins_per_hz)
    low = 1 / (1 + (hz / _BASS_HZ) ** 6)
    voice = ((hz > _VOICE_HZ[0]) & (hz < _VOICE_HZ[1])).astype(np.float32) * (1 - low)
    drums = percussive * magnitude
    sounding = harmonic * magnitude
    bass = sounding * low
    vocals = sounding * voice * (1 - lasting)
    return [drums, bass, sounding - bass - vocals, vocals]


def make_nmf(options: EngineOptions) -> Separator:
    """Make the engine; it needs no weights, so the options do not matter to it."""
    del options
    return Nmf()


def make_nmf_is(options: EngineOptions) -> Separator:
    """Make the engine with the divergence of Itakura and Saito."""
    del options
    return Nmf(divergence="is")
