"""Batches: a folder of songs, each separated, analysed and exported; failures stop no other."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from workstation.audio import atomic_file
from workstation.config import load_settings
from workstation.model import (
    CancelledError,
    ExistsError,
    InputError,
    JobContext,
    UsageError,
    WorkstationError,
)
from workstation.model.names import shown
from workstation.model.stem_roles import is_usual
from workstation.separate import EngineOptions, choose_engine
from workstation.session import is_session
from workstation.studio.batch_cluster import join_cluster
from workstation.studio.batch_queue import BatchQueue, SongReport, SongResult, open_queue
from workstation.studio.batch_worker import BatchOrder, work_in_worker
from workstation.studio.exporting import check_targets
from workstation.studio.opening import MIX_NAMES, audio_files, stem_name
from workstation.studio.session import engine_options
from workstation.studio.side_by_side import side_by_side

REPORT_FILE = "report.json"
_RETRY_AFTER_S = 1.0
_POLL_S = 0.1
# The next attempt would fail the same way.
_FINAL = (CancelledError, ExistsError, InputError, UsageError)


class BatchOptions(msgspec.Struct, frozen=True):
    """How a batch goes about it.

    Attributes:
        of_engine: Weights folder, trust, network, device; None in them takes the settings.
        jobs: Songs at once.
        retry: How often a song that failed is tried again, except where its file is to blame.
        cluster: Address of a Dask scheduler whose workers do the songs; None does them here.
    """

    of_engine: EngineOptions = msgspec.field(default_factory=engine_options)
    jobs: int = 1
    retry: int = 1
    cluster: str | None = None


_Work = Callable[[BatchOrder, JobContext], SongResult]


class _Hands(NamedTuple):
    """Who does the songs: how one is handed over, and how many at once."""

    work: _Work
    at_once: int


class BatchReport(msgspec.Struct, frozen=True):
    """How a batch went.

    Attributes:
        folder: Of the songs.
        out: Of the sessions, the queue and the report.
        done: How many songs are done.
        done_before: How many of these were so before this batch.
        failed: How many songs failed.
        songs: Every song.
    """

    folder: str
    out: str
    done: int
    done_before: int
    failed: int
    songs: tuple[SongReport, ...]


def batch(
    folder: Path | str,
    *,
    out: Path | str | None = None,
    engine: str | None = None,
    to: str = "",
    options: BatchOptions | None = None,
    say: Callable[[str], None] | None = None,
    job: JobContext | None = None,
) -> BatchReport:
    """Separate, analyse and export every song in a folder and the folders in it.

    A song that fails is noted and the others go on. Called again, also after the process was
    killed, it goes on where it stopped: what is done is never done again, while the file and
    what is asked for stay the same; what failed is tried again. Sessions lie in `out` as the
    songs do in `folder`.

    Args:
        folder: The songs. Where stems lie beside their mix, as in MUSDB18-HQ, only the mix is
            a song.
        out: For sessions, queue and report; None is `<folder>-batch` in the working folder.
        engine: Name of an engine; None is that of the settings.
        to: Export targets, separated by commas; nothing is exported without.
        options: How to go about it.
        say: Is told in words which engine was chosen and why.
        job: Progress out, cancellation in.

    Returns:
        What became of every song; the same is in `report.json` in `out`.

    Raises:
        UsageError: There is no such engine or target.
        UnavailableError: The engine cannot work here, or the cluster is not there.
        InputError: The folder holds no songs.
        LockedError: Another batch is working in `out`.
        CancelledError: The job was cancelled; the next call goes on from there.
    """
    given, options = Path(folder), options or BatchOptions()
    root = given.resolve()
    out = Path(f"{root.name}-batch") if out is None else Path(out)
    targets = tuple(check_targets(to)) if to.strip() else ()
    choice = choose_engine(engine or load_settings().engine, options.of_engine)
    songs = find_songs(root, out)
    if say is not None and choice.why:
        say(choice.why)
    names = _names(songs, root)
    with _hands(options) as hands, open_queue(out) as queue:
        waiting = queue.begin(songs, f"{engine or 'auto'}:{','.join(sorted(targets))}")
        orders = {
            names[song]: BatchOrder(
                song=song,
                parent=(out / song.relative_to(root).parent).resolve(),
                engine=engine,
                fallback=choice.card.name,
                options=options.of_engine,
                targets=targets,
            )
            for song in waiting
        }
        _work_off(queue, orders, hands, options.retry, job or JobContext())
        reports = tuple(queue.report(song, names[song]) for song in songs)
    return _finish(reports, given, out, done_before=len(songs) - len(waiting))


def _finish(
    songs: tuple[SongReport, ...], folder: Path, out: Path, *, done_before: int
) -> BatchReport:
    """Sum up, and write the report beside the queue."""
    done = sum(song.state == "done" for song in songs)
    report = BatchReport(
        folder=shown(folder),
        out=shown(out),
        done=done,
        done_before=done_before,
        failed=len(songs) - done,
        songs=songs,
    )
    with atomic_file(out / REPORT_FILE) as partial:
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(report)) + b"\n")
    return report


def find_songs(folder: Path, out: Path) -> list[Path]:
    """The songs in a folder and its folders, in the order of their paths.

    Raises:
        InputError: There are none.
    """
    if not folder.is_dir() or is_session(folder):
        what = "is a session" if is_session(folder) else "is no folder"
        what = what if folder.exists() else "is not there"
        raise InputError(f"{shown(folder)} {what}.", "Give a folder of songs.")
    found: list[Path] = []
    _collect(folder, {folder.resolve(), out.resolve()}, found)
    if not found:
        raise InputError(
            f"{shown(folder)} holds no songs.", "Give a folder of audio files, or of such folders."
        )
    return found


def _collect(folder: Path, seen: set[Path], found: list[Path]) -> None:
    """Add the songs of a folder; links may lead in circles, so none is entered twice."""
    files = audio_files(folder)
    mixes = [file for file in files if stem_name(file) in MIX_NAMES]
    if mixes and any(is_usual(stem_name(file)) for file in files):
        files = mixes[:1]
    found += files
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.name.startswith(".") and not is_session(path):
            real = path.resolve()
            if real not in seen:
                seen.add(real)
                _collect(path, seen, found)


def _names(songs: Sequence[Path], folder: Path) -> dict[Path, str]:
    """Songs by their paths below the folder; those that look alike when printed are numbered."""
    names = {song: shown(song.relative_to(folder)) for song in songs}
    counts = Counter(names.values())
    return {
        song: name if counts[name] == 1 else f"{name} ({number})"
        for number, (song, name) in enumerate(names.items(), start=1)
    }


@contextlib.contextmanager
def _hands(options: BatchOptions) -> Iterator[_Hands]:
    """Processes of this machine, or the workers of a cluster."""
    if options.cluster is None:
        yield _Hands(work_in_worker, options.jobs)
        return
    with join_cluster(options.cluster) as cluster:
        yield _Hands(cluster.work, cluster.songs_at_once)


def _work_off(
    queue: BatchQueue, orders: Mapping[str, BatchOrder], hands: _Hands, retry: int, job: JobContext
) -> None:
    works = {
        name: lambda step, order=order: _work_on(queue, hands.work, order, retry, step)
        for name, order in orders.items()
    }
    for name, outcome in side_by_side(works, at_once=hands.at_once, job=job):
        if isinstance(outcome, SongResult):
            queue.finish(orders[name].song, outcome)
        elif not isinstance(outcome, CancelledError):
            queue.fail(orders[name].song, outcome)


def _work_on(
    queue: BatchQueue,
    work: _Work,
    order: BatchOrder,
    retry: int,
    job: JobContext,
) -> SongResult:
    """One song, tried again where that may help."""
    for attempts_left in range(retry, -1, -1):
        queue.start(order.song)
        try:
            return work(order, job)
        except _FINAL:
            raise
        except WorkstationError:
            if not attempts_left:
                raise
        _pause(job)
    raise AssertionError("the last attempt returns or raises")


def _pause(job: JobContext) -> None:
    for _ in range(round(_RETRY_AFTER_S / _POLL_S)):
        job.check()
        threading.Event().wait(_POLL_S)
