"""Segments of any number of workers add up to what demucs makes of the whole."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workstation.model import CancelledError, JobContext
from workstation.separate.protocol import Whole
from workstation.separate.segments import (
    Excerpts,
    Grid,
    frames_that_work,
    separate_in_segments,
)


class FakeNetwork:
    """Two stems: the mix, and the mix with a tilt that depends on the place in the segment."""

    def __init__(self, length, *, margin=0, any_length=True, wait=None):
        self.length, self.any_length = length, any_length
        self._margin, self._wait = margin, wait
        self.threads = set()

    def window(self, frames):
        return self.length if self.any_length else frames + self._margin

    def __call__(self, mix, check):
        self.threads.add(threading.current_thread().name)
        if self._wait:
            self._wait(check)
        check()
        tilt = np.linspace(0, 1, mix.shape[1], dtype=np.float32)
        return np.stack([mix, mix * tilt])


def noise(frames, seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (2, frames)).astype(np.float32)


def excerpts_of(signal):
    place = 0

    def read(frames):
        nonlocal place
        place += frames
        return signal[:, place - frames : place]

    return Excerpts(read, *signal.shape)


def separated(networks, signal, *, shares=None, start=0, workers=1, job=None):
    shares = (
        np.full((len(networks), 2), 1 / len(networks), np.float32) if shares is None else shares
    )
    pieces = separate_in_segments(
        networks, shares, excerpts_of(signal), job or JobContext(), start=start, workers=workers
    )
    place, found = start, []
    for begin, stems in pieces:
        assert begin == place
        place += stems.shape[2]
        found.append(stems)
    assert place == signal.shape[1]
    return np.concatenate(found, axis=2)


@given(
    frames=st.integers(1, 3000),
    length=st.integers(4, 900),
    other=st.integers(4, 900),
    margin=st.integers(0, 40),
    workers=st.integers(1, 3),
    data=st.data(),
)
@settings(max_examples=60)
def test_stems_are_the_same_bits_for_any_workers_and_any_start(
    frames, length, other, margin, workers, data
):
    signal = noise(frames)

    def networks():
        return [FakeNetwork(length), FakeNetwork(other, margin=margin, any_length=False)]

    alone = separated(networks(), signal)
    assert np.allclose(alone[0], signal, atol=1e-5)
    assert np.array_equal(separated(networks(), signal, workers=workers), alone)
    start = data.draw(st.integers(0, frames - 1))
    late = separated(networks(), signal, start=start, workers=workers)
    assert np.array_equal(late, alone[:, :, start:])


@pytest.mark.parametrize("frames", [1, 99, 1000, 1501, 4000])
def test_segments_and_weights_are_those_of_demucs(frames):
    import torch
    from demucs.apply import apply_model

    class Network(torch.nn.Module):
        samplerate, segment, sources = 1000, 1.0, ["mix", "tilt"]

        def __init__(self):
            super().__init__()
            self.anything = torch.nn.Parameter(torch.zeros(1))

        def valid_length(self, _):
            return 1000

        def forward(self, mix):
            return torch.stack([mix, mix * torch.linspace(0, 1, mix.shape[-1])], dim=1)

    signal = noise(frames)
    expected = apply_model(Network(), torch.from_numpy(signal)[None], shifts=0)[0].numpy()
    assert np.abs(separated([FakeNetwork(1000)], signal) - expected).max() < 1e-6


@given(frames=st.integers(1, 5000), length=st.integers(2, 1000))
def test_weights_of_all_segments_sum_to_one(frames, length):
    grid = Grid(frames, length)
    total = np.zeros(frames)
    for offset in grid.offsets:
        fade = grid.fade(offset)
        assert (fade > 0).all()
        total[offset : offset + grid.size(offset)] += fade
    assert np.allclose(total, 1, atol=1e-5)


def test_a_stem_is_the_average_of_its_networks_by_their_shares():
    signal = noise(2500)
    shares = np.float32([[1, 0.25], [0, 0.75]])
    both = separated([FakeNetwork(1000), FakeNetwork(600)], signal, shares=shares)
    first, second = (separated([FakeNetwork(n)], signal)[1] for n in (1000, 600))
    assert np.allclose(both[0], signal, atol=1e-5)
    assert np.allclose(both[1], 0.25 * first + 0.75 * second, atol=1e-5)


def test_the_first_piece_comes_while_later_segments_are_not_begun():
    signal, seen = noise(20_000), []
    network = FakeNetwork(1000, wait=lambda _: seen.append(None))
    pieces = separate_in_segments(
        [network], np.ones((1, 2), np.float32), excerpts_of(signal), JobContext(), workers=2
    )
    begin, stems = next(pieces)
    assert (begin, stems.shape[2]) == (0, 750)
    assert len(seen) <= 4 < 20_000 // 750
    pieces.close()


def test_only_what_the_next_segments_need_is_kept():
    signal, reads = noise(200_000), []
    kept = []

    class Watched(Excerpts):
        def take(self, begin, end):
            kept.append(self._kept.shape[1])
            return super().take(begin, end)

    def read(frames):
        reads.append(frames)
        place = sum(reads)
        return signal[:, place - frames : place]

    pieces = separate_in_segments(
        [FakeNetwork(1000)], np.ones((1, 2), np.float32), Watched(read, 2, 200_000), JobContext(),
        workers=2,
    )  # fmt: skip
    assert sum(stems.shape[2] for _, stems in pieces) == sum(reads) == 200_000
    assert max(kept) <= 1000 + 3 * 750


def test_work_is_shared_out_to_the_workers():
    barrier = threading.Barrier(2, timeout=10)
    network = FakeNetwork(1000, wait=lambda _: barrier.wait())
    separated([network], noise(1500), workers=2)
    assert len(network.threads) == 2


def test_a_cancelled_job_stops_all_workers_at_once():
    job = JobContext()

    def wait(check):
        job.cancel()
        for _ in range(1000):
            check()
            time.sleep(0.01)

    began = time.monotonic()
    with pytest.raises(CancelledError):
        separated([FakeNetwork(1000, wait=wait)], noise(9000), workers=2, job=job)
    assert time.monotonic() - began < 1


def test_what_a_network_raises_is_raised_here():
    def fail(_):
        raise TimeoutError("the network itself")

    with pytest.raises(TimeoutError, match="the network itself"):
        separated([FakeNetwork(1000, wait=fail)], noise(5000), workers=2)


@pytest.mark.parametrize("frames", [1, 749, 750, 751, 900, 2251])
def test_a_last_segment_is_never_too_short_for_a_network_that_minds(frames):
    sizes = []

    class Minds(FakeNetwork):
        def __call__(self, mix, check):
            sizes.append(mix.shape[1])
            return super().__call__(mix, check)

    network = Minds(1000, any_length=False)
    inside = frames_that_work([network], frames)
    assert inside >= frames
    separated([network], noise(frames))
    assert min(sizes) >= 750 // 4


@given(pieces=st.lists(st.integers(0, 50), min_size=1, max_size=6), level=st.floats(-1e3, 1e3))
def test_a_whole_is_measured_piece_by_piece(pieces, level):
    signal = (noise(sum(pieces)) + level).astype(np.float32)
    cuts = np.cumsum(pieces)[:-1]
    whole = Whole.of(np.split(signal, cuts, axis=1))
    assert whole.frames == signal.shape[1]
    if signal.shape[1] > 1:
        mono = signal.mean(axis=0, dtype=np.float64)
        assert whole.mean == pytest.approx(mono.mean(), rel=1e-9, abs=1e-9)
        assert whole.deviation == pytest.approx(mono.std(ddof=1), rel=1e-6)


def test_silence_and_constants_are_told_apart():
    assert Whole.of([np.zeros((2, 10), np.float32)]).is_silent
    constant = Whole.of([np.full((2, 10), 0.1, np.float32)])
    assert not constant.is_silent
    assert constant.deviation == 0
