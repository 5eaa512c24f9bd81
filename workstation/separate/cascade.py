"""Some stems only, and one engine after another on what is left of the mix."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from workstation.model import JobContext, UsageError
from workstation.model.stem_roles import belongs_to, role_of
from workstation.separate.fitted import separate_fitted
from workstation.separate.parts import (
    combined_card,
    folded,
    longest_overlap_s,
    run_parts,
    shortest_chunk_s,
    whole_of,
)
from workstation.separate.protocol import FloatArray, Separator


@runtime_checkable
class Narrowable(Protocol):
    """An engine that saves work if it need not make all of its stems."""

    def narrowed(self, stems: tuple[str, ...]) -> Separator:
        """The same engine, that makes at least these stems right; others may be anything."""
        ...


class Only:
    """Some stems of an engine, and what is left of the mix as one more.

    Engines that can are told to compute no more than these.

    Args:
        name: Its expression.
        engine: Whose stems.
        stems: Which ones; a role takes all stems that are parts of it, summed.
        rest: Whether the rest of the mix is a stem, called `instrumental` where the voices
            were taken and `rest` otherwise.

    Raises:
        UsageError: The engine makes no such stem.
    """

    def __init__(
        self, name: str, engine: Separator, stems: tuple[str, ...], *, rest: bool = True
    ) -> None:
        made = engine.card.stems
        for stem in stems:
            if not any(whole_of(own, [stem]) for own in made):
                raise UsageError(
                    f"{engine.card.name} makes no {stem}.", f"It makes {', '.join(made)}."
                )
        self._stems = stems
        needed = tuple(own for own in made if whole_of(own, stems))
        if isinstance(engine, Narrowable):
            engine = engine.narrowed(needed)
        self._engine = engine
        self._rest = rest_name(stems) if rest and set(needed) != set(made) else None
        self.card = combined_card(
            name,
            [engine],
            (*stems, self._rest) if self._rest else stems,
            f"Only {', '.join(stems)} of {engine.card.name}.",
        )
        self.chunk_s, self.overlap_s = engine.chunk_s, engine.overlap_s

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split off the stems; see `Separator.separate`."""
        found = folded(separate_fitted(self._engine, mix, rate_hz, job), self._stems)
        stems = {name: found[name] for name in self._stems}
        if self._rest:
            stems[self._rest] = mix - np.sum(list(stems.values()), axis=0, dtype=np.float32)
        return stems


def rest_name(stems: Sequence[str]) -> str:
    """Name of what is left when some stems are taken.

    >>> rest_name(["vocals"]), rest_name(["drums"])
    ('instrumental', 'rest')
    """
    return "instrumental" if all(belongs_to(stem, "vocals") for stem in stems) else "rest"


class Cascade:
    """Some stems by one engine each, the others by a last engine on what they leave of the mix.

    A stem of the last engine that was taken before holds what is left of it, or what was
    mistaken for it: it goes into `other` where the last engine makes one, and is else left to
    the sharing out of what is missing.

    Args:
        name: Its expression.
        first: Engines that make only what is taken of them.
        last: The engine for the rest.
    """

    def __init__(self, name: str, first: Sequence[Separator], last: Separator) -> None:
        self._first, self._last = first, last
        taken = [stem for engine in first for stem in engine.card.stems]
        if len(set(taken)) < len(taken):
            raise UsageError(f"{name} takes a stem twice.", "Take every stem once.")
        rest = [stem for stem in last.card.stems if whole_of(stem, taken) is None]
        if not rest:
            raise UsageError(
                f"{name} leaves nothing for {last.card.name} to make.", "Take fewer stems before."
            )
        parts = [*first, last]
        order = [*last.card.stems, *taken]
        stems = sorted([*taken, *rest], key=order.index)
        self._other = next((stem for stem in rest if role_of(stem) == "other"), None)
        self._taken, self._rest = taken, rest
        self.card = combined_card(
            name,
            parts,
            tuple(stems),
            f"{', '.join(taken)} first, then the rest by {last.card.name}.",
        )
        self.chunk_s, self.overlap_s = shortest_chunk_s(parts), longest_overlap_s(parts)

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix step by step; see `Separator.separate`."""
        found: dict[str, FloatArray] = {}
        left = mix
        costs = [max(e.card.realtime_factor, 1e-3) for e in (*self._first, self._last)]
        total, done = sum(costs), 0.0
        for engine, cost in zip(self._first, costs, strict=False):
            step = job.part(done / total, (done + cost) / total)
            stems = run_parts([engine], left, rate_hz, step)[0]
            found.update(stems)
            left = left - np.sum(list(stems.values()), axis=0, dtype=np.float32)
            done += cost
        last = separate_fitted(self._last, left, rate_hz, job.part(done / total, 1.0))
        found.update({name: last[name] for name in self._rest})
        if self._other is not None:
            for name, samples in last.items():
                if name not in self._rest:
                    found[self._other] = found[self._other] + samples
        return {name: found[name] for name in self.card.stems}
