"""What engines made of engines have in common: their card, and how the parts are run."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workstation.model import JobContext
from workstation.model.stem_roles import lineage
from workstation.separate.fitted import separate_fitted
from workstation.separate.protocol import EngineCard, FloatArray, Separator


def combined_card(
    name: str,
    parts: Sequence[Separator],
    stems: tuple[str, ...],
    summary: str,
    *,
    times: float = 1.0,
    more: float = 0.0,
) -> EngineCard:
    """Card of an engine made of others: it works at any rate, and costs what they cost together.

    Args:
        name: Its expression.
        parts: The engines that it runs.
        stems: What it makes.
        summary: One line on what it does.
        times: How often it runs them.
        more: What it costs besides, in seconds per second.
    """
    cards = [part.card for part in parts]
    return EngineCard(
        name=name,
        summary=summary,
        stems=stems,
        code_licence=_listed(card.code_licence for card in cards) or "MIT",
        weights_licence=_listed(card.weights_licence for card in cards),
        download=_listed(card.download for card in cards),
        min_channels=max(card.min_channels for card in cards),
        realtime_factor=round(times * sum(card.realtime_factor for card in cards) + more, 3),
        source=_listed(card.source for card in cards) or "",
        revision="+".join(card.revision for card in cards),
    )


def _listed(words: Iterable[str | None]) -> str | None:
    return "; ".join(dict.fromkeys(word for word in words if word)) or None


def shortest_chunk_s(parts: Sequence[Separator]) -> float:
    """Longest chunk that all parts can take."""
    return min(part.chunk_s for part in parts)


def longest_overlap_s(parts: Sequence[Separator]) -> float:
    """The overlap that is enough for all parts."""
    return max(part.overlap_s for part in parts)


def run_parts(
    parts: Sequence[Separator], mix: FloatArray, rate_hz: int, job: JobContext
) -> list[dict[str, FloatArray]]:
    """Have every part separate the same mix; progress is shared out by their cost."""
    costs = [max(part.card.realtime_factor, 1e-3) for part in parts]
    total, done = sum(costs), 0.0
    found = []
    for part, cost in zip(parts, costs, strict=True):
        step = job.part(done / total, (done + cost) / total, part.card.name)
        found.append(separate_fitted(part, mix, rate_hz, step))
        done += cost
    return found


def common_stems(stems: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The coarsest stems among several layouts, in the order in which they are met.

    >>> common_stems([("drums", "other", "vocals"), ("drums", "other", "piano", "vocals")])
    ('drums', 'other', 'vocals')
    """
    names = list(dict.fromkeys(name for layout in stems for name in layout))
    roles = {lineage(name)[0] for name in names}
    return tuple(name for name in names if not roles & set(lineage(name)[1:]))


def folded(stems: dict[str, FloatArray], into: Sequence[str]) -> dict[str, FloatArray]:
    """Sum finer stems into the coarser ones that they are parts of; what fits none is left out."""
    found: dict[str, FloatArray] = {}
    for name, samples in stems.items():
        whole = whole_of(name, into)
        if whole is not None:
            found[whole] = found[whole] + samples if whole in found else samples
    return found


def whole_of(stem: str, into: Sequence[str]) -> str | None:
    """Which of some stems a stem is, or is a part of.

    >>> whole_of("kick", ["drums", "vocals"]), whole_of("bass", ["drums", "vocals"])
    ('drums', None)
    """
    if stem in into:
        return stem
    line = lineage(stem)
    for role in line:
        for name in into:
            if lineage(name)[0] == role:
                return name
    return None
