"""Exporting a session to several targets."""

from __future__ import annotations

from pathlib import Path

from workstation.audio import ENCODINGS, check_encoding
from workstation.export import ExportOptions, check_export, find_target
from workstation.model import ExportReport, JobContext, UsageError
from workstation.studio.session import Session


def check_targets(names: str) -> list[str]:
    """Take target names separated by commas.

    Raises:
        UsageError: There is no such target; the remedy suggests a near name.
    """
    targets = list(dict.fromkeys(n.strip().lower() for n in names.split(",") if n.strip()))
    if not targets:
        raise UsageError("No export target was named.", "Name one, for example --to reaper.")
    for name in targets:
        find_target(name)
    return targets


def export_to(
    session: Session,
    targets: list[str],
    *,
    out: Path | None,
    encoding: str,
    bar_markers: bool,
    overwrite: bool,
    job: JobContext,
) -> list[ExportReport]:
    """Export a session to several targets, one folder each."""
    reports = []
    for index, target in enumerate(targets):
        step = job.part(index / len(targets), (index + 1) / len(targets), f"Exporting {target}")
        reports.append(
            session.export(
                target,
                out=out,
                encoding=encoding,
                bar_markers=bar_markers,
                overwrite=overwrite,
                job=step,
            )
        )
    return reports


def check_free(
    session: Session, targets: list[str], *, out: Path | None, encoding: str, overwrite: bool
) -> None:
    """Find out before the work whether the exports are possible.

    Raises:
        UsageError: A target cannot carry the encoding.
        ExistsError: An export is there already and is not to be overwritten.
    """
    folder = session.exports if out is None else out
    # What only one target has (`aac`), that target checks.
    if encoding in ENCODINGS and any(find_target(target).encodings for target in targets):
        check_encoding(encoding, session.song.source.sample_rate_hz, session.song.source.channels)
    for target in targets:
        check_export(target, folder, ExportOptions(encoding=encoding, overwrite=overwrite))
