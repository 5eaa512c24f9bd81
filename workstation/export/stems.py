"""The target `stems`: audio files for any program."""

from __future__ import annotations

from pathlib import Path

from workstation.export.plan import Plan, Written
from workstation.export.stem_files import write_stems
from workstation.model import JobContext


def write_stem_folder(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the stems as files."""
    files = write_stems(plan.project, folder, plan.options, job)
    dropped = ["The tempo map and the meter: audio files have none. The target `midi` writes them."]
    dropped.append("Track colours.")
    if plan.options.encoding in {"flac", "mp3"} and plan.project.sections:
        dropped.append("Section markers: only WAV files carry them here.")
    if plan.options.bar_markers:
        dropped.append("Bar markers: hosts would slice the files at them.")
    return Written(open_with=files.names[0], dropped=(*files.notes, *dropped))
