"""The target `stems`: audio files for any program."""

from __future__ import annotations

from pathlib import Path

from workstation.export.stem_files import ENCODINGS, write_stems
from workstation.export.target import Part, Plan, Target, Written
from workstation.model import JobContext


def write_stem_folder(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the stems as files."""
    files = write_stems(plan.project, folder, plan.options, job)
    notes = list(files.notes)
    if plan.project.sections and not files.names[0].endswith(".wav"):
        notes.append(f"The markers of the sections: {plan.options.encoding} files carry none.")
    return Written(open_with=files.names[0], notes=tuple(notes))


STEMS = Target(
    name="stems",
    title="Stems",
    summary="audio files with section markers",
    opens_in="anything",
    how_to=(
        "Drag all files together to the very start of new tracks. They are equally long and "
        "start together; switch off stretching to the project's tempo."
    ),
    # Bars as cue points would make FL Studio cut the files to slices.
    carries=frozenset({Part.AUDIO, Part.SECTIONS}),
    encodings=ENCODINGS,
    links_stems=True,
    write=write_stem_folder,
)
