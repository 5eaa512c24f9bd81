"""Analysing what a user points at, and editing the beat grid that was found."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from workstation.audio import file_sha256, open_audio, probe, read_tags
from workstation.model import Analysis, BeatGrid, JobContext, UsageError
from workstation.model.names import file_name
from workstation.session import find_session
from workstation.studio.opening import open_session, title_of
from workstation.studio.session import Session


class GridEdits(msgspec.Struct, frozen=True):
    """Edits of a beat grid, carried out in this order; None and False leave it as it is."""

    taps_s: tuple[float, ...] | None = None
    shift_ms: float | None = None
    halve: bool = False
    double: bool = False
    downbeat_s: float | None = None
    meter: int | None = None
    bpm: float | None = None

    @classmethod
    def parse(cls, *, taps: str | None = None, **edits: Any) -> GridEdits:  # noqa: ANN401
        """Make edits from what was typed; taps are seconds with commas between them.

        Raises:
            UsageError: A tap is not a number.
        """
        if taps is None:
            return cls(**edits)
        try:
            return cls(
                taps_s=tuple(float(tap) for tap in taps.replace(";", ",").split(",")), **edits
            )
        except ValueError as error:
            raise UsageError(
                f'"{taps}" is not a list of seconds.',
                "Write seconds with commas between them: --taps 0.52,1.03,1.54",
            ) from error

    def __bool__(self) -> bool:
        return self != GridEdits()

    def apply(self, grid: BeatGrid | None, duration_s: float) -> BeatGrid:
        """Carry the edits out.

        Args:
            grid: The grid there is; a song without one gets a steady one, if a tempo is given.
            duration_s: Length of the song.

        Raises:
            ValueError: The result is no beat grid.
        """
        if self.taps_s is not None:
            grid = BeatGrid.from_taps(self.taps_s, beats_per_bar=self.meter or 4)
        if grid is None and self.bpm is not None:
            return BeatGrid.constant(
                bpm=self.bpm,
                first_beat_s=(self.downbeat_s or 0.0) + (self.shift_ms or 0.0) / 1000,
                duration_s=duration_s,
                beats_per_bar=self.meter or 4,
            )
        if grid is None:
            raise ValueError("no beats were found that could be edited; give --tempo or --taps")
        if self.shift_ms is not None:
            grid = grid.shifted(self.shift_ms / 1000)
        if self.halve:
            grid = grid.halved()
        if self.double:
            grid = grid.doubled()
        if self.downbeat_s is not None or self.meter is not None:
            anchor = grid.downbeats_s[0] if self.downbeat_s is None else self.downbeat_s
            beat_s = 60 / grid.bpm
            if not grid.beats_s[0] - beat_s <= anchor <= grid.beats_s[-1] + beat_s:
                raise ValueError(f"there is no beat near {anchor:g} s")
            grid = grid.with_downbeat(anchor, beats_per_bar=self.meter)
        if self.bpm is not None:
            grid = grid.with_tempo(self.bpm)
        return grid


def analyze_input(
    path: Path,
    edits: GridEdits,
    *,
    parent: Path | None,
    again: bool,
    copy_source: bool,
    job: JobContext,
) -> tuple[Analysis, Session | None]:
    """Analyse a song, a folder of stems or a session, and edit the grid.

    An audio file that has no session yet is only listened to, unless there are edits, which
    need a session to be kept in.

    Returns:
        The analysis, and the session that keeps it, if any.

    Raises:
        UsageError: The edits do not make a beat grid.
    """
    if path.is_file() and not edits:
        there = _existing(path, parent or Path.cwd(), job)
        if there is None:
            from workstation.analyze import analyze

            with open_audio(path) as source:
                return analyze(source, job=job), None
    session = open_session(path, parent=parent, copy_source=copy_source, job=job.part(0.0, 0.2))
    session.analyze(again=again, job=job.part(0.2, 1.0, "Analysing"))
    if edits:
        session.edit_grid(lambda grid: edits.apply(grid, session.song.source.duration_s))
    assert session.analysis is not None
    return session.analysis, session


def _existing(path: Path, parent: Path, job: JobContext) -> Session | None:
    """The session of an audio file, if one was made in this folder."""
    probe(path, job=job)
    title = title_of(path, read_tags(path))
    _folder, there = find_session(
        parent, file_name(title, fallback="song"), file_sha256(path, job.part(0.0, 0.1))
    )
    return open_session(path, parent=parent, job=job) if there else None


def describe(analysis: Analysis) -> dict[str, Any]:
    """An analysis as plain values: what `--json` prints."""
    values: dict[str, Any] = msgspec.to_builtins(analysis)
    grid = analysis.grid
    return {
        "bpm": analysis.bpm,
        "steady": None if grid is None else grid.steady,
        "key": values["key"],
        "loudness_lufs": values["loudness_lufs"],
        "peak_dbfs": values["peak_dbfs"],
        "grid": values["grid"],
        "sections": values["sections"],
    }


def grid_of_taps(taps_s: Sequence[float], duration_s: float, beats_per_bar: int) -> BeatGrid:
    """A steady grid through tapped beats, over the whole song; bars begin at the first tap.

    The line through the taps is that of least squares, so that single taps may be late.

    Raises:
        ValueError: There are too few taps, or they make no grid.
    """
    if len(taps_s) < 2:
        raise ValueError("two taps at least are needed")
    gaps = np.diff(np.asarray(taps_s, float))
    # A tap that was left out counts as the beats it stands for.
    counts = np.maximum(np.rint(gaps / np.median(gaps)), 1)
    beats = np.concatenate([[0.0], np.cumsum(counts)])
    period_s, first_s = np.polyfit(beats, np.asarray(taps_s, float), 1)
    if not period_s > 0:
        raise ValueError("the taps do not go forward")
    grid = BeatGrid.constant(
        bpm=60.0 / float(period_s),
        first_beat_s=float(first_s % period_s),
        duration_s=duration_s,
        beats_per_bar=beats_per_bar,
    )
    return grid.with_downbeat(float(first_s))
