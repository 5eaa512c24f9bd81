"""The table of targets: one line for every format."""

from __future__ import annotations

import difflib

from workstation.export.dawproject import DAWPROJECT
from workstation.export.flstudio import FLSTUDIO
from workstation.export.midi import MIDI
from workstation.export.reaper import REAPER
from workstation.export.stems import STEMS
from workstation.export.target import Target
from workstation.model import UsageError

TARGETS: dict[str, Target] = {
    target.name: target for target in (REAPER, DAWPROJECT, FLSTUDIO, MIDI, STEMS)
}  # fmt: skip


def find_target(name: str) -> Target:
    """Look a target up.

    Raises:
        UsageError: There is none of that name; the remedy suggests a near one and lists all.
    """
    if name in TARGETS:
        return TARGETS[name]
    near = difflib.get_close_matches(name.lower(), TARGETS, n=1)
    suggestion = f'Did you mean "{near[0]}"? ' if near else ""
    raise UsageError(
        f'There is no export target "{name}".', f"{suggestion}Targets: {', '.join(TARGETS)}."
    )
