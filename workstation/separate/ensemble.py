"""Ensembles: several engines separate the same mix, and their stems are blended one by one.

Finer stems are summed into the coarser ones of the other engines first (guitar and piano
belong to `other`), by the tree of `model/stem_roles`.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from workstation.model import JobContext, UsageError
from workstation.model.stem_roles import role_of
from workstation.separate.parts import (
    combined_card,
    common_stems,
    folded,
    longest_overlap_s,
    run_parts,
    shortest_chunk_s,
    whole_of,
)
from workstation.separate.protocol import EngineCard, FloatArray, Separator
from workstation.separate.stft import istft, stft, window_size

BLENDS = ("average", "median", "max")
_WINDOW_S = 0.093
_SUMMARIES = {
    "average": "The weighted mean of the stems of several engines.",
    "median": "The median of the stems of several engines, sample by sample.",
    "max": "Of several engines' stems the loudest, bin by bin of the spectrum.",
}


class Member(msgspec.Struct, frozen=True):
    """One engine of an ensemble.

    Attributes:
        engine: The engine.
        weight: Of all its stems, in an average; 0 for those not in `weights`.
        weights: Of single stems, where they differ.
    """

    engine: Separator
    weight: float = 1.0
    weights: dict[str, float] = {}

    def weight_of(self, stem: str) -> float:
        """Its weight for a stem of the ensemble."""
        return self.weights.get(stem, self.weight)


class Ensemble:
    """Blends the stems of several engines.

    Args:
        name: Its expression.
        blend: `average`, `median` or `max`.
        members: The engines.

    Raises:
        UsageError: The engines do not make the same stems, or nobody makes one of them.
    """

    def __init__(self, name: str, blend: str, members: Sequence[Member]) -> None:
        if blend not in BLENDS:
            raise UsageError(f'There is no blend "{blend}".', f"Blends: {', '.join(BLENDS)}.")
        self._blend = blend
        self._engines = [member.engine for member in members]
        whole = [m.engine.card.stems for m in members if m.weight] or [
            tuple(name for m in members for name in m.weights)
        ]
        stems = common_stems(whole)
        if not stems:
            raise UsageError(f"In {name} no engine has a weight.", "Leave =0 away.")
        self._members = [_named(member, stems) for member in members]
        self._takers = {stem: self._who_makes(stem, stems) for stem in stems}
        self.card: EngineCard = combined_card(
            name, self._engines, stems, _SUMMARIES[blend], more=0.05 if blend == "max" else 0.0
        )
        self.chunk_s = shortest_chunk_s(self._engines)
        self.overlap_s = longest_overlap_s(self._engines)

    def _who_makes(self, stem: str, stems: tuple[str, ...]) -> list[int]:
        """Places of the engines that take part in a stem."""
        found = []
        for place, member in enumerate(self._members):
            if not member.weight_of(stem):
                continue
            if not any(whole_of(name, stems) == stem for name in member.engine.card.stems):
                raise UsageError(
                    f"{member.engine.card.name} makes no {stem}; "
                    f"its stems are {', '.join(member.engine.card.stems)}.",
                    "Blend engines that make the same stems, or pick some: dsp@vocals.",
                )
            found.append(place)
        if not found:
            raise UsageError(
                f"No engine of {self._blend}(…) has a weight for {stem}.",
                "Leave @ or =0 away from one of them.",
            )
        return found

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix with every engine and blend; see `Separator.separate`."""
        found = run_parts(self._engines, mix, rate_hz, job)
        layouts = [folded(stems, self.card.stems) for stems in found]
        blended = {}
        for stem, places in self._takers.items():
            job.check()
            estimates = [layouts[place][stem] for place in places]
            weights = [self._members[place].weight_of(stem) for place in places]
            blended[stem] = self._blended(estimates, weights, rate_hz)
        return blended

    def _blended(
        self, estimates: list[FloatArray], weights: list[float], rate_hz: int
    ) -> FloatArray:
        if len(estimates) == 1:
            return estimates[0]
        if self._blend == "average":
            shares = np.array(weights, np.float32) / np.float32(sum(weights))
            total = np.zeros_like(estimates[0])
            for samples, share in zip(estimates, shares, strict=True):
                total += samples * share
            return total
        if self._blend == "median":
            middle: FloatArray = np.median(np.stack(estimates), axis=0).astype(np.float32)
            return middle
        return loudest_bins(estimates, rate_hz)


def _named(member: Member, stems: tuple[str, ...]) -> Member:
    """A member whose single weights are called as the stems of the ensemble.

    Raises:
        UsageError: One is of no such stem.
    """
    by_role = {role_of(stem): stem for stem in stems}
    for stem in member.weights:
        if role_of(stem) not in by_role:
            raise UsageError(
                f"A blend of the stems {', '.join(stems)} has no {stem}.",
                f"Pick one of these from {member.engine.card.name}.",
            )
    weights = {by_role[role_of(stem)]: weight for stem, weight in member.weights.items()}
    return Member(member.engine, member.weight, weights)


def loudest_bins(estimates: Sequence[FloatArray], rate_hz: int) -> FloatArray:
    """In every bin of the spectrum take the estimate of the largest magnitude.

    Args:
        estimates: Arrays of shape (channels, frames).
        rate_hz: Sample rate.
    """
    size = window_size(rate_hz, _WINDOW_S)
    hop = size // 4
    best = stft(estimates[0], size, hop)
    for samples in estimates[1:]:
        other = stft(samples, size, hop)
        louder = np.abs(other) > np.abs(best)
        best[louder] = other[louder]
    return istft(best, size, hop, estimates[0].shape[1])
