"""The demo: the whole way on a song whose stems and beats are known, with the marks it gets."""

from __future__ import annotations

import bisect
import shutil
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec
import numpy as np

from workstation.audio import write_audio, writing
from workstation.export import ExportOptions, check_export, find_target
from workstation.model import Analysis, JobContext
from workstation.separate import FloatArray
from workstation.session import is_session
from workstation.studio.demo_song import TITLE, DemoSong, compose
from workstation.studio.exporting import export_to
from workstation.studio.opening import open_session
from workstation.studio.session import Session

TARGETS = ["reaper", "dawproject", "midi", "stems"]
# The usual tolerance for a beat to count as found (mir_eval, MIREX).
_BEAT_WINDOW_S = 0.07


class StemScore(msgspec.Struct, frozen=True):
    """How well one stem was separated: SDR in dB, beside a quarter of the mix as estimate."""

    name: str
    sdr_db: float
    trivial_db: float


class BeatScore(msgspec.Struct, frozen=True):
    """How well the beats were found."""

    f_measure: float
    downbeat_f_measure: float
    offset_ms: float
    bpm: float
    true_bpm: float


class DemoProject(msgspec.Struct, frozen=True):
    """A project that was made, and what opens it."""

    target: str
    path: str
    opens_in: str


class DemoResult(msgspec.Struct, frozen=True):
    """What the demo made and how well it matches the truth."""

    session: str
    stems: tuple[StemScore, ...]
    beats: BeatScore
    key: str
    true_key: str
    null_db: float
    projects: tuple[DemoProject, ...]
    seconds: float


def run_demo(out: Path, *, overwrite: bool, job: JobContext) -> DemoResult:
    """Make the demo song, separate, analyse and export it, and compare with the truth.

    Raises:
        ExistsError: `out` has a demo already and `overwrite` was not given.
        OutputError: `out` cannot be written.
    """
    started = time.monotonic()
    _clear(out, TITLE, overwrite=overwrite)
    job.report(0.0, "Making the song")
    truth = compose()
    job.check()
    session = _separated(truth, out, job.part(0.1, 0.8))
    analysis = session.analyze()
    reports = export_to(
        session,
        TARGETS,
        out=out,
        encoding="pcm24",
        bar_markers=False,
        overwrite=overwrite,
        job=job.part(0.8, 0.95),
    )
    job.report(0.95, "Comparing")
    projects = tuple(
        DemoProject(
            r.target,
            r.folder if r.target == "stems" else str(Path(r.folder) / r.open_with),
            find_target(r.target).opens_in,
        )
        for r in reports
    )
    return DemoResult(
        session=str(session.path),
        stems=_score_stems(session, truth),
        beats=_score_beats(analysis, truth),
        key=analysis.key.name if analysis.key else "none",
        true_key=truth.key,
        null_db=_null_db(session, truth),
        projects=projects,
        seconds=time.monotonic() - started,
    )


def demo_session(out: Path, job: JobContext) -> Session:
    """The session of the demo song in a folder: the one that is there, or a new one.

    Raises:
        OutputError: `out` cannot be written.
    """
    there = out / f"{TITLE}.remix"
    if is_session(there):
        session = open_session(there)
        if session.stems and session.analysis is not None:
            return session
    job.report(0.0, "Making the song")
    truth = compose()
    job.check()
    return _separated(truth, out, job.part(0.1, 1.0))


def _separated(truth: DemoSong, out: Path, job: JobContext) -> Session:
    """Write the demo song into a folder, and do all that comes before playing it."""
    song = out / f"{truth.title}.wav"
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
    write_audio(song, truth.mix, truth.sample_rate_hz, "float32")
    session = open_session(song, parent=out, job=job.part(0.0, 0.03, "Opening"))
    session.separate("dsp", job=job.part(0.03, 0.85))
    session.analyze(job=job.part(0.85, 1.0, "Analysing"))
    return session


def _clear(out: Path, title: str, *, overwrite: bool) -> None:
    """Make room for a new demo, and touch nothing that is not one."""
    for target in TARGETS:
        check_export(target, out, ExportOptions(overwrite=overwrite))
    if overwrite:
        shutil.rmtree(out / f"{title}.remix", ignore_errors=True)


def sdr_db(reference: FloatArray, estimate: FloatArray) -> float:
    """Signal-to-distortion ratio over the whole song: 10·log10(Σ s² / Σ (s − ŝ)²), in dB."""
    error = float(np.sum((reference - estimate) ** 2, dtype=np.float64))
    power = float(np.sum(reference**2, dtype=np.float64))
    return 10 * float(np.log10(power / max(error, 1e-30)))


def _score_stems(session: Session, truth: DemoSong) -> tuple[StemScore, ...]:
    scores = []
    for name, reference in truth.stems.items():
        scores.append(
            StemScore(
                name,
                sdr_db(reference, session.stem(name)),
                sdr_db(reference, truth.mix * np.float32(0.25)),
            )
        )
    return tuple(scores)


def _null_db(session: Session, truth: DemoSong) -> float:
    rest = truth.mix - session.mix(session.stems)
    peak = max(float(np.abs(rest).max()), 1e-12)
    return 20 * float(np.log10(peak))


def _score_beats(analysis: Analysis, truth: DemoSong) -> BeatScore:
    grid = analysis.grid
    if grid is None:
        return BeatScore(0.0, 0.0, 0.0, 0.0, truth.bpm)
    true_downbeats = [truth.beats_s[i] for i in truth.downbeats]
    offsets = [_nearest(grid.beats_s, beat) - beat for beat in truth.beats_s]
    return BeatScore(
        f_measure=f_measure(truth.beats_s, grid.beats_s),
        downbeat_f_measure=f_measure(true_downbeats, grid.downbeats_s),
        offset_ms=1000 * statistics.median(offsets),
        bpm=grid.bpm,
        true_bpm=truth.bpm,
    )


def f_measure(reference_s: Sequence[float], estimated_s: Sequence[float]) -> float:
    """F-measure of event times within 70 ms (Dixon 2007), each event matched at most once.

    >>> f_measure([1.0, 2.0], [1.01, 2.5])
    0.5
    """
    matched, at = 0, 0
    for time_s in sorted(reference_s):
        while at < len(estimated_s) and estimated_s[at] < time_s - _BEAT_WINDOW_S:
            at += 1
        if at < len(estimated_s) and estimated_s[at] <= time_s + _BEAT_WINDOW_S:
            matched += 1
            at += 1
    return 2 * matched / (len(reference_s) + len(estimated_s))


def _nearest(times_s: Sequence[float], time_s: float) -> float:
    index = bisect.bisect(times_s, time_s)
    return min(times_s[max(index - 1, 0) : index + 1], key=lambda t: abs(t - time_s))
