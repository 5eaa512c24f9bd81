"""Exports that look as a layout has them, and the click tracks that are made for them."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from workstation.audio import AudioWriter, atomic_file, writing
from workstation.export import Layout, Project, lay_out, with_lead
from workstation.export.layouts import (
    MADE,
    Kind,
    find_layout,
    is_layout,
    layout_file,
    read_layout,
    user_layouts,
)
from workstation.model import BeatGrid, ExistsError, InputError, JobContext, UsageError
from workstation.model.names import file_name, shown
from workstation.perform.click import click_tones

_BLOCK_FRAMES = 1 << 18


def split_templates(templates: Sequence[str | Path]) -> tuple[str | None, Path | None]:
    """Tell a layout from a project of the user's own, where both are called templates.

    Args:
        templates: At most one name or `.toml` file of a layout, and one project.

    Raises:
        UsageError: There is no such layout, or there are two of a kind.
        InputError: The layout has a mistake.
    """
    layouts = [str(name) for name in templates if is_layout(name)]
    own = [Path(name) for name in templates if not is_layout(name)]
    if len(layouts) > 1 or len(own) > 1:
        raise UsageError(
            "Two templates of one kind were given.",
            "Give one layout, such as remix, and one project of your own, such as an .als.",
        )
    for path in own:
        if not path.suffix:
            find_layout(path)  # It can only have been meant as a name.
    for name in layouts:
        find_layout(name)
    return (layouts[0] if layouts else None), (own[0] if own else None)


def new_layout(name: str, model: str) -> Path:
    """Copy a layout into the user's own folder, to be edited.

    Raises:
        UsageError: There is no such model, or the name cannot be that of a file.
        ExistsError: The user has a layout of this name.
        OutputError: The folder cannot be written.
    """
    source = layout_file(model)
    read_layout(source)
    if not name or file_name(name, fallback="") != name or name.endswith(".toml"):
        raise UsageError(f'"{shown(name)}" can be no name of a template.', "Give a plain word.")
    path = user_layouts() / f"{name}.toml"
    if path.exists():
        raise ExistsError(f"{path} is there already.", "Edit it, or choose another name.")
    with atomic_file(path) as partial:
        partial.write_bytes(source.read_bytes())
    return path


@contextlib.contextmanager
def laid_out(project: Project, layout: Layout | None, job: JobContext) -> Iterator[Project]:
    """Give a project the look of a layout; files that are made for it last as long as the block.

    Raises:
        InputError: The layout has a click, and the song no beats.
    """
    if layout is None:
        yield project
        return
    grid = project.grid
    made = [row.kind for row in layout.track if row.kind in MADE]
    if grid is None and made:
        raise InputError(
            f"{shown(project.title)} has no beats, so it can have no {made[0]}.",
            "Give it some with `workstation analyze SONG --tempo 120`, or choose another template.",
        )
    if grid is not None and layout.lead_in == "padding":
        project = with_lead(project, layout.count_in_bars)
    with tempfile.TemporaryDirectory(prefix="workstation-") as folder:
        files = {kind: Path(folder) / f"{kind}.wav" for kind in made}
        for kind, path in files.items():
            write_click(path, project, _beats(project, kind, with_count_in="count-in" in made), job)
        yield lay_out(project, layout, files)


def _beats(project: Project, kind: Kind, *, with_count_in: bool) -> list[tuple[float, bool]]:
    """The beats that sound in a track: time in seconds, and whether it is a downbeat."""
    assert project.grid is not None
    grid: BeatGrid = project.grid
    song_s = project.lead_frames / project.sample_rate_hz - 0.001
    downs = set(grid.downbeats)
    beats = [(t, index in downs) for index, t in enumerate(grid.beats_s)]
    if kind == "count-in":
        return [(t, down) for t, down in beats if t < song_s]
    return [(t, down) for t, down in beats if not with_count_in or t >= song_s]


def write_click(
    path: Path, project: Project, beats: Sequence[tuple[float, bool]], job: JobContext
) -> None:
    """Write a click as a mono float32 WAV of the project's length.

    Args:
        path: The file.
        project: Gives rate and length.
        beats: Times in seconds, and whether each is a downbeat.
        job: Cancellation.

    Raises:
        OutputError: The file cannot be written.
    """
    rate, frames = project.sample_rate_hz, project.frames
    tones = click_tones(rate)
    starts = [(round(t * rate), tones[int(down)]) for t, down in beats]
    with (
        writing(path),
        AudioWriter(path, sample_rate_hz=rate, channels=1, encoding="float32") as writer,
    ):
        for begin in range(0, frames, _BLOCK_FRAMES):
            job.check()
            block = np.zeros((1, min(_BLOCK_FRAMES, frames - begin)), np.float32)
            for start, tone in starts:
                first, last = max(start, begin), min(start + len(tone), begin + block.shape[1])
                if first < last:
                    block[0, first - begin : last - begin] += tone[first - start : last - start]
            writer.write(block)
