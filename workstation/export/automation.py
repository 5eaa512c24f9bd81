"""A take as automation: what the faders, pans and mutes did, over the time of a project.

**Place.** A take that plays the song straight through, from wherever, leaves the whole song as it
is and moves the mixer over the stretch that was played; before it the mixer stands as the stretch
begins, behind it as it ends. A take with jumps (seeks, loops, pauses) is unrolled: every stem is
cut to the pieces that were played, and beats and sections are laid out along them.

**Levels.** A fader of a take moves evenly in the cube root of its amplitude. It becomes break
points that lie on this curve, so dense that straight lines between them, drawn in amplitude or
in dB, are less than `MOST_ERROR_DB` off; below `FLOOR` (-80 dB) the last line to silence is off by
less than `FLOOR_ERROR`. Pans move in straight lines and are exact. A mute is a step at the frame
where it took effect, while the mixer fades it over 5 ms. Solos are mutes of all others, as
`MixerState.audible` says.

Mixers of programs end at +6 dB. If a take goes beyond, all stems are lowered alike and the master
is raised by as much, so that the sum stays; what the master cannot hold is told in words.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec

from workstation.export.pieces import RAMP_S, Clip, pieces_of, ramp_frames
from workstation.export.project import Project, Track
from workstation.export.text import one_line
from workstation.export.timeline import Timeline
from workstation.model import BeatGrid, Section
from workstation.model.mixer import amplitude
from workstation.model.take import Take, TakeEvent

MOST_ERROR_DB = 0.1
FLOOR = 1e-4
FLOOR_ERROR = 4e-5
# The loudest that every program's mixer can be automated to: +6 dB, of which Live has the least.
LOUDEST = 1.99526
# From one break point to the next, in the cube root: 3 dB, which keeps `MOST_ERROR_DB`.
_STEP = 1.125
# Beats nearer than this part of a beat to those behind a jump belong to the piece before it.
_LEAST_BEAT = 0.6
# Of the numbers of a strip in the start of a take (`perform.kernel`), those of its two ramps.
_GAIN, _PAN = 0, 4
_SWITCHES = {"mute": "muted", "solo": "soloed"}


class Point(NamedTuple):
    """A value at a frame of the project; lines join it to its neighbours, two at one frame step."""

    frame: float
    value: float


class Switch(NamedTuple):
    """From this frame of the project on something is on or off."""

    frame: int
    on: bool


Curve = tuple[Point, ...]


class StemAutomation(msgspec.Struct, frozen=True):
    """What the strip of one stem does. What is empty stays in its neutral place all the time.

    Attributes:
        volume: Amplitudes from 0 to `LOUDEST`; the first point is at frame 0.
        pan: -1 (left) to 1 (right), a balance; the first point is at frame 0.
        mute: Where it is muted and heard again; the first is at frame 0.
    """

    volume: Curve = ()
    pan: Curve = ()
    mute: tuple[Switch, ...] = ()


class Arrangement(msgspec.Struct, frozen=True):
    """A song, or what a take made of it, over the time of a project.

    Attributes:
        clips: What every stem plays, in the order of time.
        frames: Length of the project.
        grid: Beats in the time of the project; None if there are none.
        sections: The form in the time of the project.
        stems: What is automated, by the name of the stem; empty without a take.
        master: Amplitudes of the master as in `StemAutomation.volume`.
        notes: In words, what of the take is not here.
        summary: In words, what the project plays of the take; empty without one.
    """

    clips: tuple[Clip, ...]
    frames: int
    grid: BeatGrid | None
    sections: tuple[Section, ...]
    stems: dict[str, StemAutomation] = {}
    master: Curve = ()
    notes: tuple[str, ...] = ()
    summary: str = ""

    def of(self, track: Track) -> StemAutomation:
        """What the strip of a track does."""
        return self.stems.get(track.stem or track.name, StemAutomation())

    @property
    def unrolled(self) -> bool:
        """Whether stems are cut to pieces, rather than there as a whole from time 0."""
        return len(self.clips) != 1 or self.clips[0] != Clip(0, 0, self.frames)


def arrange(project: Project) -> Arrangement:
    """Lay a song out over the time of a project, with the take it is to be played by."""
    whole = Arrangement(
        (Clip(0, 0, project.frames),), project.frames, project.grid, project.sections
    )
    return whole if project.take is None else _performed(project, project.take, whole)


def value_at(curve: Sequence[Point], frame: float) -> float:
    """Value of a curve at a frame; at a step, the one behind it."""
    index = bisect.bisect_right(curve, frame, key=_frame)
    if index == 0:
        return curve[0].value
    if index == len(curve):
        return curve[-1].value
    (start, before), (end, after) = curve[index - 1], curve[index]
    return before + (after - before) * (frame - start) / (end - start)


def in_quarters(curve: Curve, sample_rate_hz: int, timeline: Timeline) -> list[tuple[float, float]]:
    """A curve over quarter notes: (quarter, value), joined by lines.

    A line in seconds is bent in quarters where the tempo changes, so it gets a point there.
    """
    tempos = [point.time_s * sample_rate_hz for point in timeline.tempos]
    points = list(curve[:1])
    for start, end in itertools.pairwise(curve):
        if start.value != end.value:
            first = bisect.bisect_right(tempos, start.frame)
            bends = tempos[first : bisect.bisect_left(tempos, end.frame)]
            points += [Point(frame, value_at((start, end), frame)) for frame in bends]
        points.append(end)
    return [(timeline.quarter_at(p.frame / sample_rate_hz), p.value) for p in points]


def _frame(point: Point) -> float:
    return point.frame


class _Glide:
    """A value that the mixing loop moves in ramps: the corners of its way.

    A change at a frame is heard in that very frame, so its ramp sets out one frame before.
    """

    def __init__(self, ramp: Sequence[float]) -> None:
        """Take a ramp under way: target, step a frame, frames left."""
        target, step, left = ramp
        self.corners = [Point(-1.0, target - step * left)]
        if left:
            self.corners.append(Point(left - 1.0, target))

    def change(self, frame: int, target: float, over: int) -> None:
        """Go to another value from a frame on, over some frames; 0 is at once."""
        now = Point(frame - 1.0, value_at(self.corners[-2:], frame - 1.0))
        while self.corners and self.corners[-1].frame > now.frame:
            self.corners.pop()
        self.corners += [now, Point(now.frame + over, target)]

    def settle(self, frame: int) -> None:
        """Be where the last change goes to."""
        self.change(frame, self.corners[-1].value, 0)


class _Strip:
    """The corners of one strip's way through a take; gains are cube roots of amplitudes."""

    def __init__(self, gain: _Glide, pan: _Glide) -> None:
        self.gain, self.pan = gain, pan
        self.mute: list[Switch] = []

    def settle(self, frame: int) -> None:
        self.gain.settle(frame)
        self.pan.settle(frame)


class _Moves:
    """Follows every strip and the master through the events of a take."""

    def __init__(self, take: Take, starts: frozenset[int]) -> None:
        self._mixer = take.start.mixer
        self._ramp = ramp_frames(take.sample_rate_hz)
        self.strips = {name: _strip_at_start(take, index) for index, name in enumerate(take.stems)}
        root = math.cbrt(amplitude(self._mixer.master_db))
        self.master = _Glide(take.start.running.get("master", (root, 0.0, 0.0))[:3])
        self._hear(0)
        for index, event in enumerate(take.events):
            if index in starts:
                for strip in self.strips.values():
                    strip.settle(event.frame)
                self.master.settle(event.frame)
            self._apply(event)

    def _apply(self, event: TakeEvent) -> None:
        name, _, what = event.control.rpartition(".")
        over = event.over_frames or self._ramp
        if event.control == "master.gain":
            self.master.change(event.frame, math.cbrt(amplitude(event.value)), over)
        elif what == "gain":
            self.strips[name].gain.change(event.frame, math.cbrt(amplitude(event.value)), over)
        elif what == "pan":
            self.strips[name].pan.change(event.frame, event.value, self._ramp)
        elif what in _SWITCHES:
            strip = msgspec.structs.replace(
                self._mixer.strips[name], **{_SWITCHES[what]: bool(event.value)}
            )
            strips = {**self._mixer.strips, name: strip}
            self._mixer = msgspec.structs.replace(self._mixer, strips=strips)
            self._hear(event.frame)

    def _hear(self, frame: int) -> None:
        for name, strip in self.strips.items():
            strip.mute.append(Switch(frame, not self._mixer.audible(name)))


def _strip_at_start(take: Take, index: int) -> _Strip:
    """A strip as a take begins, with the ramps that are under way."""
    strip = take.start.mixer.strips[take.stems[index]]
    gain: Sequence[float] = (math.cbrt(amplitude(strip.gain_db)), 0.0, 0.0)
    pan: Sequence[float] = (strip.pan, 0.0, 0.0)
    if numbers := take.start.running.get("strips"):
        size = len(numbers) // len(take.stems)
        mine = numbers[index * size : (index + 1) * size]
        gain, pan = mine[_GAIN : _GAIN + 3], mine[_PAN : _PAN + 3]
    return _Strip(_Glide(gain), _Glide(pan))


class _Stretch(NamedTuple):
    """Frames of a take that are played, and where the first lies in the project."""

    begin: int
    end: int
    project_frame: int

    def curve(self, points: Sequence[Point], neutral: float) -> Curve:
        """The part of a curve that is played, from frame 0 of the project; empty if neutral."""
        cut = [
            Point(self.begin, value_at(points, self.begin)),
            *(p for p in points if self.begin < p.frame < self.end),
            Point(self.end, value_at(points, self.end)),
        ]
        shift = self.project_frame - self.begin
        moved = [Point(0.0, cut[0].value), *(Point(p.frame + shift, p.value) for p in cut)]
        kept = _without_idle(moved)
        return () if all(point.value == neutral for point in kept) else kept

    def switches(self, changes: Sequence[Switch]) -> tuple[Switch, ...]:
        """The changes that are heard, from frame 0 of the project; empty if never on."""
        on = [change.on for change in changes if change.frame <= self.begin][-1]
        kept = [Switch(0, on)]
        shift = self.project_frame - self.begin
        for change in changes:
            if self.begin < change.frame < self.end:
                if kept[-1].frame == change.frame + shift:
                    kept.pop()
                if not kept or kept[-1].on != change.on:
                    kept.append(Switch(change.frame + shift, change.on))
        return tuple(kept) if any(switch.on for switch in kept) else ()


def _without_idle(points: Sequence[Point]) -> Curve:
    """Leave out points between two of their own value, and what only holds the last."""
    kept: list[Point] = []
    for point in points:
        if len(kept) > 1 and kept[-2].value == kept[-1].value == point.value:
            kept.pop()
        if not kept or kept[-1] != point:
            kept.append(point)
    if len(kept) > 1 and kept[-2].value == kept[-1].value:
        kept.pop()
    return tuple(kept)


def _amplitudes(roots: Sequence[Point]) -> list[Point]:
    """Points on the way of a gain, from the corners of its cube root."""
    points = [Point(p.frame, p.value**3) for p in roots[:1]]
    for start, end in itertools.pairwise(roots):
        for root in _between(start.value, end.value):
            part = (root - start.value) / (end.value - start.value)
            frame = start.frame + part * (end.frame - start.frame)
            points.append(Point(frame, root**3))
        points.append(Point(end.frame, end.value**3))
    return points


def _between(start: float, end: float) -> list[float]:
    """Cube roots between two others, in their order, a step of 3 dB or less apart."""
    low, high = max(min(start, end), math.cbrt(FLOOR)), max(start, end)
    if high <= low:
        return []
    count = math.ceil(math.log(high / low) / math.log(_STEP))
    first = 0 if low > min(start, end) else 1
    inner = [low * (high / low) ** (k / count) for k in range(first, count)]
    return inner if start < end else inner[::-1]


def _performed(project: Project, take: Take, whole: Arrangement) -> Arrangement:
    """Lay out what a take plays, and what its mixer does meanwhile."""
    pieces = pieces_of(take, project.frames)
    clips = pieces.clips
    if not clips:
        note = "The take, which does not play anything: the song stands here as it is."
        return msgspec.structs.replace(whole, notes=(note,))
    notes: list[str] = []
    first = clips[0]
    if not pieces.complete:
        frames = min(take.length_frames - first.project_frame, project.frames - first.song_frame)
        clips = (msgspec.structs.replace(first, frames=frames),)
        notes.append(
            f"The jumps of the take: it plays more than {len(pieces.clips)} pieces. The song runs "
            "straight on, and the mixer moves as in the take."
        )
    end = clips[-1].project_frame + clips[-1].frames
    if len(clips) == 1:
        laid_out, at = whole, first.song_frame
    else:
        laid_out, at = _unrolled(project, clips), 0
        notes.append(
            f"The crossfades of 5 ms between the {len(clips)} pieces: their edges are hard."
        )
    stretch = _Stretch(first.project_frame, end, at)
    moves = _Moves(take, pieces.starts)
    stems = {
        name: StemAutomation(
            stretch.curve(_amplitudes(strip.gain.corners), 1.0),
            stretch.curve(strip.pan.corners, 0.0),
            stretch.switches(strip.mute),
        )
        for name, strip in moves.strips.items()
    }
    master = stretch.curve(_amplitudes(moves.master.corners), 1.0)
    fitting = _fitting(stems, master)
    notes += [*_effects(take, stretch), *fitting.notes, *_words_on(fitting.stems)]
    return msgspec.structs.replace(
        laid_out,
        stems=fitting.stems,
        master=fitting.master,
        notes=tuple(notes),
        summary=_summary(take, clips),
    )


class _Fitting(NamedTuple):
    stems: dict[str, StemAutomation]
    master: Curve
    notes: list[str]


def _fitting(stems: dict[str, StemAutomation], master: Curve) -> _Fitting:
    """Bring all levels to where every program's mixer ends."""
    lowered = max(1.0, *(_peak(stem.volume) / LOUDEST for stem in stems.values()), 1.0)
    wanted = lowered * _peak(master)
    lost = max(1.0, wanted / LOUDEST)
    notes = []
    if lost > 1:
        notes.append(
            f"The level of the take: the project is {20 * math.log10(lost):.1f} dB lower, because "
            "mixers of programs end at +6 dB."
        )
    fitted = {
        name: msgspec.structs.replace(stem, volume=_times(stem.volume, 1 / lowered))
        for name, stem in stems.items()
    }
    return _Fitting(fitted, _times(master, lowered / lost), notes)


def _peak(curve: Curve) -> float:
    return max((point.value for point in curve), default=1.0)


def _times(curve: Curve, factor: float) -> Curve:
    if factor == 1:
        return curve
    return tuple(Point(p.frame, p.value * factor) for p in curve or (Point(0.0, 1.0),))


def _unrolled(project: Project, clips: Sequence[Clip]) -> Arrangement:
    """Lay a song out along the pieces that are played; the first is at the start."""
    shift = clips[0].project_frame
    moved = tuple(msgspec.structs.replace(c, project_frame=c.project_frame - shift) for c in clips)
    frames = moved[-1].project_frame + moved[-1].frames
    rate = project.sample_rate_hz
    sections = tuple(
        section for clip in moved for section in _sections_in(clip, project.sections, rate)
    )
    return Arrangement(moved, frames, _grid_along(moved, project.grid, rate), sections)


def _sections_in(clip: Clip, sections: Iterable[Section], rate: int) -> list[Section]:
    """The sections a piece touches, in the time of the project."""
    shift = (clip.project_frame - clip.song_frame) / rate
    begin, end = clip.song_frame / rate, clip.song_end / rate
    return [
        Section(max(s.start_s, begin) + shift, min(s.end_s, end) + shift, s.label)
        for s in sections
        # What is touched for a moment only is where a jump was a little early or late.
        if min(s.end_s, end) - max(s.start_s, begin) > RAMP_S
    ]


def _grid_along(clips: Sequence[Clip], grid: BeatGrid | None, rate: int) -> BeatGrid | None:
    """The beats of the pieces one after the other; None if there are less than two."""
    if grid is None:
        return None
    downs = set(grid.downbeats)
    closest_s = _LEAST_BEAT * 60 / grid.bpm
    beats: list[tuple[float, bool]] = []
    for clip in clips:
        # A jump on a beat may lie a few samples beside it.
        begin, end = (frame / rate - RAMP_S for frame in (clip.song_frame, clip.song_end))
        first = bisect.bisect_left(grid.beats_s, begin)
        last = bisect.bisect_left(grid.beats_s, end)
        shift = (clip.project_frame - clip.song_frame) / rate
        mine = [(max(0.0, grid.beats_s[i] + shift), i in downs) for i in range(first, last)]
        while mine and beats and mine[0][0] - beats[-1][0] < closest_s:
            beats.pop()
        beats += mine
    if len(beats) < 2:
        return None
    downbeats = tuple(i for i, (_, down) in enumerate(beats) if down) or (0,)
    return BeatGrid(tuple(time_s for time_s, _ in beats), downbeats, grid.beats_per_bar)


def _effects(take: Take, stretch: _Stretch) -> list[str]:
    """In words, the effects that no mixer of a program has."""
    at_begin = {name: strip.filter for name, strip in take.start.mixer.strips.items()}
    filters, stutters = [], []
    for event in take.events:
        name, _, what = event.control.rpartition(".")
        if what == "filter" and event.frame <= stretch.begin:
            at_begin[name] = event.value
        elif stretch.begin <= event.frame < stretch.end:
            filters += [name] if what == "filter" else []
            stutters += [name] if what == "stutter" and event.value else []
    words = []
    where = {*filters, *(name for name, position in at_begin.items() if position)}
    if where:
        names = ", ".join(one_line(stem) for stem in take.stems if stem in where)
        words.append(f"The filters of the take, on {names}. Moves: {len(filters)}.")
    if stutters:
        words.append(f"The stutters of the take. Played: {len(stutters)}.")
    return words


def _words_on(stems: dict[str, StemAutomation]) -> list[str]:
    """In words, how the automation differs from what was heard."""
    words = []
    if any(stem.mute for stem in stems.values()):
        words.append("The fades of 5 ms at mutes: they switch at once, where the take has them.")
    if any(len(stem.volume) > 1 for stem in stems.values()):
        words.append(
            f"The curves of fades: lines stand for them, less than {MOST_ERROR_DB} dB off above "
            "-80 dB."
        )
    return words


def _summary(take: Take, clips: Sequence[Clip]) -> str:
    rate, name = take.sample_rate_hz, one_line(take.name)
    frames = sum(clip.frames for clip in clips)
    if len(clips) == 1:
        begin, end = _clock(clips[0].song_frame / rate), _clock(clips[0].song_end / rate)
        return f"{name}: its mixer moves from {begin} to {end} of the project"
    return f"{name}: {len(clips)} pieces of the song, {_clock(frames / rate)} in all"


def _clock(time_s: float) -> str:
    minutes, seconds = divmod(round(time_s, 1), 60)
    return f"{minutes:.0f}:{seconds:04.1f}"
