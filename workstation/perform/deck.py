"""The deck: stems, the heads that read them, and the mixer they go through.

It knows frames and effects only, no devices, grids or pads. Told the same changes at the same
frames it gives the same samples, however its output is cut into blocks: the player and the
offline renderer are two callers of this one class.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.model.mixer import MixerState, Strip, amplitude
from workstation.model.take import TakeEvent, TakeStart
from workstation.perform import kernel

FloatArray = npt.NDArray[np.float32]

RAMP_S = 0.005
# Blocks are mixed in steps of at most this many frames.
MAX_BLOCK = 8192

# ITU-R BS.775-3, table 2: left, right, centre, LFE, left and right surround to stereo.
_HALF = math.sqrt(0.5)
_FOLDS = {
    1: [[1.0], [1.0]],
    2: [[1.0, 0.0], [0.0, 1.0]],
    6: [[1.0, 0.0, _HALF, 0.0, _HALF, 0.0], [0.0, 1.0, _HALF, 0.0, 0.0, _HALF]],
}


def fold_to_stereo(channels: int) -> npt.NDArray[np.float64]:
    """Matrix (2, channels) from the channels of a stem to left and right.

    Mono goes to both sides, 5.1 as ITU-R BS.775 says; of other layouts the odd channels go to
    the left and the even ones to the right.
    """
    if channels in _FOLDS:
        return np.array(_FOLDS[channels])
    fold = np.zeros((2, channels))
    fold[0, 0::2] = fold[1, 1::2] = 1.0
    return fold


class Track(NamedTuple):
    """A stem on the deck: its name and its samples, float32, shape (frames, channels), C order."""

    name: str
    samples: FloatArray


class Deck:
    """Stems that are read by one head, so that they are always in phase, and mixed to stereo.

    Args:
        tracks: The stems, all of one rate, in the order of strips.
        sample_rate_hz: Of the stems.

    Attributes:
        frames: Length of the longest stem.
        head: The song's frame that sounds next.
        playing: Whether the song runs; it sounds on for one ramp after a pause.
        loop: Start and end in frames, or None.
        ramp: Frames of the short ramps of 5 ms.
        meters: Per strip, and last the master: peaks left and right, then sums of squares,
            since they were last cleared; float64, shape (strips + 1, 4).
    """

    def __init__(self, tracks: Sequence[Track], sample_rate_hz: int) -> None:
        self.tracks = tuple(tracks)
        self.rate = sample_rate_hz
        self.frames = max(len(track.samples) for track in tracks)
        self.ramp = max(1, round(RAMP_S * sample_rate_hz))
        self.head = 0
        self.playing = False
        self.loop: tuple[int, int] | None = None
        self.meters = np.zeros((len(tracks) + 1, 4))
        self._index = {track.name: k for k, track in enumerate(self.tracks)}
        self._folds = [fold_to_stereo(track.samples.shape[1]) for track in tracks]
        self._strips = np.zeros((len(tracks), kernel.STRIP_SIZE))
        self._master = np.zeros(kernel.GAIN_EXACT + 1)
        self._fade = np.zeros(2, np.int64)
        self._old_head = 0
        self._crossfade_left = 0
        self._held_seek: int | None = None  # A jump that waits until the last one is faded.
        self._loop_fades = True  # Whether the end of the loop fades into what precedes its start.
        self._bus = np.zeros((MAX_BLOCK, 2))
        self._heads = np.zeros(2, np.int64)
        self._weights = np.zeros(2, np.int64)
        self._values: list[Strip] = [Strip()] * len(tracks)
        self.set_mixer(MixerState.neutral(tuple(self._index)))

    # -- what it is set to ----------------------------------------------------------------

    @property
    def mixer(self) -> MixerState:
        """What every strip is set to."""
        return MixerState(dict(zip(self._index, self._values, strict=True)), self._master_db)

    def strip(self, index: int) -> Strip:
        """What one strip is set to."""
        return self._values[index]

    @property
    def moving(self) -> bool:
        """Whether anything of the song sounds: while it plays, and one ramp longer."""
        return self.playing or bool(self._fade[0] > 0)

    def set_mixer(self, mixer: MixerState) -> None:
        """Set every strip and the master at once, without ramps; the filters come to rest."""
        self._values = [mixer.strips.get(name, Strip()) for name in self._index]
        self._master_db = mixer.master_db
        self._strips[:] = 0.0
        for strip, value in zip(self._strips, self._values, strict=True):
            _jump(strip, amplitude(value.gain_db))
            strip[kernel.PAN] = value.pan
            strip[kernel.FILTER] = value.filter
        _jump(self._master, amplitude(mixer.master_db))
        self._hear()
        self._strips[:, kernel.HEARD] = self._strips[:, kernel.HEARD_TARGET]

    def _hear(self) -> None:
        solos = any(value.soloed for value in self._values)
        for strip, value in zip(self._strips, self._values, strict=True):
            heard = not value.muted and (value.soloed or not solos)
            strip[kernel.HEARD_TARGET] = self.ramp if heard else 0.0

    # -- changes, at the frame that sounds next ---------------------------------------------

    def apply(self, event: TakeEvent) -> None:
        """Let a change take effect now; its `frame` is not looked at."""
        where, _, what = event.control.rpartition(".")
        if event.control in {"transport.play", "transport.seek"}:
            self._apply_transport(what, event.value)
        elif event.control in {"loop.start", "loop.end", "loop.on"}:
            self._apply_loop(what, event.value)
        elif event.control == "master.gain":
            self._master_db = event.value
            _glide(self._master, amplitude(event.value), event.over_frames or self.ramp)
        else:
            self._apply_strip(self._index[where], what, event)

    def _apply_strip(self, index: int, what: str, event: TakeEvent) -> None:
        strip, value = self._strips[index], self._values[index]
        if what == "gain":
            _glide(strip, amplitude(event.value), event.over_frames or self.ramp)
            value = msgspec.structs.replace(value, gain_db=event.value)
        elif what == "pan":
            _ramp(strip, kernel.PAN, event.value, self.ramp)
            value = msgspec.structs.replace(value, pan=event.value)
        elif what == "filter":
            _ramp(strip, kernel.FILTER, event.value, self.ramp)
            value = msgspec.structs.replace(value, filter=event.value)
        elif what == "mute":
            value = msgspec.structs.replace(value, muted=bool(event.value))
        elif what == "solo":
            value = msgspec.structs.replace(value, soloed=bool(event.value))
        elif what == "stutter":
            start, frames = event.slice or (0, 0)
            strip[kernel.OLD_SLICE] = strip[kernel.SLICE]
            strip[kernel.OLD_SLICE_FRAMES] = strip[kernel.SLICE_FRAMES]
            strip[kernel.SLICE] = start
            strip[kernel.SLICE_FRAMES] = frames if event.value else 0
            strip[kernel.SLICE_FADE] = self.ramp
        else:
            raise ValueError(f"a deck has no control {event.control!r}")
        self._values[index] = value
        if what in {"mute", "solo"}:
            self._hear()

    def _apply_transport(self, what: str, value: float) -> None:
        if what == "play":
            if value and not self.moving:
                # What was changed at rest is there from the first sample.
                self.set_mixer(self.mixer)
                self._crossfade_left = 0
                self._held_seek = None
                self._loop_fades = not self._near_loop_end(self.head)
            self.playing = bool(value)
            self._fade[1] = self.ramp if value else 0
            if value and self.head == 0 and self._fade[0] == 0:
                self._fade[0] = self.ramp  # A song's own beginning is not faded in.
        else:
            self._jump(min(max(round(value * self.rate), 0), self.frames))

    def _jump(self, target: int) -> None:
        """Go on from another frame, with a short crossfade from where the head was."""
        if self.loop is not None and self._near_loop_end(target):
            target = self.loop[0]  # It would return at once.
        if self.moving and (self._crossfade_left > 0 or self._in_loop_fade()):
            self._held_seek = target
            return
        if self.moving:
            self._old_head = self.head
            self._crossfade_left = self.ramp
        self._loop_fades = True
        self.head = target

    def _apply_loop(self, what: str, value: float) -> None:
        frame = round(value * self.rate)
        before = self.loop
        start, end = before or (0, self.frames)
        if what == "start":
            after: tuple[int, int] | None = (frame, max(end, frame))
        elif what == "end":
            after = (min(start, frame), frame)
        else:
            after = before if value else None
        if after == before:
            return
        weight = self._loop_weight()
        if before is not None and weight > 0 and self._crossfade_left == 0:
            # The fade into the return is under way: it goes back from where it is.
            self._old_head = self.head - (before[1] - before[0])
            self._crossfade_left = round(weight * (self.ramp + 1))
        self.loop = after
        self._loop_fades = not self._near_loop_end(self.head)

    def _near_loop_end(self, frame: int) -> bool:
        """Whether a crossfade from here on would run into the fade at the end of the loop."""
        return self.loop is not None and 0 < self.loop[1] - frame <= self._loop_fade() + self.ramp

    def _in_loop_fade(self) -> bool:
        """Whether the head is where the end of the loop fades into what precedes its start."""
        if self.loop is None or not self._loop_fades:
            return False
        return 0 < self.loop[1] - self.head <= self._loop_fade()

    def _loop_weight(self) -> float:
        """How far the fade at the end of the loop has gone at the frame that sounded last."""
        if self.loop is None or not self._in_loop_fade():
            return 0.0
        fade = self._loop_fade()
        return (fade - (self.loop[1] - self.head)) / (fade + 1)

    # -- sound ------------------------------------------------------------------------------

    def render(self, out: FloatArray) -> None:
        """Fill out, float32, shape (frames, 2), C order, with what sounds next."""
        done = 0
        while done < len(out):
            done += self.render_stretch(out[done:])

    def render_stretch(self, out: FloatArray) -> int:
        """Render on until a head jumps or a fade ends; give the frames that were rendered.

        Within a stretch the song's frames follow each other from `head` on. It is empty (0)
        where the song ends.
        """
        if not self.moving:
            out[:] = 0.0
            return len(out)
        if self.playing and self.head >= self.frames and self._crossfade_left == 0:
            self.playing = False  # The end of the song: there is nothing left to fade.
            self._fade[:] = 0
            return 0
        count = min(len(out), MAX_BLOCK, self._next_turn())
        self._mix(out[:count])
        self.head += count
        self._old_head += count
        self._crossfade_left = max(0, self._crossfade_left - count)
        if self.loop is not None and self.head == self.loop[1]:
            self._return()
        if self._held_seek is not None and self._crossfade_left == 0 and not self._in_loop_fade():
            target, self._held_seek = self._held_seek, None
            self._jump(target)
        return count

    def _return(self) -> None:
        """Go from the end of the loop to its start."""
        assert self.loop is not None
        if not self._loop_fades and 2 * self._crossfade_left <= self.ramp:
            self._old_head = self.head
            self._crossfade_left = self.ramp
        self._loop_fades = True
        self.head = self.loop[0]

    def _next_turn(self) -> int:
        """Frames until something changes in how the stems are read."""
        turns = [self._crossfade_left]
        if self.playing:
            turns.append(self.frames - self.head)
        else:
            turns.append(int(self._fade[0]))
        if self.loop is not None and self.head < self.loop[1]:
            into_loop_fade = self.loop[1] - self._loop_fade() - self.head
            turns += [self.loop[1] - self.head, into_loop_fade]
        return min(turn for turn in turns if turn > 0)

    def _loop_fade(self) -> int:
        """Frames before the end of the loop that fade into what precedes its start."""
        assert self.loop is not None
        return min(self.ramp, (self.loop[1] - self.loop[0]) // 4)

    def _mix(self, out: FloatArray) -> None:
        bus = self._bus[: len(out)]
        bus[:] = 0.0
        heads, weights = self._heads, self._weights
        heads[:] = self.head
        weights[:] = 1
        if self._crossfade_left > 0:
            heads[1] = self._old_head
            weights[:] = self.ramp + 1 - self._crossfade_left, self.ramp + 1
        elif self.loop is not None and self._in_loop_fade():
            # The weights run to the head that comes from before the loop.
            heads[0] = self.head - (self.loop[1] - self.loop[0])
            heads[1] = self.head
            weights[:] = self._loop_fade() + 1 - (self.loop[1] - self.head), self._loop_fade() + 1
        for index, track in enumerate(self.tracks):
            kernel.mix_strip(
                track.samples, self._folds[index], self._strips[index], heads, weights,
                self.ramp, self.rate, bus, self.meters[index],
            )  # fmt: skip
        kernel.finish(bus, self._master, self._fade, self.ramp, out, self.meters[-1])

    # -- beginning a take -------------------------------------------------------------------

    def start_of_take(self) -> TakeStart:
        """How everything stands, so that `begin` on another deck goes on exactly from here."""
        running = {}
        if self.moving:
            running = {
                "strips": self._strips.ravel().tolist(),
                "master": self._master.tolist(),
                "transport": [
                    *map(float, self._fade),
                    float(self._old_head),
                    float(self._crossfade_left),
                    float(self._loop_fades),
                    -1.0 if self._held_seek is None else float(self._held_seek),
                ],
            }
        return TakeStart(self.head, self.playing, self.loop, self.mixer, running)

    def check_start(self, start: TakeStart) -> None:
        """Refuse the start of a take that was made by another kind of mixer.

        Raises:
            ValueError: Its running numbers do not fit.
        """
        sizes = {name: len(numbers) for name, numbers in start.running.items()}
        if sizes not in ({}, {"strips": self._strips.size, "master": 4, "transport": 6}):
            raise ValueError("the numbers of its mixing loop do not fit this one")

    def begin(self, start: TakeStart) -> None:
        """Stand as a take began."""
        self.check_start(start)
        self.set_mixer(start.mixer)
        self.head = min(start.frame, self.frames)
        self.loop = start.loop
        self.playing = start.playing
        self._fade[:] = self.ramp if start.playing else 0
        self._crossfade_left = 0
        self._held_seek = None
        self._loop_fades = not self._near_loop_end(self.head)
        if start.running:
            self._strips[:] = np.reshape(start.running["strips"], self._strips.shape)
            self._master[:] = start.running["master"]
            level, target, old, left, fades, held = map(int, start.running["transport"])
            self._fade[:] = level, target
            self._old_head, self._crossfade_left = old, left
            self._loop_fades, self._held_seek = bool(fades), held if held >= 0 else None


def _jump(ramp: npt.NDArray[np.float64], factor: float) -> None:
    ramp[: kernel.GAIN_EXACT + 1] = math.cbrt(factor), 0.0, 0.0, factor


def _glide(ramp: npt.NDArray[np.float64], factor: float, frames: int) -> None:
    """Let a gain go to a factor, evenly in its cube root: as a fader does that is pulled."""
    _ramp(ramp, kernel.GAIN, math.cbrt(factor), frames)
    ramp[kernel.GAIN_EXACT] = factor


def _ramp(numbers: npt.NDArray[np.float64], at: int, target: float, frames: int) -> None:
    now = numbers[at] - numbers[at + 1] * numbers[at + 2]
    numbers[at : at + 3] = target, (target - now) / frames, frames
