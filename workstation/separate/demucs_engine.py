"""The demucs family: Hybrid Transformer Demucs, its relatives, and the user's own checkpoints."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from workstation.model import EngineError, InputError, JobContext, UnavailableError, UsageError
from workstation.separate.checkpoint import CheckpointHeader, load_checkpoint, read_header
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray
from workstation.separate.weights import (
    LICENCE,
    MODELS,
    Bag,
    find_bag,
    find_weights,
    is_local,
    local_models,
    obtain_weights,
)

if TYPE_CHECKING:
    import torch
    from demucs.apply import BagOfModels

_OVERLAP = 0.25
_COST = {"HTDemucs": 0.41, "HDemucs": 0.21, "Demucs": 0.22}
_SMALLEST = 1e-8
_LEAST_FRAMES = 4096
_NETWORK_ERRORS = (RuntimeError, ValueError, AssertionError)
_LOGGER = logging.getLogger(__name__)


def demucs_names(models_dir: Path | None) -> list[str]:
    """Names of all engines of the family: the published models, then the user's own.

    Raises:
        InputError: The user's folder is not there.
    """
    return [*MODELS, *local_models(models_dir)]


def make_demucs(name: str, options: EngineOptions) -> DemucsEngine:
    """Make the engine of a model; weights are looked for and loaded at the first `separate`.

    Raises:
        UsageError: There is no such model.
        InputError: The user's folder is not there, or its bag file is no bag.
    """
    return DemucsEngine(name, options)


class DemucsEngine:
    """A model of the demucs family behind our protocol.

    The mix is brought to mean 0 and deviation 1 and split into overlapping segments, as demucs
    does it, but without its random shifts: the same mix always gives the same stems. A
    file of one chunk gives the stems that `demucs.api.Separator` gives with `shifts=0`.
    """

    chunk_s = 90.0
    overlap_s = 8.0

    def __init__(
        self, name: str, options: EngineOptions, wanted: tuple[str, ...] | None = None
    ) -> None:
        self._options = options
        self._card = _card(name, options)
        self._wanted = wanted
        if wanted is not None:
            bag = find_bag(name, options.models_dir)
            share = len(self._needed(bag)) / len(bag.models)
            cost = round(self._card.realtime_factor * share, 3)
            self._card = msgspec.structs.replace(self._card, realtime_factor=cost)
        self._model: BagOfModels | None = None
        self._device = ""

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return self._card

    def narrowed(self, stems: tuple[str, ...]) -> DemucsEngine:
        """The same engine, right for these stems only: networks of a bag for others do not run."""
        return DemucsEngine(self._card.name, self._options, stems)

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix into its stems; see `Separator.separate`.

        The first call loads the weights, and downloads them if they are not on this machine.

        Raises:
            UnavailableError: The weights, or the device asked for, cannot be had.
            InputError: A checkpoint is damaged, no checkpoint, or not to be trusted.
            EngineError: The network failed, most likely for want of memory.
            CancelledError: The job was cancelled.
        """
        if self._model is None:
            self._device = choose_device(self._options.device)
            self._model = self._load(job)
        if rate_hz != self._model.samplerate:
            raise EngineError(
                f"{self._card.name} works at {self._model.samplerate} Hz, not at {rate_hz} Hz.",
                "Report this to the makers of workstation.",
            )
        if mix.shape[1] < 2 or not mix.any():
            return {name: np.zeros_like(mix) for name in self._card.stems}
        stems = self._apply_safely(self._model, mix, job)
        return dict(zip(self._card.stems, stems, strict=True))

    def _load(self, job: JobContext) -> BagOfModels:
        name, options = self._card.name, self._options
        files = obtain_weights(name, options, job)
        job.report(0.0, f"loading {name}")
        bag = find_bag(name, options.models_dir)
        self._check_shares(bag)
        needed = self._needed(bag)
        loaded: dict[str, Any] = {}
        for signature, path in files.items():
            job.check()
            if signature in {bag.models[place] for place in needed}:
                loaded[signature] = load_checkpoint(path, trust=options.trust)
        models = [loaded[bag.models[place]] for place in needed]
        self._check_networks(models)
        from demucs.apply import BagOfModels

        shares = None if bag.weights is None else [list(bag.weights[place]) for place in needed]
        for column, total in enumerate(map(sum, zip(*(shares or []), strict=True))):
            if not total:  # Of a stem that is not wanted: anything but a division by zero.
                for row in shares or []:
                    row[column] = 1.0
        return BagOfModels(models, shares, bag.segment)

    def _needed(self, bag: Bag) -> list[int]:
        """Places of those networks of a bag that have a share in a stem that is wanted."""
        places = range(len(bag.models))
        if self._wanted is None or bag.weights is None:
            return list(places)
        self._check_shares(bag)
        columns = [self._card.stems.index(name) for name in self._wanted]
        weights = bag.weights
        return [place for place in places if any(weights[place][c] for c in columns)]

    def _check_networks(self, models: list[Any]) -> None:
        """Refuse networks that do not go together, before demucs trips over them."""
        card = self._card
        for model in models:
            if (tuple(model.sources), model.samplerate, model.audio_channels) != (
                card.stems,
                card.sample_rate_hz,
                card.max_channels,
            ):
                raise InputError(
                    f"A checkpoint of {card.name} makes {', '.join(model.sources)} at "
                    f"{model.samplerate} Hz, not {', '.join(card.stems)} at "
                    f"{card.sample_rate_hz} Hz.",
                    "Put checkpoints of one kind into a bag.",
                )

    def _check_shares(self, bag: Bag) -> None:
        """Refuse a table of weights that does not fit its networks and stems."""
        card, shares = self._card, bag.weights
        if shares is None:
            return
        fits = len(shares) == len(bag.models) and all(len(row) == len(card.stems) for row in shares)
        if not fits or any(sum(column) <= 0 for column in zip(*shares, strict=True)):
            raise InputError(
                f"The weights of the bag {card.name} are no table of {len(bag.models)} networks by "
                f"{len(card.stems)} stems with a positive sum for every stem.",
                "Mend the bag's yaml file, or leave its weights out.",
            )

    def _apply_safely(self, model: BagOfModels, mix: FloatArray, job: JobContext) -> FloatArray:
        """Apply the network; where a GPU's memory is too small, go on with the processor."""
        try:
            return self._apply(model, mix, job)
        except _NETWORK_ERRORS as error:
            if self._device == "cpu" or not _out_of_memory(error):
                raise self._failure(error) from error
            said = f"The memory of {self._device} is too small for {self._card.name}"
        _LOGGER.warning("%s; going on with the processor.", said)
        job.report(0.0, f"{said}: using the processor")
        self._device = "cpu"
        model.to("cpu")
        _free_device_memory()
        try:
            return self._apply(model, mix, job)
        except _NETWORK_ERRORS as error:
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> EngineError:
        name = self._card.name
        if _out_of_memory(error):
            return EngineError(
                f"Memory ran out while {name} worked.",
                "Close other programs, or choose a lighter engine such as dsp.",
            )
        why = " ".join(str(error).split())[:200]
        return EngineError(
            f"{name} failed on {self._device}: {why}.", "Try --device cpu, or another engine."
        )

    def _apply(self, model: BagOfModels, mix: FloatArray, job: JobContext) -> FloatArray:
        """Apply the network to (channels, frames); gives (stems, channels, frames)."""
        import torch
        from demucs.apply import apply_model

        wave = torch.from_numpy(np.ascontiguousarray(mix, np.float32))
        if mix.shape[0] < model.audio_channels:
            wave = wave.mean(0, keepdim=True).expand(model.audio_channels, -1)
        reference = wave.mean(0)
        mean, deviation = reference.mean(), reference.std() + _SMALLEST
        frames = mix.shape[1]
        inside = _frames_that_work(model, frames)
        normal = torch.nn.functional.pad((wave - mean) / deviation, (0, inside - frames))
        progress = _Progress(model, inside, job)
        hooks = [
            layer.register_forward_pre_hook(lambda *_: job.check()) for layer in _layers(model)
        ]
        try:
            stems = apply_model(
                model,
                normal[None],
                shifts=0,
                split=True,
                overlap=_OVERLAP,
                device=self._device,
                callback=progress,
            )[0]
        finally:
            for hook in hooks:
                hook.remove()
        stems = stems[..., :frames] * deviation + mean
        if mix.shape[0] < model.audio_channels:
            stems = stems.mean(1, keepdim=True).expand(-1, mix.shape[0], -1)
        result: FloatArray = np.ascontiguousarray(stems.numpy(), np.float32)
        return result


class _Progress:
    """Called by demucs twice a segment; reports how many are done."""

    def __init__(self, model: BagOfModels, frames: int, job: JobContext) -> None:
        self._job = job
        self._done = 0
        self._total = sum(math.ceil(frames / stride) for stride in _strides([*model.models]))

    def __call__(self, event: dict[str, Any]) -> None:
        self._job.check()
        if event["state"] == "end":
            self._done += 1
            self._job.report(self._done / self._total)


def _strides(networks: list[Any]) -> list[int]:
    """Frames from the start of a segment to that of the next, as demucs computes them."""
    return [int((1 - _OVERLAP) * int(n.samplerate * n.segment)) for n in networks]


def _frames_that_work(model: BagOfModels, frames: int) -> int:
    """Lengthen a mix whose last segment would be so short that Hybrid Demucs fails on it."""
    from demucs.htdemucs import HTDemucs

    strides = _strides([n for n in model.models if not isinstance(n, HTDemucs)])
    if not strides:
        return frames
    least = min(_LEAST_FRAMES, min(strides) // 4)
    while any(0 < frames % stride < least for stride in strides):
        frames += least
    return frames


def choose_device(wanted: str | None) -> str:
    """Choose where to compute: what was asked for, else CUDA, Apple's GPU, or the processor.

    Raises:
        UsageError: The device has an unknown name.
        UnavailableError: The device asked for is not there.
    """
    import torch

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted is None:
        return next(name for name, is_there in there.items() if is_there)
    if wanted not in there:
        raise UsageError(f'There is no device "{wanted}".', f"Devices: {', '.join(there)}.")
    if not there[wanted]:
        raise UnavailableError(
            f"torch finds no {wanted} device on this machine.",
            "Leave --device out, or use --device cpu.",
        )
    return wanted


def _out_of_memory(error: Exception) -> bool:
    import torch

    return isinstance(error, torch.OutOfMemoryError) or any(
        words in str(error) for words in ("out of memory", "can't allocate memory")
    )


def _free_device_memory() -> None:
    import torch

    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _layers(model: torch.nn.Module) -> list[torch.nn.Module]:
    """The layers of all networks, between which a job can be stopped.

    Attention is left out: torch computes it in a faster way as long as it is not watched.
    """
    from torch import nn

    return [layer for layer in model.modules() if not isinstance(layer, nn.MultiheadAttention)]


def _card(name: str, options: EngineOptions) -> EngineCard:
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
        return "1"
    own = [path.stat() for path in files if path.parent == options.models_dir]
    return "-".join(["1", *(f"{stat.st_size:x}.{stat.st_mtime_ns:x}" for stat in own)])
