"""The performer: turns what pads, keys and scripts ask for into effects at exact frames.

Mutes wait here for their beat or bar, stutters find their slice, fades their length, takes are
replayed and recorded. What leaves it for the deck, and for the take, are plain effects.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt

from workstation.model.controls import (
    GROUPS,
    QUANTIZE,
    STUTTERS,
    ControlChange,
    control_table,
)
from workstation.model.mixer import SILENT_DB, MixerState, amplitude
from workstation.model.take import Take, TakeEvent, TakeStart
from workstation.perform import kernel
from workstation.perform.click import click_tones
from workstation.perform.deck import Deck, FloatArray
from workstation.perform.lines import GridLines

_NO_GRID = "This song has no beat grid: beats and bars have no meaning here."
# A bar back from just behind its line means the bar before.
_JUST_BEHIND_S = 0.3


class Began(NamedTuple):
    """A take began: how everything stood, and what it is recorded over."""

    start: TakeStart
    over: str | None


class Ended(NamedTuple):
    """A take ended after a number of frames."""

    length_frames: int


class _Waiting(NamedTuple):
    """An effect that waits for a line; `line` is None while it waits for the loop to return."""

    unit: str
    line: int | None
    value: float


class Performer:
    """Drives a deck by the table of controls.

    All methods but `post` belong to the thread that renders.

    Args:
        deck: The deck.
        lines: The beat grid in frames; None for a song without one.
        groups: Stems of every mute group, by its number from 1.
        snapshots: Stored mixer states, by number from 1.

    Attributes:
        table: The controls, by id.
        ids: Their ids in order: the index of a control in `values` and `waiting`.
        values: What every control is set to, what waits for its line included; float64.
        waiting: 1 for a control whose change waits for its line; uint8.
        frame: Frames rendered so far.
        counting_in: Whether a count-in is under way.
        happened: Effects for a take, between `Began` and `Ended`; another thread takes them.
        notices: Words for the user about what could not be done; another thread takes them.
    """

    def __init__(
        self,
        deck: Deck,
        lines: GridLines | None,
        *,
        groups: dict[int, tuple[str, ...]] | None = None,
        snapshots: dict[int, MixerState] | None = None,
    ) -> None:
        self.deck = deck
        self.lines = lines
        self.stems = tuple(track.name for track in deck.tracks)
        self.table = control_table(self.stems)
        self.ids = list(self.table)
        self.groups = dict[int, tuple[str, ...]].fromkeys(range(1, GROUPS + 1), ()) | (groups or {})
        self.snapshots = dict(snapshots or {})
        self.values = np.zeros(len(self.ids))
        self.waiting = np.zeros(len(self.ids), np.uint8)
        self.frame = 0
        self.counting_in = False
        self.happened: deque[Began | Ended | TakeEvent] = deque()
        self.notices: deque[str] = deque(maxlen=32)
        self._index = {name: k for k, name in enumerate(self.ids)}
        self._posted: deque[Callable[[], None]] = deque()
        self._waiting: dict[str, _Waiting] = {}
        self._before_fade: dict[str, float] = {}
        self._count_in_left = 0
        self._count_in_beat = 0
        self._rewind = False
        self._armed = False
        self._recording_since: int | None = None
        self._replay: Sequence[TakeEvent] = ()
        self._replayed = 0
        self._replay_began = 0
        self._replay_take: Take | None = None
        self._next_replay: tuple[Take, bool] | None = None
        self._touched: set[str] = set()
        self._tones = click_tones(deck.rate)
        for name, spec in self.table.items():
            self.values[self._index[name]] = spec.default
        self.show_mixer()

    # -- asking ---------------------------------------------------------------------------

    def value(self, control: str) -> float:
        """What a control is set to."""
        return float(self.values[self._index[control]])

    @property
    def recording(self) -> bool:
        """Whether a take is being recorded, or will be from the moment the song plays."""
        return self._armed or self._recording_since is not None

    @property
    def recorded_frames(self) -> int | None:
        """Length so far of the take that is being recorded; None if none is."""
        since = self._recording_since
        return None if since is None else self.frame - since

    @property
    def replaying(self) -> str | None:
        """Name of the take that is played back."""
        return None if self._replay_take is None else self._replay_take.name

    def _set(self, control: str, value: float) -> None:
        self.values[self._index[control]] = value

    # -- asking for changes -------------------------------------------------------------------

    def post(self, call: Callable[[], None]) -> None:
        """Have something done by the rendering thread before its next block; from any thread."""
        self._posted.append(call)

    def change(self, change: ControlChange) -> None:
        """Do what a control asks for, at the frame that sounds next or on its line."""
        spec = self.table[change.control]
        now = self.value(change.control)
        if change.op == "toggle":
            on = spec.clamp(change.value)
            value = 0.0 if now == on else on
        elif change.op == "move":
            value = spec.value_at(spec.position_of(now) + change.value)
        else:
            value = spec.clamp(change.value)
        where, _, what = change.control.rpartition(".")
        self._touched.add(change.control)
        if change.control in _GLOBAL:
            _GLOBAL[change.control](self, change, value)
        elif where in self.stems:
            self._change_stem(where, what, value, change)
        elif where.startswith("snapshot"):
            if value:
                self._snapshot(int(where[8:]), what, change.quantize)
        elif where.startswith("group"):
            for stem in self.groups[int(where[5:])]:
                self._ask(f"{stem}.mute", value, change.quantize)
        else:
            self._keep(change, value)
        self._show_derived()

    def _keep(self, change: ControlChange, value: float) -> None:
        """A setting that is only looked at when it matters."""
        self._set(change.control, value)

    def _change_stem(self, stem: str, what: str, value: float, change: ControlChange) -> None:
        if what in {"mute", "solo"}:
            self._ask(f"{stem}.{what}", value, change.quantize)
        elif what == "others":
            self._ask(f"{stem}.mute", 0.0, change.quantize)
            for other in self.stems:
                if other != stem:
                    self._ask(f"{other}.mute", value, change.quantize)
        elif what == "stutter":
            self._stutter(stem, value)
        elif what == "fade_out":
            gain = self.value(f"{stem}.gain")
            if gain > SILENT_DB:
                self._before_fade[stem] = gain
            self._fade(f"{stem}.gain", SILENT_DB, self._bars(value))
        elif what == "fade_in":
            target = self._before_fade.pop(stem, 0.0)
            self._fade(f"{stem}.gain", target, self._bars(value))
        elif what == "gain":
            self._fade(f"{stem}.gain", value, change.over_beats)
        else:
            self._effect(f"{stem}.{what}", value)

    def _bars(self, bars: float) -> float:
        return bars * self.lines.grid.beats_per_bar if self.lines is not None else 0.0

    def _fade(self, control: str, gain_db: float, over_beats: float) -> None:
        over = 0
        if over_beats > 0:
            if self.lines is None:
                self.notices.append(_NO_GRID)
            else:
                over = self.lines.after_beats(self.deck.head, over_beats) - self.deck.head
        self._effect(control, gain_db, over_frames=max(over, 0))

    def change_master(self, change: ControlChange, value: float) -> None:
        """Set the master gain, over some beats if asked."""
        self._fade("master.gain", value, change.over_beats)

    def _stutter(self, stem: str, value: float) -> None:
        if self.lines is None and value:
            self.notices.append(_NO_GRID)
            return
        note = min(STUTTERS, key=lambda n: abs(n - value)) if value else 0
        part = self.lines.slice_at(self.deck.head, note) if self.lines and note else None
        self._effect(f"{stem}.stutter", note, part=part)

    def _snapshot(self, number: int, what: str, quantize: str | None) -> None:
        if what == "store":
            self.snapshots[number] = self.deck.mixer
            return
        state = self.snapshots.get(number)
        if state is None:
            self.notices.append(f"Snapshot {number} is empty; store the mixer in it first.")
            return
        for stem, strip in state.strips.items():
            if stem in self.stems:
                self._ask(f"{stem}.gain", strip.gain_db, quantize)
                self._ask(f"{stem}.pan", strip.pan, quantize)
                self._ask(f"{stem}.filter", strip.filter, quantize)
                self._ask(f"{stem}.mute", float(strip.muted), quantize)
                self._ask(f"{stem}.solo", float(strip.soloed), quantize)
        self._ask("master.gain", state.master_db, quantize)

    # -- waiting for lines --------------------------------------------------------------------

    def _ask(self, control: str, value: float, quantize: str | None) -> None:
        """Let an effect come at once or on its line; asked back before, it does not come."""
        self._waiting.pop(control, None)
        self.waiting[self._index[control]] = 0
        self._set(control, value)
        if value == self._actual(control):
            return
        unit = QUANTIZE[round(self.value("quantize.grid"))] if quantize is None else quantize
        if unit == "off" or self.lines is None or not self.deck.playing:
            self._effect(control, value)
            return
        line = self._line(unit)
        if line == self.deck.head:
            self._effect(control, value)
        else:
            self._waiting[control] = _Waiting(unit, line, value)
            self.waiting[self._index[control]] = 1

    def _actual(self, control: str) -> float:
        where, _, what = control.rpartition(".")
        if where == "master":
            return self.deck.mixer.master_db
        strip = self.deck.strip(self.stems.index(where))
        return {
            "mute": float(strip.muted),
            "solo": float(strip.soloed),
            "gain": strip.gain_db,
            "pan": strip.pan,
            "filter": strip.filter,
        }[what]

    def _line(self, unit: str) -> int | None:
        """The next line of a unit; None: the loop returns to its start before it."""
        assert self.lines is not None
        head, loop = self.deck.head, self.deck.loop
        line = self.lines.next(unit, head)
        if loop is not None and head < loop[1] and (line is None or line >= loop[1]):
            return None
        return self.deck.frames if line is None else line

    def _retarget(self) -> None:
        """The head or the loop is elsewhere: what waits, waits for another line."""
        for control, waiting in self._waiting.items():
            self._waiting[control] = waiting._replace(line=self._line(waiting.unit))

    def _release(self, due: Callable[[_Waiting], bool]) -> None:
        if self._waiting:
            for control in [c for c, waiting in self._waiting.items() if due(waiting)]:
                waiting = self._waiting.pop(control)
                self.waiting[self._index[control]] = 0
                self._effect(control, waiting.value)

    # -- transport ----------------------------------------------------------------------------

    def play(self, change: ControlChange, value: float) -> None:
        """Play, after the count-in; or pause."""
        del change
        self._rewind = False
        if not value:
            self._cancel_count_in()
            if self.deck.playing:
                self._effect("transport.play", 0.0)
                self._release(lambda _: True)
            self._set("transport.play", 0.0)
        elif not (self.deck.playing or self.counting_in):
            if self.deck.head >= self.deck.frames:
                self._effect("transport.seek", 0.0)
            bars = self.value("count_in.bars")
            if bars > 0 and self.lines is None:
                self.notices.append(_NO_GRID)
                bars = 0
            if bars > 0 and not self.deck.moving:
                self._begin_count_in(bars)
            else:
                self._effect("transport.play", 1.0)

    def _begin_count_in(self, bars: float) -> None:
        assert self.lines is not None
        head = self.deck.head
        self._count_in_beat = max(1, self.lines.after_beats(head, 1.0) - head)
        self._count_in_left = round(self._bars(bars)) * self._count_in_beat
        self.counting_in = self._count_in_left > 0
        self._set("transport.play", 1.0)

    def _cancel_count_in(self) -> None:
        self.counting_in = False
        self._count_in_left = 0

    def stop(self, change: ControlChange, value: float) -> None:
        """Pause, and return to the start when the last ramp is over."""
        if value:
            self.play(change, 0.0)
            self._rewind = True  # When the last ramp is over.

    def seek(self, change: ControlChange, value: float) -> None:
        """Go to a position in seconds."""
        del change
        self._effect("transport.seek", min(value, self.deck.frames / self.deck.rate))

    def step_bar(self, change: ControlChange, value: float) -> None:
        """Go to the line of the bar before or after."""
        if not value:
            return
        if self.lines is None:
            self.notices.append(_NO_GRID)
            return
        head = self.deck.head
        if change.control == "transport.back":
            target = self.lines.at_or_before("bar", head - round(_JUST_BEHIND_S * self.deck.rate))
        else:
            target = min(self.lines.next("bar", head + 1) or self.deck.frames, self.deck.frames)
        self._effect("transport.seek", target / self.deck.rate)

    # -- loop ---------------------------------------------------------------------------------

    def loop_switch(self, change: ControlChange, value: float) -> None:
        """Switch the loop on, of four beats if there is none yet; or off."""
        del change
        if not value:
            self._effect("loop.on", 0.0)
            return
        rate = self.deck.rate
        start = round(self.value("loop.start") * rate)
        end = round(self.value("loop.end") * rate)
        if end <= start:
            self.loop_beats(ControlChange("loop.beats"), self.value("loop.beats"))
        else:
            self._set_loop(start, end, fold=False)

    def _snapped(self) -> int:
        """Where the head is, on the nearest line: of the quantise grid, or a beat."""
        head = self.deck.head
        if self.lines is None:
            return head
        unit = QUANTIZE[round(self.value("quantize.grid"))]
        return self.lines.nearest("beat" if unit == "off" else unit, head)

    def loop_point(self, change: ControlChange, value: float) -> None:
        """Let the loop begin or end here, on the nearest line."""
        if not value:
            return
        here = self._snapped()
        if change.control == "loop.in":
            self._set("loop.start", here / self.deck.rate)
            if self.deck.loop is not None and here < self.deck.loop[1]:
                self._set_loop(here, self.deck.loop[1])
        else:
            start = round(self.value("loop.start") * self.deck.rate)
            self._set_loop(start if start < here else 0, here)

    def loop_edge(self, change: ControlChange, value: float) -> None:
        """Set start or end of the loop in seconds."""
        self._set(change.control, min(value, self.deck.frames / self.deck.rate))
        if self.deck.loop is not None:
            start, end = (round(self.value(f"loop.{e}") * self.deck.rate) for e in ("start", "end"))
            self._set_loop(start, end, fold=False)

    def loop_beats(self, change: ControlChange, value: float) -> None:
        """Loop a number of beats from the last beat, or resize the loop."""
        if self.lines is None:
            self.notices.append(_NO_GRID)
            return
        self._keep(change, value)
        if self.deck.loop is not None:
            start = self.deck.loop[0]
        else:
            start = self.lines.at_or_before("beat", self.deck.head)
        if value:
            self._set_loop(start, self.lines.after_beats(start, value))

    def loop_scale(self, change: ControlChange, value: float) -> None:
        """Halve or double the loop."""
        if not value or self.deck.loop is None:
            return
        factor = 0.5 if change.control == "loop.halve" else 2.0
        start, end = self.deck.loop
        if self.lines is None:
            self._set_loop(start, start + round((end - start) * factor))
            return
        rate = self.deck.rate
        beats = self.lines.grid.beat_at(end / rate) - self.lines.grid.beat_at(start / rate)
        self._set_loop(start, self.lines.after_beats(start, beats * factor))

    def _set_loop(self, start: int, end: int, *, fold: bool = True) -> None:
        """Loop from start to end; `fold` brings a head that is behind the end back in time."""
        start, end = max(start, 0), min(end, self.deck.frames)
        if end - start < 4 * self.deck.ramp:
            self.notices.append("That loop is too short to be heard as one; it was left as it is.")
            self._show_loop()
            return
        self._effect("loop.start", start / self.deck.rate)
        self._effect("loop.end", end / self.deck.rate)
        if fold and self.deck.head >= end:
            back = start + (self.deck.head - start) % (end - start)
            self._effect("transport.seek", back / self.deck.rate)

    # -- takes --------------------------------------------------------------------------------

    def record(self, change: ControlChange, value: float) -> None:
        """Begin or end a take; at rest it begins when the song plays."""
        del change
        if value and not self.recording:
            if self.deck.moving:
                self._begin_recording()
            else:
                self._armed = True
        elif not value:
            self.end_recording()
        self._set("transport.record", float(self.recording))

    def _begin_recording(self) -> None:
        self._armed = False
        self._recording_since = self.frame
        self.happened.append(Began(self.deck.start_of_take(), self.replaying))

    def end_recording(self) -> None:
        """End the take that is being recorded, if one is."""
        self._armed = False
        if self._recording_since is not None:
            self.happened.append(Ended(self.frame - self._recording_since))
            self._recording_since = None
        self._set("transport.record", 0.0)

    def replay(self, take: Take, *, record: bool = False) -> None:
        """Play a take back from its start; what plays now is faded first.

        Its effects come at their frames, but for controls that are touched meanwhile: those
        stay in the hand.

        Args:
            take: The take.
            record: Record a take of both: what is played back, and what is touched.
        """
        self.end_recording()
        self.play(ControlChange("transport.play"), 0.0)
        self._next_replay = (take, record)

    def _begin_replay(self, take: Take, *, record: bool) -> None:
        self._rewind = False
        self._waiting.clear()
        self.waiting[:] = 0
        self._touched.clear()
        self._replay, self._replayed, self._replay_began = take.events, 0, self.frame
        self._replay_take = take
        self.deck.begin(take.start)
        self.show_mixer()
        if record:
            self._begin_recording()
            self._set("transport.record", 1.0)

    def _end_replay(self) -> None:
        take, self._replay_take, self._replay = self._replay_take, None, ()
        if take is not None and self.deck.playing:
            self.play(ControlChange("transport.play"), 0.0)
        self.end_recording()

    def _replay_due(self) -> None:
        at = self.frame - self._replay_began
        while self._replayed < len(self._replay) and self._replay[self._replayed].frame <= at:
            event = self._replay[self._replayed]
            self._replayed += 1
            if event.control not in self._touched:
                self._effect(
                    event.control, event.value, over_frames=event.over_frames, part=event.slice
                )
                self._show_derived()
        if self._replay_take is not None and at >= self._replay_take.length_frames:
            self._end_replay()

    # -- effects ------------------------------------------------------------------------------

    def _effect(
        self,
        control: str,
        value: float,
        *,
        over_frames: int = 0,
        part: tuple[int, int] | None = None,
    ) -> None:
        """Let something take effect at the frame that sounds next, and note it for the take."""
        event = TakeEvent(0, control, value, over_frames, part)
        if control == "transport.play" and value and self._armed and not self.deck.moving:
            self._begin_recording()
        self.deck.apply(event)
        self._set(control, value)
        if self._recording_since is not None:
            at = self.frame - self._recording_since
            self.happened.append(msgspec.structs.replace(event, frame=at))
        if control == "transport.seek" or control.startswith("loop."):
            self._show_loop()
            self._retarget()

    def _show_loop(self) -> None:
        loop = self.deck.loop
        self._set("loop.on", float(loop is not None))
        if loop is not None:
            self._set("loop.start", loop[0] / self.deck.rate)
            self._set("loop.end", loop[1] / self.deck.rate)

    def show_mixer(self) -> None:
        """Take over into `values` what the deck is set to."""
        mixer = self.deck.mixer
        for stem, strip in mixer.strips.items():
            self._set(f"{stem}.gain", strip.gain_db)
            self._set(f"{stem}.pan", strip.pan)
            self._set(f"{stem}.filter", strip.filter)
            self._set(f"{stem}.mute", float(strip.muted))
            self._set(f"{stem}.solo", float(strip.soloed))
            self._set(f"{stem}.stutter", 0.0)
        self._set("master.gain", mixer.master_db)
        self._set("transport.play", float(self.deck.playing))
        self._show_loop()
        self._show_derived()

    def _show_derived(self) -> None:
        """Values that follow from the mutes: those of groups and of `others`."""
        muted = {stem: self.value(f"{stem}.mute") != 0 for stem in self.stems}
        count = sum(muted.values())
        for stem in self.stems:
            alone = count == len(self.stems) - 1 and count > 0 and not muted[stem]
            self._set(f"{stem}.others", float(alone))
        for number, members in self.groups.items():
            there = [muted[stem] for stem in members if stem in muted]
            self._set(f"group{number}.mute", float(bool(there) and all(there)))

    # -- sound --------------------------------------------------------------------------------

    def render(self, out: FloatArray, click: FloatArray | None = None) -> None:
        """Fill out, float32 (frames, 2), with what sounds next.

        Args:
            out: The mix; the click joins it unless it has an output of its own.
            click: Output of its own for the click, of the same shape.
        """
        while self._posted:
            self._posted.popleft()()
        if click is not None:
            click[:] = 0.0
        done = 0
        while done < len(out):
            done += self._render_some(out[done:], out[done:] if click is None else click[done:])

    def _render_some(self, out: FloatArray, click: FloatArray) -> int:
        deck = self.deck
        if self._next_replay is not None and not deck.moving:
            (take, record), self._next_replay = self._next_replay, None
            self._begin_replay(take, record=record)
        if self._replay_take is not None:
            self._replay_due()
        self._release(lambda waiting: waiting.line == deck.head)
        if self._rewind and not deck.moving:
            self._rewind = False
            self._effect("transport.seek", 0.0)
        if self.counting_in:
            return self._render_count_in(out, click)
        head, was_playing = deck.head, deck.playing
        count = deck.render_stretch(out[: self._until_next(len(out))])
        if count and was_playing and self.value("click.on") and self.lines is not None:
            self._add_click(click[:count], head, self.lines.beats, self.lines.accents)
        self.frame += count
        if deck.head != head + count and deck.moving:
            self._release(lambda waiting: waiting.line is None)  # The loop has returned.
            self._retarget()
        if was_playing and not deck.playing:
            self._end_of_song()
        return count

    def _until_next(self, most: int) -> int:
        """Frames until something is due that the deck does not know of."""
        if self._replay_take is not None:
            at = self.frame - self._replay_began
            most = min(most, self._replay_take.length_frames - at)
            if self._replayed < len(self._replay):
                most = min(most, self._replay[self._replayed].frame - at)
        if self.deck.playing:
            for waiting in self._waiting.values():
                if waiting.line is not None and waiting.line > self.deck.head:
                    most = min(most, waiting.line - self.deck.head)
        return max(most, 1)

    def _end_of_song(self) -> None:
        self._set("transport.play", 0.0)
        self._release(lambda _: True)
        if self._recording_since is not None and self._replay_take is None:
            self.end_recording()

    def _render_count_in(self, out: FloatArray, click: FloatArray) -> int:
        assert self.lines is not None
        count = min(len(out), self._count_in_left)
        out[:count] = 0.0
        beat, per_bar = self._count_in_beat, self.lines.grid.beats_per_bar
        # Counted backwards from the start of the song: the last bar is whole.
        done = -self._count_in_left
        beats = np.arange(done // beat - 1, 1)
        self._add_click(click[:count], done, beats * beat, beats % per_bar == 0, end=0)
        self._count_in_left -= count
        self.frame += count
        if self._count_in_left == 0:
            self.counting_in = False
            self._effect("transport.play", 1.0)
        return count

    def _add_click(
        self,
        out: FloatArray,
        head: int,
        lines: npt.NDArray[np.int64],
        accents: npt.NDArray[np.bool_],
        end: int | None = None,
    ) -> None:
        if end is not None:
            keep = lines < end
            lines, accents = lines[keep], accents[keep]
        gain = amplitude(self.value("click.gain"))
        kernel.add_click(out, head, lines, accents, self._tones, gain)


_GLOBAL: dict[str, Callable[[Performer, ControlChange, float], None]] = {
    "master.gain": Performer.change_master,
    "transport.play": Performer.play,
    "transport.stop": Performer.stop,
    "transport.record": Performer.record,
    "transport.seek": Performer.seek,
    "transport.back": Performer.step_bar,
    "transport.forward": Performer.step_bar,
    "loop.on": Performer.loop_switch,
    "loop.in": Performer.loop_point,
    "loop.out": Performer.loop_point,
    "loop.start": Performer.loop_edge,
    "loop.end": Performer.loop_edge,
    "loop.beats": Performer.loop_beats,
    "loop.halve": Performer.loop_scale,
    "loop.double": Performer.loop_scale,
}
