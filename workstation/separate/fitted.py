"""What an engine is given: a piece folded and resampled to what it can take, and back."""

from __future__ import annotations

import numpy as np

from workstation.audio import resample
from workstation.model import EngineError, InputError, JobContext
from workstation.separate.protocol import EngineCard, FloatArray, Separator


def check_channels(card: EngineCard, channels: int, name: str = "The song") -> None:
    """Find out before the work whether an engine can work on so many channels.

    Args:
        card: Of the engine.
        channels: How many there are.
        name: Of what has them.

    Raises:
        InputError: The engine needs stereo, and a channel has no partner.
    """
    if all(
        len(group) >= card.min_channels for group in _channel_groups(channels, card.max_channels)
    ):
        return
    there = (
        "has one channel" if channels == 1 else f"has {channels} channels, one without a partner"
    )
    raise InputError(
        f"{name} {there}; {card.name} tells stems apart by the difference of two.",
        "Choose an engine that needs no stereo, such as dsp, hpss or repet.",
    )


def separate_fitted(
    engine: Separator, mix: FloatArray, rate_hz: int, job: JobContext
) -> dict[str, FloatArray]:
    """Separate a piece of any rate and channels with an engine that may take only one kind.

    Returns:
        An array of the shape of `mix` for every stem of the engine's card, in its order.

    Raises:
        InputError: The engine needs stereo, and a channel has no partner.
        EngineError: The engine broke its contract.
    """
    card = engine.card
    check_channels(card, mix.shape[0])
    rate = card.sample_rate_hz or rate_hz
    groups = _channel_groups(mix.shape[0], card.max_channels)
    stems = {name: np.empty_like(mix) for name in card.stems}
    for index, group in enumerate(groups):
        part = job.part(index / len(groups), (index + 1) / len(groups))
        inside = resample(mix[group], rate_hz, rate) if rate != rate_hz else mix[group]
        found = engine.separate(inside, rate, part)
        for name in card.stems:
            stem = found[name]
            if stem.shape != inside.shape or not np.isfinite(stem).all():
                raise EngineError(
                    f'The engine {card.name} returned a bad "{name}" stem '
                    f"(shape {stem.shape} for {inside.shape}, or values that are no numbers).",
                    "Choose another engine, and report this to its makers.",
                )
            back = resample(stem, rate, rate_hz) if rate != rate_hz else stem
            # A rate change and back may come out a frame longer or shorter.
            n = min(back.shape[1], mix.shape[1])
            stems[name][group, :n] = back[:, :n]
            stems[name][group, n:] = 0
    return stems


def _channel_groups(channels: int, most: int | None) -> list[list[int]]:
    """Channels that go into the engine together: pairs for a stereo engine."""
    if most is None or channels <= most:
        return [list(range(channels))]
    return [list(range(i, min(i + most, channels))) for i in range(0, channels, most)]
