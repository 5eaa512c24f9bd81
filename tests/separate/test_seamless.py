"""A long file through an engine that sees to the seams: the same as in one piece, and early."""

import json

import numpy as np
import pytest

from tests.separate.tiny_demucs import STEMS, tiny_network, write_bag, write_th
from workstation.audio import read_audio, write_audio
from workstation.model import CancelledError, JobContext
from workstation.separate import demucs_engine
from workstation.separate.consistency import Sharing, block_frames, share_residual
from workstation.separate.demucs_engine import make_demucs
from workstation.separate.protocol import EngineOptions
from workstation.separate.stream import finished_frames, is_finished, separate_file

pytestmark = pytest.mark.usefixtures("one_thread")

RATE = 44100


@pytest.fixture(autouse=True)
def _alone(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSTATION_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(demucs_engine, "openvino_is_there", lambda: False)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    write_th(place, "one00", tiny_network(seed=1))
    write_th(place, "two00", tiny_network("HDemucs", seed=2))
    write_bag(place, "one", ["one00"])
    write_bag(place, "both", ["one00", "two00"], weights=[[1, 0.5, 1, 0], [0, 0.5, 1, 1]])
    return place


def engine_for(name, models):
    return make_demucs(
        name, EngineOptions(models_dir=models, trust=True, offline=True, device="cpu")
    )


def song(path, seconds, channels=2, rate=RATE):
    """Noise under a tone that gets louder: no place has the mean and deviation of the whole."""
    rng = np.random.default_rng(3)
    t = np.arange(round(seconds * rate)) / rate
    tone = np.sin(2 * np.pi * 220 * t) * np.linspace(0.01, 0.5, t.size)
    mix = (tone + 0.05 * rng.standard_normal((channels, t.size)) + 0.02).astype(np.float32)
    write_audio(path, mix, rate, "float32")
    return mix


def made(source, engine, folder, job=None):
    paths = separate_file(source, engine, folder, key="k", job=job or JobContext())
    return {name: read_audio(path)[0] for name, path in paths.items()}


def stopping_at(share):
    """A job that is cancelled when so much of it is done."""
    job = JobContext(lambda fraction, _: fraction > share and job.cancel())
    return job


@pytest.mark.parametrize(("name", "channels"), [("one", 2), ("one", 1), ("both", 2)])
def test_a_file_gives_the_stems_of_the_mix_in_one_piece(tmp_path, models, name, channels):
    mix = song(tmp_path / "a.wav", 7.3, channels)
    whole = engine_for(name, models).separate(mix, RATE, JobContext())
    share_residual(whole, mix, RATE)
    # Chunks of one second, if there were any, would need to be seen.
    engine = engine_for(name, models)
    engine.chunk_s, engine.overlap_s = 1.0, 0.1
    stems = made(tmp_path / "a.wav", engine, tmp_path / "out")
    assert list(stems) == STEMS
    for stem in STEMS:
        assert np.abs(stems[stem] - whole[stem]).max() < 1e-6
    assert np.abs(sum(stems.values()) - mix).max() < 1e-6


def test_the_first_stems_can_be_heard_while_the_rest_is_computed(tmp_path, models):
    mix = song(tmp_path / "a.wav", 9)
    out = tmp_path / "out"
    whole = made(tmp_path / "a.wav", engine_for("one", models), tmp_path / "whole")
    looks = []

    def look(fraction, label):
        done = finished_frames(out, "k")
        if not 0 < done < mix.shape[1]:
            return
        stems = {name: read_audio(out / f"{name}.wav")[0] for name in STEMS}
        for name, samples in stems.items():
            assert samples.shape == mix.shape
            assert np.array_equal(samples[:, :done], whole[name][:, :done])
        looks.append((done, fraction))

    made(tmp_path / "a.wav", engine_for("one", models), out, JobContext(look))
    assert len({done for done, _ in looks}) >= 4
    assert looks[0][0] < 1.2 * RATE
    assert looks[0][1] < 0.5
    assert finished_frames(out, "k") == mix.shape[1]
    assert is_finished(out, "k")


def test_work_that_was_stopped_goes_on_and_ends_the_same(tmp_path, models):
    song(tmp_path / "a.wav", 8)
    whole = made(tmp_path / "a.wav", engine_for("one", models), tmp_path / "whole")
    out = tmp_path / "out"
    for share in (0.3, 0.7):
        with pytest.raises(CancelledError):
            made(tmp_path / "a.wav", engine_for("one", models), out, stopping_at(share))
    before = finished_frames(out, "k")
    assert before > 3 * RATE
    fractions = []
    job = JobContext(lambda fraction, _: fractions.append(fraction))
    stems = made(tmp_path / "a.wav", engine_for("one", models), out, job)
    for name in STEMS:
        assert np.abs(stems[name] - whole[name]).max() < 1e-6
    assert len([f for f in fractions if 0.02 < f < 1]) < 5  # What was done is not done again.
    again = made(tmp_path / "a.wav", engine_for("one", models), out)
    assert all(np.array_equal(again[name], stems[name]) for name in STEMS)


@pytest.mark.parametrize("damage", ["another key", "no state", "stem gone"])
def test_work_that_does_not_fit_is_begun_anew(tmp_path, models, damage):
    mix = song(tmp_path / "a.wav", 5)
    out = tmp_path / "out"
    with pytest.raises(CancelledError):
        made(tmp_path / "a.wav", engine_for("one", models), out, stopping_at(0.6))
    assert finished_frames(out, "k")
    assert finished_frames(out, "another key") == 0
    if damage == "another key":
        state = json.loads((out / "state.json").read_text())
        (out / "state.json").write_text(json.dumps({**state, "key": "x"}))
    if damage == "no state":
        (out / "state.json").unlink()
    if damage == "stem gone":
        (out / "bass.wav").unlink()
    stems = made(tmp_path / "a.wav", engine_for("one", models), out)
    assert np.abs(sum(stems.values()) - mix).max() < 1e-6


def test_silence_gives_silence_and_another_rate_goes_in_chunks(tmp_path, models):
    write_audio(tmp_path / "a.wav", np.zeros((2, 70000), np.float32), RATE, "float32")
    stems = made(tmp_path / "a.wav", engine_for("one", models), tmp_path / "out")
    assert not any(samples.any() for samples in stems.values())
    mix = song(tmp_path / "b.wav", 2, rate=48000)
    stems = made(tmp_path / "b.wav", engine_for("one", models), tmp_path / "other")
    assert np.abs(sum(stems.values()) - mix).max() < 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_sharing_out_piece_by_piece_is_sharing_out_over_the_whole(seed):
    rate = 1000
    rng = np.random.default_rng(seed)
    frames = int(rng.integers(1, 900))
    mix = rng.standard_normal((2, frames)).astype(np.float32)
    loud = np.repeat(rng.uniform(0, 1, (3, 1, 30)), 30, axis=2)[:, :, :frames]
    stems = (loud * rng.standard_normal((3, 2, frames))).astype(np.float32)
    whole = {str(k): stem.copy() for k, stem in enumerate(stems)}
    share_residual(whole, mix, rate)
    expected = np.stack(list(whole.values()))
    block = block_frames(rate)
    for start in (0, *range(block, frames - block, 5 * block)):
        sharing, place, given = Sharing(frames, rate, start), start, []
        while place < frames:
            size = int(rng.integers(1, 200))
            piece = slice(place, min(place + size, frames))
            given += sharing.add(stems[:, :, piece], mix[:, piece])
            place = piece.stop
        at = start + block if start else 0
        for begin, found in given:
            assert begin == at
            at += found.shape[2]
            assert np.abs(found - expected[:, :, begin:at]).max() < 1e-5
        assert at == frames
