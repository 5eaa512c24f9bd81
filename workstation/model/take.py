"""A take: a performance as the exact frames at which things changed."""

from __future__ import annotations

import itertools
import math

import msgspec

from workstation.model.mixer import MixerState

TAKE_SCHEMA_VERSION = 1

# What a take can hold: everything that changes the sound.
TRANSPORT = frozenset(
    {"transport.play", "transport.seek", "loop.start", "loop.end", "loop.on", "master.gain"}
)
PER_STEM = frozenset({"gain", "pan", "mute", "solo", "filter", "stutter"})


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

    def check(self) -> None:
        """Refuse a take that no player can have made: it may come from a stranger.

        Raises:
            ValueError: It has numbers that are none, changes of what is not there, or frames
                that go back.
        """
        start = self.start
        if self.sample_rate_hz <= 0 or self.length_frames < 0 or start.frame < 0:
            raise ValueError("it has no sample rate, or a negative length")
        if start.loop is not None and not 0 <= start.loop[0] <= start.loop[1]:
            raise ValueError("its loop ends before it starts")
        if set(start.mixer.strips) != set(self.stems) or len(set(self.stems)) != len(self.stems):
            raise ValueError("its mixer has other strips than its stems")
        numbers = [start.mixer.master_db, *itertools.chain(*start.running.values())]
        for strip in start.mixer.strips.values():
            numbers += [strip.gain_db, strip.pan, strip.filter]
        numbers += [event.value for event in self.events]
        if not all(map(math.isfinite, numbers)):
            raise ValueError("it has values that are no numbers")
        if any(a.frame > b.frame for a, b in itertools.pairwise(self.events)):
            raise ValueError("its changes are not in the order of their frames")
        for event in self.events:
            self._check_event(event)

    def _check_event(self, event: TakeEvent) -> None:
        stem, _, what = event.control.rpartition(".")
        if event.control not in TRANSPORT and not (stem in self.stems and what in PER_STEM):
            raise ValueError(f"it changes {event.control!r}, which is not there")
        if event.frame < 0 or event.over_frames < 0 or abs(event.value) > 1e9:
            raise ValueError(f"its change of {event.control!r} is out of range")
        if event.slice is not None and (event.slice[1] < 1 or abs(event.slice[0]) > 1e12):
            raise ValueError("it repeats a slice without length")
