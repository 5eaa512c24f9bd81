"""What a separation engine is: one method and a card that says what it can do."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.model import JobContext

FloatArray = npt.NDArray[np.float32]


class EngineCard(msgspec.Struct, frozen=True, kw_only=True):
    """What a user should know of an engine before choosing it.

    Attributes:
        name: As it is typed: `htdemucs`, `dsp`, `hpss`.
        summary: One line on what it does and what it is good for.
        stems: Names of the stems it makes, in the order of tracks.
        family: By what it tells stems apart: `instrument`, `texture` or `place`; empty for others.
        code_licence: SPDX name of the licence of the engine's code.
        weights_licence: Licence of the weights in words; None if it has none.
        download: What must be downloaded before it works, with size; None if nothing.
        sample_rate_hz: The one rate it works at; None if it works at any.
        min_channels: Channels it must be given together: 2 if it works on stereo only.
        max_channels: Channels it can take at once; None for any number.
        realtime_factor: Seconds of computing per second of stereo audio on two CPU cores.
        source: Paper or project it comes from.
        revision: Changes whenever the same mix would give other stems, so that stems made
            earlier are not taken for the engine's own.
    """

    name: str
    summary: str
    stems: tuple[str, ...]
    family: str = ""
    code_licence: str
    weights_licence: str | None = None
    download: str | None = None
    sample_rate_hz: int | None = None
    min_channels: int = 1
    max_channels: int | None = None
    realtime_factor: float
    source: str
    revision: str = "1"


@runtime_checkable
class Separator(Protocol):
    """A separation engine.

    The file is handed over in chunks of `chunk_s` that overlap by `overlap_s` and are
    cross-faded, so memory does not grow with the file; an engine sees one chunk at a time
    and needs to remember nothing.
    """

    @property
    def chunk_s(self) -> float:
        """Longest chunk that `separate` is given, in seconds."""
        ...

    @property
    def overlap_s(self) -> float:
        """How much of two neighbouring chunks is the same, in seconds."""
        ...

    @property
    def card(self) -> EngineCard:
        """What this engine can do."""
        ...

    def separate(self, mix: FloatArray, rate_hz: int, job: JobContext) -> dict[str, FloatArray]:
        """Split a mix into its stems.

        Args:
            mix: float32, shape (channels, frames). `rate_hz` and channels respect the card:
                the caller resamples and folds where the card asks for it.
            rate_hz: Sample rate in Hz.
            job: Progress out, cancellation in; call `job.check()` at least four times a second
                where that is possible (the caller can also kill the worker process).

        Returns:
            An array of the shape of `mix` for every name in `card.stems`. Silence in, silence
            out; never NaN. The stems need not sum to the mix: the caller sees to that.
        """
        ...


class Whole(msgspec.Struct, frozen=True):
    """What must be known of a whole signal before its first piece is separated.

    Attributes:
        frames: Its length.
        mean: Mean of the mean of its channels.
        deviation: Standard deviation (of a sample) of the mean of its channels.
    """

    frames: int
    mean: float
    deviation: float

    @classmethod
    def of(cls, pieces: Iterable[FloatArray]) -> Whole:
        """Measure a signal from its pieces of shape (channels, frames).

        >>> Whole.of([np.float32([[1, 2]]), np.float32([[3]])])
        Whole(frames=3, mean=2.0, deviation=1.0)
        """
        frames, total, squares, origin = 0, 0.0, 0.0, None
        for piece in pieces:
            if not piece.shape[1]:
                continue
            mono = piece.mean(axis=0, dtype=np.float64)
            if origin is None:
                origin = float(mono[0])  # Near the mean, so that no digits are lost.
            mono -= origin
            frames += mono.size
            total += float(mono.sum())
            squares += float(mono @ mono)
        spread = squares - total * total / frames if frames else 0.0
        deviation = math.sqrt(max(spread, 0.0) / max(frames - 1, 1))
        return cls(frames, (origin or 0.0) + total / max(frames, 1), deviation)

    @property
    def is_silent(self) -> bool:
        """Whether it holds nothing but zeros, or next to no samples."""
        return self.frames < 2 or (not self.mean and not self.deviation)


@runtime_checkable
class Seamless(Protocol):
    """An engine that can do more: give the stems of a whole signal, piece by piece.

    They are those that `separate` would give if it got the signal in one piece.
    """

    def stream(
        self,
        read: Callable[[int], FloatArray],
        channels: int,
        whole: Whole,
        job: JobContext,
        *,
        start: int = 0,
    ) -> Iterator[tuple[int, FloatArray]]:
        """Separate a signal, of the rate and at most the channels of the card.

        Args:
            read: Gives the next so many frames of it, float32 of shape (channels, n), from its
                first one on; never asked for more than there are.
            channels: Of the signal.
            whole: What must be known of it before.
            job: Progress out, cancellation in.
            start: First frame wanted: what comes is the same as from the beginning.

        Yields:
            Where a piece begins, and its stems of shape (stems, channels, n), without a gap.
        """
        ...


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may choose about an engine.

    Attributes:
        models_dir: The user's own folder of weights; None for the usual places.
        trust: Load a checkpoint in a pickle format although its sha256 is unknown.
        offline: Never touch the network.
        device: `cpu`, `cuda`, `mps`, or None for the best there is.
        precision: Of networks on the processor: `f32` (or None), or `bf16`, which is faster,
            rounds, and needs the extra `fast`.
    """

    models_dir: Path | None = None
    trust: bool = False
    offline: bool = False
    device: str | None = None
    precision: str | None = None


# The contract of the entry-point group `workstation.separators`: the name of the entry point
# is the name of the engine, and it loads to a function like this. Making an engine must be
# cheap: it imports and loads what is heavy only when `separate` is called.
EngineFactory = Callable[[EngineOptions], Separator]
