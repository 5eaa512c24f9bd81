"""The nouns of the product: frozen values without any input or output."""

from workstation.model.beatgrid import BarPosition, BeatGrid, TempoSegment
from workstation.model.errors import (
    CancelledError,
    EngineError,
    ExistsError,
    InputError,
    LockedError,
    OutputError,
    UnavailableError,
    UsageError,
    WorkstationError,
)
from workstation.model.export_report import ExportReport
from workstation.model.job import JobContext
from workstation.model.song import Analysis, AudioRef, Key, Section, Song, Stem

__all__ = [
    "Analysis",
    "AudioRef",
    "BarPosition",
    "BeatGrid",
    "CancelledError",
    "EngineError",
    "ExistsError",
    "ExportReport",
    "InputError",
    "JobContext",
    "Key",
    "LockedError",
    "OutputError",
    "Section",
    "Song",
    "Stem",
    "TempoSegment",
    "UnavailableError",
    "UsageError",
    "WorkstationError",
]
