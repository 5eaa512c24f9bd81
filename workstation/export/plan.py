"""What the writers of all targets share."""

from __future__ import annotations

import msgspec

from workstation.export.project import ExportOptions, Project
from workstation.export.timeline import Timeline


class Plan(msgspec.Struct, frozen=True):
    """A project laid out in time, and the user's options."""

    project: Project
    timeline: Timeline
    options: ExportOptions


class Written(msgspec.Struct, frozen=True):
    """What a writer made: the file to open, and in words what the format could not carry."""

    open_with: str
    dropped: tuple[str, ...] = ()
