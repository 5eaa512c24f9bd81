"""The weights of the networks: where they are and what their licence says."""

from __future__ import annotations

import msgspec

from workstation.separate import EngineOptions, engine


class ModelRow(msgspec.Struct, frozen=True):
    """One model: its state (`here`, `can be downloaded`, …), size, stems and licence."""

    name: str
    state: str
    download: str
    stems: tuple[str, ...]
    licence: str


def model_rows(options: EngineOptions) -> list[ModelRow]:
    """Describe the weights of every known network and of the user's own folder."""
    from workstation.separate.demucs_engine import demucs_names
    from workstation.separate.weights import find_weights

    rows = []
    for name in demucs_names(options.models_dir):
        card = engine(name, options).card
        state = find_weights(name, options)
        rows.append(
            ModelRow(name, state.words, card.download or "", card.stems, card.weights_licence or "")
        )
    return rows
