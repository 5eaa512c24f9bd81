"""Training a network on songs whose stems are known.

Adam (Kingma and Ba, 2015) follows the gradient of `separation_loss`. What is judged and kept is the
running mean of the parameters (Polyak and Juditsky, 1992).

Every step depends on the one before, the seed and its number alone: a training that is interrupted
and goes on makes the same network, bit for bit, on the same kind of processor with the same
number of threads.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from workstation.model import EngineError, InputError, JobContext, OutputError
from workstation.model.names import shown
from workstation.separate.protocol import FloatArray
from workstation.separate.trained_file import TrainedHeader, check_shapes, write_trained
from workstation.separate.training_loss import judge, mean_sdr, separation_loss
from workstation.separate.training_songs import Clip, SongSet, draw_batch, held_out_clips
from workstation.separate.training_state import (
    GROUPS,
    Best,
    Epoch,
    Progress,
    Recipe,
    load_state,
    save_state,
    state_of,
)
from workstation.separate.watched import watched

if TYPE_CHECKING:
    from torch import Tensor

_MOST_GRADIENT = 1.0
_MEAN_DECAY = 0.998


class Limits(msgspec.Struct, frozen=True):
    """When a run of a training ends, at the latest.

    Attributes:
        epochs: After so many epochs, those of earlier runs counted in.
        minutes: After so many minutes of this run; None for any number.
    """

    epochs: int = 100
    minutes: float | None = None


class Training:
    """A network in training, with all that its next step depends on.

    Args:
        recipe: How it is trained.
        device: `cpu`, `cuda` or `mps`.
    """

    def __init__(self, recipe: Recipe, device: str) -> None:
        import torch

        from workstation.separate.networks import build

        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(recipe.seed)
            self.network = build(recipe.plan).to(device)
        with torch.random.fork_rng(devices=[]):
            self.mean = build(recipe.plan).to(device).requires_grad_(requires_grad=False)
        self.mean.load_state_dict(self.network.state_dict())
        self.best: dict[str, Tensor] = {}
        self.progress = Progress(recipe=recipe)
        self._device = device
        self._adam = torch.optim.Adam(self.network.parameters(), lr=recipe.learning_rate)

    def step(self, batch: FloatArray, job: JobContext) -> None:
        """Learn from a batch of true stems: shape (excerpts, stems, channels, frames).

        Raises:
            EngineError: The loss or its gradient is no number; nothing was changed.
            CancelledError: The job was cancelled; nothing was changed.
        """
        import torch

        # One by one on a processor: what fits its caches is three times as fast.
        at_once = 1 if self._device == "cpu" else len(batch)
        value = 0.0
        self._adam.zero_grad()
        for stems in torch.split(torch.from_numpy(batch), at_once):
            there = stems.to(self._device)
            mix = there.sum(1)
            with watched(self.network, job):
                loss = separation_loss(self.network(mix), there, mix) * (len(stems) / len(batch))
                loss.backward()  # type: ignore[no-untyped-call]
            value += loss.item()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), _MOST_GRADIENT)
        now = self.progress
        if not (math.isfinite(value) and math.isfinite(norm.item())):
            raise EngineError(
                f"The training broke down at step {now.step + 1}: its loss is no number.",
                "What was learnt before is kept. Train anew with a smaller --learning-rate.",
            )
        for group in self._adam.param_groups:
            group["lr"] = now.learning_rate
        self._adam.step()
        decay = min(_MEAN_DECAY, (1 + now.step) / (10 + now.step))
        with torch.no_grad():
            for mean, new in zip(self.mean.parameters(), self.network.parameters(), strict=True):
                mean.lerp_(new, 1 - decay)
        self.progress = msgspec.structs.replace(
            now, step=now.step + 1, loss_sum=now.loss_sum + value
        )

    def look(self, clips: list[Clip], job: JobContext) -> tuple[float, Best, bool]:
        """Judge the running mean by the held-out clips.

        Returns:
            Its loss, its figures, and whether it is the best so far, which it then becomes.
        """
        stems = self.progress.recipe.plan.stems
        with watched(self.mean, job):
            loss, figures = judge(self.mean, stems, clips, self._device, job)
        found = Best(self.progress.step, mean_sdr(figures), figures)
        better = self.progress.best is None or found.sdr_db > self.progress.best.sdr_db
        if better:
            self.best = {name: t.clone() for name, t in self.mean.state_dict().items()}
            self.progress = msgspec.structs.replace(self.progress, best=found)
        return loss, found, better

    def end_epoch(self, held_out_loss: float, sdr_db: float) -> Epoch:
        """Write an epoch into the history."""
        now = self.progress
        epoch = Epoch(now.loss_sum / now.recipe.steps_per_epoch, held_out_loss, sdr_db)
        self.progress = msgspec.structs.replace(now, loss_sum=0.0, history=(*now.history, epoch))
        return epoch

    def save(self, path: Path) -> None:
        """Write all this to a file.

        Raises:
            OutputError: It cannot be written.
        """
        moments = self._adam.state
        parameters = dict(self.network.named_parameters())
        first = {n: moments[p]["exp_avg"] for n, p in parameters.items() if p in moments}
        second = {n: moments[p]["exp_avg_sq"] for n, p in parameters.items() if p in moments}
        network, mean = self.network.state_dict(), self.mean.state_dict()
        groups = dict(zip(GROUPS, (network, mean, self.best, first, second), strict=True))
        tensors = {
            f"{group}.{name}": tensor
            for group, found in groups.items()
            for name, tensor in found.items()
        }
        save_state(path, self.progress, tensors)

    def restore(self, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
        """Take up what `save` wrote.

        Raises:
            ValueError, KeyError, RuntimeError: It does not fit.
        """
        import torch

        groups: dict[str, dict[str, Tensor]] = {group: {} for group in GROUPS}
        for name, tensor in tensors.items():
            group, _, rest = name.partition(".")
            groups[group][rest] = tensor.to(self._device)
        self.network.load_state_dict(groups["network"])
        self.mean.load_state_dict(groups["mean"])
        if groups["best"]:
            _check_like(groups["best"], self.network.state_dict())
        self.best = groups["best"]
        parameters = dict(self.network.named_parameters())
        if progress.step:
            for moment in ("first", "second"):
                _check_like(groups[moment], parameters)
            for name, parameter in parameters.items():
                self._adam.state[parameter] = {
                    "step": torch.tensor(float(progress.step)),
                    "exp_avg": groups["first"][name],
                    "exp_avg_sq": groups["second"][name],
                }
        self.progress = progress


def _check_like(found: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    shapes = {name: tensor.shape for name, tensor in found.items()}
    if shapes != {name: tensor.shape for name, tensor in wanted.items()}:
        raise ValueError("its tensors are not those of its network")


def resumed(path: Path, device: str) -> Training:
    """Take up a training where its file says that it stands.

    Raises:
        InputError: The file is not there, or damaged.
    """
    progress, tensors = load_state(path)
    try:
        network = {n: t for n, t in tensors.items() if n.startswith("network.")}
        check_shapes(progress.recipe.plan, {n.partition(".")[2]: t for n, t in network.items()})
        training = Training(progress.recipe, device)
        training.restore(progress, tensors)
    except (LookupError, ValueError, RuntimeError) as error:
        raise InputError(
            f"{shown(path)} is damaged: {' '.join(str(error).split())[:160]}.",
            "Train anew, with --overwrite instead of --resume.",
        ) from error
    return training


def run(
    training: Training,
    songs: SongSet,
    held_out: SongSet,
    *,
    out: Path,
    limits: Limits,
    job: JobContext,
    on_epoch: Callable[[int, Epoch], None] = lambda _number, _epoch: None,
) -> str:
    """Train until a limit is reached or the held-out songs get no better.

    The best network so far is always in `out`, and where the training stands beside it.

    Returns:
        In words, why it ended.

    Raises:
        InputError: A song is damaged, or the held-out ones are silent.
        OutputError: A file cannot be written.
        EngineError: The loss is no number; the last good state is kept.
        CancelledError: The job was cancelled; not one finished step is lost.
    """
    recipe, state = training.progress.recipe, state_of(out)
    clips = held_out_clips(held_out)
    clock = _Clock(limits, training.progress)
    look = _Look(training, songs, held_out, clips, out)

    if training.progress.best is not None and not out.exists():
        look.write(training.progress.best)

    def draw(step: int) -> FloatArray:
        return draw_batch(songs, recipe.seed, step, recipe.batch, recipe.excerpt_frames)

    with _kept(training, state), ThreadPoolExecutor(1) as pool:
        ahead = pool.submit(draw, training.progress.step)
        while True:
            now = training.progress
            clock.report(now, job)
            if now.step == (len(now.history) + 1) * recipe.steps_per_epoch:
                epoch = training.end_epoch(*look(job))
                training.save(state)
                on_epoch(len(training.progress.history), epoch)
                continue
            reason = clock.over(now)
            if reason:
                look.at_what_is_new(job)
                return reason
            batch = ahead.result()
            ahead = pool.submit(draw, now.step + 1)
            try:
                training.step(batch, job)
            except EngineError:
                look.at_what_is_new(job)
                raise


@contextmanager
def _kept(training: Training, state: Path) -> Iterator[None]:
    """Write where the training stands however this block ends, unless writing is what failed."""
    try:
        yield
    except OutputError:
        raise
    except BaseException:
        training.save(state)
        raise
    training.save(state)


class _Clock:
    """Knows how far a run has come, and when it is over."""

    def __init__(self, limits: Limits, progress: Progress) -> None:
        self._limits = limits
        self._first = progress.step
        self._begin = time.monotonic()

    def _minutes(self) -> float:
        return (time.monotonic() - self._begin) / 60

    def over(self, now: Progress) -> str:
        """Why the run is over; empty if it is not."""
        if now.epochs_without_gain >= now.recipe.patience:
            return f"no gain for {now.recipe.patience} epochs"
        if len(now.history) >= self._limits.epochs:
            return f"{self._limits.epochs} epochs"
        # One step at least: a run that learns nothing would be of no use.
        minutes = self._limits.minutes
        if minutes is not None and now.step > self._first and self._minutes() >= minutes:
            return f"{minutes:g} minutes"
        return ""

    def report(self, now: Progress, job: JobContext) -> None:
        """Tell how far it is, by whatever limit is nearer."""
        done = [(now.step - self._first) / self._steps_in_all(now)]
        if self._limits.minutes:
            done.append(self._minutes() / self._limits.minutes)
        words = f"Epoch {len(now.history) + 1}"
        if now.best is not None:
            words += f", best {now.best.sdr_db:.2f} dB"
        job.report(max(done), words)

    def _steps_in_all(self, now: Progress) -> int:
        return max(1, self._limits.epochs * now.recipe.steps_per_epoch - self._first)


class _Look:
    """Looks at the held-out songs, and keeps the best network in its file."""

    def __init__(
        self, training: Training, songs: SongSet, held_out: SongSet, clips: list[Clip], out: Path
    ) -> None:
        self._training, self._clips, self._out = training, clips, out
        self._songs, self._held_out = songs, held_out

    def __call__(self, job: JobContext) -> tuple[float, float]:
        loss, found, better = self._training.look(self._clips, job)
        if better:
            self.write(found)
        return loss, found.sdr_db

    def write(self, best: Best) -> None:
        """Write the best network."""
        header = TrainedHeader(
            plan=self._training.progress.recipe.plan,
            songs=len(self._songs.songs),
            seconds=round(self._songs.seconds, 3),
            steps=best.step,
            held_out=len(self._held_out.songs),
            figures=best.figures,
        )
        write_trained(self._out, header, self._training.best)

    def at_what_is_new(self, job: JobContext) -> None:
        """Look at what was learnt since the last epoch, outside of the history."""
        now = self._training.progress
        if now.step > len(now.history) * now.recipe.steps_per_epoch:
            self(job)
