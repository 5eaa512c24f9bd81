"""The table of targets, and exporting to one of them: a whole folder or none."""

from __future__ import annotations

import difflib
import shutil
from collections.abc import Callable
from pathlib import Path

import msgspec

from workstation.audio import writing
from workstation.export.dawproject import write_dawproject
from workstation.export.midi import write_midi
from workstation.export.plan import Plan, Written
from workstation.export.project import ExportOptions, Project
from workstation.export.readme import readme_text
from workstation.export.reaper import write_reaper
from workstation.export.stems import write_stem_folder
from workstation.export.timeline import Timeline
from workstation.model import (
    ExistsError,
    ExportReport,
    JobContext,
    OutputError,
    UsageError,
)

_BYTES = {"float32": 4.0, "pcm24": 3.0, "flac": 3.0, "mp3": 1.0}


class Target(msgspec.Struct, frozen=True):
    """A format that can be exported to.

    Attributes:
        name: As it is typed.
        opens_in: Which programs open it, in words.
        encodings: What its audio can be; empty if it has none.
        copies: How often the audio lies on the disk while it is written.
        write: Writes the project into a folder.
    """

    name: str
    opens_in: str
    encodings: tuple[str, ...]
    copies: int
    write: Callable[[Plan, Path, JobContext], Written]


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Target("reaper", "REAPER", ("pcm24", "float32", "flac", "mp3"), 1, write_reaper),
        Target(
            "dawproject",
            "Bitwig Studio 5, Studio One 6.5, Cubase 14, n-Track",
            ("pcm24", "float32"),
            2,
            write_dawproject,
        ),
        Target(
            "midi",
            "Logic Pro, Pro Tools, Cubase, …; then drag the stems in",
            (),
            0,
            write_midi,
        ),
        Target("stems", "anything", ("pcm24", "float32", "flac", "mp3"), 1, write_stem_folder),
    )
}


def find_target(name: str) -> Target:
    """Look a target up.

    Raises:
        UsageError: There is none of that name; the remedy suggests a near one.
    """
    if name in TARGETS:
        return TARGETS[name]
    near = difflib.get_close_matches(name, TARGETS, n=1)
    raise UsageError(
        f'There is no export target "{name}".',
        f'Did you mean "{near[0]}"?' if near else f"Targets: {', '.join(TARGETS)}.",
    )


def check_export(name: str, out: Path, options: ExportOptions) -> None:
    """Find out before the work whether an export is possible.

    Raises:
        UsageError: There is no such target, or it cannot carry the encoding.
        ExistsError: The export is there already and is not to be overwritten.
    """
    target = find_target(name)
    if target.encodings and options.encoding not in target.encodings:
        raise UsageError(
            f"The target {name} cannot carry {options.encoding} audio.",
            f"Choose --encoding {' or '.join(target.encodings)}.",
        )
    if (out / name).exists() and not options.overwrite:
        raise ExistsError(
            f"{out / name} is there already.",
            "Replace it with --overwrite, or choose another folder with --out.",
        )


def export(
    project: Project, name: str, out: Path, options: ExportOptions, job: JobContext
) -> ExportReport:
    """Write a project to `out/<name>/`, whole or not at all.

    The folder is made under a hidden name and gets its own when it is complete.

    Raises:
        UsageError: There is no such target, or it cannot carry the encoding.
        ExistsError: The export is there already and is not to be overwritten.
        OutputError: The folder cannot be written.
        CancelledError: The job was cancelled; nothing is left behind.
    """
    check_export(name, out, options)
    target = find_target(name)
    plan = Plan(project, Timeline.of(project.grid, project.duration_s), options)
    final, work = out / name, out / f".{name}.partial"
    with writing(final):
        out.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(work, ignore_errors=True)
        _check_space(plan, target, out)
        work.mkdir()
        try:
            written = target.write(plan, work, job)
            if project.cover is not None:
                shutil.copyfile(project.cover, work / project.cover.name)
            text = readme_text(plan, name, target.opens_in, written)
            (work / "README.txt").write_text(text, encoding="utf-8", newline="\n")
            files = sorted(p.relative_to(work).as_posix() for p in work.rglob("*") if p.is_file())
            _put_in_place(work, final)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    job.report(1.0)
    return ExportReport(
        name, str(final), tuple(files), written.open_with, written.dropped, plan.timeline.lead_in
    )


def _check_space(plan: Plan, target: Target, out: Path) -> None:
    project = plan.project
    size = project.frames * len(project.tracks) * 2 * _BYTES[plan.options.encoding] * target.copies
    free = shutil.disk_usage(out).free
    if free < size * 1.02 and plan.options.encoding in {"float32", "pcm24"}:
        raise OutputError(
            f"The disk of {out} has {free / 1e6:.0f} MB free; "
            f"about {size / 1e6:.0f} MB are needed.",
            "Make room, or choose another folder with --out.",
        )


def _put_in_place(work: Path, final: Path) -> None:
    """Give the finished folder its name; one that is there stays until the new one is ready."""
    old = final.with_name(f".{final.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    work.rename(final)
    shutil.rmtree(old, ignore_errors=True)
