"""A trained file says what it is, is taken only if it is that, and separates as an engine."""

import json
import struct
import subprocess
import sys

import msgspec
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.separate.tiny_demucs import write_bag, write_safetensors
from tests.separate.tiny_songs import RATE, STEMS, shaken, tiny_plan
from workstation.model import CancelledError, InputError, JobContext
from workstation.separate import EngineOptions, Separator, choose_engine, engine, engine_cards
from workstation.separate.engines import is_taken
from workstation.separate.networks import build
from workstation.separate.stream import separate_file
from workstation.separate.trained_engine import TrainedEngine
from workstation.separate.trained_file import (
    StemFigures,
    TrainedHeader,
    is_trained,
    load_trained,
    read_trained,
    write_trained,
)

pytestmark = pytest.mark.usefixtures("one_thread")

KINDS = ("waveform", "spectrogram")


def header_of(plan):
    figures = {name: StemFigures(3.0 + n, 1.0) for n, name in enumerate(plan.stems)}
    return TrainedHeader(plan=plan, songs=3, seconds=125.0, steps=70, held_out=1, figures=figures)


def write(path, kind="waveform", **plan):
    """Write a network of random weights; gives the network."""
    made = tiny_plan(kind, **plan)
    torch.manual_seed(1)
    network = shaken(build(made))
    write_trained(path, header_of(made), network.state_dict())
    return network


def options(folder):
    return EngineOptions(models_dir=folder, offline=True, device="cpu")


def mix_of(frames=6000, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    return rng.uniform(-0.5, 0.5, (channels, frames)).astype(np.float32)


# -- the file -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_written_is_read(tmp_path, kind):
    path = tmp_path / "my.safetensors"
    network = write(path, kind)
    assert is_trained(path)
    assert read_trained(path) == header_of(tiny_plan(kind))
    header, loaded = load_trained(path)
    assert header == read_trained(path)
    mix = torch.from_numpy(mix_of())[None]
    with torch.inference_mode():
        assert torch.equal(loaded(mix), network(mix))
    assert [file.name for file in tmp_path.iterdir()] == ["my.safetensors"]


def test_the_header_is_read_without_torch(tmp_path):
    write(tmp_path / "my.safetensors")
    code = (
        "import sys; from pathlib import Path\n"
        "from workstation.separate import EngineOptions, engine\n"
        f"engine('my', EngineOptions(models_dir=Path({str(tmp_path)!r}), offline=True))\n"
        "print(sorted(m for m in ('torch', 'demucs', 'safetensors') if m in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def rewrite(path, change):
    """Change the JSON that a trained file says of itself."""
    tensors = load_file(path)
    header = json.loads(msgspec.json.encode(read_trained(path)))
    change(header)
    save_file(tensors, path, {"workstation": json.dumps(header)})


def set_in(*keys_and_value):
    *keys, last, value = keys_and_value

    def change(header):
        for key in keys:
            header = header[key]
        header[last] = value

    return change


HOSTILE = {
    "a stem outside of the folder": set_in("plan", "stems", 0, "../drums"),
    "a stem with a line break": set_in("plan", "stems", 0, "drums\n"),
    "two stems of one name": set_in("plan", "stems", ["a", "A", "b", "c"]),
    "one stem": set_in("plan", "stems", ["a"]),
    "no stems": set_in("plan", "stems", []),
    "a stem that is no name": set_in("plan", "stems", 0, 7),
    "no sample rate": set_in("plan", "sample_rate_hz", 0),
    "an infinite sample rate": set_in("plan", "sample_rate_hz", 1e400),
    "many channels": set_in("plan", "channels", 3),
    "an unknown network": set_in("plan", "network", "type", "os.system"),
    "an unknown field": set_in("plan", "network", "hook", "x"),
    "an unknown field of the header": set_in("run", "x"),
    "too large sizes": set_in("plan", "network", "width", 1 << 40),
    "other sizes": set_in("plan", "network", "width", 5),
    "the largest sizes": set_in(
        "plan", "network", {"type": "waveform", "width": 512, "levels": 7, "recurrent": 4096}
    ),
    "negative sizes": set_in("plan", "network", "levels", -1),
    "the other network": set_in("plan", "network", {"type": "spectrogram"}),
    "figures of other stems": set_in("figures", {}),
    "figures that are words": set_in("figures", "drums", "good"),
    "a plan that is a number": set_in("plan", 7),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_header_is_one_clear_error(tmp_path, what):
    path = tmp_path / "my.safetensors"
    write(path)
    rewrite(path, HOSTILE[what])
    with pytest.raises(InputError) as caught:
        load_trained(path)
    assert f"{path} is damaged or no trained network: " in caught.value.problem
    assert "\n" not in caught.value.problem
    assert "train" in caught.value.remedy


def without_a_tensor(tensors):
    tensors.popitem()


def with_another(tensors):
    tensors["more"] = torch.zeros(3)


def of_another_shape(tensors):
    name = next(iter(tensors))
    tensors[name] = tensors[name][..., :-1].contiguous()


def of_another_precision(tensors):
    name = next(iter(tensors))
    tensors[name] = tensors[name].half()


def not_a_number(tensors):
    next(iter(tensors.values())).view(-1)[0] = float("nan")


@pytest.mark.parametrize(
    "change",
    [without_a_tensor, with_another, of_another_shape, of_another_precision, not_a_number],
)
def test_tensors_that_are_not_those_of_the_network_are_refused(tmp_path, change):
    path = tmp_path / "my.safetensors"
    write(path)
    tensors, header = load_file(path), read_trained(path)
    change(tensors)
    save_file(tensors, path, {"workstation": msgspec.json.encode(header).decode()})
    with pytest.raises(InputError, match="is damaged or no trained network: its tensor"):
        load_trained(path)


@pytest.mark.parametrize("kept", [0, 7, 8, 200, -1])
def test_a_file_that_is_cut_off_is_refused(tmp_path, kept):
    path = tmp_path / "my.safetensors"
    write(path)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(InputError, match=r"my\.safetensors is damaged or no trained network"):
        load_trained(path)


def test_a_header_that_claims_to_be_huge_is_not_read(tmp_path):
    path = tmp_path / "my.safetensors"
    path.write_bytes(struct.pack("<Q", 1 << 60) + b"{}")
    assert not is_trained(path)
    with pytest.raises(InputError, match="no safetensors file"):
        read_trained(path)


def test_a_missing_file_is_an_error_in_words(tmp_path):
    for read in (read_trained, load_trained):
        with pytest.raises(InputError, match="cannot be read: No such file"):
            read(tmp_path / "my.safetensors")


# -- the engine -----------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_file_is_an_engine_by_its_name(tmp_path, kind):
    network = write(tmp_path / "my.safetensors", kind)
    made = engine("my", options(tmp_path))
    assert isinstance(made, TrainedEngine)
    assert isinstance(made, Separator)
    assert made.card.stems == STEMS
    assert made.card.sample_rate_hz == RATE
    mix = mix_of()
    found = made.separate(mix, RATE, JobContext())
    with torch.inference_mode():
        wanted = network(torch.from_numpy(mix)[None])[0].numpy()
    assert tuple(found) == STEMS
    for samples, stem in zip(found.values(), wanted, strict=True):
        assert samples.dtype == np.float32
        assert np.array_equal(samples, stem)


def test_the_card_tells_how_little_it_learnt_from_and_how_it_did(tmp_path):
    write(tmp_path / "my.safetensors")
    card = engine("my", options(tmp_path)).card
    assert card.name == "my"
    assert card.summary == (
        "Your own waveform network; learnt from 3 songs, 2.1 min; SDR 4.5 dB on 1 held out "
        "(mix shared out: 1.0)"
    )
    assert "your own file" in card.weights_licence
    assert choose_engine("my", options(tmp_path)).card == card
    assert card in engine_cards(options(tmp_path))


def test_another_file_of_that_name_makes_other_stems(tmp_path):
    write(tmp_path / "my.safetensors")
    first = engine("my", options(tmp_path)).card.revision
    write(tmp_path / "my.safetensors", "spectrogram")
    assert engine("my", options(tmp_path)).card.revision != first


def test_a_broken_one_is_listed_as_such_and_says_why_when_it_is_used(tmp_path):
    path = tmp_path / "my.safetensors"
    write(path)
    rewrite(path, set_in("plan", "channels", 9))
    made = engine("my", options(tmp_path))
    assert made.card.summary.startswith("Broken: ")
    with pytest.raises(InputError, match="no trained network"):
        made.separate(mix_of(), RATE, JobContext())


def test_demucs_checkpoints_beside_it_stay_what_they_are(tmp_path):
    write(tmp_path / "my.safetensors")
    write_safetensors(tmp_path, "0badcafe")
    write_bag(tmp_path, "bag", ["my"])
    assert not isinstance(engine("0badcafe", options(tmp_path)), TrainedEngine)
    assert not isinstance(engine("bag", options(tmp_path)), TrainedEngine)
    assert "Broken" in engine("bag", options(tmp_path)).card.summary


def test_it_can_be_combined_with_other_engines(tmp_path):
    write(tmp_path / "my.safetensors")
    made = engine("average(my,dsp)", options(tmp_path))
    assert made.card.stems == STEMS
    assert is_taken("dsp")
    assert is_taken("auto")
    assert not is_taken("my")


@pytest.mark.parametrize("kind", KINDS)
def test_mono_goes_in_as_two_channels_and_comes_out_as_one(tmp_path, kind):
    write(tmp_path / "my.safetensors", kind)
    mix = mix_of(channels=1)
    made = engine("my", options(tmp_path))
    found = made.separate(mix, RATE, JobContext())
    assert {stem.shape for stem in found.values()} == {mix.shape}
    assert np.allclose(sum(found.values()), mix, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("frames", [1, 2, 255, 4097])
def test_any_length_is_separated(tmp_path, kind, frames):
    write(tmp_path / "my.safetensors", kind)
    found = engine("my", options(tmp_path)).separate(mix_of(frames), RATE, JobContext())
    assert all(np.isfinite(stem).all() and stem.shape == (2, frames) for stem in found.values())


def test_silence_in_silence_out(tmp_path):
    write(tmp_path / "my.safetensors")
    found = engine("my", options(tmp_path)).separate(
        np.zeros((2, 900), np.float32), RATE, JobContext()
    )
    assert not any(stem.any() for stem in found.values())


def test_a_cancelled_job_ends_between_two_layers(tmp_path):
    write(tmp_path / "my.safetensors")
    made, job = engine("my", options(tmp_path)), JobContext()
    made.separate(mix_of(), RATE, job)
    job.cancel()
    with pytest.raises(CancelledError):
        made.separate(mix_of(), RATE, job)


def test_a_file_that_was_replaced_meanwhile_is_noticed(tmp_path):
    write(tmp_path / "my.safetensors")
    made = engine("my", options(tmp_path))
    write(tmp_path / "my.safetensors", stems=("vocals", "other"))
    with pytest.raises(InputError, match="has changed"):
        made.separate(mix_of(), RATE, JobContext())


def test_a_long_file_of_another_rate_is_separated_in_windows_that_sum_to_the_mix(tmp_path):
    from workstation.audio import read_audio, write_audio

    write(tmp_path / "my.safetensors")
    mix = mix_of(11025 * 45)
    write_audio(tmp_path / "song.wav", mix, 11025, "float32")
    made = engine("my", options(tmp_path))
    paths = separate_file(
        tmp_path / "song.wav", made, tmp_path / "stems", key="k", job=JobContext()
    )
    stems = [read_audio(path)[0] for path in paths.values()]
    assert tuple(paths) == STEMS
    assert np.abs(sum(stems) - mix).max() < 1e-5
