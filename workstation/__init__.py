"""workstation: a remix workstation for the terminal, and this package its scripting face.

>>> import workstation
>>> session = workstation.open("song.mp3")          # doctest: +SKIP
>>> session.separate()                               # doctest: +SKIP
>>> session.export("reaper", out="projects")         # doctest: +SKIP

Importing it is cheap: what a name needs is loaded when the name is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from workstation.audio import DECODABLE_SUFFIXES, probe, read_audio, write_audio
    from workstation.model import (
        Analysis,
        BeatGrid,
        ExportReport,
        JobContext,
        WorkstationError,
    )
    from workstation.perform.outputs import OutputOptions
    from workstation.separate import EngineOptions, engine_cards
    from workstation.studio import Session
    from workstation.studio import open_session as open  # noqa: A004
    from workstation.studio.batch import BatchOptions, batch
    from workstation.studio.evaluation import evaluate
    from workstation.studio.player import Connections
    from workstation.studio.training import TrainingOptions, train

__version__ = "0.1.0"

__all__ = [
    "DECODABLE_SUFFIXES",
    "Analysis",
    "BatchOptions",
    "BeatGrid",
    "Connections",
    "EngineOptions",
    "ExportReport",
    "JobContext",
    "OutputOptions",
    "Session",
    "TrainingOptions",
    "WorkstationError",
    "batch",
    "engine_cards",
    "evaluate",
    "open",
    "probe",
    "read_audio",
    "train",
    "write_audio",
]

_HOMES = {
    "workstation.audio": ("DECODABLE_SUFFIXES", "probe", "read_audio", "write_audio"),
    "workstation.model": ("Analysis", "BeatGrid", "ExportReport", "JobContext", "WorkstationError"),
    "workstation.perform.outputs": ("OutputOptions",),
    "workstation.separate": ("EngineOptions", "engine_cards"),
    "workstation.studio": ("Session", "open"),
    "workstation.studio.batch": ("BatchOptions", "batch"),
    "workstation.studio.evaluation": ("evaluate",),
    "workstation.studio.player": ("Connections",),
    "workstation.studio.training": ("TrainingOptions", "train"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:  # noqa: ANN401  (PEP 562: any public name)
    if name not in _HOME_OF:
        raise AttributeError(f"module 'workstation' has no attribute {name!r}")
    home = importlib.import_module(_HOME_OF[name])
    value = getattr(home, "open_session" if name == "open" else name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
