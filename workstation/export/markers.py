"""Markers of a project: one a section, and one a bar if that is wanted."""

from __future__ import annotations

import msgspec

from workstation.export.automation import Arrangement
from workstation.export.project import ExportOptions, Project
from workstation.export.text import one_line
from workstation.export.timeline import Timeline


class Marker(msgspec.Struct, frozen=True):
    """A name at a time."""

    time_s: float
    name: str


def markers_of(
    form: Project | Arrangement, timeline: Timeline, options: ExportOptions
) -> list[Marker]:
    """All markers in order of time; a bar that begins with a section has only the section's.

    Args:
        form: Whose sections they are: the song's, or those of what a take made of it.
        timeline: Of the same.
        options: Whether bars are wanted.
    """
    markers = [Marker(max(0.0, s.start_s), one_line(s.label)) for s in form.sections]
    if options.bar_markers:
        taken = {round(marker.time_s, 3) for marker in markers}
        markers += [
            Marker(time_s, f"Bar {number}")
            for number, time_s in enumerate(timeline.bars_s, start=1)
            if round(time_s, 3) not in taken
        ]
    return sorted(markers, key=lambda marker: marker.time_s)
