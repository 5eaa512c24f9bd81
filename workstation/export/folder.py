"""Exporting to one target: a whole folder or none.

The folder is built as `.<target>.partial` beside its place and renamed when it is complete. If
the work fails or is cancelled, that is taken away; if the process is killed, the next export to
the same place takes it away. An earlier export stays until the new one is complete: it waits as
`.<target>.old`, from where it comes back if the process is killed at that moment.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from workstation.audio import need_space, writing
from workstation.export.earlier import files_in, free_place, touched, words_on_kept, write_list
from workstation.export.project import ExportOptions, Project, SharedStems
from workstation.export.readme import SIGNATURE, readme_text
from workstation.export.stem_files import audio_bytes, can_link, check_stems
from workstation.export.target import (
    Plan,
    Target,
    Written,
    lost_parts,
    plan_for,
    where_it_starts,
)
from workstation.export.targets import find_target
from workstation.model import (
    ExistsError,
    ExportReport,
    InputError,
    JobContext,
    UsageError,
)
from workstation.session.lock import LOCK_FILE, SessionLock
from workstation.session.own_folder import own_folder, take_away

_README = "README.txt"


def check_export(name: str, out: Path, options: ExportOptions) -> None:
    """Find out before the work whether an export is possible.

    Raises:
        UsageError: There is no such target, or it cannot carry the encoding, or cannot fill
            the user's own project.
        InputError: The user's own project is not there.
        ExistsError: The export is there already and is not to be overwritten, or what is there
            is not an export.
    """
    target = find_target(name)
    if target.encodings and options.encoding not in target.encodings:
        raise UsageError(
            f"The target {name} cannot carry {options.encoding} audio.",
            f"Choose --encoding {' or '.join(target.encodings)}.",
        )
    if options.own_project is not None:
        _check_own_project(target, options.own_project)
    place = out / name
    with writing(place):
        there = place.exists() or place.is_symlink()
    if not there:
        return
    if not options.overwrite:
        raise ExistsError(
            f"{place} is there already.",
            "Replace it with --overwrite, or choose another folder with --out.",
        )
    if not _is_export(place):
        raise ExistsError(
            f"{place} is there already and is not an export, so it is not replaced.",
            "Move it away, or choose another folder with --out.",
        )


def _check_own_project(target: Target, path: Path) -> None:
    if path.suffix.lower() not in target.own_projects:
        able = " or ".join(target.own_projects)
        raise UsageError(
            f"The target {target.name} cannot put stems into {path.name}.",
            f"Give it a project that ends in {able}." if able else "Leave --template away.",
        )
    if not path.exists():
        raise InputError(f"{path} is not there.", "Give the path of a project that is.")


def _is_export(place: Path) -> bool:
    """Whether we made a folder: replacing it takes everything in it away."""
    if place.is_symlink() or not place.is_dir():
        return False
    if not any(place.iterdir()):
        return True
    try:
        words = (place / _README).read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return " ".join(words).endswith(SIGNATURE)


def export(
    project: Project,
    name: str,
    out: Path,
    options: ExportOptions,
    job: JobContext,
    *,
    also: Callable[[Path, JobContext], list[str]] | None = None,
) -> ExportReport:
    """Write a project to `out/<name>/`, whole or not at all.

    Args:
        project: What to export.
        name: Name of the target.
        out: Folder in which the target's own folder is made.
        options: The user's choices.
        job: Progress and cancellation.
        also: Writes more into the folder, and tells in words what it is.

    Raises:
        UsageError: There is no such target, or it cannot carry the encoding.
        ExistsError: Something is there already and is not to be replaced.
        InputError: A stem cannot be read, or does not fit the song.
        OutputError: The folder cannot be written.
        CancelledError: The job was cancelled; nothing is left behind.
    """
    target = find_target(name)
    final, work = out / name, out / f".{name}.partial"
    with writing(final):
        _bring_back(final)
        check_export(name, out, options)
        plan = plan_for(target, project, options)
        if target.encodings:
            check_stems(project)
        out.mkdir(parents=True, exist_ok=True)
        _clear(work)
        _check_space(plan, target, out)
        work.mkdir()
        try:
            with SessionLock(work):
                written = target.write(plan, work, job if also is None else job.part(0.0, 0.8))
                more = [] if also is None else also(work, job.part(0.8, 1.0))
                theirs = _theirs(final, options.own_project)
                kept = free_place(final) if theirs else None
                if kept is not None:
                    more = [words_on_kept(theirs, kept), *more]
                report = _fill(plan, project, target, work, written, more)
                job.check()
            (work / LOCK_FILE).unlink()
            write_list(work)
            _put_in_place(work, final, kept)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
    job.report(1.0)
    return report


def _theirs(final: Path, own_project: Path | None) -> list[str]:
    """What in an earlier export is not ours alone."""
    if not final.exists():
        return []
    names = touched(final)
    if own_project is not None and own_project.resolve().is_relative_to(final.resolve()):
        names.insert(0, own_project.name)
    return list(dict.fromkeys(names))


def _clear(work: Path) -> None:
    """Take away what a killed export left, but not what another process is writing.

    Raises:
        LockedError: Another process is exporting to the same place.
    """
    if work.is_dir():
        take_away(work)


def _fill(
    plan: Plan, project: Project, target: Target, work: Path, written: Written, more: list[str]
) -> ExportReport:
    """Write what people read into the hidden folder, and tell what is in it."""
    dropped = (
        *written.notes,
        *lost_parts(plan, project, target, written),
        *_copy_cover(plan.project.cover, work),
        *_words_on_links(plan.options, work),
        *more,
    )
    text = readme_text(plan, target, dropped)
    (work / _README).write_text(text, encoding="utf-8", newline="\n")
    return ExportReport(
        target=target.name,
        folder=str(work.with_name(target.name)),
        files=tuple(files_in(work)),
        open_with=written.open_with,
        dropped=dropped,
        lead_in=where_it_starts(plan, target),
    )


def _copy_cover(cover: Path | None, work: Path) -> list[str]:
    if cover is None:
        return []
    name = "cover" + cover.suffix.lower()
    if not cover.is_file():
        return ["The cover picture: its file is not there any more."]
    shutil.copyfile(cover, work / name)
    return [f"The cover picture: it lies in this folder as {name}."]


def _words_on_links(options: ExportOptions, work: Path) -> list[str]:
    shared = options.shared_stems
    if shared is None or shared.links < 2:
        return []
    if all(path.stat().st_nlink == 1 for path in work.rglob("*") if path.is_file()):
        return []
    return [
        "The stems as files of its own: the exports that were made together share them on the "
        "disk. Copy the folder before a program edits them in place."
    ]


@contextmanager
def shared_stems(out: Path, targets: Sequence[str]) -> Iterator[SharedStems]:
    """A hidden folder for the stems of several exports, which is there as long as they last.

    Args:
        out: The folder of these exports. What a killed process left there is taken away.
        targets: Their names.

    Raises:
        UsageError: There is no such target.
        OutputError: The folder cannot be made.
    """
    links = sum(find_target(name).links_stems for name in targets)
    with own_folder(out, ".stems-") as own:
        yield SharedStems(own, links)


def _check_space(plan: Plan, target: Target, out: Path) -> None:
    if not target.encodings or plan.options.encoding in {"flac", "mp3", "aac"}:
        return  # None to speak of, or of a size that nobody knows before.
    copies = 1 + target.scratch_copies
    if target.links_stems and can_link(plan.project, plan.options):
        copies -= 1
    if copies:
        need_space(out, audio_bytes(plan.project, plan.options.encoding) * copies)


def _old(final: Path) -> Path:
    return final.with_name(f".{final.name}.old")


def _bring_back(final: Path) -> None:
    """Undo the first half of a replacement that was killed before its second half."""
    old = _old(final)
    if old.exists() and not final.exists():
        old.rename(final)


def _put_in_place(work: Path, final: Path, kept: Path | None) -> None:
    """Give the finished folder its name; one that is there stays until the new one is ready.

    Args:
        work: The finished folder.
        final: Its place.
        kept: Where an earlier one goes that somebody has worked in; None takes it away.
    """
    for path in work.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    old = kept or _old(final)
    if kept is None:
        shutil.rmtree(old, ignore_errors=True)
    if final.exists():
        final.rename(old)
    try:
        work.rename(final)
    except OSError:
        if old.exists():
            old.rename(final)
        raise
    if kept is None:
        shutil.rmtree(old, ignore_errors=True)
