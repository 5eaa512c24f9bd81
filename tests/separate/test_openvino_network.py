"""OpenVINO gives the stems of torch, from a conversion that is made once."""

import shutil
import subprocess
import sys

import numpy as np
import pytest

from tests.separate.tiny_demucs import STEMS, tiny_network, write_bag, write_th
from workstation.model import (
    CancelledError,
    EngineError,
    InputError,
    JobContext,
    UnavailableError,
    UsageError,
)
from workstation.separate import demucs_engine
from workstation.separate.demucs_engine import make_demucs
from workstation.separate.openvino_network import openvino_is_there, signals_of, spectrum_of
from workstation.separate.protocol import EngineOptions

RATE = 44100
needs_openvino = pytest.mark.skipif(
    not openvino_is_there(), reason="openvino is not installed (the extra `fast`)"
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def _own_cache(cache, monkeypatch):
    monkeypatch.setenv("WORKSTATION_CACHE_DIR", str(cache))


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    place = tmp_path_factory.mktemp("models")
    write_th(place, "ht00", tiny_network(seed=1))
    write_th(place, "hy00", tiny_network("HDemucs", seed=2))
    write_bag(place, "ht", ["ht00"])
    write_bag(place, "hy", ["hy00"])
    write_bag(place, "both", ["ht00", "hy00"])
    return place


def engine_for(name, models, *, trust=True, device="cpu", **options):
    return make_demucs(
        name,
        EngineOptions(models_dir=models, trust=trust, offline=True, device=device, **options),
    )


def mix_of(seconds, seed=0):
    rng = np.random.default_rng(seed)
    t = np.arange(round(seconds * RATE)) / RATE
    tone = 0.3 * np.sin(2 * np.pi * 220 * t) + 0.05
    return (tone + 0.1 * rng.standard_normal((2, t.size))).astype(np.float32)


def agreement_db(expected, found):
    """How far below stems the difference of others is."""
    expected, found = (
        np.stack([*stems.values()]).astype(np.float64) for stems in (expected, found)
    )
    error = max(np.sum((expected - found) ** 2), 1e-30)
    return 10 * np.log10(np.sum(expected**2) / error)


def with_torch(name, models, mix, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(demucs_engine, "openvino_is_there", lambda: False)
        return engine_for(name, models).separate(mix, RATE, JobContext())


@pytest.mark.parametrize("frames", [66150, 65536, 50001])
def test_spectra_and_signals_are_those_of_demucs(frames):
    import torch

    network = tiny_network()
    mix = mix_of(1.6)[:, :frames]
    wave = torch.from_numpy(mix)[None]
    expected = network._spec(wave)
    spectrum = spectrum_of(mix, network.nfft)
    channels = network._magnitude(expected)[0].numpy()
    assert spectrum.dtype == np.float32
    assert np.abs(spectrum - channels).max() < 1e-5 * np.abs(channels).max()
    rng = np.random.default_rng(1)
    stems = rng.standard_normal((3, *channels.shape)).astype(np.float32)
    signals = network._ispec(network._mask(expected, torch.from_numpy(stems)[None].unflatten(
        2, (2, -1)).flatten(2, 3)), frames)[0].numpy()  # fmt: skip
    found = signals_of(stems, network.nfft, frames)
    assert found.shape == signals.shape == (3, 2, frames)
    assert np.abs(found - signals).max() < 1e-5 * np.abs(signals).max()


@needs_openvino
def test_stems_in_f32_are_those_of_torch_and_the_conversion_is_kept(models, cache, monkeypatch):
    mix = mix_of(4.1)
    labels = []
    stems = engine_for("ht", models).separate(
        mix, RATE, JobContext(lambda _, label: labels.append(label))
    )
    assert list(stems) == STEMS
    assert any("converting ht00" in label for label in labels)
    assert labels[-1] == "separating with ht, OpenVINO f32"
    assert agreement_db(with_torch("ht", models, mix, monkeypatch), stems) > 70
    labels.clear()
    for layout in ((1, 1), (3, 1), (1, 2)):
        monkeypatch.setattr(demucs_engine, "worker_layout", lambda _, layout=layout: layout)
        again = engine_for("ht", models).separate(
            mix, RATE, JobContext(lambda _, label: labels.append(label))
        )
        assert agreement_db(stems, again) > 110
    assert not any("converting" in label for label in labels)
    assert [path.name[0] for path in (cache / "openvino").iterdir()] != ["."]


@needs_openvino
def test_a_bag_is_computed_by_openvino_and_torch_together(models, monkeypatch):
    mix = mix_of(2.2)
    stems = engine_for("both", models).separate(mix, RATE, JobContext())
    assert agreement_db(with_torch("both", models, mix, monkeypatch), stems) > 70


@needs_openvino
def test_bf16_rounds_or_is_refused(models, monkeypatch):
    mix = mix_of(2)
    engine = engine_for("ht", models, precision="bf16")
    assert engine.card.revision != engine_for("ht", models, precision="f32").card.revision
    assert engine_for("ht", models).card.revision == engine_for(
        "ht", models, precision="f32").card.revision  # fmt: skip
    try:
        stems = engine.separate(mix, RATE, JobContext())
    except UnavailableError as error:
        assert "does not compute in bf16" in error.problem  # noqa: PT017
        return
    assert 25 < agreement_db(with_torch("ht", models, mix, monkeypatch), stems) < 100


@needs_openvino
def test_a_damaged_conversion_is_made_anew(models, cache, monkeypatch):
    mix = mix_of(1)
    stems = engine_for("ht", models).separate(mix, RATE, JobContext())
    folder = next((cache / "openvino").iterdir())
    (folder / "facts.json").write_text("{")
    again = engine_for("ht", models).separate(mix, RATE, JobContext())
    assert agreement_db(stems, again) > 110


@needs_openvino
def test_once_converted_neither_torch_nor_demucs_is_loaded(models):
    engine_for("ht", models).separate(mix_of(0.1), RATE, JobContext())
    program = (
        "import sys, numpy as np\nfrom pathlib import Path\n"
        "from workstation.model import JobContext\n"
        "from workstation.separate import EngineOptions, engine\n"
        f"options = EngineOptions(models_dir=Path({str(models)!r}), offline=True, device='cpu')\n"
        "mix = np.ones((2, 3000), np.float32)\n"
        f"engine('ht', options).separate(mix, {RATE}, JobContext())\n"
        "assert not {'torch', 'demucs', 'librosa'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@needs_openvino
def test_a_checkpoint_that_needs_trust_is_not_converted_without_it(models, cache, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    write_th(other, "ht00", tiny_network(seed=9))
    before = sorted((cache / "openvino").iterdir()) if (cache / "openvino").is_dir() else []
    with pytest.raises(InputError, match="unknown origin"):
        engine_for("ht00", other, trust=False).separate(mix_of(0.1), RATE, JobContext())
    after = sorted((cache / "openvino").iterdir()) if (cache / "openvino").is_dir() else []
    assert after == before


def test_a_network_that_cannot_be_converted_is_computed_by_torch_and_that_is_said(
    models, monkeypatch, caplog
):
    def fail(*_, **__):
        raise EngineError("OpenVINO cannot convert ht00.", "Update it.")

    monkeypatch.setattr(demucs_engine, "openvino_is_there", lambda: True)
    monkeypatch.setattr(demucs_engine, "converted", fail)
    labels = []
    mix = mix_of(0.5)
    stems = engine_for("ht", models).separate(
        mix, RATE, JobContext(lambda _, label: labels.append(label))
    )
    assert labels[-1] == ("separating with ht: OpenVINO cannot convert ht00. Going on with torch.")
    assert "Going on with torch" in caplog.text
    expected = with_torch("ht", models, mix, monkeypatch)
    assert all(np.array_equal(stems[name], expected[name]) for name in STEMS)
    monkeypatch.setattr(demucs_engine, "check_precision", lambda _: None)
    with pytest.raises(EngineError, match="cannot convert"):
        engine_for("ht", models, precision="bf16").separate(mix, RATE, JobContext())


def test_bf16_without_openvino_says_how_to_get_it(models, monkeypatch):
    monkeypatch.setattr("workstation.separate.openvino_network.openvino_is_there", lambda: False)
    monkeypatch.setattr(demucs_engine, "openvino_is_there", lambda: False)
    with pytest.raises(UnavailableError) as caught:
        engine_for("ht", models, precision="bf16").separate(mix_of(0.1), RATE, JobContext())
    assert "workstation[fast]" in caught.value.remedy


def test_a_precision_that_makes_no_sense_is_a_usage_error(models, monkeypatch):
    mix = mix_of(0.1)
    with pytest.raises(UsageError, match="int3"):
        engine_for("ht", models, precision="int3").separate(mix, RATE, JobContext())
    with pytest.raises(UsageError, match="other networks"):
        engine_for("hy", models, precision="bf16").separate(mix, RATE, JobContext())
    monkeypatch.setattr(demucs_engine, "choose_device", lambda _: "cuda")
    with pytest.raises(UsageError, match="cuda computes"):
        engine_for("ht", models, precision="bf16").separate(mix, RATE, JobContext())


@needs_openvino
def test_another_kind_of_network_is_refused_by_the_conversion_in_words(cache, tmp_path):
    from demucs.htdemucs import HTDemucs

    from workstation.separate.openvino_network import converted

    network = HTDemucs(sources=STEMS, channels=8, t_layers=0, segment=1, cac=False)
    path = write_th(tmp_path, "odd", network.eval())
    with pytest.raises(EngineError, match="Hybrid Transformer Demucs only"):
        converted(path, trust=True, segment_s=None, job=JobContext())
    assert not any(p.name.startswith(".partial") for p in (cache / "openvino").glob(".*"))
    shutil.rmtree(cache / "openvino", ignore_errors=True)


@needs_openvino
def test_the_conversion_tells_nobody_and_leaves_no_process_behind():
    program = (
        "import sys\n"
        "from workstation.separate import openvino_export\n"
        "openvino_export._keep_to_ourselves()\n"
        "import openvino\n"
        "from openvino.tools.ovc import telemetry_utils\n"
        "print(telemetry_utils.tm.__name__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip().endswith("telemetry_stub")


@needs_openvino
def test_workers_that_begin_at_the_same_time_do_not_wait_for_each_other_for_ever(models):
    engine_for("ht", models).separate(mix_of(0.1), RATE, JobContext())  # Converted by now.
    program = (
        "import numpy as np\nfrom pathlib import Path\n"
        "from workstation.model import JobContext\n"
        "from workstation.separate import EngineOptions, demucs_engine, engine\n"
        "demucs_engine.worker_layout = lambda _: (4, 1)\n"
        f"options = EngineOptions(models_dir=Path({str(models)!r}), offline=True, device='cpu')\n"
        "mix = np.ones((2, 400000), np.float32)\n"
        f"engine('ht', options).separate(mix, {RATE}, JobContext())\n"
    )
    for _ in range(3):
        subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


@needs_openvino
def test_a_job_stops_inside_a_segment_and_the_engine_works_again(models):
    engine = engine_for("ht", models)
    mix = mix_of(4)
    first = engine.separate(mix, RATE, JobContext())
    job = JobContext(lambda fraction, _: fraction > 0 and job.cancel())
    with pytest.raises(CancelledError):
        engine.separate(mix, RATE, job)
    assert agreement_db(first, engine.separate(mix, RATE, JobContext())) > 110
