"""A take: a performance as the exact frames at which things changed."""

from __future__ import annotations

import msgspec

from workstation.model.mixer import MixerState

TAKE_SCHEMA_VERSION = 1


class TakeEvent(msgspec.Struct, frozen=True):
    """One change.

    Attributes:
        frame: When it took effect, in frames of output since the take began.
        control: What changed, by its id in the table of controls; always something that
            sounds (`vocals.mute`, `transport.seek`, …), never the pad that caused it.
        value: The new value in the unit of the control.
        over_frames: How long a gain takes to get there; 0 is the usual short ramp.
        slice: Start and length of what a stutter repeats, in frames of the song.
    """

    frame: int
    control: str
    value: float
    over_frames: int = 0
    slice: tuple[int, int] | None = None


class TakeStart(msgspec.Struct, frozen=True):
    """How everything stood when a take began.

    Attributes:
        frame: Position in the song.
        playing: Whether the song was running.
        loop: Start and end of the loop in frames; None while there is none.
        mixer: What every strip was set to.
        running: Numbers of the mixing loop (ramps under way, memory of the filters), for a
            take that began in the midst of playing; empty when it began at rest.
    """

    frame: int
    playing: bool
    loop: tuple[int, int] | None
    mixer: MixerState
    running: dict[str, list[float]] = {}


class Take(msgspec.Struct, frozen=True):
    """A recorded performance of known stems.

    Attributes:
        name: What the user calls it.
        stems: Names of the stems in the order of strips.
        engine: Whose stems they were.
        sample_rate_hz: Of the stems: the unit of all frames.
        start: How everything stood.
        length_frames: Length in frames of output.
        events: In the order of their frames.
        created: Date and time, ISO 8601, UTC.
        over: Name of the take that this one was recorded over.
        schema_version: Version of this layout.
    """

    name: str
    stems: tuple[str, ...]
    engine: str
    sample_rate_hz: int
    start: TakeStart
    length_frames: int
    events: tuple[TakeEvent, ...]
    created: str = ""
    over: str | None = None
    schema_version: int = TAKE_SCHEMA_VERSION

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.length_frames / self.sample_rate_hz
