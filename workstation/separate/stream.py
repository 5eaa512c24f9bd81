"""Separate a file of any length in bounded memory, chunk by chunk, in a way that can go on.

An engine that is `Seamless` gives the stems of the whole file in pieces. For any other, the file
is cut into chunks of equal length that overlap and are cross-faded; each chunk of stems is made
to sum to its chunk of the mix, and cross-fading keeps that. After every piece or chunk the state
on disk is complete: what is finished can be played, and a killed process is continued from there.
"""

from __future__ import annotations

import json
import math
import os
import zipfile
from collections import deque
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgspec
import numpy as np

from workstation.audio import AudioReader, FloatWav, open_audio, writing
from workstation.model import EngineError, InputError, JobContext
from workstation.separate.consistency import Sharing, block_frames, share_residual
from workstation.separate.fitted import check_channels, separate_fitted
from workstation.separate.protocol import FloatArray, Seamless, Separator, Whole

STATE_FILE = "state.json"
_MEASURING = 0.01


class ChunkPlan(msgspec.Struct, frozen=True):
    """How a file is cut: `count` chunks of `hop + overlap` frames, `hop` apart."""

    count: int
    hop: int
    overlap: int

    @classmethod
    def of(cls, frames: int, *, chunk: int, overlap: int) -> ChunkPlan:
        """Cut into as few chunks of at most `chunk` frames as cover the file, equally long.

        >>> ChunkPlan.of(100, chunk=60, overlap=10)
        ChunkPlan(count=2, hop=45, overlap=10)
        """
        overlap = min(overlap, chunk // 2)
        count = max(1, math.ceil((frames - overlap) / (chunk - overlap)))
        hop = max(1, math.ceil((frames - overlap) / count)) if count > 1 else frames
        return cls(count, hop, overlap if count > 1 else 0)


def separate_file(
    source: Path,
    engine: Separator,
    folder: Path,
    *,
    key: str,
    job: JobContext,
) -> dict[str, Path]:
    """Separate an audio file into float32 WAVs `folder/<stem>.wav` of its own rate and length.

    Args:
        source: The audio file.
        engine: Who separates.
        folder: Where the stems go; work that was begun there with the same `key` goes on.
        key: Names the source and the engine with its settings.
        job: Progress out, cancellation in.

    Returns:
        Path of every stem, in the order of the engine's card.

    Raises:
        InputError: The source cannot be read, or has too few channels for the engine.
        OutputError: The stems cannot be written.
        EngineError: The engine broke its contract.
        CancelledError: The job was cancelled; the state stays for the next time.
    """
    names = engine.card.stems
    paths = {name: folder / f"{name}.wav" for name in names}
    with open_audio(source, job=job) as reader, ExitStack() as stack:
        if reader.frames is None:
            raise InputError(f"The length of {source} is not known.", "Convert it to WAV or FLAC.")
        check_channels(engine.card, reader.channels)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            files = {
                name: stack.enter_context(
                    FloatWav(
                        path,
                        sample_rate_hz=reader.sample_rate_hz,
                        channels=reader.channels,
                        frames=reader.frames,
                    )
                )
                for name, path in paths.items()
            }
        rate = reader.sample_rate_hz
        card = engine.card
        if (
            isinstance(engine, Seamless)
            and card.sample_rate_hz in {None, rate}
            and reader.channels <= (card.max_channels or reader.channels)
        ):
            state = _State(folder, key, ChunkPlan(reader.frames, 1, 0))
            with open_audio(source, job=job) as again:
                _run_seamless(reader, again, engine, files, state, job)
        else:
            plan = ChunkPlan.of(
                reader.frames,
                chunk=round(engine.chunk_s * rate),
                overlap=round(engine.overlap_s * rate),
            )
            _run(reader, engine, plan, files, _State(folder, key, plan), job)
    return paths


class _State:
    """Which chunks are done, and the faded-out end of the last one, kept on disk."""

    def __init__(self, folder: Path, key: str, plan: ChunkPlan) -> None:
        self.folder = folder
        self._plan = plan
        self.frames = plan.count * plan.hop
        self._head = {"key": key, "plan": msgspec.to_builtins(plan)}

    def load(self, shape: tuple[int, int]) -> tuple[int, FloatArray | None]:
        """Number of chunks done, and the tail of shape (stems, channels, overlap)."""
        try:
            state = json.loads((self.folder / STATE_FILE).read_text())
            if {k: state[k] for k in self._head} != self._head:
                return 0, None
            done = int(state["done"])
            if not self._plan.overlap:
                return (done, None) if 0 < done <= self._plan.count else (0, None)
            tail: FloatArray = np.load(self.folder / f"tail-{done}.npy", allow_pickle=False)
        except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile):
            # Nothing (whole) is there from an earlier run: begin at the beginning.
            return 0, None
        overlap = self._plan.overlap if done < self._plan.count else 0
        if not 0 < done <= self._plan.count or tail.shape != (*shape, overlap):
            return 0, None
        return done, tail

    def save(self, done: int, tail: FloatArray | None = None) -> None:
        """Record that `done` chunks are on disk; the tail only where chunks overlap."""
        if tail is not None and self._plan.overlap:
            with (self.folder / f"tail-{done}.npy").open("wb") as tail_file:
                np.save(tail_file, tail)
                tail_file.flush()
                os.fsync(tail_file.fileno())
        partial = self.folder / (STATE_FILE + ".partial")
        with partial.open("w") as file:
            json.dump({**self._head, "done": done}, file)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self.folder / STATE_FILE)
        (self.folder / f"tail-{done - 1}.npy").unlink(missing_ok=True)


def _run(
    reader: AudioReader,
    engine: Separator,
    plan: ChunkPlan,
    files: dict[str, FloatWav],
    state: _State,
    job: JobContext,
) -> None:
    done, tail = state.load((len(files), reader.channels))
    if any(file.fresh for file in files.values()):
        done, tail = 0, None  # What an earlier run made is gone.
    if not done:
        forget_progress(state.folder)
    if done < plan.count:
        _skip(reader, done * plan.hop, job)
    kept = np.zeros((reader.channels, 0), np.float32)
    fade_in = (np.arange(plan.overlap, dtype=np.float32) + 0.5) / max(plan.overlap, 1)
    for index in range(done, plan.count):
        job.check()
        step = job.part(index / plan.count, (index + 1) / plan.count)
        step.report(0.0)
        mix = np.concatenate([kept, reader.read(plan.hop + plan.overlap - kept.shape[1])], axis=1)
        kept = mix[:, plan.hop :]
        stems = np.stack(list(_consistent(engine, mix, reader.sample_rate_hz, step).values()))
        if tail is not None and tail.shape[2]:
            n = min(plan.overlap, stems.shape[2])
            stems[:, :, :n] *= fade_in[:n]
            stems[:, :, :n] += tail[:, :, :n]
        last = index == plan.count - 1
        end = stems.shape[2] if last else plan.hop
        tail = stems[:, :, end:].copy()
        if not last:
            tail *= np.float32(1) - fade_in
        with writing(state.folder):
            for file, stem in zip(files.values(), stems, strict=True):
                file.write(index * plan.hop, stem[:, :end])
                file.sync()
            state.save(index + 1, tail)
        step.report(1.0)


def _run_seamless(
    measured: AudioReader,
    reader: AudioReader,
    engine: Seamless,
    files: dict[str, FloatWav],
    state: _State,
    job: JobContext,
) -> None:
    """Separate by an engine that sees to the seams itself; a chunk is one frame."""
    frames, rate = state.frames, reader.sample_rate_hz
    done, _ = state.load((len(files), reader.channels))
    if any(file.fresh for file in files.values()):
        done = 0  # What an earlier run made is gone.
    if not done:
        forget_progress(state.folder)
    if done == frames:
        return
    # Shares of the residual are found from one block before the frame to go on at.
    block = block_frames(rate)
    done = done // block * block
    start = max(0, done - block)
    whole = Whole.of(_pieces(measured, frames, job.part(0.0, _MEASURING)))
    mixes = _Mixes(reader, start)
    sharing = Sharing(frames, rate, start)
    work = job.part(_MEASURING, 1.0)
    for begin, stems in engine.stream(mixes.read, reader.channels, whole, work, start=start):
        if not np.isfinite(stems).all():
            raise EngineError(
                "The engine returned values that are no numbers.",
                "Choose another engine, and report this to its makers.",
            )
        mix = mixes.take(begin, begin + stems.shape[2])
        for place, finished in sharing.add(stems, mix):
            end = place + finished.shape[2]
            with writing(state.folder):
                for file, stem in zip(files.values(), finished, strict=True):
                    file.write(place, stem)
                    file.sync()
                state.save(end)


class _Mixes:
    """Hands the samples of a file on to an engine, and keeps them until the stems are there."""

    def __init__(self, reader: AudioReader, start: int) -> None:
        self._reader = reader
        self._begin = start
        self._place = 0
        self._kept: deque[FloatArray] = deque()

    def read(self, frames: int) -> FloatArray:
        """Read on."""
        mix = self._reader.read(frames)
        wanted = mix[:, max(0, self._begin - self._place) :]
        self._place += mix.shape[1]
        if wanted.shape[1]:
            self._kept.append(wanted)
        return mix

    def take(self, begin: int, end: int) -> FloatArray:
        """Samples that were read, and are then forgotten; the engine may not have asked yet."""
        assert begin == self._begin
        if end > self._place:
            self.read(end - self._place)
        whole = np.concatenate(self._kept, axis=1)
        self._kept = deque([whole[:, end - begin :].copy()])
        self._begin = end
        return whole[:, : end - begin]


def _pieces(reader: AudioReader, frames: int, job: JobContext) -> Iterator[FloatArray]:
    """All samples of a file, for measuring them."""
    done = 0
    while done < frames:
        job.check()
        piece = reader.read(min(frames - done, 1 << 20))
        if not piece.shape[1]:
            raise InputError("The source is shorter than it was.", "Start with a new session.")
        done += piece.shape[1]
        job.report(done / frames, "measuring")
        yield piece


def finished_frames(folder: Path, key: str) -> int:
    """How many frames of the stems of a key are finished in a folder, from the beginning on.

    The stems have their final length from the start; what is not finished is silent in them.
    """
    try:
        state = json.loads((folder / STATE_FILE).read_text())
        return int(state["done"]) * int(state["plan"]["hop"]) if state["key"] == key else 0
    except (OSError, ValueError, KeyError, TypeError):
        return 0


def is_finished(folder: Path, key: str) -> bool:
    """Whether a folder holds all stems of a key, with the record of that still in it."""
    try:
        state = json.loads((folder / STATE_FILE).read_text())
        return bool(state["key"] == key and state["done"] == state["plan"]["count"])
    except (OSError, ValueError, KeyError, TypeError):
        return False


def forget_progress(folder: Path) -> None:
    """Remove the record of chunks from a folder of finished stems."""
    for path in [folder / STATE_FILE, *folder.glob("tail-*.npy")]:
        path.unlink(missing_ok=True)


def _skip(reader: AudioReader, frames: int, job: JobContext) -> None:
    """Read on to a frame; compressed formats have no other exact way to get there."""
    while frames > 0:
        job.check()
        got = reader.read(min(frames, 1 << 20)).shape[1]
        if not got:
            raise InputError("The source is shorter than it was.", "Start with a new session.")
        frames -= got


def _consistent(
    engine: Separator, mix: FloatArray, rate_hz: int, job: JobContext
) -> dict[str, FloatArray]:
    """Separate one chunk into stems that sum to it."""
    stems = separate_fitted(engine, mix, rate_hz, job)
    share_residual(stems, mix, rate_hz)
    return stems
