"""Evaluating separations: many songs side by side, scores kept, a summary over all."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import statistics
from collections.abc import Iterable
from pathlib import Path

import msgspec

from workstation.audio import atomic_file
from workstation.model import ExistsError, InputError, JobContext, WorkstationError
from workstation.model.names import file_name, shown
from workstation.separate.metrics import StemScores
from workstation.studio.scoring import ScoringOrder, SongScores, score_in_worker
from workstation.studio.side_by_side import side_by_side
from workstation.studio.stem_sets import SongPair, StemFile, pair_songs, stems_at

FIGURES = (
    "sdr_db", "si_sdr_db", "window_sdr_db", "isr_db", "sir_db", "sar_db", "bleed_db", "ceiling_db",
)  # fmt: skip
DEFAULT_OUT = Path("workstation-scores")
# Scores made by other rules are not taken for these.
_REVISION = "1"
_MOST_AT_ONCE = 8


class Failure(msgspec.Struct, frozen=True):
    """A song that could not be scored."""

    song: str
    problem: str
    remedy: str
    exit_code: int


class Summary(msgspec.Struct, frozen=True):
    """Figures of one stem over all songs, by their names; None where no song has one.

    Attributes:
        songs: How many songs have this stem.
        mean: Means over the songs, as the figures of the MDX challenges are made.
        median: Medians over the songs, as those of SiSEC are.
    """

    songs: int
    mean: dict[str, float | None]
    median: dict[str, float | None]


class Evaluation(msgspec.Struct, frozen=True):
    """What an evaluation found.

    Attributes:
        songs: The scores of every song.
        summary: By stem; `all` is the mean over the stems.
        failures: Songs that could not be scored.
        without_estimates: Songs that nobody separated.
    """

    songs: tuple[SongScores, ...]
    summary: dict[str, Summary]
    failures: tuple[Failure, ...] = ()
    without_estimates: tuple[str, ...] = ()


class _Kept(msgspec.Struct, frozen=True):
    """Scores as they are kept, with what they were made from: path, size, time of change.

    Attributes:
        ceiling: Whether the ceiling was asked for.
    """

    revision: str
    inputs: list[tuple[str, int, int]]
    scores: SongScores
    ceiling: bool = False


def evaluate(  # noqa: PLR0913  (what a user may choose)
    references: Path | str,
    estimates: Path | str,
    *,
    out: Path | str | None = None,
    plots: Path | str | None = None,
    ceiling: bool = False,
    jobs: int | None = None,
    overwrite: bool = False,
    job: JobContext | None = None,
) -> Evaluation:
    """Measure how well stems were separated, where the true ones are known.

    Scores of a finished song are kept in `out`, and taken from there while its files stay as
    they are: an interrupted evaluation goes on where it stopped.

    Args:
        references: True stems of a song (a folder with one audio file per stem, a `.stem.mp4`,
            a session), or a folder of such, like MUSDB18's.
        estimates: The same for the estimates; songs belong together by their names.
        out: Folder for the scores of each song; None is `workstation-scores`.
        plots: Draw box plots and spectrograms into this folder; needs matplotlib.
        ceiling: Score the ideal ratio mask as well: about the most engines that mask reach.
        jobs: Songs at once, one process and thread each; None is one per core, at most 8.
        overwrite: Replace plots that are there.
        job: Progress out, cancellation in.

    Raises:
        InputError: Nothing belongs together; or the only song there is cannot be scored.
        UnavailableError: Plots are asked for, and matplotlib is not installed.
        ExistsError: Plots are there and were not to be overwritten.
    """
    job = job or JobContext()
    if plots is not None:
        from workstation.studio.score_plots import check_plots

        check_plots(Path(plots), overwrite=overwrite)
    pairs, alone = pair_songs(Path(references), Path(estimates))
    kept_in = DEFAULT_OUT if out is None else Path(out)
    scoring = job.part(0.0, 0.8 if plots is not None else 1.0)
    songs, failures = _score_all(pairs, kept_in, jobs or _cores(), scoring, ceiling=ceiling)
    found = Evaluation(songs, _summary(songs), failures, tuple(alone))
    if plots is not None:
        from workstation.studio.score_plots import draw

        scored = {scores.song for scores in songs}
        drawn = [pair for pair in pairs if pair.name in scored]
        draw(found.songs, drawn, Path(plots), job.part(0.8, 1.0, "Drawing"))
    return found


def _cores() -> int:
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(count or 1, _MOST_AT_ONCE)


def _score_all(
    pairs: list[SongPair], out: Path, at_once: int, job: JobContext, *, ceiling: bool
) -> tuple[tuple[SongScores, ...], tuple[Failure, ...]]:
    by_name = {pair.name: pair for pair in pairs}
    works = {
        name: lambda step, pair=pair: _score(pair, out, step, ceiling=ceiling)
        for name, pair in by_name.items()
    }
    scores: dict[str, SongScores] = {}
    errors: dict[str, WorkstationError] = {}
    for name, outcome in side_by_side(works, at_once=at_once, job=job):
        if isinstance(outcome, SongScores):
            scores[name] = outcome
        else:
            errors[name] = outcome
    if len(pairs) == 1 and errors:
        raise errors[pairs[0].name]
    failures = [
        Failure(name, errors[name].problem, errors[name].remedy, errors[name].exit_code)
        for name in by_name
        if name in errors
    ]
    return tuple(scores[name] for name in by_name if name in scores), tuple(failures)


def _score(pair: SongPair, out: Path, job: JobContext, *, ceiling: bool) -> SongScores:
    """The scores of one song: those that are kept, if its files are as they were."""
    true, estimated = stems_at(pair.reference), stems_at(pair.estimate)
    inputs = [_state_of(stem) for stem in (*true, *estimated)]
    file = _kept_at(pair, out)
    try:
        kept = msgspec.json.decode(file.read_bytes(), type=_Kept)
    except (OSError, msgspec.MsgspecError):
        kept = None  # Not there, or not ours: it is made anew.
    if (
        kept is not None
        and (kept.revision, kept.inputs) == (_REVISION, inputs)
        and (kept.ceiling or not ceiling)
    ):
        return kept.scores
    scores = score_in_worker(ScoringOrder(pair.name, tuple(true), tuple(estimated), ceiling), job)
    with atomic_file(file) as partial:
        made = _Kept(_REVISION, inputs, scores, ceiling)
        partial.write_bytes(msgspec.json.format(msgspec.json.encode(made)))
    return scores


def _state_of(stem: StemFile) -> tuple[str, int, int]:
    try:
        stat = stem.path.stat()
    except OSError as error:
        raise InputError(
            f"{shown(stem.path)} cannot be read: {error.strerror}.", "Check the file."
        ) from error
    path = shown(stem.path.resolve())
    return f"{path}#{stem.stream}", stat.st_size, stat.st_mtime_ns


def _kept_at(pair: SongPair, out: Path) -> Path:
    """Where the scores of a song are kept; two evaluations can share a folder."""
    both = f"{pair.reference.resolve()}\0{pair.estimate.resolve()}"
    mark = hashlib.sha256(os.fsencode(both)).hexdigest()[:8]
    return out / f"{file_name(pair.name, fallback='song')} {mark}.json"


# -- the summary ------------------------------------------------------------------------


def _summary(songs: Iterable[SongScores]) -> dict[str, Summary]:
    by_stem: dict[str, list[StemScores]] = {}
    for song in songs:
        for stem, scores in song.stems.items():
            by_stem.setdefault(stem.lower(), []).append(scores)
    made = {stem: _over_songs(scores) for stem, scores in by_stem.items()}
    if len(made) > 1:
        made["all"] = Summary(
            songs=max(one.songs for one in made.values()),
            mean={f: _mean(one.mean[f] for one in made.values()) for f in FIGURES},
            median={f: _mean(one.median[f] for one in made.values()) for f in FIGURES},
        )
    return made


def _over_songs(scores: list[StemScores]) -> Summary:
    mean: dict[str, float | None] = {}
    median: dict[str, float | None] = {}
    for figure in FIGURES:
        values = [v for one in scores if (v := getattr(one, figure)) is not None]
        mean[figure] = statistics.fmean(values) if values else None
        median[figure] = statistics.median(values) if values else None
    return Summary(len(scores), mean, median)


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return statistics.fmean(there) if there else None


def check_csv(path: Path, *, overwrite: bool) -> None:
    """Find out before the work whether a CSV file may be written.

    Raises:
        ExistsError: It is there and is not to be overwritten.
    """
    if path.exists() and not overwrite:
        raise ExistsError(f"{shown(path)} is there already.", "Use --overwrite, or another name.")


def write_csv(found: Evaluation, path: Path) -> None:
    """Write the scores as a table: one line per song and stem.

    Raises:
        OutputError: The file cannot be written.
    """
    text = io.StringIO(newline="")
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["song", "stem", *FIGURES, "silent_s"])
    for song in found.songs:
        for stem, scores in song.stems.items():
            figures = [getattr(scores, figure) for figure in (*FIGURES, "silent_s")]
            cells = ["" if f is None else f"{f:.6f}" for f in figures]
            table.writerow([shown(song.song), shown(stem), *cells])
    with atomic_file(path) as partial:
        partial.write_bytes(text.getvalue().encode())
