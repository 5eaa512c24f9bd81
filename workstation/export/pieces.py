"""Which pieces of the song a take plays, and when: the transport of a deck without its sound.

A take says what was done; where the head is then follows from the rules of the player: how
jumps wait for the crossfade of the one before, and where a loop returns. The rules here are those
of `perform.deck`, and a test holds the two together, frame by frame.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from workstation.model.take import Take, TakeEvent, TakeStart

RAMP_S = 0.005
# More clips than this on every track are a texture, not an arrangement that anyone can edit.
MOST_PIECES = 2000
_LOOPS = {"loop.start", "loop.end", "loop.on"}


class Clip(msgspec.Struct, frozen=True):
    """A piece of the song in a project; all in frames.

    Attributes:
        project_frame: Where it lies in the project.
        song_frame: Where it begins in the song, and so in every stem.
        frames: Its length.
    """

    project_frame: int
    song_frame: int
    frames: int

    @property
    def song_end(self) -> int:
        """The song's frame after its last."""
        return self.song_frame + self.frames


class Pieces(msgspec.Struct, frozen=True):
    """What a take plays.

    Attributes:
        clips: In the order of time; their `project_frame` counts from the start of the take.
        starts: Indices of the events that let it play from rest: changes that were made while
            nothing moved are there from that very frame on, without their ramps.
        complete: Whether these are all; if not, they are the first `MOST_PIECES`.
    """

    clips: tuple[Clip, ...]
    starts: frozenset[int]
    complete: bool


def ramp_frames(sample_rate_hz: int) -> int:
    """Frames of the short ramps of the mixer, 5 ms."""
    return max(1, round(RAMP_S * sample_rate_hz))


def pieces_of(take: Take, song_frames: int) -> Pieces:
    """Follow the head through a take.

    Args:
        take: The performance.
        song_frames: Length of the song.
    """
    head = _Head(take.start, song_frames, take.sample_rate_hz)
    clips: list[Clip] = []
    starts: set[int] = set()
    frame = 0
    for index, event in enumerate((*take.events, None)):
        until = take.length_frames if event is None else min(event.frame, take.length_frames)
        for song_frame, frames in head.run(until - frame):
            if song_frame is not None:
                _add(clips, frame, song_frame, min(frames, song_frames - song_frame))
            frame += frames
            if len(clips) > MOST_PIECES:
                return Pieces(tuple(clips[:MOST_PIECES]), frozenset(starts), complete=False)
        if event is not None and head.apply(event):
            starts.add(index)
    return Pieces(tuple(clips), frozenset(starts), complete=True)


def _add(clips: list[Clip], frame: int, song_frame: int, frames: int) -> None:
    """Add what was played, to the last clip if it goes on there."""
    if frames <= 0:
        return  # Beyond the end of the song.
    last = clips[-1] if clips else None
    if last and (last.project_frame + last.frames, last.song_end) == (frame, song_frame):
        clips[-1] = msgspec.structs.replace(last, frames=last.frames + frames)
    else:
        clips.append(Clip(frame, song_frame, frames))


class _Head:
    """Where the song is read, as in a deck."""

    def __init__(self, start: TakeStart, frames: int, rate: int) -> None:
        self._frames, self._rate = frames, rate
        self._ramp = ramp_frames(rate)
        self._head = min(start.frame, frames)
        self._loop = start.loop
        self._playing = start.playing
        self._level = self._ramp if start.playing else 0  # Of the fade of the transport.
        self._crossfade_left = 0
        self._held: int | None = None
        self._loop_fades = not self._near_loop_end(self._head)
        if "transport" in start.running:
            level, _, _, left, fades, held = map(int, start.running["transport"])
            self._level, self._crossfade_left = level, left
            self._loop_fades, self._held = bool(fades), held if held >= 0 else None

    @property
    def _moving(self) -> bool:
        return self._playing or self._level > 0

    def apply(self, event: TakeEvent) -> bool:
        """Let a change take effect; tells whether the song begins to play from rest."""
        if event.control == "transport.play":
            return self._play(playing=bool(event.value))
        if event.control == "transport.seek":
            self._jump(min(max(round(event.value * self._rate), 0), self._frames))
        elif event.control in _LOOPS:
            self._set_loop(event.control, event.value)
        return False

    def _play(self, *, playing: bool) -> bool:
        from_rest = playing and not self._moving
        if from_rest:
            self._crossfade_left, self._held = 0, None
            self._loop_fades = not self._near_loop_end(self._head)
        self._playing = playing
        if playing and self._head == 0 and self._level == 0:
            self._level = self._ramp
        return from_rest

    def _jump(self, target: int) -> None:
        if self._loop is not None and self._near_loop_end(target):
            target = self._loop[0]
        if self._moving and (self._crossfade_left > 0 or self._in_loop_fade()):
            self._held = target
            return
        if self._moving:
            self._crossfade_left = self._ramp
        self._loop_fades = True
        self._head = target

    def _set_loop(self, control: str, value: float) -> None:
        frame = round(value * self._rate)
        start, end = self._loop or (0, self._frames)
        after = self._loop if value else None
        if control == "loop.start":
            after = (frame, max(end, frame))
        elif control == "loop.end":
            after = (min(start, frame), frame)
        if after == self._loop:
            return
        weight = self._loop_weight()
        if weight > 0 and self._crossfade_left == 0:
            self._crossfade_left = round(weight * (self._ramp + 1))
        self._loop = after
        self._loop_fades = not self._near_loop_end(self._head)

    def run(self, frames: int) -> Iterator[tuple[int | None, int]]:
        """Go on for some frames: frames of the song (None at rest), and how many follow it."""
        while frames > 0:
            if not self._moving:
                yield None, frames
                return
            if self._playing and self._head >= self._frames and self._crossfade_left == 0:
                self._playing, self._level = False, 0
                continue
            count = min(frames, self._next_turn())
            yield self._head, count
            frames -= count
            self._advance(count)

    def _advance(self, count: int) -> None:
        self._head += count
        step = count if self._playing else -count
        self._level = min(max(self._level + step, 0), self._ramp)
        self._crossfade_left = max(0, self._crossfade_left - count)
        if self._loop is not None and self._head == self._loop[1]:
            if not self._loop_fades and 2 * self._crossfade_left <= self._ramp:
                self._crossfade_left = self._ramp
            self._loop_fades = True
            self._head = self._loop[0]
        if self._held is not None and self._crossfade_left == 0 and not self._in_loop_fade():
            target, self._held = self._held, None
            self._jump(target)

    def _next_turn(self) -> int:
        turns = [self._crossfade_left]
        turns.append(self._frames - self._head if self._playing else self._level)
        if self._loop is not None and self._head < self._loop[1]:
            left = self._loop[1] - self._head
            turns += [left, left - self._loop_fade()]
        return min(turn for turn in turns if turn > 0)

    def _loop_fade(self) -> int:
        assert self._loop is not None
        return min(self._ramp, (self._loop[1] - self._loop[0]) // 4)

    def _near_loop_end(self, frame: int) -> bool:
        return self._loop is not None and (
            0 < self._loop[1] - frame <= self._loop_fade() + self._ramp
        )

    def _in_loop_fade(self) -> bool:
        if self._loop is None or not self._loop_fades:
            return False
        return 0 < self._loop[1] - self._head <= self._loop_fade()

    def _loop_weight(self) -> float:
        if self._loop is None or not self._in_loop_fade():
            return 0.0
        fade = self._loop_fade()
        return (fade - (self._loop[1] - self._head)) / (fade + 1)
