"""The mixer as a value: what every strip is set to, and what can then be heard."""

from __future__ import annotations

import itertools

import msgspec

# A gain at or below this is silence; faces write it as -inf.
SILENT_DB = -90.0
MAX_DB = 10.0

# Where on its way (0 … 1) a fader stands at a gain: the law of large digital consoles, four
# straight pieces that give the range around 0 dB half of the way.
_FADER_LAW = ((0.0, SILENT_DB), (0.0625, -60.0), (0.25, -30.0), (0.5, -10.0), (1.0, MAX_DB))


def fader_db(position: float) -> float:
    """Gain in dB of a fader at a position from 0 (bottom, silence) to 1 (+10 dB).

    >>> fader_db(0.75), fader_db(0.5), fader_db(0.0)
    (0.0, -10.0, -90.0)
    """
    position = min(max(position, 0.0), 1.0)
    for (p0, g0), (p1, g1) in itertools.pairwise(_FADER_LAW):
        if position <= p1:
            return g0 + (position - p0) / (p1 - p0) * (g1 - g0)
    return MAX_DB


def fader_position(gain_db: float) -> float:
    """Position from 0 to 1 of a fader at a gain in dB; the inverse of `fader_db`."""
    gain_db = min(max(gain_db, SILENT_DB), MAX_DB)
    for (p0, g0), (p1, g1) in itertools.pairwise(_FADER_LAW):
        if gain_db <= g1:
            return p0 + (gain_db - g0) / (g1 - g0) * (p1 - p0)
    return 1.0


def amplitude(gain_db: float) -> float:
    """Factor of a gain in dB; 0 at and below `SILENT_DB`.

    >>> amplitude(0.0), amplitude(-90.0)
    (1.0, 0.0)
    """
    return 0.0 if gain_db <= SILENT_DB else float(10.0 ** (gain_db / 20.0))


def gain_words(gain_db: float) -> str:
    """A gain as people read it: `-6.0`, `+3.0`, `-inf`."""
    return "-inf" if gain_db <= SILENT_DB else f"{gain_db:+.1f}" if gain_db else "0.0"


class Strip(msgspec.Struct, frozen=True):
    """One channel of the mixer.

    Attributes:
        gain_db: From `SILENT_DB` to `MAX_DB`.
        pan: -1 (left) to 1 (right); a balance, so that the centre leaves the stem as it is.
        muted: Mute; it wins over solo.
        soloed: While any strip is soloed, only those are heard.
        filter: -1 … 0 closes a low-pass, 0 … 1 a high-pass; 0 leaves the stem as it is.
    """

    gain_db: float = 0.0
    pan: float = 0.0
    muted: bool = False
    soloed: bool = False
    filter: float = 0.0


class MixerState(msgspec.Struct, frozen=True):
    """All strips by the name of their stem, and the master gain."""

    strips: dict[str, Strip] = {}
    master_db: float = 0.0

    @classmethod
    def neutral(cls, stems: tuple[str, ...]) -> MixerState:
        """Every stem as it is: the sum is the song."""
        return cls({name: Strip() for name in stems})

    def audible(self, stem: str) -> bool:
        """Whether a stem is heard: not muted, and soloed if any is."""
        strip = self.strips[stem]
        solos = any(s.soloed for s in self.strips.values())
        return not strip.muted and (strip.soloed or not solos)
