"""The engine of a network that the user trained with `workstation train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from workstation.model import EngineError, InputError, JobContext
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray
from workstation.separate.trained_file import (
    StemFigures,
    TrainedHeader,
    WaveformSizes,
    is_trained,
    load_trained,
    read_trained,
)
from workstation.separate.weights import find_weights

if TYPE_CHECKING:
    from torch import nn

# Seconds of computing per second of stereo audio on two cores, with the sizes that are usual.
_COST = {"waveform": 0.02, "spectrogram": 0.04}


def trained_file(name: str, options: EngineOptions) -> Path | None:
    """The user's trained file behind the name of a model, if that is what it is."""
    try:
        files = find_weights(name, options).files
    except InputError:
        return None  # A broken bag: the demucs family says so.
    path = files.get(name)
    if path is None or path.parent != options.models_dir or len(files) > 1:
        return None
    return path if is_trained(path) else None


class TrainedEngine:
    """A trained network behind our protocol; the file is loaded at the first `separate`.

    Chunks are what the network sees at once. They are longer than the excerpts it learnt from,
    so that less of a file lies near an end of one.
    """

    chunk_s: float = 20.0
    overlap_s: float = 4.0

    def __init__(self, name: str, path: Path, options: EngineOptions) -> None:
        self._path = path
        self._options = options
        self._card = _card(name, path)
        self._network: nn.Module | None = None
        self._device = ""

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        return self._card

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix into its stems; see `Separator.separate`.

        Raises:
            InputError: The file is damaged, or was changed since the engine was made.
            UnavailableError: The device asked for is not there.
            EngineError: The network failed, most likely for want of memory.
            CancelledError: The job was cancelled.
        """
        if self._network is None:
            self._load(job)
        assert self._network is not None
        if not mix.any():
            return {name: np.zeros_like(mix) for name in self._card.stems}
        try:
            stems = _apply(self._network, mix, self._card.max_channels or 2, self._device, job)
        except RuntimeError as error:
            why = " ".join(str(error).split())[:200]
            raise EngineError(
                f"{self._card.name} failed on {self._device} at {rate_hz} Hz: {why}.",
                "Close other programs, or try --device cpu.",
            ) from error
        return dict(zip(self._card.stems, stems, strict=True))

    def _load(self, job: JobContext) -> None:
        from workstation.separate.demucs_engine import choose_device

        job.report(0.0, f"loading {self._card.name}")
        self._device = choose_device(self._options.device)
        header, network = load_trained(self._path)
        if _kind(header) != self._card.stems:
            raise InputError(
                f"{self._path} has changed since it was looked at.", "Start the command again."
            )
        self._network = network.to(self._device)


def _apply(
    network: nn.Module, mix: FloatArray, channels: int, device: str, job: JobContext
) -> FloatArray:
    """Apply a network to (channels, frames); gives (stems, channels, frames)."""
    import torch

    from workstation.separate.watched import watched

    wave = torch.from_numpy(np.ascontiguousarray(mix, np.float32))
    if mix.shape[0] < channels:
        wave = wave.expand(channels, -1)
    with watched(network, job), torch.inference_mode():
        stems = network(wave[None].to(device))[0].cpu()
    if mix.shape[0] < channels:
        stems = stems.mean(1, keepdim=True)
    result: FloatArray = np.ascontiguousarray(stems.numpy(), np.float32)
    return result


def _kind(header: TrainedHeader) -> tuple[str, ...]:
    return header.plan.stems


def _card(name: str, path: Path) -> EngineCard:
    """Card of a trained file as it describes itself; a broken one says so."""
    stat = path.stat()
    revision = f"1-{stat.st_size:x}.{stat.st_mtime_ns:x}"
    licence = "your own file: what the songs it learnt from allow"
    try:
        header = read_trained(path)
    except InputError as error:
        return EngineCard(
            name=name,
            summary=f"Broken: {error.problem}",
            stems=(),
            family="instrument",
            code_licence="MIT",
            weights_licence=licence,
            realtime_factor=0.0,
            source="the user",
            revision=revision,
        )
    plan = header.plan
    kind = "waveform" if isinstance(plan.network, WaveformSizes) else "spectrogram"
    return EngineCard(
        name=name,
        summary=_summary(kind, header),
        stems=plan.stems,
        family="instrument",
        code_licence="MIT",
        weights_licence=licence,
        sample_rate_hz=plan.sample_rate_hz,
        max_channels=plan.channels,
        realtime_factor=_COST[kind],
        source="Demucs (Défossez et al. 2019), small"
        if kind == "waveform"
        else "TCN (Bai et al. 2018) as a mask on spectra",
        revision=revision,
    )


def _summary(kind: str, header: TrainedHeader) -> str:
    """What a user may expect: how little it learnt from, and how it did on other songs."""
    minutes = header.seconds / 60
    songs = f"{header.songs} song{'s' * (header.songs != 1)}"
    learnt = f"{songs}, {minutes:.{0 if minutes >= 10 else 1}f} min"
    both = mean_figures(header.figures)
    if both is None:
        return f"Your own {kind} network; learnt from {learnt}"
    return (
        f"Your own {kind} network; learnt from {learnt}; SDR {both[0]:.1f} dB on "
        f"{header.held_out} held out (mix shared out: {both[1]:.1f})"
    )


def mean_figures(figures: dict[str, StemFigures]) -> tuple[float, float] | None:
    """Mean over the stems of the network's SDR, and of that of the mix shared out."""
    both = [
        (one.sdr_db, one.mix_sdr_db)
        for one in figures.values()
        if one.sdr_db is not None and one.mix_sdr_db is not None
    ]
    if not both:
        return None
    return sum(b[0] for b in both) / len(both), sum(b[1] for b in both) / len(both)
