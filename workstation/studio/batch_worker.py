"""One song of a batch, in a process of its own: open, separate, analyse, export."""

from __future__ import annotations

import time
from pathlib import Path

import msgspec

from workstation.model import JobContext, WorkstationError
from workstation.model.names import shown
from workstation.separate import EngineOptions
from workstation.separate.child import Trade, decode_path, give_order, take_order
from workstation.studio.batch_queue import SongResult
from workstation.studio.exporting import export_to
from workstation.studio.opening import open_session

_TRADE = Trade(
    module="workstation.studio.batch_worker",
    name="batch",
    killed="Do fewer songs at once with --jobs 1, or choose a lighter engine such as --engine dsp.",
)


class BatchOrder(msgspec.Struct, frozen=True):
    """A song and what is to be made of it.

    Attributes:
        song: Its file.
        parent: Folder of its session.
        engine: The engine that was asked for; None takes stems that are there, or `fallback`.
        fallback: The engine for songs without stems.
        options: Of the engine.
        targets: What to export it to.
    """

    song: Path
    parent: Path
    engine: str | None
    fallback: str
    options: EngineOptions
    targets: tuple[str, ...]


def work_in_worker(order: BatchOrder, job: JobContext) -> SongResult:
    """Do all that is to be done for one song, in a child process.

    Raises:
        WorkstationError: Whatever went wrong there.
        CancelledError: The job was cancelled; what was complete is kept.
    """
    return msgspec.convert(give_order(_TRADE, order, job), SongResult)


def work_on_song(order: BatchOrder, job: JobContext) -> SongResult:
    """Open a song, separate, analyse and export it; what is there already is not done again.

    Raises:
        WorkstationError: A step failed.
    """
    started = time.monotonic()
    begin = 0.8 if order.targets else 0.9
    end = 0.9 if order.targets else 1.0
    session = open_session(order.song, parent=order.parent, job=job.part(0.0, 0.05, "opening"))
    engine = order.engine or (None if session.stems else order.fallback)
    session.separate(engine, options=order.options, job=job.part(0.05, begin))
    analysis = session.analyze(job=job.part(begin, end, "analysing"))
    reports = export_to(
        session,
        list(order.targets),
        out=None,
        encoding=None,
        bar_markers=False,
        # An attempt that was interrupted may have left some of the exports.
        overwrite=True,
        job=job.part(end, 1.0),
    )
    return SongResult(
        session=shown(session.path),
        engine=str(session.engine),
        duration_s=session.song.source.duration_s,
        bpm=analysis.bpm,
        key=None if analysis.key is None else analysis.key.name,
        exports={report.target: shown(report.folder) for report in reports},
        seconds=time.monotonic() - started,
    )


def _work(order: bytes, job: JobContext) -> SongResult:
    return work_on_song(decode_order(order), job)


def _defect(order: bytes, words: str) -> WorkstationError:
    return WorkstationError(
        f"{shown(decode_order(order).song)} failed: {words}.",
        f"This is a defect of workstation; the details are in {_TRADE.log}.",
    )


def decode_order(order: bytes) -> BatchOrder:
    """Read an order as it travels."""
    return msgspec.json.decode(order, type=BatchOrder, dec_hook=decode_path)


if __name__ == "__main__":
    take_order(_work, _defect)
