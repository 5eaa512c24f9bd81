"""Rendering a session offline: the deck of the player, without a device."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from workstation.model import InputError, JobContext
from workstation.model.mixer import MixerState
from workstation.model.take import Take, TakeEvent
from workstation.perform.deck import Deck, FloatArray, Track

_BLOCK = 1 << 16
_PLAY = TakeEvent(0, "transport.play", 1.0)


def render_take(
    tracks: Sequence[Track], take: Take, job: JobContext | None = None
) -> Iterator[FloatArray]:
    """Give what a take sounded like, in blocks of float32 (frames, 2).

    The samples are those that the player sent to the device, the click left out.

    Args:
        tracks: The stems the take was made with; a session's own order does not matter.
        take: The performance.
        job: Progress out, cancellation in.

    Raises:
        InputError: A stem of the take is missing, or the rates differ.
        CancelledError: The job was cancelled.
    """
    by_name = {track.name: track for track in tracks}
    missing = [name for name in take.stems if name not in by_name]
    if missing:
        raise InputError(
            f'The take "{take.name}" was played on stems that are not here: {", ".join(missing)}.',
            f"Separate with the engine {take.engine} again.",
        )
    deck = Deck([by_name[name] for name in take.stems], take.sample_rate_hz)
    try:
        deck.begin(take.start)
    except ValueError as error:
        raise InputError(
            f'The take "{take.name}" cannot be rendered: {error}.', "Record it again."
        ) from error
    job = job or JobContext()
    frame = 0
    events = [*take.events, None]
    for event in events:
        until = take.length_frames if event is None else min(event.frame, take.length_frames)
        while frame < until:
            job.check()
            job.report(frame / take.length_frames)
            block = np.empty((min(_BLOCK, until - frame), 2), np.float32)
            deck.render(block)
            frame += len(block)
            yield block
        if event is not None:
            deck.apply(event)


def render_mix(
    tracks: Sequence[Track],
    sample_rate_hz: int,
    mixer: MixerState,
    job: JobContext | None = None,
) -> Iterator[FloatArray]:
    """Give the whole song through a mixer that nobody touches, in blocks of float32 (frames, 2).

    Raises:
        CancelledError: The job was cancelled.
    """
    deck = Deck(tracks, sample_rate_hz)
    deck.set_mixer(mixer)
    deck.apply(_PLAY)
    job = job or JobContext()
    for frame in range(0, deck.frames, _BLOCK):
        job.check()
        job.report(frame / deck.frames)
        block = np.empty((min(_BLOCK, deck.frames - frame), 2), np.float32)
        deck.render(block)
        yield block
