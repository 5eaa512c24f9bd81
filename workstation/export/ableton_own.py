"""The audio of a Live Set of the user's own: it comes along, from inside its project only."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path

from workstation.audio import need_space
from workstation.export.own_files import file_in
from workstation.export.text import one_line
from workstation.model import JobContext

# Live takes the folder that holds this one for the project, and paths start there.
PROJECT_INFO = "Ableton Project Info"


def copy_samples(
    samples: Iterable[tuple[str, str]], own: Path, project: Path, job: JobContext
) -> list[str]:
    """Copy the audio of the user's own Set from its project; tells what stayed behind.

    Only files inside the project's folder are read: a Set may name any path there is.

    Args:
        samples: What a path is relative to, as Live numbers it, and the path.
        own: The user's Set.
        project: The new project folder; nothing in it is replaced.
        job: Cancellation.
    """
    home = _project_of(own)
    found, missing = {}, 0
    for kind, path in samples:
        source = file_in(home, path) if kind == "3" else None
        target = project if source is None else project / source.relative_to(home)
        if source is not None and not target.exists():
            found[source] = target
        elif kind in {"1", "3"}:
            missing += 1
    need_space(project, sum(source.stat().st_size for source in found))
    for source, target in found.items():
        job.check()
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, target)
    if not missing:
        return []
    return [
        f"Audio of {one_line(own.name)} that was not copied: {missing}. It lies outside the Set's "
        "project, or is not there. Choose File > Collect All and Save in Live and export "
        "again, or find it with File > Manage Files."
    ]


def _project_of(own: Path) -> Path:
    """The folder that Live takes for the project of a Set."""
    own = own.resolve()
    return next((p for p in own.parents if (p / PROJECT_INFO).is_dir()), own.parent)
