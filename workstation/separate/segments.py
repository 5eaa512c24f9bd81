"""Networks that see some seconds at once, over a signal of any length: overlapping segments.

Segments, their overlap and their weights are those of `demucs.apply.apply_model` with
`split=True`, so the stems are those of demucs up to rounding. Other than there, segments are
computed by several workers and added up in their order as soon as they are there: the stems
are the same bits for any number of workers, the first of them are ready while the last are not
begun, and memory holds a few segments, however long the signal is.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, Protocol

import numpy as np

from workstation.model import CancelledError, JobContext
from workstation.separate.protocol import FloatArray

OVERLAP = 0.25
_LEAST_FRAMES = 4096
_SKIPPED_AT_ONCE = 1 << 20

Check = Callable[[], None]


class Excerpts:
    """Stretches of a signal that is read once, from start to end.

    Args:
        read: Gives the next so many frames, of shape (channels, n).
        channels: Of the signal.
        frames: Its length; silence is assumed beyond both ends.
    """

    def __init__(self, read: Callable[[int], FloatArray], channels: int, frames: int) -> None:
        self._read, self.frames = read, frames
        self._kept = np.zeros((channels, 0), np.float32)
        self._begin = 0

    def take(self, begin: int, end: int) -> FloatArray:
        """Frames `begin` to `end`, in an array of its own; none of them may be forgotten yet."""
        first = min(max(begin, 0), self.frames)
        last = max(first, min(end, self.frames))
        assert first >= self._begin
        known = self._begin + self._kept.shape[1]
        if last > known:
            self._kept = np.concatenate([self._kept, self._read(last - known)], axis=1)
        inside = self._kept[:, first - self._begin : last - self._begin]
        silence = (first - begin if begin < 0 else 0, end - last)
        if not any(silence):
            return inside.copy()
        return np.pad(inside, ((0, 0), silence))

    def skip_to(self, frame: int) -> None:
        """Forget what lies before a frame, and read on to it."""
        known = self._begin + self._kept.shape[1]
        while known < frame:
            step = self._read(min(frame - known, _SKIPPED_AT_ONCE)).shape[1]
            if not step:
                break
            self._kept, self._begin = self._kept[:, :0], known + step
            known += step
        if frame > self._begin:
            self._kept = self._kept[:, frame - self._begin :].copy()
            self._begin = frame


class Network(Protocol):
    """A network behind whatever computes it; called by several threads at once.

    Attributes:
        length: Frames of a segment.
        any_length: Whether the last segment may be of any length, down to one frame.
    """

    length: int
    any_length: bool

    def window(self, frames: int) -> int:
        """How many frames it must see around a segment of so many, centred on it."""
        ...

    def __call__(self, mix: FloatArray, check: Check) -> FloatArray:
        """Separate a window.

        Args:
            mix: float32, shape (channels, frames).
            check: Called often; raises if the work should stop.

        Returns:
            float32, shape (stems, channels, frames).
        """
        ...


class Grid:
    """Segments of equal length over a signal, and how they are faded into each other."""

    def __init__(self, frames: int, length: int) -> None:
        self._frames, self._length = frames, length
        self.stride = stride_of(length)
        half = length // 2
        rise = np.concatenate([np.arange(1, half + 1), np.arange(length - half, 0, -1)])
        self._triangle = (rise / rise.max()).astype(np.float32)

    @property
    def offsets(self) -> range:
        """Where segments begin."""
        return range(0, self._frames, self.stride)

    def size(self, offset: int) -> int:
        """Frames of the segment that begins here: fewer at the end of the signal."""
        return min(self._length, self._frames - offset)

    def fade(self, offset: int) -> FloatArray:
        """Weights of a segment: its triangle over the sum of all that lie there."""
        size = self.size(offset)
        total = np.zeros(size, np.float32)
        first = max(0, -(-(offset - self._length + 1) // self.stride)) * self.stride
        for other in range(first, offset + size, self.stride):
            begin, end = max(offset, other), min(offset + size, other + self.size(other))
            total[begin - offset : end - offset] += self._triangle[begin - other : end - other]
        weights: FloatArray = self._triangle[:size] / total
        return weights


class _Segment(NamedTuple):
    offset: int
    network: int
    size: int
    begin: int
    end: int


def stride_of(length: int) -> int:
    """Frames from one segment to the next, as demucs computes them."""
    return max(1, int((1 - OVERLAP) * length))


def frames_that_work(networks: Sequence[Network], frames: int) -> int:
    """Lengthen a signal whose last segment would be so short that a network fails on it."""
    strides = [stride_of(network.length) for network in networks if not network.any_length]
    if not strides:
        return frames
    least = min(_LEAST_FRAMES, min(strides) // 4)
    while any(0 < frames % stride < least for stride in strides):
        frames += least
    return frames


def separate_in_segments(
    networks: Sequence[Network],
    shares: FloatArray,
    mix: Excerpts,
    job: JobContext,
    *,
    start: int = 0,
    workers: int = 1,
    label: Callable[[], str] = str,
) -> Generator[tuple[int, FloatArray], None, None]:
    """Separate a signal from a frame on, and give the stems in pieces as they are finished.

    Args:
        networks: Whose stems are averaged.
        shares: Share of each network in each stem: shape (networks, stems), columns sum to 1.
        mix: The signal.
        job: Progress out, cancellation in.
        start: First frame wanted; the stems from there on are those of the whole.
        workers: How many segments are computed at once.
        label: Says in words what goes on.

    Yields:
        Where a piece begins, and its stems of shape (stems, channels, n), without a gap.
    """
    frames = mix.frames
    inside = frames_that_work(networks, frames)
    grids = [Grid(inside, network.length) for network in networks]
    everything = _segments(networks, grids, frames)
    todo = deque(segment for segment in everything if segment.offset + segment.size > start)
    done = len(everything) - len(todo)
    waiting: deque[tuple[_Segment, Future[FloatArray]]] = deque()
    stopped = False
    position = start
    sums: FloatArray | None = None

    def check() -> None:
        job.check()
        if stopped:
            raise CancelledError

    def submit() -> None:
        segment = todo.popleft()
        window = mix.take(segment.begin, segment.end)
        waiting.append((segment, pool.submit(networks[segment.network], window, check)))

    mix.skip_to(min((segment.begin for segment in todo), default=0))
    pool = ThreadPoolExecutor(workers, "segment")
    try:
        while todo or waiting:
            while todo and len(waiting) < 2 * workers - 1:
                submit()
            segment, future = waiting.popleft()
            found = _result(future, check)
            fade = grids[segment.network].fade(segment.offset)
            part = _centre(found, segment) * (shares[segment.network][:, None, None] * fade)
            sums = _add(sums, part, segment.offset - position)
            done += 1
            job.report(done / len(everything), label())
            follows = waiting[0][0] if waiting else todo[0] if todo else None
            ready = min(frames, follows.offset if follows else frames)
            if ready > position:
                yield position, sums[:, :, : ready - position]
                sums = sums[:, :, ready - position :].copy()
                position = ready
                mix.skip_to(min((segment.begin for segment in todo), default=frames))
    finally:
        stopped = True
        pool.shutdown(wait=True, cancel_futures=True)


def _segments(networks: Sequence[Network], grids: list[Grid], frames: int) -> list[_Segment]:
    """The segments of all networks that reach into the signal, in the order of their begin."""
    segments = []
    for index, (network, grid) in enumerate(zip(networks, grids, strict=True)):
        for offset in grid.offsets:
            if offset < frames:
                size = grid.size(offset)
                window = network.window(size)
                begin = offset - (window - size) // 2
                segments.append(_Segment(offset, index, size, begin, begin + window))
    return sorted(segments)


def _result(future: Future[FloatArray], check: Check) -> FloatArray:
    """Wait for a segment, and notice at once that the work should stop."""
    while True:
        check()
        try:
            return future.result(timeout=0.2)
        except TimeoutError:
            if future.done():  # The network itself raised it.
                raise


def _centre(stems: FloatArray, segment: _Segment) -> FloatArray:
    """The segment in the stems of its window."""
    cut = segment.offset - segment.begin
    return stems[:, :, cut : cut + segment.size]


def _add(sums: FloatArray | None, part: FloatArray, at: int) -> FloatArray:
    """Add a part to sums that grow with it; what lies before their begin is dropped."""
    if sums is None:
        sums = np.zeros((*part.shape[:2], 0), np.float32)
    part = part[:, :, max(0, -at) :]
    at = max(0, at)
    more = at + part.shape[2] - sums.shape[2]
    if more > 0:
        sums = np.pad(sums, ((0, 0), (0, 0), (0, more)))
    sums[:, :, at : at + part.shape[2]] += part
    return sums
