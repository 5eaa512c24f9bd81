"""Where a training stands, in one file: safetensors, with the rest as JSON in its header.

Tensors are named by what they are: `network.…` the parameters, `mean.…` their running mean,
`best.…` the best of those, `first.…` and `second.…` the moments of Adam (Kingma and Ba, 2015).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta

from workstation.model import InputError
from workstation.model.names import shown
from workstation.separate.trained_file import NetworkPlan, StemFigures, write_tensors

if TYPE_CHECKING:
    from torch import Tensor

_ENTRY = "workstation-training"
GROUPS = ("network", "mean", "best", "first", "second")


class Recipe(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a network is trained; the same recipe and songs give the same network.

    Attributes:
        plan: The network.
        seed: Decides the first weights and what is drawn.
        batch: Excerpts per step.
        excerpt_s: Length of an excerpt.
        learning_rate: Of Adam at the start; halved when the held-out songs get no better.
        steps_per_epoch: Steps between two looks at the held-out songs.
        patience: Epochs without getting better until the training ends.
        songs: Fingerprint of the songs learnt from.
        held_out: Fingerprint of the songs held out.
    """

    plan: NetworkPlan
    seed: Annotated[int, Meta(ge=0, le=1 << 62)] = 0
    batch: Annotated[int, Meta(ge=1, le=4096)] = 8
    excerpt_s: Annotated[float, Meta(gt=0, le=60)] = 3.0
    learning_rate: Annotated[float, Meta(gt=0, le=1)] = 1e-3
    steps_per_epoch: Annotated[int, Meta(ge=1, le=100000)] = 50
    patience: Annotated[int, Meta(ge=1, le=100000)] = 20
    songs: str = ""
    held_out: str = ""

    @property
    def excerpt_frames(self) -> int:
        """Length of an excerpt in samples."""
        return max(1, round(self.excerpt_s * self.plan.sample_rate_hz))


class Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How an epoch went.

    Attributes:
        loss: Mean loss of its steps.
        held_out_loss: Loss on the held-out songs after it.
        sdr_db: SDR on the held-out songs after it: mean over songs, then stems.
    """

    loss: float
    held_out_loss: float
    sdr_db: float


class Best(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The best network so far: after which step, and its figures."""

    step: int
    sdr_db: float
    figures: dict[str, StemFigures]


class Progress(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where a training stands.

    Attributes:
        recipe: How it is trained.
        step: Steps done.
        loss_sum: Sum of the losses of the steps done in the epoch that is under way.
        history: The epochs done.
        best: The best network so far; None before the first look.
    """

    recipe: Recipe
    step: Annotated[int, Meta(ge=0)] = 0
    loss_sum: float = 0.0
    history: tuple[Epoch, ...] = ()
    best: Best | None = None

    @property
    def epochs_without_gain(self) -> int:
        """How long the held-out songs have not got better."""
        return _without_gain(self.history)

    @property
    def learning_rate(self) -> float:
        """The rate of the next step: halved each time a third of the patience is used up."""
        third = max(1, self.recipe.patience // 3)
        gains = [_without_gain(self.history[:n]) for n in range(1, len(self.history) + 1)]
        halvings = sum(gain > 0 and gain % third == 0 for gain in gains)
        return self.recipe.learning_rate * 0.5**halvings


def _without_gain(history: tuple[Epoch, ...]) -> int:
    if not history:
        return 0
    scores = [epoch.sdr_db for epoch in history]
    return len(scores) - 1 - scores.index(max(scores))


def state_of(out: Path) -> Path:
    """Where the training of a network is kept: beside it, `my.training` for `my.safetensors`."""
    return out.with_suffix(".training")


def save_state(path: Path, progress: Progress, tensors: dict[str, Tensor]) -> None:
    """Write where a training stands, whole or not at all.

    Raises:
        OutputError: It cannot be written.
    """
    write_tensors(path, tensors, {_ENTRY: msgspec.json.encode(progress).decode()})


def load_state(path: Path) -> tuple[Progress, dict[str, Tensor]]:
    """Read where a training stands.

    Raises:
        InputError: There is no such file, or it is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(path), framework="pt") as file:
            metadata = file.metadata() or {}
            progress = msgspec.json.decode(metadata[_ENTRY], type=Progress)
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except FileNotFoundError as error:
        raise InputError(
            f"There is no training to go on with: {shown(path)} is not there.",
            "Leave --resume out, or name the file that the training was begun with.",
        ) from error
    except OSError as error:
        raise InputError(
            f"{shown(path)} cannot be read: {error.strerror or error}.", "Mend its permissions."
        ) from error
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise InputError(
            f"{shown(path)} is damaged or not the state of a training: "
            f"{' '.join(str(error).split())[:160]}.",
            "Train anew, with --overwrite instead of --resume.",
        ) from error
    return progress, tensors
