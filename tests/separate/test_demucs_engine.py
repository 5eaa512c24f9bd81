"""The engine gives the very stems that demucs gives, whatever form the weights come in."""

import logging
import subprocess
import sys

import numpy as np
import pytest

from tests.separate.tiny_demucs import (
    STEMS,
    tiny_network,
    write_bag,
    write_safetensors,
    write_th,
)
from workstation.model import (
    CancelledError,
    EngineError,
    InputError,
    JobContext,
    UnavailableError,
    UsageError,
)
from workstation.separate import demucs_engine
from workstation.separate.demucs_engine import choose_device, demucs_names, make_demucs
from workstation.separate.protocol import EngineOptions, Seamless, Separator
from workstation.separate.torch_network import TorchNetwork
from workstation.separate.weights import MODELS

pytestmark = pytest.mark.usefixtures("one_thread")

RATE = 44100


@pytest.fixture(autouse=True)
def _empty_caches(tmp_path, monkeypatch):
    for name in ("WORKSTATION_CACHE_DIR", "HF_HUB_CACHE", "TORCH_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home" / name))
    monkeypatch.setattr(demucs_engine, "openvino_is_there", lambda: False)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A user's folder with a model of every kind."""
    place = tmp_path_factory.mktemp("models")
    for seed, kind in enumerate(("HTDemucs", "HDemucs", "Demucs")):
        write_th(place, f"{kind.lower()}00", tiny_network(kind, seed=seed))
        write_bag(place, f"bag-{kind.lower()}", [f"{kind.lower()}00"])
    write_bag(
        place,
        "bag-of-two",
        ["htdemucs00", "hdemucs00"],
        weights=[[1, 0, 0.5, 1], [0, 1, 0.5, 3]],
        segment=1,
    )
    return place


def mix_of(seconds, channels=2, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * 220 * t) + 0.1
    return (tone + 0.1 * rng.standard_normal((channels, t.size))).astype(np.float32)


def agreement_db(expected, found):
    """How far below a signal the difference of another one is."""
    error = np.sum((expected.astype(np.float64) - found) ** 2)
    return 10 * np.log10(np.sum(expected.astype(np.float64) ** 2) / max(error, 1e-30))


def engine_for(name, folder, **options):
    return make_demucs(
        name, EngineOptions(models_dir=folder, trust=True, offline=True, device="cpu", **options)
    )


# -- the stems ------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["bag-htdemucs", "bag-hdemucs", "bag-demucs", "bag-of-two"])
def test_stems_are_those_of_demucs_itself(folder, name):
    import demucs.api
    import torch

    mix = mix_of(2.7)
    stems = engine_for(name, folder).separate(mix, RATE, JobContext())
    reference = demucs.api.Separator(name, repo=folder, device="cpu", shifts=0)
    _, expected = reference.separate_tensor(torch.from_numpy(mix), RATE)
    assert list(stems) == list(expected) == STEMS
    for stem in STEMS:
        assert stems[stem].dtype == np.float32
        assert np.abs(stems[stem] - expected[stem].numpy()).max() < 1e-6
        assert np.abs(stems[stem]).max() > 1e-4


def test_a_bag_narrowed_to_a_stem_runs_its_networks_only_and_gives_the_same(folder):
    mix = mix_of(1.5)
    engine = engine_for("bag-of-two", folder)
    whole = engine.separate(mix, RATE, JobContext())
    for stems, networks in ((STEMS[:1], 1), (STEMS[1:2], 1), (STEMS[2:3], 2), (STEMS[:2], 2)):
        narrow = engine.narrowed(tuple(stems))
        found = narrow.separate(mix, RATE, JobContext())
        assert len(narrow._networks) == networks
        assert all(np.array_equal(found[stem], whole[stem]) for stem in stems)
        assert all(np.isfinite(samples).all() for samples in found.values())
        cost = engine.card.realtime_factor * networks / 2
        assert narrow.card.realtime_factor == pytest.approx(cost, abs=0.001)


def test_the_same_network_gives_the_same_stems_from_every_form_of_file(tmp_path):
    mix = mix_of(1)
    network = tiny_network(seed=7)
    found = []
    for form in ("safetensors", "hashed", "plain", "bag"):
        place = tmp_path / form
        place.mkdir()
        if form in {"safetensors", "bag"}:
            write_safetensors(place, "mine" if form == "safetensors" else "inner", network)
        else:
            write_th(place, "mine", network, hashed=form == "hashed")
        if form == "bag":
            write_bag(place, "mine", ["inner"])
        found.append(engine_for("mine", place).separate(mix, RATE, JobContext()))
    for stems in found[1:]:
        assert all(np.array_equal(stems[stem], found[0][stem]) for stem in STEMS)


def test_stems_come_out_the_same_each_time_and_the_mix_is_left_alone(folder):
    mix = mix_of(1.5)
    before = mix.copy()
    engine = engine_for("bag-hdemucs", folder)
    first = engine.separate(mix, RATE, JobContext())
    second = engine.separate(mix, RATE, JobContext())
    assert all(np.array_equal(first[stem], second[stem]) for stem in STEMS)
    assert np.array_equal(mix, before)


def test_a_mono_mix_gives_mono_stems_as_both_sides_of_a_stereo_one_would(folder):
    engine = engine_for("bag-htdemucs", folder)
    mono = mix_of(1, channels=1)
    alone = engine.separate(mono, RATE, JobContext())
    both = engine.separate(np.repeat(mono, 2, axis=0), RATE, JobContext())
    for stem in STEMS:
        assert alone[stem].shape == mono.shape
        assert np.allclose(alone[stem][0], both[stem].mean(axis=0), atol=1e-6)


@pytest.mark.parametrize("name", ["bag-htdemucs", "bag-hdemucs", "bag-demucs"])
# The last of these lengths is one frame more than the stride of a segment of two seconds.
@pytest.mark.parametrize("frames", [0, 1, 2, 3, 11, 500, 66151])
def test_any_length_gives_stems_of_that_length(folder, name, frames):
    mix = mix_of(2)[:, :frames]
    stems = engine_for(name, folder).separate(mix, RATE, JobContext())
    for stem in STEMS:
        assert stems[stem].shape == mix.shape
        assert np.isfinite(stems[stem]).all()


def test_silence_in_silence_out(folder):
    mix = np.zeros((2, 30000), np.float32)
    stems = engine_for("bag-htdemucs", folder).separate(mix, RATE, JobContext())
    assert all(not stems[stem].any() and stems[stem].shape == mix.shape for stem in STEMS)


@pytest.mark.parametrize(
    "mix", [np.full((2, 20000), 0.5, np.float32), np.full((2, 20000), 1e-30, np.float32)]
)
def test_mixes_without_any_deviation_give_numbers(folder, mix):
    stems = engine_for("bag-htdemucs", folder).separate(mix, RATE, JobContext())
    assert all(np.isfinite(stems[stem]).all() for stem in STEMS)


def test_another_rate_than_that_of_the_card_is_refused(folder):
    with pytest.raises(EngineError, match="48000"):
        engine_for("bag-htdemucs", folder).separate(mix_of(0.1), 48000, JobContext())


# -- the job --------------------------------------------------------------------------


def test_progress_rises_to_one(folder):
    seen = []
    job = JobContext(lambda fraction, label: seen.append((fraction, label)))
    engine_for("bag-of-two", folder).separate(mix_of(3), RATE, job)
    fractions = [fraction for fraction, _ in seen]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    assert len(set(fractions)) == 9
    assert seen[0] == (0, "loading bag-of-two")


def test_a_job_stops_inside_a_segment_and_the_engine_works_again(folder, monkeypatch):
    engine = engine_for("bag-htdemucs", folder)
    mix = mix_of(1)
    first = engine.separate(mix, RATE, JobContext())
    job = JobContext()
    calls = []
    real = job.check

    def check():
        calls.append(None)
        if len(calls) == 5:
            job.cancel()
        real()

    monkeypatch.setattr(job, "check", check)
    with pytest.raises(CancelledError):
        engine.separate(mix, RATE, job)
    assert 5 <= len(calls) < 12  # A segment has many layers; each worker stops at its next one.
    again = engine.separate(mix, RATE, JobContext())
    assert all(np.array_equal(first[stem], again[stem]) for stem in STEMS)


def test_nothing_is_printed(folder, capfd):
    engine_for("bag-htdemucs", folder).separate(mix_of(0.5), RATE, JobContext())
    assert capfd.readouterr() == ("", "")


# -- devices --------------------------------------------------------------------------


class CrampedGpu:
    """Makes the processor a GPU whose memory holds only so many frames of a network's mix."""

    def __init__(self, monkeypatch, frames):
        import torch

        self.seen = []
        real = TorchNetwork._forward

        def forward(network, mix):
            self.seen.append((network._device, mix.shape[1]))
            if network._device == "cuda" and mix.shape[1] > frames:
                raise torch.OutOfMemoryError("CUDA out of memory.")
            device, network._device = network._device, "cpu"
            try:
                return real(network, mix)
            finally:
                network._device = device

        monkeypatch.setattr(torch.nn.Module, "to", lambda module, *_, **__: module)
        monkeypatch.setattr(TorchNetwork, "_forward", forward)
        monkeypatch.setattr(demucs_engine, "choose_device", lambda _: "cuda")


@pytest.mark.parametrize("name", ["bag-htdemucs", "bag-hdemucs", "bag-demucs"])
@pytest.mark.parametrize("share", [0.6, 0.3])
def test_a_gpu_with_little_memory_sees_less_at_once_and_goes_on(
    folder, monkeypatch, caplog, name, share
):
    mix = mix_of(3)
    engine = engine_for(name, folder)
    full = engine._load(JobContext())[0]
    expected = engine.separate(mix, RATE, JobContext())
    longest = full.window(full.length)
    gpu = CrampedGpu(monkeypatch, round(share * longest))
    labels = []
    with caplog.at_level(logging.WARNING):
        stems = engine_for(name, folder).separate(
            mix, RATE, JobContext(lambda _, label: labels.append(label))
        )
    halvings = 1 if share > 0.5 else 2
    assert [frames for _, frames in gpu.seen[: halvings + 1]] == [
        longest >> k for k in range(halvings + 1)
    ]
    assert {device for device, _ in gpu.seen} == {"cuda"}
    assert "memory of cuda is too small: going on in segments of" in labels[-1]
    assert "memory of cuda is too small" in caplog.text
    for stem in STEMS:  # Random networks: what they see of the mix hardly matters to them.
        assert stems[stem].shape == mix.shape
        assert agreement_db(expected[stem], stems[stem]) > 3


def test_a_full_gpu_makes_the_processor_go_on_and_says_so(folder, monkeypatch, caplog):
    mix = mix_of(2)
    expected = engine_for("bag-htdemucs", folder).separate(mix, RATE, JobContext())
    gpu = CrampedGpu(monkeypatch, 0)
    labels = []
    with caplog.at_level(logging.WARNING):
        stems = engine_for("bag-htdemucs", folder).separate(
            mix, RATE, JobContext(lambda _, label: labels.append(label))
        )
    assert [device for device, _ in gpu.seen] == ["cuda"] * 3 + ["cpu"] * 2
    assert "going on with the processor" in labels[-1]
    assert "going on with the processor" in caplog.text
    assert all(agreement_db(expected[stem], stems[stem]) > 100 for stem in STEMS)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Memory ran out"),
        (RuntimeError("expected tensor"), "failed on cpu"),
        (ValueError("too long"), "failed on cpu"),
    ],
)
def test_a_network_that_fails_is_an_engine_error(folder, monkeypatch, error, words):
    engine = engine_for("bag-htdemucs", folder)

    def forward(*_):
        raise error

    monkeypatch.setattr(TorchNetwork, "_forward", forward)
    with pytest.raises(EngineError, match=words):
        engine.separate(mix_of(0.1), RATE, JobContext())


def test_a_device_is_checked_by_name_and_presence(monkeypatch):
    import torch

    monkeypatch.setattr(demucs_engine, "gpu_may_be_there", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert choose_device(None) == choose_device("cpu") == "cpu"
    with pytest.raises(UnavailableError, match="cuda"):
        choose_device("cuda")
    with pytest.raises(UsageError, match="tpu"):
        choose_device("tpu")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert choose_device(None) == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device(None) == "cuda"


# -- cards ----------------------------------------------------------------------------


def test_published_models_have_whole_cards():
    assert demucs_names(None) == list(MODELS)
    for name, model in MODELS.items():
        engine = make_demucs(name, EngineOptions(offline=True))
        assert isinstance(engine, Separator)
        card = engine.card
        assert (card.name, card.stems) == (name, model.stems)
        assert (card.sample_rate_hz, card.max_channels) == (44100, 2)
        assert card.code_licence == "MIT"
        assert "only for scientific purposes" in card.weights_licence
        assert card.download.endswith(" MB")
        assert ("test set" in card.summary) == name.startswith("mdx_extra")
        assert ("CC BY-NC" in card.weights_licence) == name.endswith("_q")


def test_the_card_of_an_own_model_tells_what_its_checkpoint_says(tmp_path):
    write_safetensors(tmp_path, "drumsplit", tiny_network(stems=["kick", "snare", "hats"]))
    assert demucs_names(tmp_path) == [*MODELS, "drumsplit"]
    card = engine_for("drumsplit", tmp_path).card
    assert card.stems == ("kick", "snare", "hats")
    assert card.download is None
    assert str(tmp_path) in card.summary
    stems = engine_for("drumsplit", tmp_path).separate(mix_of(0.2), RATE, JobContext())
    assert tuple(stems) == card.stems


def test_an_own_bag_named_like_a_published_model_takes_its_place(tmp_path):
    write_safetensors(tmp_path, "mine", tiny_network(stems=["a", "b"]))
    write_bag(tmp_path, "htdemucs", ["mine"])
    engine = engine_for("htdemucs", tmp_path)
    assert engine.card.stems == ("a", "b")
    assert "only for scientific" not in engine.card.weights_licence
    assert tuple(engine.separate(mix_of(0.2), RATE, JobContext())) == ("a", "b")


def test_a_published_checkpoint_in_the_users_folder_is_used(tmp_path):
    write_safetensors(tmp_path, "955717e8")
    engine = engine_for("htdemucs", tmp_path)
    assert engine.card.summary == MODELS["htdemucs"].summary
    assert list(engine.separate(mix_of(0.2), RATE, JobContext())) == STEMS


def test_the_revision_changes_with_an_own_file_and_only_then(tmp_path):
    write_safetensors(tmp_path, "mine", tiny_network(seed=1))
    first = engine_for("mine", tmp_path).card.revision
    assert engine_for("mine", tmp_path).card.revision == first
    write_safetensors(tmp_path, "mine", tiny_network("HDemucs", seed=2))
    assert engine_for("mine", tmp_path).card.revision != first


def test_a_broken_own_model_is_listed_as_broken_and_fails_when_it_is_used(tmp_path):
    (tmp_path / "bad.safetensors").write_bytes(b"nonsense")
    write_bag(tmp_path, "half", ["nowhere"])
    (tmp_path / "worse.yaml").write_text("[")
    assert demucs_names(tmp_path) == [*MODELS, "bad", "half", "worse"]
    for name, kind in (("bad", InputError), ("half", UnavailableError), ("worse", InputError)):
        engine = engine_for(name, tmp_path)
        assert engine.card.summary.startswith(("Broken: ", "Incomplete: "))
        with pytest.raises(kind):
            engine.separate(mix_of(0.1), RATE, JobContext())


def test_an_unknown_model_is_a_usage_error():
    with pytest.raises(UsageError, match="nonsense"):
        make_demucs("nonsense", EngineOptions(offline=True))


# -- what does not go together --------------------------------------------------------


def test_weights_that_are_not_here_fail_offline_with_the_remedy():
    engine = make_demucs("htdemucs_ft", EngineOptions(offline=True, device="cpu"))
    with pytest.raises(UnavailableError) as caught:
        engine.separate(mix_of(0.1), RATE, JobContext())
    assert "f7e0c4bc-ba3fe64a.th" in caught.value.remedy
    assert "--models-dir" in caught.value.remedy


def test_a_checkpoint_that_needs_trust_is_refused_without_it(folder):
    engine = make_demucs("bag-htdemucs", EngineOptions(models_dir=folder, offline=True))
    with pytest.raises(InputError, match="unknown origin"):
        engine.separate(mix_of(0.1), RATE, JobContext())


def test_networks_with_other_stems_do_not_go_into_one_bag(tmp_path):
    write_safetensors(tmp_path, "one", tiny_network(stems=["a", "b"]))
    write_safetensors(tmp_path, "two", tiny_network(stems=["b", "a"]))
    write_bag(tmp_path, "both", ["one", "two"])
    with pytest.raises(InputError, match="b, a"):
        engine_for("both", tmp_path).separate(mix_of(0.1), RATE, JobContext())


@pytest.mark.parametrize(
    "weights", [[[1, 1, 1]], [[1, 1, 1, 1], [1, 1, 1, 1]], [[1, 1, 0, 1]], [[]]]
)
def test_a_bag_whose_weights_do_not_fit_is_refused(tmp_path, weights):
    write_safetensors(tmp_path, "one")
    write_bag(tmp_path, "mine", ["one"], weights=weights)
    with pytest.raises(InputError, match="weights of the bag mine"):
        engine_for("mine", tmp_path).separate(mix_of(0.1), RATE, JobContext())


def test_making_engines_and_their_cards_loads_no_network_library(folder):
    program = (
        "import sys, pathlib\n"
        "from workstation.separate.demucs_engine import demucs_names, make_demucs\n"
        "from workstation.separate.protocol import EngineOptions\n"
        f"folder = pathlib.Path({str(folder)!r})\n"
        "for name in demucs_names(folder):\n"
        "    make_demucs(name, EngineOptions(models_dir=folder)).card\n"
        "assert not {'torch', 'demucs', 'scipy', 'librosa', 'huggingface_hub'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_engines_of_the_family_are_seamless(folder):
    assert isinstance(engine_for("bag-of-two", folder), Seamless)


def test_chunks_are_long_enough_for_the_longest_segments():
    engine = demucs_engine.DemucsEngine
    longest = max(model.bag.segment or 0 for model in MODELS.values())
    assert engine.chunk_s >= 2 * longest
    assert 0 < engine.overlap_s < engine.chunk_s / 4
