"""Four stems by non-negative matrix factorisation, guided by bands and by HPSS.

The magnitude spectrogram is split into four rough parts: the percussive part, the harmonic
part of the bass band, the harmonic part of the band of voices where it moves, and the rest.
Each is modelled by a few spectra and their activations, with multiplicative updates for the
Kullback-Leibler divergence (Lee & Seung, "Algorithms for non-negative matrix factorization",
NIPS 2000); the four models become soft masks that sum to one, on the phase of the mix.
"""

from __future__ import annotations

import msgspec
import numpy as np

from workstation.model import JobContext
from workstation.separate.hpss import hpss_masks
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Separator
from workstation.separate.stft import istft, stft, window_size

_STEMS = ("drums", "bass", "other", "vocals")
_WINDOW_S = 0.046
_BASS_HZ = 220.0
_VOICE_HZ = (180.0, 5000.0)
_TINY = np.float32(1e-9)
_TINIEST = np.float32(1e-30)  # Powers of very quiet magnitudes still count beside it.


def nmf(
    magnitude: FloatArray, components: int, *, iterations: int, seed: int, job: JobContext
) -> FloatArray:
    """Model a spectrogram as a sum of a few spectra with activations: V ≈ H · W.

    Args:
        magnitude: float32, shape (windows, bins), not negative.
        components: Number of spectra.
        iterations: Number of multiplicative updates of both factors.
        seed: Of the random start, so that the result is the same every time.
        job: Progress out, cancellation in.

    Returns:
        The model: float32, shape of `magnitude`, not negative. Zero for silence.
    """
    windows, bins = magnitude.shape
    rng = np.random.default_rng(seed)
    level = np.float32(np.sqrt(magnitude.mean() / components))
    if level == 0:
        return np.zeros_like(magnitude)
    activations = level * (0.5 + rng.random((windows, components), np.float32))
    spectra = level * (0.5 + rng.random((components, bins), np.float32))
    for step in range(iterations):
        job.check()
        job.report(step / iterations)
        ratio = magnitude / (activations @ spectra + _TINY)
        activations *= (ratio @ spectra.T) / (spectra.sum(axis=1) + _TINY)
        ratio = magnitude / (activations @ spectra + _TINY)
        spectra *= (activations.T @ ratio) / (activations.sum(axis=0)[:, None] + _TINY)
    return activations @ spectra


class Nmf(msgspec.Struct, frozen=True):
    """The `nmf` engine.

    Attributes:
        components: Spectra of drums, bass, other and vocals.
        iterations: Updates of each model.
        power: Exponent of the soft masks.
    """

    components: tuple[int, int, int, int] = (16, 8, 24, 24)
    iterations: int = 40
    power: float = 2.0
    chunk_s: float = 60.0
    overlap_s: float = 2.0

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return EngineCard(
            name="nmf",
            summary="Four stems from spectra that recur, guided by bands: for teaching.",
            stems=_STEMS,
            code_licence="MIT",
            realtime_factor=0.06,
            source="Lee & Seung, NIPS 2000; guided by HPSS (Fitzgerald, DAFx 2010)",
            revision="2",
        )

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix of shape (channels, frames); one set of masks serves all channels."""
        size = window_size(rate_hz, _WINDOW_S)
        hop = size // 2
        spectrum = stft(mix, size, hop)
        magnitude = np.abs(spectrum).mean(axis=0)
        models = []
        for index, part in enumerate(_rough_parts(magnitude, size / rate_hz)):
            step = job.part(0.05 + 0.2 * index, 0.25 + 0.2 * index)
            models.append(
                nmf(part, self.components[index], iterations=self.iterations, seed=index, job=step)
            )
        weights = [model ** np.float32(self.power) for model in models]
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
