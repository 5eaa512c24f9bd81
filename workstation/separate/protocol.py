"""What a separation engine is: one method and a card that says what it can do."""

from __future__ import annotations

from collections.abc import Callable
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


class EngineOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may choose about an engine.

    Attributes:
        models_dir: The user's own folder of weights; None for the usual places.
        trust: Load a checkpoint in a pickle format although its sha256 is unknown.
        offline: Never touch the network.
        device: `cpu`, `cuda`, `mps`, or None for the best there is.
    """

    models_dir: Path | None = None
    trust: bool = False
    offline: bool = False
    device: str | None = None


# The contract of the entry-point group `workstation.separators`: the name of the entry point
# is the name of the engine, and it loads to a function like this. Making an engine must be
# cheap: it imports and loads what is heavy only when `separate` is called.
EngineFactory = Callable[[EngineOptions], Separator]
