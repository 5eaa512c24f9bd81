"""A file of any length is separated chunk by chunk, exactly, and goes on after a kill."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workstation.audio import read_audio, write_audio
from workstation.model import CancelledError, EngineError, JobContext
from workstation.separate.protocol import EngineCard
from workstation.separate.stream import ChunkPlan, forget_progress, separate_file


class FakeEngine:
    """Splits into a loud and a quiet part that do not quite sum to the mix."""

    def __init__(self, *, chunk_s=1.0, overlap_s=0.2, rate=None, most=None, fail_at=None):
        self.chunk_s, self.overlap_s = chunk_s, overlap_s
        self.card = EngineCard(
            name="fake",
            summary="",
            stems=("loud", "quiet"),
            code_licence="MIT",
            sample_rate_hz=rate,
            max_channels=most,
            realtime_factor=0.0,
            source="",
        )
        self.seen = []
        self._fail_at = fail_at

    def separate(self, mix, rate_hz, job):
        if self._fail_at is not None and len(self.seen) >= self._fail_at:
            raise RuntimeError("killed")
        self.seen.append((mix.shape, rate_hz))
        return {"loud": mix * np.float32(0.7), "quiet": mix * np.float32(0.2)}


def song(path, *, channels=2, frames=20000, rate=4000, seed=0):
    rng = np.random.default_rng(seed)
    samples = rng.uniform(-0.9, 0.9, (channels, frames)).astype(np.float32)
    write_audio(path, samples, rate, "float32")
    return samples


@settings(deadline=None, max_examples=40)
@given(frames=st.integers(1, 30000), channels=st.integers(1, 3))
def test_stems_have_the_length_of_the_song_and_sum_to_it(tmp_path_factory, frames, channels):
    folder = tmp_path_factory.mktemp("stream")
    mix = song(folder / "a.wav", channels=channels, frames=frames, seed=frames)
    paths = separate_file(folder / "a.wav", FakeEngine(), folder / "out", key="k", job=JobContext())
    stems = {name: read_audio(path)[0] for name, path in paths.items()}
    assert {s.shape for s in stems.values()} == {mix.shape}
    assert np.abs(sum(stems.values()) - mix).max() <= 1e-6
    assert np.allclose(stems["loud"], mix * 0.7 / 0.9, atol=0.08)


@given(frames=st.integers(1, 10**9), chunk=st.integers(2, 10**7), overlap=st.integers(0, 10**6))
def test_chunks_cover_the_file_and_stay_within_their_size(frames, chunk, overlap):
    plan = ChunkPlan.of(frames, chunk=chunk, overlap=overlap)
    last_start = (plan.count - 1) * plan.hop
    assert last_start < frames <= last_start + plan.hop + plan.overlap
    assert plan.hop + plan.overlap <= max(chunk, 1) or plan.count == 1


def test_a_long_song_never_gives_the_engine_more_than_a_chunk(tmp_path):
    song(tmp_path / "a.wav", frames=40000)
    engine = FakeEngine(chunk_s=1.0)
    separate_file(tmp_path / "a.wav", engine, tmp_path / "out", key="k", job=JobContext())
    assert len(engine.seen) > 5
    assert max(shape[1] for shape, _ in engine.seen) <= 4000


def test_what_was_done_before_a_kill_is_not_done_again_and_the_end_is_the_same(tmp_path):
    song(tmp_path / "a.wav")
    whole = separate_file(
        tmp_path / "a.wav", FakeEngine(), tmp_path / "whole", key="k", job=JobContext()
    )
    with pytest.raises(RuntimeError):
        separate_file(
            tmp_path / "a.wav", FakeEngine(fail_at=3), tmp_path / "out", key="k", job=JobContext()
        )
    again = FakeEngine()
    paths = separate_file(tmp_path / "a.wav", again, tmp_path / "out", key="k", job=JobContext())
    plan = ChunkPlan.of(20000, chunk=4000, overlap=800)
    assert len(again.seen) == plan.count - 3
    for name, path in paths.items():
        assert path.read_bytes() == whole[name].read_bytes()


@pytest.mark.parametrize("damage", ["another key", "no state", "broken state", "no tail"])
def test_work_that_does_not_fit_is_begun_anew(tmp_path, damage):
    mix = song(tmp_path / "a.wav")
    out = tmp_path / "out"
    with pytest.raises(RuntimeError):
        separate_file(tmp_path / "a.wav", FakeEngine(fail_at=3), out, key="k", job=JobContext())
    if damage == "no state":
        (out / "state.json").unlink()
    if damage == "broken state":
        (out / "state.json").write_text(json.dumps({"key": "k"}))
    if damage == "no tail":
        next(out.glob("tail-*.npy")).unlink()
    engine = FakeEngine()
    key = "other" if damage == "another key" else "k"
    paths = separate_file(tmp_path / "a.wav", engine, out, key=key, job=JobContext())
    assert len(engine.seen) == ChunkPlan.of(20000, chunk=4000, overlap=800).count
    assert np.abs(sum(read_audio(p)[0] for p in paths.values()) - mix).max() <= 1e-6


def test_finished_work_is_only_taken(tmp_path):
    song(tmp_path / "a.wav")
    for _ in range(2):
        engine = FakeEngine()
        separate_file(tmp_path / "a.wav", engine, tmp_path / "out", key="k", job=JobContext())
    assert engine.seen == []
    forget_progress(tmp_path / "out")
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["loud.wav", "quiet.wav"]


def test_an_engine_of_one_rate_and_two_channels_gets_what_it_asks_for(tmp_path):
    mix = song(tmp_path / "a.wav", channels=5, rate=8000)
    engine = FakeEngine(rate=11025, most=2)
    paths = separate_file(tmp_path / "a.wav", engine, tmp_path / "out", key="k", job=JobContext())
    assert {shape[0] for shape, _ in engine.seen} == {1, 2}
    assert {rate for _, rate in engine.seen} == {11025}
    stems = [read_audio(path)[0] for path in paths.values()]
    assert stems[0].shape == mix.shape
    assert np.abs(sum(stems) - mix).max() <= 1e-6


def test_cancelling_stops_between_chunks_and_keeps_the_state(tmp_path):
    song(tmp_path / "a.wav")
    job = JobContext()
    engine = FakeEngine()
    first = engine.separate

    def separate(mix, rate_hz, part):
        job.cancel()
        return first(mix, rate_hz, part)

    engine.separate = separate
    with pytest.raises(CancelledError):
        separate_file(tmp_path / "a.wav", engine, tmp_path / "out", key="k", job=job)
    assert json.loads((tmp_path / "out" / "state.json").read_text())["done"] == 1


@pytest.mark.parametrize(
    "bad", [np.full((2, 4000), np.nan, np.float32), np.zeros((2, 3), np.float32)]
)
def test_an_engine_that_breaks_its_contract_is_named(tmp_path, bad):
    song(tmp_path / "a.wav", frames=4000)
    engine = FakeEngine()
    engine.separate = lambda mix, rate_hz, job: {"loud": bad, "quiet": mix}
    with pytest.raises(EngineError, match="fake returned a bad"):
        separate_file(tmp_path / "a.wav", engine, tmp_path / "out", key="k", job=JobContext())


def test_silence_gives_silent_stems(tmp_path):
    write_audio(tmp_path / "a.wav", np.zeros((2, 9000), np.float32), 4000, "float32")
    paths = separate_file(
        tmp_path / "a.wav", FakeEngine(), tmp_path / "out", key="k", job=JobContext()
    )
    assert not any(read_audio(path)[0].any() for path in paths.values())


def test_progress_rises_to_one(tmp_path):
    song(tmp_path / "a.wav")
    seen = []
    job = JobContext(lambda fraction, label: seen.append(fraction))
    separate_file(tmp_path / "a.wav", FakeEngine(), tmp_path / "out", key="k", job=job)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


@pytest.mark.parametrize(
    "damage", ["empty tail", "cut tail", "zip tail", "stem gone", "header gone"]
)
def test_damaged_progress_is_begun_anew_and_never_ends_in_silence(tmp_path, damage):
    mix = song(tmp_path / "a.wav")
    out = tmp_path / "out"
    with pytest.raises(RuntimeError):
        separate_file(tmp_path / "a.wav", FakeEngine(fail_at=3), out, key="k", job=JobContext())
    tail = next(out.glob("tail-*.npy"))
    if damage == "empty tail":
        tail.write_bytes(b"")
    if damage == "cut tail":
        tail.write_bytes(tail.read_bytes()[:300])
    if damage == "zip tail":
        tail.write_bytes(b"PK\x03\x04 no archive")
    if damage == "stem gone":
        (out / "loud.wav").unlink()
    if damage == "header gone":
        data = bytearray((out / "loud.wav").read_bytes())
        data[:40] = bytes(40)
        (out / "loud.wav").write_bytes(data)
    paths = separate_file(tmp_path / "a.wav", FakeEngine(), out, key="k", job=JobContext())
    assert np.abs(sum(read_audio(p)[0] for p in paths.values()) - mix).max() <= 1e-6
