"""Engines whose stems are plain fractions of the mix, so that sums can be done by hand."""

import numpy as np

from workstation.model import JobContext
from workstation.separate import engine as real_engine
from workstation.separate.protocol import EngineCard, EngineOptions

RATE = 8000
OPTIONS = EngineOptions(offline=True)


class Fractions:
    """Gives every stem a fraction of the mix."""

    chunk_s, overlap_s = 10.0, 1.0

    def __init__(self, name, rate=None, most=None, **fractions):
        self.fractions = fractions
        self.calls = 0
        self.card = EngineCard(
            name=name,
            summary="",
            stems=tuple(fractions),
            code_licence="MIT",
            sample_rate_hz=rate,
            max_channels=most,
            realtime_factor=0.1,
            source=f"about {name}",
            revision=f"r-{name}",
        )

    def separate(self, mix, rate_hz, job):
        self.calls += 1
        return {name: mix * np.float32(share) for name, share in self.fractions.items()}


FAKES = {
    "a": Fractions("a", drums=0.4, other=0.2, vocals=0.4),
    "b": Fractions("b", drums=0.2, other=0.4, vocals=0.1),
    "c": Fractions("c", drums=0.9, other=0.0, vocals=0.2),
    "six": Fractions("six", drums=0.2, other=0.1, guitar=0.1, piano=0.1, vocals=0.5),
    "two": Fractions("two", vocals=0.5, instrumental=0.5),
    "odd": Fractions("odd", harmonic=0.5, percussive=0.5),
}


def make(name):
    return FAKES[name] if name in FAKES else real_engine(name, OPTIONS)


def noise(*, channels=2, frames=RATE, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, (channels, frames)).astype(np.float32)


def shares(engine, mix=None):
    """What fraction of the mix every stem of an engine of fakes is."""
    mix = noise() if mix is None else mix
    stems = engine.separate(mix, RATE, JobContext())
    assert tuple(stems) == engine.card.stems
    found = {}
    for name, samples in stems.items():
        found[name] = float(np.vdot(samples, mix) / np.vdot(mix, mix))
        assert np.allclose(samples, mix * np.float32(found[name]), atol=1e-6)
    return {name: round(share, 5) + 0.0 for name, share in found.items()}
