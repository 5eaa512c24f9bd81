"""Training a separation network on a folder of songs, from the folder to the finished file."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta

from workstation.audio import need_space, writing
from workstation.config import cache_dir
from workstation.model import CancelledError, ExistsError, InputError, JobContext, UsageError
from workstation.model.names import file_name, shown
from workstation.separate.trained_file import (
    NetworkPlan,
    SpectrogramSizes,
    StemFigures,
    WaveformSizes,
)
from workstation.separate.training_songs import SongSet, StemSource, open_songs, silent_stems
from workstation.separate.training_state import Epoch, Recipe, state_of
from workstation.studio.stem_sets import songs_at, stems_at

if TYPE_CHECKING:
    from workstation.separate.training import Training

_HELD_OUT_SHARE = 0.2
_WINDOW_S = 0.0464
_STEPS_PER_EPOCH = (50, 200)
_STATE_BYTES = 70e6
_SUFFIX = ".safetensors"


class TrainingReport(msgspec.Struct, frozen=True):
    """How a training went.

    Attributes:
        path: The trained network.
        state: Where the training stands, to go on from.
        network: `waveform` or `spectrogram`.
        stopped: In words, why it ended.
        songs: Names of the songs it learnt from.
        held_out: Names of the songs it was judged by.
        steps: Steps in all.
        best_step: The step whose network is in the file.
        stems: SDR on the held-out songs, by stem: of this network, and of the mix shared out.
        history: Every epoch.
        notes: In words, what is odd about the songs.
    """

    path: str
    state: str
    network: str
    stopped: str
    songs: tuple[str, ...]
    held_out: tuple[str, ...]
    steps: int
    best_step: int
    stems: dict[str, StemFigures]
    history: tuple[Epoch, ...]
    notes: tuple[str, ...] = ()


class TrainingOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to train; None takes what is usual, or what the training was begun with.

    Attributes:
        network: `waveform` or `spectrogram`; usually `waveform`.
        valid: Songs to judge by; None holds out a fifth of those to learn from.
        minutes: Stop after so many minutes; None for any number.
        epochs: Stop after so many epochs, those of earlier runs counted in.
        seed: Decides the first weights, what is drawn, and what is held out; usually 0.
        batch: Excerpts of 3 s per step; usually 8.
        learning_rate: Of Adam; usually 0.001.
        device: `cpu`, `cuda`, `mps`, or None for the fastest there is.
    """

    network: Literal["waveform", "spectrogram"] | None = None
    valid: Path | None = None
    minutes: Annotated[float, Meta(gt=0)] | None = None
    epochs: Annotated[int, Meta(ge=1)] = 100
    seed: Annotated[int, Meta(ge=0, le=1 << 62)] | None = None
    batch: Annotated[int, Meta(ge=1, le=4096)] | None = None
    learning_rate: Annotated[float, Meta(gt=0, le=1)] | None = None
    device: str | None = None


def train(
    folder: Path | str,
    out: Path | str,
    *,
    options: TrainingOptions | None = None,
    resume: bool = False,
    overwrite: bool = False,
    say: Callable[[str], None] | None = None,
    job: JobContext | None = None,
) -> TrainingReport:
    """Train a network that separates songs like those in a folder.

    The best network so far is always in `out`; where the training stands lies beside it and can be
    gone on from. Separate with it by `--engine OUT`.

    Args:
        folder: Songs whose stems are known, as `evaluate` takes them: `<song>/<stem>.wav`.
        out: The network: a `.safetensors` file.
        options: How to train.
        resume: Go on with the training whose network is in `out`.
        overwrite: Begin anew although `out` is there.
        say: Is told of the songs, and of every epoch.
        job: Progress out, cancellation in.

    Raises:
        UsageError: `out` has no fit name, or options make no sense or are not those of the
            training to go on with.
        InputError: Songs are too few, too short, damaged, or do not go together.
        ExistsError: `out` is there and neither to be gone on with nor overwritten.
        OutputError: The disk is full, or read-only.
        EngineError: The loss is no number; what was learnt before is kept.
        CancelledError: The job was cancelled; it can be gone on with.
    """
    from workstation.separate.demucs_engine import choose_device
    from workstation.separate.training import Limits, Training, resumed, run

    job, out, options = job or JobContext(), Path(out), options or TrainingOptions()
    told: Callable[[str], None] = say or (lambda _words: None)
    check_out(out, resume=resume, overwrite=overwrite)
    _check_options(options)
    device = choose_device(options.device)
    before = resumed(state_of(out), device) if resume else None
    if before is not None:
        _check_begun(before.progress.recipe, options)
        options = msgspec.structs.replace(options, seed=before.progress.recipe.seed)
    with _scratch_folder() as scratch:
        songs, held_out = _open(Path(folder), options, Path(scratch), job.part(0.0, 0.02))
        silent = silent_stems(songs, job.part(0.02, 0.03))
        notes = tuple(f"{shown(song)}: {shown(stem)} is silent." for song, stem in silent)
        for words in (_told_of(songs, held_out), *notes):
            told(words)
        if before is not None:
            _check_songs(before.progress.recipe, songs, held_out)
        training: Training = before or Training(_recipe(songs, held_out, options), device)
        try:
            stopped = run(
                training,
                songs,
                held_out,
                out=out,
                limits=Limits(options.epochs, options.minutes),
                job=job.part(0.03, 1.0),
                on_epoch=lambda number, epoch: told(_epoch_words(number, epoch)),
            )
        except CancelledError as error:
            raise CancelledError(error.problem, "Add --resume to go on from there.") from None
    progress = training.progress
    assert progress.best is not None
    return TrainingReport(
        path=str(out),
        state=str(state_of(out)),
        network=_kind(progress.recipe.plan),
        stopped=stopped,
        songs=tuple(song.name for song in songs.songs),
        held_out=tuple(song.name for song in held_out.songs),
        steps=progress.step,
        best_step=progress.best.step,
        stems=progress.best.figures,
        history=progress.history,
        notes=notes,
    )


def check_out(out: Path, *, resume: bool, overwrite: bool) -> None:
    """Find out before the work whether the network can be written, and used by its name.

    Raises:
        UsageError: Its name is none for an engine.
        ExistsError: It is there, or a training of that name is.
        OutputError: Its folder cannot be written, or the disk is full.
    """
    from workstation.separate.engines import is_taken

    name = out.stem
    if out.suffix != _SUFFIX:
        raise UsageError(
            f"A network is written as a {_SUFFIX} file, not {shown(out.name)}.",
            f"Name it {shown(name or 'my')}{_SUFFIX}.",
        )
    if file_name(name, fallback="") != name or set(name) & set("()@=+,") or is_taken(name):
        raise UsageError(
            f'"{shown(name)}" cannot be the name of an engine: it has a meaning already, or '
            "characters that names of engines cannot have.",
            f"Take another, such as my-network{_SUFFIX}.",
        )
    if resume and overwrite:
        raise UsageError("A training is gone on with, or begun anew.", "Leave one of both out.")
    there = next((path for path in (out, state_of(out)) if path.exists()), None)
    if there is not None and not (resume or overwrite):
        raise ExistsError(
            f"{shown(there)} is there already.",
            "Add --resume to train on, --overwrite to begin anew, or take another name.",
        )
    with writing(out):
        out.parent.mkdir(parents=True, exist_ok=True)
        need_space(out.parent, _STATE_BYTES)


def _check_options(options: TrainingOptions) -> None:
    """Hold options against their bounds, which stand beside their types."""
    try:
        msgspec.convert(msgspec.to_builtins(options, enc_hook=str), TrainingOptions, dec_hook=_as)
    except msgspec.ValidationError as error:
        raise UsageError(
            f"This cannot be trained: {error}.", "See `workstation train --help`."
        ) from error


def _as(kind: type, value: object) -> object:
    return kind(value)


def _scratch_folder() -> tempfile.TemporaryDirectory[str]:
    """In our cache, for formats that cannot be read at any place; gone in the end."""
    root = cache_dir()
    with writing(root):
        root.mkdir(parents=True, exist_ok=True)
        # Some systems do not remove a file that is mapped into memory.
        return tempfile.TemporaryDirectory(dir=root, prefix="training-", ignore_cleanup_errors=True)


# -- songs ------------------------------------------------------------------------------


def _open(
    folder: Path, options: TrainingOptions, scratch: Path, job: JobContext
) -> tuple[SongSet, SongSet]:
    """Open the songs to learn from, and those to judge by."""
    found = songs_at(folder)
    if options.valid is None:
        if len(found) < 2:
            raise InputError(
                f"{shown(folder)} holds one song; the network must be judged by another.",
                "Add songs, or name a folder of others with --valid.",
            )
        held_out = _held_out(sorted(found), options.seed or 0)
    else:
        others = songs_at(Path(options.valid))
        _check_apart(found, others)
        # Two songs may have one name in two folders.
        renamed = {f"{name} (held out)" if name in found else name: p for name, p in others.items()}
        found, held_out = {**found, **renamed}, set(renamed)
    opened = open_songs({name: _sources(path) for name, path in found.items()}, scratch, job)
    return opened.part(set(found) - held_out), opened.part(held_out)


def _held_out(names: list[str], seed: int) -> set[str]:
    """A fifth of the songs, at least one, drawn by the seed."""
    count = max(1, round(len(names) * _HELD_OUT_SHARE))
    drawn = np.random.default_rng(seed).permutation(len(names))[:count]
    return {names[place] for place in drawn}


def _check_apart(found: dict[str, Path], others: dict[str, Path]) -> None:
    both = {path.resolve() for path in found.values()} & {p.resolve() for p in others.values()}
    if both:
        raise InputError(
            f"{shown(min(both))} is both to be learnt from and held out.",
            "Take it out of one of the two folders.",
        )


def _sources(path: Path) -> dict[str, StemSource]:
    return {stem.name.lower(): StemSource(stem.path, stem.stream) for stem in stems_at(path)}


def _told_of(songs: SongSet, held_out: SongSet) -> str:
    names = ", ".join(shown(song.name) for song in held_out.songs)
    return (
        f"Learning {', '.join(songs.stems)} from {len(songs.songs)} songs "
        f"({songs.seconds / 60:.1f} min); held out: {names}."
    )


def _epoch_words(number: int, epoch: Epoch) -> str:
    return (
        f"Epoch {number}: loss {epoch.loss:.4f}, held out {epoch.held_out_loss:.4f}, "
        f"SDR {epoch.sdr_db:.2f} dB"
    )


# -- the recipe -------------------------------------------------------------------------


def _recipe(songs: SongSet, held_out: SongSet, options: TrainingOptions) -> Recipe:
    rate = songs.sample_rate_hz
    plan = NetworkPlan(
        network=usual_sizes(options.network or "waveform", rate),
        stems=_names(songs),
        sample_rate_hz=rate,
        channels=songs.channels,
    )
    wished = {
        name: value
        for name in ("seed", "batch", "learning_rate")
        if (value := getattr(options, name)) is not None
    }
    recipe = Recipe(plan=plan, songs=songs.fingerprint, held_out=held_out.fingerprint, **wished)
    least, most = _STEPS_PER_EPOCH
    once = round(songs.seconds / (recipe.batch * recipe.excerpt_s))
    recipe = msgspec.structs.replace(recipe, steps_per_epoch=min(max(once, least), most))
    short = min((*songs.songs, *held_out.songs), key=lambda song: song.frames)
    if short.frames < recipe.excerpt_frames:
        raise InputError(
            f"{shown(short.name)} is shorter than the {recipe.excerpt_s:g} s that are learnt at "
            "once.",
            "Take this song out.",
        )
    return recipe


def usual_sizes(network: str, rate_hz: int) -> WaveformSizes | SpectrogramSizes:
    """Sizes of a network for songs of a sample rate: 2.8 million parameters at 44.1 kHz."""
    if network == "waveform":
        return WaveformSizes()
    return SpectrogramSizes(window=1 << max(4, round(math.log2(_WINDOW_S * rate_hz))))


def _names(songs: SongSet) -> tuple[str, ...]:
    for name in songs.stems:
        if not name.isascii() or file_name(name, fallback="") != name:
            raise InputError(
                f'The name of the stem "{shown(name)}" has characters beyond plain letters.',
                "Rename its files in all songs, for example vocals.wav.",
            )
    return songs.stems


def _kind(plan: NetworkPlan) -> str:
    return "waveform" if isinstance(plan.network, WaveformSizes) else "spectrogram"


def _check_begun(recipe: Recipe, options: TrainingOptions) -> None:
    """Refuse to go on otherwise than was begun."""
    begun = {
        "network": _kind(recipe.plan),
        "seed": recipe.seed,
        "batch": recipe.batch,
        "learning_rate": recipe.learning_rate,
    }
    for name, value in begun.items():
        wished = getattr(options, name)
        if wished is not None and wished != value:
            option = "--" + name.replace("_", "-")
            raise UsageError(
                f"The training was begun with {option} {value}, not {wished}.",
                f"Leave {option} out, or begin anew with --overwrite.",
            )


def _check_songs(recipe: Recipe, songs: SongSet, held_out: SongSet) -> None:
    if (recipe.songs, recipe.held_out) != (songs.fingerprint, held_out.fingerprint):
        raise InputError(
            "The songs are not those that the training was begun with.",
            "Give the same songs to go on, or begin anew with --overwrite.",
        )
