"""The demucs family: Hybrid Transformer Demucs, its relatives, and the user's own checkpoints."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from workstation.model import EngineError, InputError, JobContext, UnavailableError, UsageError
from workstation.separate.checkpoint import CheckpointHeader, load_checkpoint, read_header
from workstation.separate.cores import worker_layout
from workstation.separate.demucs_cards import card_of
from workstation.separate.openvino_network import (
    OpenVinoNetwork,
    check_precision,
    converted,
    openvino_is_there,
)
from workstation.separate.protocol import EngineCard, EngineOptions, FloatArray, Whole
from workstation.separate.segments import Excerpts, separate_in_segments
from workstation.separate.torch_network import TorchNetwork, exact_and_fast, out_of_memory
from workstation.separate.weights import MODELS, Bag, find_bag, local_models, obtain_weights

DEVICES = ("cuda", "mps", "cpu")
PRECISIONS = ("f32", "bf16")
_SMALLEST = 1e-8
_SILENT_PIECE = 1 << 20
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
    does it, but without its random shifts: the same mix always gives the same stems, those
    that `demucs.api.Separator` gives with `shifts=0`. `stream` gives the same for any length.

    On processors Hybrid Transformer Demucs is computed by OpenVINO where that is installed;
    everything else, and all on GPUs, by torch.
    """

    chunk_s = 90.0
    overlap_s = 8.0

    def __init__(
        self, name: str, options: EngineOptions, wanted: tuple[str, ...] | None = None
    ) -> None:
        self._options = options
        self._card = card_of(name, options)
        self._wanted = wanted
        if wanted is not None:
            bag = find_bag(name, options.models_dir)
            share = len(self._needed(bag)) / len(bag.models)
            cost = round(self._card.realtime_factor * share, 3)
            self._card = msgspec.structs.replace(self._card, realtime_factor=cost)
        self._networks: list[TorchNetwork | OpenVinoNetwork] | None = None
        self._shares: FloatArray = np.zeros((0, 0), np.float32)
        self._device = ""
        self._workers = self._threads = 1
        self._trouble = ""

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
            UnavailableError: The weights, the device or the precision cannot be had.
            InputError: A checkpoint is damaged, no checkpoint, or not to be trusted.
            EngineError: The network failed, most likely for want of memory.
            CancelledError: The job was cancelled.
        """
        self._load(job)
        if rate_hz != self._card.sample_rate_hz:
            raise EngineError(
                f"{self._card.name} works at {self._card.sample_rate_hz} Hz, not at {rate_hz} Hz.",
                "Report this to the makers of workstation.",
            )
        place = 0

        def read(frames: int) -> FloatArray:
            nonlocal place
            place += frames
            return mix[:, place - frames : place]

        stems = np.empty((len(self._card.stems), *mix.shape), np.float32)
        for begin, piece in self.stream(read, mix.shape[0], Whole.of([mix]), job):
            stems[:, :, begin : begin + piece.shape[2]] = piece
        return dict(zip(self._card.stems, stems, strict=True))

    def stream(
        self,
        read: Callable[[int], FloatArray],
        channels: int,
        whole: Whole,
        job: JobContext,
        *,
        start: int = 0,
    ) -> Iterator[tuple[int, FloatArray]]:
        """Separate a signal of any length piece by piece; see `Seamless.stream`.

        Raises:
            WorkstationError: As `separate`.
        """
        networks = self._load(job)
        if whole.is_silent:
            for begin in range(start, whole.frames, _SILENT_PIECE):
                size = min(_SILENT_PIECE, whole.frames - begin)
                yield begin, np.zeros((len(self._card.stems), channels, size), np.float32)
            return
        sides = self._card.max_channels or channels
        mean, deviation = np.float32(whole.mean), np.float32(whole.deviation + _SMALLEST)

        def normal(frames: int) -> FloatArray:
            mix = (read(frames) - mean) / deviation
            return mix if channels == sides else mix.mean(0, keepdims=True).repeat(sides, axis=0)

        pieces = separate_in_segments(
            networks,
            self._shares,
            Excerpts(normal, sides, whole.frames),
            job,
            start=start,
            workers=self._workers,
            label=self._words,
        )
        with self._computing(), closing(pieces):
            for begin, found in pieces:
                stems = found * deviation + mean
                if channels != sides:
                    stems = stems.mean(axis=1, keepdims=True).repeat(channels, axis=1)
                yield begin, stems

    def _load(self, job: JobContext) -> list[TorchNetwork | OpenVinoNetwork]:
        if self._networks is not None:
            return self._networks
        name, options = self._card.name, self._options
        files = obtain_weights(name, options, job)
        job.report(0.0, f"loading {name}")
        bag = find_bag(name, options.models_dir)
        self._check_shares(bag)
        self._device = choose_device(options.device)
        needed = self._needed(bag)
        signatures = dict.fromkeys(bag.models[place] for place in needed)
        headers = {signature: read_header(files[signature]) for signature in signatures}
        self._check_networks(headers)
        self._check_precision(headers)
        loaded: dict[str, TorchNetwork | OpenVinoNetwork] = {}
        for signature, header in headers.items():
            job.check()
            loaded[signature] = self._network(files[signature], header, bag.segment, job)
        self._lay_out([*loaded.values()])
        table = bag.weights or [[1.0] * len(self._card.stems)] * len(bag.models)
        shares = np.array([table[place] for place in needed], np.float32)
        # A stem that is not wanted may have no network: anything but a division by zero.
        totals = shares.sum(axis=0)
        self._shares = (shares / np.where(totals > 0, totals, 1)).astype(np.float32)
        self._networks = [loaded[bag.models[place]] for place in needed]
        return self._networks

    def _network(
        self, path: Path, header: CheckpointHeader, segment_s: float | None, job: JobContext
    ) -> TorchNetwork | OpenVinoNetwork:
        trust = self._options.trust
        if self._device == "cpu" and _suits_openvino(header) and openvino_is_there():
            try:
                return converted(path, trust=trust, segment_s=segment_s, job=job)
            except EngineError as error:
                if self._options.precision == "bf16":
                    raise
                self._trouble = f"{error.problem} Going on with torch."
                _LOGGER.warning("%s", self._trouble)
        model: Any = load_checkpoint(path, trust=trust)
        if segment_s is not None and (header.network != "HTDemucs" or segment_s <= model.segment):
            model.segment = segment_s
        return TorchNetwork(model, self._device)

    def _lay_out(self, networks: list[TorchNetwork | OpenVinoNetwork]) -> None:
        """Choose how many segments are computed at once; a GPU computes one."""
        if self._device != "cpu":
            return
        compiled = [n for n in networks if isinstance(n, OpenVinoNetwork)]
        # OpenVINO keeps what a segment takes, for every network of a bag.
        most = max(sum(n.bytes_each for n in compiled), *(n.bytes_each for n in networks))
        self._workers, self._threads = worker_layout(most)
        for network in compiled:
            network.compile(self._options.precision or "f32", self._workers, self._threads)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        """Tell torch how to compute, and say in words what fails."""
        with ExitStack() as stack:
            if self._device == "cpu" and any(
                isinstance(network, TorchNetwork) for network in self._networks or []
            ):
                stack.enter_context(exact_and_fast(self._threads))
            try:
                yield
            except _NETWORK_ERRORS as error:
                raise self._failure(error) from error

    def _words(self) -> str:
        """What computes, for the line of progress."""
        words = f"separating with {self._card.name}"
        troubles = [self._trouble, *(getattr(n, "trouble", "") for n in self._networks or [])]
        trouble = next(filter(None, troubles), "")
        if trouble:
            return f"{words}: {trouble}"
        if any(isinstance(network, OpenVinoNetwork) for network in self._networks or []):
            return f"{words}, OpenVINO {self._options.precision or 'f32'}"
        return f"{words}, torch" + ("" if self._device == "cpu" else f" on {self._device}")

    def _needed(self, bag: Bag) -> list[int]:
        """Places of those networks of a bag that have a share in a stem that is wanted."""
        places = range(len(bag.models))
        if self._wanted is None or bag.weights is None:
            return list(places)
        self._check_shares(bag)
        columns = [self._card.stems.index(name) for name in self._wanted]
        weights = bag.weights
        return [place for place in places if any(weights[place][c] for c in columns)]

    def _check_networks(self, headers: dict[str, CheckpointHeader]) -> None:
        """Refuse networks that do not go together."""
        card = self._card
        for header in headers.values():
            if (header.stems, header.sample_rate_hz, header.channels) != (
                card.stems,
                card.sample_rate_hz,
                card.max_channels,
            ):
                raise InputError(
                    f"A checkpoint of {card.name} makes {', '.join(header.stems)} at "
                    f"{header.sample_rate_hz} Hz, not {', '.join(card.stems)} at "
                    f"{card.sample_rate_hz} Hz.",
                    "Put checkpoints of one kind into a bag.",
                )

    def _check_precision(self, headers: dict[str, CheckpointHeader]) -> None:
        """Refuse a precision that is unknown, or cannot be had here."""
        precision = self._options.precision or "f32"
        if precision not in PRECISIONS:
            raise UsageError(
                f'There is no precision "{precision}".', f"Precisions: {', '.join(PRECISIONS)}."
            )
        if precision == "f32":
            return
        if self._device != "cpu":
            raise UsageError(
                f"Precision {precision} is for processors, and {self._device} computes here.",
                "Leave --precision out, or add --device cpu.",
            )
        if not all(map(_suits_openvino, headers.values())):
            raise UsageError(
                f"Precision {precision} is for htdemucs and its kin; {self._card.name} has other "
                "networks.",
                "Leave --precision out.",
            )
        check_precision(precision)

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

    def _failure(self, error: Exception) -> EngineError:
        name = self._card.name
        if out_of_memory(error):
            return EngineError(
                f"Memory ran out while {name} worked.",
                "Close other programs, or choose a lighter engine such as dsp.",
            )
        why = " ".join(str(error).split())[:200]
        return EngineError(
            f"{name} failed on {self._device}: {why}.", "Try --device cpu, or another engine."
        )


def _suits_openvino(header: CheckpointHeader) -> bool:
    return header.network == "HTDemucs" and not header.quantized


def choose_device(wanted: str | None) -> str:
    """Choose where to compute: what was asked for, else CUDA, Apple's GPU, or the processor.

    Raises:
        UsageError: The device has an unknown name.
        UnavailableError: The device asked for is not there.
    """
    if wanted not in {None, *DEVICES}:
        raise UsageError(f'There is no device "{wanted}".', f"Devices: {', '.join(DEVICES)}.")
    if wanted == "cpu" or (wanted is None and not gpu_may_be_there()):
        return "cpu"  # Without loading torch, which may not be needed.
    import torch

    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted is None:
        return next(name for name, is_there in there.items() if is_there)
    if not there[wanted]:
        raise UnavailableError(
            f"torch finds no {wanted} device on this machine.",
            "Leave --device out, or use --device cpu.",
        )
    return wanted


def gpu_may_be_there() -> bool:
    """Whether it is worth asking torch for a GPU: a driver of one that it knows is there."""
    drivers = ("/dev/nvidiactl", "/dev/dxg", "/dev/kfd")  # Linux, Windows' Linux, AMD.
    return sys.platform != "linux" or any(Path(driver).exists() for driver in drivers)
