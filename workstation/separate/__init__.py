"""Separation: engines behind one protocol, streamed over files of any length."""

from workstation.separate.engines import Choice, choose_engine, engine, engine_cards
from workstation.separate.protocol import (
    EngineCard,
    EngineFactory,
    EngineOptions,
    FloatArray,
    Separator,
)

__all__ = [
    "Choice",
    "EngineCard",
    "EngineFactory",
    "EngineOptions",
    "FloatArray",
    "Separator",
    "choose_engine",
    "engine",
    "engine_cards",
]
