"""The target `reaper`: a REAPER project beside its stems, or the user's own with the stems in."""

from __future__ import annotations

from pathlib import Path

from workstation.export.own_files import unused_name
from workstation.export.rpp import project_lines
from workstation.export.rpp_own import OwnProject, copy_media
from workstation.export.stem_files import ENCODINGS, write_stems
from workstation.export.target import LayoutPart, Part, Plan, Target, Written
from workstation.model import JobContext
from workstation.model.names import ascii_name

_STEMS = "stems"


def write_reaper(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the project and its stems.

    Raises:
        InputError: The user's own project cannot be read.
    """
    own = None if plan.options.own_project is None else OwnProject.read(plan.options.own_project)
    media = set[str]() if own is None else own.media(plan)
    stems = unused_name(_STEMS, media)
    files = write_stems(plan.project, folder / stems, plan.options, job).within(stems)
    name = unused_name(ascii_name(plan.project.title, fallback="Song") + ".rpp", media)
    notes, filled = [*files.notes, *plan.arrangement.notes], tuple[int, ...]()
    if stems != _STEMS:
        notes.append(f"The stems lie in {stems}/: your project has a folder {_STEMS} of its own.")
    if own is None:
        text = "\n".join(project_lines(plan, files)) + "\n"
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    else:
        notes += copy_media(own, plan, folder, job)
        data, words, filled = own.filled(plan, files)
        (folder / name).write_bytes(data)
        notes += words
    return Written(open_with=name, notes=tuple(notes), filled=filled)


REAPER = Target(
    name="reaper",
    title="REAPER",
    summary=".rpp and stems",
    opens_in="REAPER 6 and newer",
    how_to="Open the .rpp file in REAPER. The stems lie in stems/ beside it.",
    carries=frozenset(
        {Part.AUDIO, Part.TEMPO, Part.SECTIONS, Part.BARS, Part.COLOURS, Part.AUTOMATION}
    ),
    encodings=ENCODINGS,
    links_stems=True,
    layout=frozenset(LayoutPart),
    cut_bars=True,
    own_projects=(".rpp",),
    confirmed=(
        "Not yet confirmed in REAPER itself: another reader of its projects finds tempos, markers, "
        "items and envelopes where they should be."
    ),
    write=write_reaper,
)
