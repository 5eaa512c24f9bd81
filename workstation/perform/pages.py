"""Stems that are mapped into memory: only what is about to sound is held there.

A page that is not in memory when the callback reads it would stop the sound until the disk has
answered. So a thread reads ahead of the head, and hands back what lies far behind.
"""

from __future__ import annotations

import mmap
import threading
from collections.abc import Callable, Sequence

import numpy as np

from workstation.perform import kernel
from workstation.perform.deck import FloatArray, Track

AHEAD_S = 15.0
BEHIND_S = 5.0
_EVERY_S = 0.25
_PAGE_BYTES = 4096


class PageKeeper:
    """Keeps what is about to sound in memory.

    Args:
        tracks: The stems.
        sample_rate_hz: Of the stems.
        wanted: Gives the frames from which sound may come next: head, start of the loop, ….
    """

    def __init__(
        self, tracks: Sequence[Track], sample_rate_hz: int, wanted: Callable[[], Sequence[int]]
    ) -> None:
        self._tracks = tracks
        self._rate = sample_rate_hz
        self._wanted = wanted
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pages", daemon=True)
        self._kept: set[int] = set()

    def start(self) -> None:
        """Read what sounds first, then go on in a thread of its own."""
        self.keep(0)
        self._thread.start()

    def close(self) -> None:
        """End the thread."""
        self._ended.set()
        self._thread.join(1.0)

    def keep(self, frame: int) -> None:
        """Have what follows a frame in memory."""
        self._touch(frame, frame + round(AHEAD_S * self._rate))

    def _run(self) -> None:
        while not self._ended.wait(_EVERY_S):
            wanted = set()
            for frame in self._wanted():
                first = (frame - round(BEHIND_S * self._rate)) // self._rate
                wanted |= set(range(first, first + round(AHEAD_S + BEHIND_S) + 1))
            for second in sorted(wanted - self._kept):
                self._touch(second * self._rate, (second + 1) * self._rate)
            for second in sorted(self._kept - wanted):
                for track in self._tracks:
                    release(track.samples, second * self._rate, (second + 1) * self._rate)
            self._kept = wanted

    def _touch(self, first: int, last: int) -> None:
        for track in self._tracks:
            step = max(1, _PAGE_BYTES // track.samples.strides[0])
            kernel.touch(track.samples, first, last, step)


def release(samples: FloatArray, first: int, last: int) -> None:
    """Hand the pages that lie wholly within some frames of a mapped stem back to the system."""
    mapped = _mapping_of(samples)
    if mapped is None or not hasattr(mapped, "madvise"):
        return
    first, last = max(first, 0), min(last, len(samples))
    if last <= first:
        return
    base = np.frombuffer(mapped, np.uint8)
    origin = samples.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    frame_bytes = samples.strides[0]
    start = -(-(origin + first * frame_bytes) // mmap.PAGESIZE) * mmap.PAGESIZE
    end = (origin + last * frame_bytes) // mmap.PAGESIZE * mmap.PAGESIZE
    if end > start:
        mapped.madvise(mmap.MADV_DONTNEED, start, end - start)


def _mapping_of(samples: FloatArray) -> mmap.mmap | None:
    base: object = samples
    while isinstance(base, np.ndarray):
        base = base.base
    return base if isinstance(base, mmap.mmap) else None
