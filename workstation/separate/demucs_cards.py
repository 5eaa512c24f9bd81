"""Cards of the demucs family: of the published models, and of the user's own."""

from __future__ import annotations

from workstation.model import InputError
from workstation.separate.checkpoint import CheckpointHeader, read_header
from workstation.separate.protocol import EngineCard, EngineOptions
from workstation.separate.weights import LICENCE, MODELS, find_weights, is_local

_COST = {"HTDemucs": 0.41, "HDemucs": 0.21, "Demucs": 0.22}
# Changes when the stems of the same weights change by more than rounding.
_REVISION = "2"


def card_of(name: str, options: EngineOptions) -> EngineCard:
    """The card of a model of the family."""
    model = MODELS.get(name)
    if model is None or is_local(name, options.models_dir):
        return _own_card(name, options)
    licence = LICENCE + ("; the package diffq is CC BY-NC 4.0" if model.quantized else "")
    return EngineCard(
        name=name,
        summary=model.summary,
        stems=model.stems,
        family="instrument",
        code_licence="MIT",
        weights_licence=licence,
        download=f"{model.megabytes} MB",
        sample_rate_hz=44100,
        max_channels=2,
        realtime_factor=model.realtime_factor,
        source=model.source,
        revision=_revision(name, options),
    )


def _own_card(name: str, options: EngineOptions) -> EngineCard:
    """Card of the user's own model, as its checkpoints describe it; a broken one says so."""
    headers: list[CheckpointHeader] = []
    summary = f"Your own model in {options.models_dir}"
    try:
        state = find_weights(name, options)
        headers = [read_header(path) for path in state.files.values()]
        if state.missing:
            summary = f"Incomplete: {state.missing[0]} is not in {options.models_dir}"
    except InputError as error:
        summary = f"Broken: {error.problem}"
    first = headers[0] if headers else CheckpointHeader("HTDemucs", (), 44100, 2, quantized=False)
    return EngineCard(
        name=name,
        summary=summary,
        stems=first.stems,
        family="instrument",
        code_licence="MIT",
        weights_licence="your own file: its maker knows",
        sample_rate_hz=first.sample_rate_hz,
        max_channels=first.channels,
        source="the user",
        realtime_factor=round(sum(_COST[header.network] for header in headers), 2),
        revision=_revision(name, options),
    )


def _revision(name: str, options: EngineOptions) -> str:
    """Tell the user's own files apart by size and time; published ones never change."""
    try:
        files = find_weights(name, options).files.values()
    except InputError:
        return _REVISION
    own = [path.stat() for path in files if path.parent == options.models_dir]
    files_of = [f"{stat.st_size:x}.{stat.st_mtime_ns:x}" for stat in own]
    rounded = [options.precision] if options.precision not in {None, "f32"} else []
    return "-".join([_REVISION, *files_of, *rounded])
