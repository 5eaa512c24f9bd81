"""The first stems are heard while the rest is computed, and playing waits where it must."""

import threading
import time

import numpy as np
import pytest

import workstation
from tests.separate.tiny_demucs import STEMS, tiny_network, write_bag, write_th
from workstation.audio import FloatWav, read_audio, write_audio
from workstation.model import CancelledError, EngineError, JobContext
from workstation.perform.outputs import OutputOptions
from workstation.separate import EngineOptions
from workstation.studio import early as early_module
from workstation.studio.player import Connections

RATE = 44100
SILENT = OutputOptions(device="none", block_frames=128)
ALONE = Connections(any_controller=False)


def until(condition, seconds=5.0):
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


@pytest.fixture
def session(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSTATION_CACHE_DIR", str(tmp_path / "cache"))
    rng = np.random.default_rng(0)
    mix = rng.uniform(-0.3, 0.3, (2, 30 * RATE)).astype(np.float32)
    write_audio(tmp_path / "song.wav", mix, RATE, "float32")
    return workstation.open(tmp_path / "song.wav", parent=tmp_path)


class SlowStems:
    """A separation that finishes as much as the test says."""

    def __init__(self, session, monkeypatch, tmp_path):
        self.folder = tmp_path / "work"
        self.folder.mkdir()
        self.seconds, self.failure, self.ended = 0.0, None, threading.Event()
        for name in STEMS:
            with FloatWav(
                self.folder / f"{name}.wav", sample_rate_hz=RATE, channels=2, frames=30 * RATE
            ) as wav:
                wav.write(0, np.full((2, 30 * RATE), 0.1, np.float32))
        monkeypatch.setattr(type(session), "separate", self.separate)
        monkeypatch.setattr(type(session), "unfinished", lambda *_: (self.folder, "k"))
        monkeypatch.setattr(type(session), "stem_names", lambda *_: STEMS)
        monkeypatch.setattr(early_module, "finished_frames", lambda *_: round(self.seconds * RATE))

    def separate(self, session, *_, job, **__):
        while not self.ended.wait(0.02):
            job.check()
        if self.failure is not None:
            raise self.failure


@pytest.fixture
def slow(session, monkeypatch, tmp_path):
    return SlowStems(session, monkeypatch, tmp_path)


def test_a_player_begins_with_the_first_seconds_and_waits_for_the_next(session, slow):
    said = []
    with session.early_stems(say=said.append) as early:
        threading.Timer(0.3, lambda: setattr(slow, "seconds", 6.0)).start()
        with early.player(SILENT, ALONE) as player:
            assert slow.seconds == 6
            assert player.duration_s == pytest.approx(30)
            player.seek(4.9)
            player.play()
            until(lambda: "Waiting for the next stems." in said)
            until(lambda: not player.state.playing)
            assert player.state.position_s < 6
            slow.seconds = 9.0
            time.sleep(0.4)
            assert not player.state.playing  # Too little to play on for long.
            slow.seconds = 20.0
            until(lambda: player.state.playing)
            slow.ended.set()
            until(lambda: early.is_finished)
            assert early.ready_s == pytest.approx(30)
            early.wait()
    assert said.count("Waiting for the next stems.") == 1


def test_who_paused_is_not_made_to_play(session, slow):
    with session.early_stems() as early:
        slow.seconds = 10.0
        with early.player(SILENT, ALONE) as player:
            player.play()
            until(lambda: player.state.playing)
            player.pause()
            until(lambda: not player.state.playing)
            slow.seconds = 20.0
            time.sleep(0.4)
            assert not player.state.playing


def test_a_separation_that_fails_is_told(session, slow):
    said = []
    slow.failure = EngineError("The engine failed.", "Take another.")
    with session.early_stems(say=said.append) as early:
        slow.seconds = 10.0
        with early.player(SILENT, ALONE):
            slow.ended.set()
            until(lambda: "What is not separated yet stays silent. The engine failed." in said)
        with pytest.raises(EngineError):
            early.wait()
        with pytest.raises(EngineError):
            early.player(SILENT, ALONE)


def test_leaving_stops_what_is_not_finished_and_a_cancelled_job_is_noticed(session, slow):
    with session.early_stems() as early:
        thread = early._thread
        assert thread.is_alive()
    assert not thread.is_alive()
    job = JobContext()
    with session.early_stems(job=job) as early:
        threading.Timer(0.2, job.cancel).start()
        with pytest.raises(CancelledError):
            early.player(SILENT, ALONE)


def test_a_real_separation_is_heard_before_it_ends(session, tmp_path, monkeypatch):
    models = tmp_path / "models"
    models.mkdir()
    write_th(models, "one00", tiny_network(seed=1))
    write_bag(models, "one", ["one00"])
    options = EngineOptions(models_dir=models, trust=True, offline=True, device="cpu")
    begun = []
    made = []
    job = JobContext(lambda done, _: begun.append((done, made[0].ready_s)) if made else None)
    with session.early_stems("one", options=options, job=job) as early:
        made.append(early)
        with early.player(SILENT, ALONE) as player:
            player.play()
            until(lambda: max(player.levels()["drums"].peak) > 0)
            early.wait()
            until(lambda: player.state.playing)
        assert any(done < 0.8 and 5 < ready_s < 25 for done, ready_s in begun)
    stems = session.stems
    mix, _ = read_audio(tmp_path / "song.wav")
    assert list(stems) == STEMS
    assert np.abs(sum(read_audio(path)[0] for path in stems.values()) - mix).max() < 1e-6
    with session.early_stems() as early:  # Once they are there, there is nothing to wait for.
        early.wait()
        assert early.ready_s == pytest.approx(30)
        with early.player(SILENT, ALONE) as player:
            assert player.duration_s == pytest.approx(30)
