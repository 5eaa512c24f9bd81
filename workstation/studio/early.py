"""Hearing the first stems of a song while the rest of them is computed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from workstation.model import InputError, JobContext, WorkstationError
from workstation.perform.outputs import OutputOptions
from workstation.separate import EngineOptions
from workstation.separate.stream import finished_frames
from workstation.studio.player import Connections, Player, PlayerSetup

if TYPE_CHECKING:
    from workstation.studio.session import Session

_LOOK_EVERY_S = 0.1
_LEAD_S = 5.0  # So much must be finished ahead of where playing starts, or starts again.
_STOP_S = 0.5  # So little ahead, it waits.


class EarlyStems:
    """A separation that goes on while what is finished is played. Made by `Session.early_stems`.

    Used as a context manager; left before its end, it stops, and the next separation goes on from
    there.

    Args:
        session: Whose song.
        engine: As for `Session.separate`.
        options: As for `Session.separate`.
        say: Is told in words which engine was chosen, and when playing waits.
        job: Progress out, cancellation in.
    """

    def __init__(
        self,
        session: Session,
        engine: str | None,
        options: EngineOptions | None,
        say: Callable[[str], None] | None,
        job: JobContext | None,
    ) -> None:
        self._session, self._say = session, say or (lambda _: None)
        self._job = job or JobContext()
        self._unfinished = session.unfinished(engine, options)
        self._names = session.stem_names(engine, options)
        self._rate_hz = session.song.source.sample_rate_hz
        self._frames = session.song.source.frames
        self._failure: WorkstationError | None = None
        self._closed = threading.Event()
        self._thread = threading.Thread(
            target=self._separate, args=(engine, options), name="separation", daemon=True
        )
        self._thread.start()

    def _separate(self, engine: str | None, options: EngineOptions | None) -> None:
        try:
            self._session.separate(engine, options=options, say=self._say, job=self._job)
        except WorkstationError as error:
            self._failure = error

    @property
    def is_finished(self) -> bool:
        """Whether all stems are there."""
        return not self._thread.is_alive() and self._failure is None

    @property
    def ready_s(self) -> float:
        """How much of the song can be played, from its beginning on, in seconds.

        Raises:
            WorkstationError: The separation failed.
        """
        if self._thread.is_alive():
            done = finished_frames(*self._unfinished) if self._unfinished else 0
            return done / self._rate_hz
        if self._failure is not None:
            raise self._failure
        return self._frames / self._rate_hz

    def wait(self, seconds: float | None = None) -> None:
        """Wait until so much of the song can be played; None waits for all of it.

        Raises:
            WorkstationError: The separation failed.
            CancelledError: The job was cancelled.
        """
        duration_s = self._frames / self._rate_hz
        wanted = duration_s if seconds is None else min(seconds, duration_s)
        while self.ready_s < wanted or (seconds is None and not self.is_finished):
            time.sleep(_LOOK_EVERY_S / 2)

    def player(
        self, output: OutputOptions | None = None, connections: Connections | None = None
    ) -> Player:
        """Play what is finished; where the rest is not, the player waits for it.

        It knows no beat grid, which is found from all of the drums, and its mixer is not kept.

        Raises:
            UnavailableError: The device or controller that was named cannot be opened.
            WorkstationError: The separation failed.
        """
        self.wait(_LEAD_S)
        if self.ready_s >= self._frames / self._rate_hz:
            self.wait()  # They are just being moved to their place.
        stems = self._session.stems if self.is_finished else self._growing()
        try:
            player = self._player(stems, output, connections)
        except InputError:  # They were moved to their place while the player started.
            self.wait()
            player = self._player(self._session.stems, output, connections)
        threading.Thread(target=self._hold_back, args=(player,), daemon=True).start()
        return player

    def _player(
        self,
        stems: dict[str, Path],
        output: OutputOptions | None,
        connections: Connections | None,
    ) -> Player:
        setup = PlayerSetup(
            stems=stems,
            engine=str(self._session.engine or ""),
            sample_rate_hz=self._rate_hz,
            frames=self._frames,
            grid=None,
            takes=self._session.takes,
        )
        return Player(setup, output, connections, say=self._say)

    def _growing(self) -> dict[str, Path]:
        assert self._unfinished is not None  # Otherwise nothing is ready before all is.
        folder, _ = self._unfinished
        return {name: folder / f"{name}.wav" for name in self._names}

    def _hold_back(self, player: Player) -> None:
        """Let a player wait where the stems are not finished yet."""
        waits = False
        while not self._closed.is_set() and player.failure is None and not player.is_closed:
            if self.is_finished:
                if waits:
                    player.play()
                return
            try:
                ahead = self.ready_s - player.state.position_s
            except WorkstationError as error:
                self._say(f"What is not separated yet stays silent. {error.problem}")
                return
            if waits and ahead > _LEAD_S:
                waits = False
                player.play()
            elif not waits and player.state.playing and ahead < _STOP_S:
                waits = True
                player.pause()
                self._say("Waiting for the next stems.")
            time.sleep(_LOOK_EVERY_S)

    def close(self) -> None:
        """Stop what is not finished; what is done is kept for the next time."""
        self._closed.set()
        self._job.cancel()
        self._thread.join()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
