"""What threads tell the screens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from workstation.audio.peaks import Peaks
    from workstation.model import WorkstationError
    from workstation.studio.jobs import Job
    from workstation.studio.player import Player


@dataclass
class JobChanged(Message):
    """A job has moved on or ended."""

    job: Job


@dataclass
class Said(Message):
    """Something the user should know."""

    words: str


@dataclass
class PeaksRead(Message):
    """The waveform of a stem is there."""

    stem: str
    peaks: Peaks


@dataclass
class PlayerOpened(Message):
    """The player can be played."""

    player: Player


@dataclass
class Failed(Message):
    """Something went wrong that is not a job."""

    error: WorkstationError
