"""Networks learn; a training that is interrupted goes on as if it had not been."""

import itertools
import math
import threading
import time

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.separate.tiny_songs import (
    SIZES,
    open_tiny,
    tiny_plan,
    tiny_recipe,
    write_songs,
)
from workstation.model import CancelledError, EngineError, InputError, JobContext, OutputError
from workstation.separate import training as module
from workstation.separate.trained_file import (
    NetworkPlan,
    SpectrogramSizes,
    WaveformSizes,
    load_trained,
    read_trained,
)
from workstation.separate.training import Limits, Training, resumed, run
from workstation.separate.training_loss import judge
from workstation.separate.training_songs import Clip, draw_batch, held_out_clips
from workstation.separate.training_state import Epoch, Progress, load_state, state_of

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = tuple(SIZES)


@pytest.fixture(scope="module")
def songs(tmp_path_factory):
    """Three songs to learn from, and one held out."""
    root = tmp_path_factory.mktemp("songs")
    write_songs(root / "songs", 4)
    found = open_tiny(root / "songs", root / "scratch")
    names = {song.name for song in found.songs}
    return found.part(names - {"song 3"}), found.part({"song 3"})


class CancelsAt(JobContext):
    """A job that is cancelled when it is asked for the n-th time."""

    def __init__(self, asked):
        super().__init__()
        self.left = asked

    def check(self):
        self.left -= 1
        if self.left < 0:
            self.cancel()
        super().check()


def train(training, songs, out, epochs, *, minutes=None, job=None, seen=None):
    return run(
        training,
        *songs,
        out=out,
        limits=Limits(epochs, minutes),
        job=job or JobContext(),
        on_epoch=lambda number, epoch: None if seen is None else seen.append((number, epoch)),
    )


# -- learning -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_network_learns_to_do_better_than_the_mix_shared_out(songs, tmp_path, kind):
    recipe = tiny_recipe(kind, steps_per_epoch=24, learning_rate=5e-3)
    seen = []
    assert train(Training(recipe, "cpu"), songs, tmp_path / "my.safetensors", 2, seen=seen) == (
        "2 epochs"
    )
    assert [number for number, _ in seen] == [1, 2]
    first, last = seen[0][1], seen[-1][1]
    assert last.loss < 0.95 * first.loss
    assert last.held_out_loss < first.held_out_loss
    header, network = load_trained(tmp_path / "my.safetensors")
    assert header.held_out == 1
    assert header.songs == 3
    assert header.seconds == pytest.approx(15.0)
    # The file's figures are those of the network in it.
    _, figures = judge(network, header.plan.stems, held_out_clips(songs[1]), "cpu", JobContext())
    assert figures == header.figures
    gains = [one.sdr_db - one.mix_sdr_db for one in figures.values()]
    assert np.mean(gains) > 1.0


def test_the_figures_are_those_of_the_definition(songs):
    rng = np.random.default_rng(2)
    clips = [
        Clip("a", rng.standard_normal((2, 2, 500)).astype(np.float32)),
        Clip("a", rng.standard_normal((2, 2, 300)).astype(np.float32)),
        Clip("b", np.stack([rng.standard_normal((2, 400)), np.zeros((2, 400))]).astype("f4")),
    ]

    def halves(mix):
        return torch.stack([0.5 * mix, 0.25 * mix], 1)

    _, figures = judge(halves, ("one", "two"), clips, "cpu", JobContext())

    def sdr(song, stem, share):
        true = np.concatenate([c.stems[stem] for c in clips if c.song == song], 1).astype(float)
        mix = np.concatenate([c.stems.sum(0) for c in clips if c.song == song], 1).astype(float)
        return 10 * math.log10((true**2).sum() / ((share * mix - true) ** 2).sum())

    assert figures["one"].sdr_db == pytest.approx(
        (sdr("a", 0, 0.5) + sdr("b", 0, 0.5)) / 2, abs=1e-4
    )
    # Silent in song b: only song a says something.
    assert figures["two"].sdr_db == pytest.approx(sdr("a", 1, 0.25), abs=1e-4)
    assert figures["two"].mix_sdr_db == pytest.approx(sdr("a", 1, 0.5), abs=1e-4)


# -- going on -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_an_interrupted_training_makes_the_same_files_bit_for_bit(songs, tmp_path, kind):
    recipe = tiny_recipe(kind)
    whole = tmp_path / "whole.safetensors"
    train(Training(recipe, "cpu"), songs, whole, 3)
    parts = tmp_path / "parts.safetensors"
    training = Training(recipe, "cpu")
    interruptions = 0
    for asked in (3, 60, 110, 47, 200):
        try:
            train(training, songs, parts, 3, job=CancelsAt(asked))
        except CancelledError:
            interruptions += 1
        training = resumed(state_of(parts), "cpu")
    assert interruptions >= 3
    train(training, songs, parts, 3)
    assert training.progress.step == 12
    assert parts.read_bytes() == whole.read_bytes()
    assert state_of(parts).read_bytes() == state_of(whole).read_bytes()


def test_a_network_that_was_deleted_is_written_again(songs, tmp_path):
    out = tmp_path / "my.safetensors"
    train(Training(tiny_recipe("spectrogram"), "cpu"), songs, out, 1)
    content = out.read_bytes()
    out.unlink()
    train(resumed(state_of(out), "cpu"), songs, out, 1)
    assert out.read_bytes() == content


def test_more_epochs_can_be_added_later(songs, tmp_path):
    recipe = tiny_recipe("spectrogram")
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train(Training(recipe, "cpu"), songs, whole, 2)
    train(Training(recipe, "cpu"), songs, parts, 1)
    train(resumed(state_of(parts), "cpu"), songs, parts, 2)
    assert parts.read_bytes() == whole.read_bytes()
    assert state_of(parts).read_bytes() == state_of(whole).read_bytes()


def test_a_run_that_ends_between_two_epochs_leaves_the_course_as_it_is(songs, tmp_path):
    recipe = tiny_recipe("spectrogram")
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    train(Training(recipe, "cpu"), songs, whole, 2)
    for _ in range(3):
        before = resumed(state_of(parts), "cpu") if parts.exists() else Training(recipe, "cpu")
        assert train(before, songs, parts, 2, minutes=1e-9) == "1e-09 minutes"
        assert read_trained(parts).steps <= 3
    assert load_state(state_of(parts))[0].step == 3
    train(resumed(state_of(parts), "cpu"), songs, parts, 2)
    ends = [load_state(state_of(path)) for path in (whole, parts)]
    assert ends[0][0].history == ends[1][0].history
    for name, tensor in ends[0][1].items():
        if not name.startswith("best."):
            assert torch.equal(tensor, ends[1][1][name]), name


def test_the_seed_decides_everything(songs, tmp_path):
    runs = []
    for name, own in (("a", 3), ("b", 3), ("c", 10)):
        torch.manual_seed(len(runs))  # What others do with chance does not matter.
        train(Training(tiny_recipe("waveform", seed=own), "cpu"), songs, tmp_path / name, 1)
        runs.append((tmp_path / name).read_bytes())
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]


# -- stopping -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("asked", [0, 7, 25])
def test_a_cancelled_step_changes_nothing(songs, kind, asked):
    training = Training(tiny_recipe(kind), "cpu")
    batch = draw_batch(songs[0], 0, 0, 2, training.progress.recipe.excerpt_frames)
    training.step(batch, JobContext())
    before = {n: t.clone() for n, t in training.network.state_dict().items()}
    progress = training.progress
    with pytest.raises(CancelledError):
        training.step(batch, CancelsAt(asked))
    assert training.progress == progress
    for name, tensor in training.network.state_dict().items():
        assert torch.equal(tensor, before[name])


@pytest.mark.parametrize("sizes", [WaveformSizes(), SpectrogramSizes()])
def test_a_large_step_is_left_within_a_second(sizes):
    plan = NetworkPlan(
        network=sizes, stems=tiny_plan("waveform").stems, sample_rate_hz=44100, channels=2
    )
    training = Training(msgspec.structs.replace(tiny_recipe("waveform"), plan=plan), "cpu")
    batch = np.random.default_rng(0).standard_normal((8, 4, 2, 3 * 44100)).astype(np.float32)
    job, asked = JobContext(), []
    # Time of the processor: other programs on this machine do not count.
    threading.Timer(0.2, lambda: (asked.append(time.process_time()), job.cancel())).start()
    with pytest.raises(CancelledError):
        training.step(batch, job)
    assert time.process_time() - asked[0] < 0.8


def test_training_ends_when_the_held_out_songs_get_no_better(songs, tmp_path, monkeypatch):
    scores = iter([1.0, 2.0, 1.5, 1.6, 1.7])
    real = module.judge

    def scripted(*arguments):
        loss, figures = real(*arguments)
        score = next(scores)
        return loss, {n: msgspec.structs.replace(f, sdr_db=score) for n, f in figures.items()}

    monkeypatch.setattr(module, "judge", scripted)
    out = tmp_path / "my.safetensors"
    training = Training(tiny_recipe("spectrogram", patience=3), "cpu")
    assert train(training, songs, out, 100) == "no gain for 3 epochs"
    assert len(training.progress.history) == 5
    assert read_trained(out).steps == 8  # That of the second epoch.


@given(scores=st.lists(st.integers(0, 5), max_size=30), patience=st.integers(1, 9))
def test_the_rate_falls_by_halves_and_never_rises(scores, patience):
    recipe = tiny_recipe("waveform", patience=patience)
    epochs = [Epoch(1.0, 1.0, float(score)) for score in scores]
    rates = [
        Progress(recipe=recipe, history=tuple(epochs[:n])).learning_rate
        for n in range(len(epochs) + 1)
    ]
    assert rates[0] == recipe.learning_rate
    assert all(b in {a, a / 2} for a, b in itertools.pairwise(rates))
    rising = [Epoch(1.0, 1.0, float(n)) for n in range(len(scores))]
    assert Progress(recipe=recipe, history=tuple(rising)).learning_rate == recipe.learning_rate


# -- failing --------------------------------------------------------------------------


def test_a_loss_that_is_no_number_stops_and_keeps_the_last_good_state(songs, tmp_path, monkeypatch):
    out = tmp_path / "my.safetensors"
    good = Training(tiny_recipe("spectrogram"), "cpu")
    train(good, songs, tmp_path / "good.safetensors", 100, minutes=1e-9)
    real = module.draw_batch

    def spoilt(found, seed, step, count, frames):
        batch = real(found, seed, step, count, frames)
        return batch if step < 1 else batch * np.float32(1e30)

    monkeypatch.setattr(module, "draw_batch", spoilt)
    with pytest.raises(EngineError, match="broke down at step 2: its loss is no number"):
        train(Training(tiny_recipe("spectrogram"), "cpu"), songs, out, 100)
    kept, tensors = load_state(state_of(out))
    assert kept.step == 1
    wanted = load_state(tmp_path / "good.training")[1]
    assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors.items())
    assert read_trained(out).steps == 1


def test_a_full_disk_is_an_error_in_words_and_leaves_the_files_as_they_were(
    songs, tmp_path, monkeypatch
):
    out = tmp_path / "my.safetensors"
    train(Training(tiny_recipe("spectrogram"), "cpu"), songs, out, 1)
    before = out.read_bytes(), state_of(out).read_bytes()
    from pathlib import Path

    def full(self, content):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match="the disk is full"):
            train(resumed(state_of(out), "cpu"), songs, out, 2)
    assert (out.read_bytes(), state_of(out).read_bytes()) == before
    assert len(list(tmp_path.iterdir())) == 2
    train(resumed(state_of(out), "cpu"), songs, out, 2)


@pytest.mark.parametrize(
    "damage", ["cut", "other", "missing", "tensor", "moment", "numbers", "sizes"]
)
def test_a_damaged_state_is_an_error_in_words(songs, tmp_path, damage):
    from safetensors.torch import save_file

    out = tmp_path / "my.safetensors"
    train(Training(tiny_recipe("spectrogram"), "cpu"), songs, out, 1)
    state = state_of(out)
    progress, tensors = load_state(state)
    text = msgspec.json.encode(progress).decode()
    if damage == "cut":
        state.write_bytes(state.read_bytes()[:-1])
    elif damage == "other":
        state.write_bytes(out.read_bytes())
    elif damage == "missing":
        state.unlink()
    else:
        if damage == "tensor":
            tensors.pop("network.last.bias")
        elif damage == "moment":
            tensors["first.last.bias"] = torch.zeros(1)
        text = text.replace('"batch":2', '"batch":-2') if damage == "numbers" else text
        text = text.replace('"width":16', '"width":4096') if damage == "sizes" else text
        save_file(tensors, state, {"workstation-training": text})
    with pytest.raises(InputError) as caught:
        resumed(state, "cpu")
    assert str(state) in caught.value.problem
    assert caught.value.remedy
