"""Exporting a session to several targets."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from workstation.audio import ENCODINGS, check_encoding
from workstation.export import (
    TARGETS,
    ExportOptions,
    check_export,
    find_target,
    shared_stems,
)
from workstation.export.layouts import find_layout
from workstation.model import (
    CancelledError,
    ExportReport,
    InputError,
    JobContext,
    UnavailableError,
    UsageError,
    WorkstationError,
)
from workstation.studio.project import check_take
from workstation.studio.session import Session

ALL = "all"


def check_targets(names: str) -> list[str]:
    """Take target names separated by commas; `all` is every one there is.

    Raises:
        UsageError: There is no such target; the remedy suggests a near name.
    """
    targets = list(dict.fromkeys(n.strip().lower() for n in names.split(",") if n.strip()))
    if not targets:
        raise UsageError("No export target was named.", "Name one, for example --to reaper.")
    if asks_for_all(names):
        return list(TARGETS)
    for name in targets:
        find_target(name)
    return targets


def asks_for_all(names: str) -> bool:
    """Whether every target is wanted that there is, so that one that cannot be is left out."""
    return ALL in (name.strip().lower() for name in names.split(","))


def export_to(  # noqa: PLR0913  (what a user may choose)
    session: Session,
    targets: list[str],
    *,
    out: Path | None,
    encoding: str | None,
    bar_markers: bool,
    overwrite: bool,
    job: JobContext,
    take: str | None = None,
    layout: str | None = None,
    own_project: Path | None = None,
    every: bool = False,
) -> list[ExportReport]:
    """Export a session to several targets, one folder each; their stems are written once.

    Args:
        session: What is exported.
        targets: Names of targets.
        out: Folder for their folders; None is that of the session.
        encoding: Of the audio; None is that of the layout, or else `pcm24`.
        bar_markers: A marker on every bar.
        overwrite: Replace earlier exports.
        job: Progress and cancellation.
        take: Name or number of a take, or `last`.
        layout: Name or file of a template that says what the projects look like.
        own_project: A project of the user's own, for those of several targets that can fill it.
        every: Go on without a target that cannot be made of this song or in this encoding; its
            report says why. Only if none can be made, the first reason is raised.
    """
    reports: list[ExportReport] = []
    failures: list[WorkstationError] = []
    with ExitStack() as stack:
        shared = None
        if len(targets) > 1:
            place = session.exports if out is None else out
            shared = stack.enter_context(shared_stems(place, targets))
        for index, target in enumerate(targets):
            step = job.part(index / len(targets), (index + 1) / len(targets), f"Exporting {target}")
            try:
                report = session.export(
                    target,
                    out=out,
                    encoding=encoding,
                    bar_markers=bar_markers,
                    overwrite=overwrite,
                    take=take,
                    layout=layout,
                    own_project=_own_for(target, targets, own_project),
                    shared_stems=shared,
                    job=step,
                )
            except CancelledError:
                if not reports:
                    raise
                made = ", ".join(r.target for r in reports if r.problem is None)
                left = ",".join(targets[index:])
                raise CancelledError(
                    f"Stopped. Made before that: {made}.", f"For the rest, run it with --to {left}."
                ) from None
            except (UsageError, InputError, UnavailableError) as error:
                failures.append(error)
                if not every:
                    raise
                report = _not_made(target, error)
            reports.append(report)
    if failures and len(failures) == len(targets):
        raise failures[0]
    return reports


def _not_made(target: str, error: WorkstationError) -> ExportReport:
    return ExportReport(
        target=target,
        folder="",
        files=(),
        open_with="",
        problem=error.problem,
        remedy=error.remedy,
        exit_code=error.exit_code,
    )


def _own_for(target: str, targets: list[str], own_project: Path | None) -> Path | None:
    """The user's own project for one of several targets: those that cannot fill it go without."""
    if own_project is None or len(targets) == 1:
        return own_project
    able = own_project.suffix.lower() in find_target(target).own_projects
    return own_project if able else None


def check_free(  # noqa: PLR0913  (what the command asks)
    session: Session,
    targets: list[str],
    *,
    out: Path | None,
    encoding: str | None,
    overwrite: bool,
    layout: str | None = None,
    own_project: Path | None = None,
    every: bool = False,
) -> None:
    """Find out before the work whether the exports are possible.

    With `every`, it is enough that one target can carry the encoding.

    Raises:
        UsageError: A target cannot carry the encoding, or none can fill the user's own project.
        InputError: The user's own project is not there, or the layout has a mistake.
        ExistsError: An export is there already and is not to be overwritten.
    """
    folder = session.exports if out is None else out
    look = None if layout is None else find_layout(layout)
    encoding = encoding or (look and look.encoding) or "pcm24"
    # What only one target has (`aac`), that target checks.
    if encoding in ENCODINGS and any(find_target(target).encodings for target in targets):
        check_encoding(encoding, session.song.source.sample_rate_hz, session.song.source.channels)
    own = {target: _own_for(target, targets, own_project) for target in targets}
    if own_project is not None and not any(own.values()):
        raise UsageError(
            f"None of the targets {', '.join(targets)} can put stems into {own_project.name}.",
            "Leave --template away, or choose the target of the program that made it.",
        )
    refused = []
    for target in targets:
        options = ExportOptions(encoding=encoding, overwrite=overwrite, own_project=own[target])
        try:
            check_export(target, folder, options)
        except UsageError as error:
            refused.append(error)
            if not every or len(refused) == len(targets):
                raise refused[0] from None


def check_played(session: Session, take: str, engine: str | None) -> None:
    """Find out before the work whether a take can be exported.

    Args:
        session: Whose take.
        take: Its name or number, or `last`.
        engine: The engine that is asked for; None or `auto` is the one in use.

    Raises:
        UsageError: There is no such take.
        InputError: It was played on other stems.
    """
    in_use = session.engine if engine in {None, "auto"} else engine
    check_take(session, session.takes.find(take), in_use)
