"""Checkpoints are read without running them, and loaded only when they are known or trusted."""

import json
import pickle
import subprocess
import sys
import zipfile
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.separate.tiny_demucs import (
    STEMS,
    package_of,
    tiny_network,
    write_safetensors,
    write_th,
)
from workstation.model import InputError, UnavailableError
from workstation.separate import checkpoint
from workstation.separate.checkpoint import load_checkpoint, read_header


class Payload:
    """Writes a file when it is unpickled by somebody who runs what the pickle says."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return Path.write_text, (self.target, "run")


def write_evil_th(folder, marker, name="evil.th"):
    """A whole checkpoint with a payload inside."""
    import torch

    package = package_of(tiny_network())
    package["training_args"] = Payload(marker)
    torch.save(package, folder / name)
    return folder / name


@pytest.mark.parametrize("kind", ["HTDemucs", "HDemucs", "Demucs"])
@pytest.mark.parametrize("write", [write_th, write_safetensors])
def test_the_header_tells_network_stems_rate_and_channels(tmp_path, write, kind):
    stems = ["kick", "snare"]
    header = read_header(write(tmp_path, network=tiny_network(kind, stems)))
    assert header == checkpoint.CheckpointHeader(kind, ("kick", "snare"), 44100, 2, False)


@pytest.mark.parametrize("write", [write_th, write_safetensors])
def test_a_loaded_network_has_the_very_numbers_that_were_saved(tmp_path, write):
    import torch

    saved = tiny_network(seed=5)
    loaded = load_checkpoint(write(tmp_path, network=saved), trust=True)
    assert loaded.sources == STEMS
    assert not loaded.training
    for name, value in saved.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value)


def test_a_th_of_unknown_origin_is_refused_even_if_its_name_agrees_with_its_hash(tmp_path):
    path = write_th(tmp_path)
    with pytest.raises(InputError, match="unknown origin") as caught:
        load_checkpoint(path, trust=False)
    assert str(path) in caught.value.problem
    assert "--trust" in caught.value.remedy


def test_a_th_whose_whole_sha256_is_published_needs_no_trust(tmp_path, monkeypatch):
    from workstation.audio import file_sha256

    path = write_th(tmp_path)
    monkeypatch.setitem(checkpoint.PUBLISHED_SHA256, "0badcafe", file_sha256(path))
    assert load_checkpoint(path, trust=False).sources == STEMS


def test_another_file_under_a_published_name_is_refused(tmp_path):
    path = write_th(tmp_path, hashed=False).rename(tmp_path / "955717e8-8726e21a.th")
    with pytest.raises(InputError, match="not the published file") as caught:
        load_checkpoint(path, trust=False)
    assert "Delete it" in caught.value.remedy


def test_a_malicious_pickle_runs_neither_for_its_header_nor_untrusted(tmp_path):
    marker = tmp_path / "marker"
    path = write_evil_th(tmp_path, marker)
    assert read_header(path).stems == tuple(STEMS)
    with pytest.raises(InputError):
        load_checkpoint(path, trust=False)
    assert not marker.exists()


def test_the_payload_of_that_test_would_work(tmp_path):
    marker = tmp_path / "marker"
    pickle.loads(pickle.dumps(Payload(marker)))
    assert marker.read_text() == "run"


def test_a_pickle_that_is_nothing_but_a_payload_is_no_checkpoint(tmp_path):
    marker = tmp_path / "marker"
    with zipfile.ZipFile(tmp_path / "evil.th", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Payload(marker)))
    with pytest.raises(InputError, match="damaged or no checkpoint"):
        read_header(tmp_path / "evil.th")
    assert not marker.exists()


@pytest.fixture
def asked(monkeypatch):
    """What `weights_only` was in each call of `torch.load`: False would run code."""
    import torch

    calls = []
    real = torch.load

    def load(*args, **options):
        calls.append(options["weights_only"])
        return real(*args, **options)

    monkeypatch.setattr(torch, "load", load)
    return calls


def test_an_ordinary_checkpoint_runs_no_code_although_it_is_trusted(tmp_path, asked):
    load_checkpoint(write_th(tmp_path), trust=True)
    assert asked == [True]


def test_numbers_of_numpy_in_a_checkpoint_are_harmless(tmp_path, asked):
    import numpy as np
    import torch

    package = {**package_of(tiny_network()), "metrics": {"sdr": np.float64(9.0)}}
    torch.save(package, tmp_path / "mine.th")
    assert load_checkpoint(tmp_path / "mine.th", trust=True).sources == STEMS
    assert asked == [True]


def test_the_old_name_of_hybrid_demucs_is_known(tmp_path, asked):
    new = write_th(tmp_path, "new", tiny_network("HDemucs"))
    old = tmp_path / "old.th"
    with zipfile.ZipFile(new) as source, zipfile.ZipFile(old, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("/data.pkl"):
                content = content.replace(b"demucs.hdemucs\nHDemucs", b"demucs.wdemucs\nWDemucs")
                assert b"WDemucs" in content
            target.writestr(name, content)
    assert read_header(old) == read_header(new)
    assert type(load_checkpoint(old, trust=True)).__name__ == "HDemucs"
    assert asked == [True]


def test_a_trusted_checkpoint_that_names_more_is_loaded_all_the_same(tmp_path, asked):
    import torch

    package = {**package_of(tiny_network()), "training_args": {"where": Path("somewhere")}}
    torch.save(package, tmp_path / "mine.th")
    assert load_checkpoint(tmp_path / "mine.th", trust=True).sources == STEMS
    assert asked == [True, False]


@pytest.mark.parametrize("klass", ["os.system", "subprocess.Popen", "pathlib.Path.write_text"])
def test_a_safetensors_file_cannot_name_what_is_called(tmp_path, klass):
    marker = tmp_path / "marker"
    path = write_safetensors(
        tmp_path, klass=klass, args=json.dumps([f"touch {marker}"]), kwargs="{}"
    )
    for read in (read_header, lambda p: load_checkpoint(p, trust=True)):
        with pytest.raises(InputError, match=f"names {klass}"):
            read(path)
    assert not marker.exists()


def test_the_structure_of_a_quantized_safetensors_cannot_name_other_classes(tmp_path):
    structure = json.dumps({"_dict": [["meta", {"_list": [{"_class": "os.system"}]}]]})
    path = write_safetensors(tmp_path, structure=structure)
    with pytest.raises(InputError, match=r"names os\.system"):
        load_checkpoint(path, trust=True)


@pytest.mark.skipif(find_spec("diffq") is not None, reason="the package diffq is installed")
@pytest.mark.parametrize("form", ["th", "safetensors"])
def test_a_quantized_network_says_which_package_it_needs(tmp_path, form):
    import torch

    if form == "th":
        path = tmp_path / "mine.th"
        torch.save({**package_of(tiny_network()), "state": {"__quantized": True}}, path)
    else:
        path = write_safetensors(tmp_path, structure=json.dumps({"_dict": []}))
    assert read_header(path).quantized
    with pytest.raises(UnavailableError) as caught:
        load_checkpoint(path, trust=True)
    assert "pip install diffq" in caught.value.remedy


@pytest.mark.parametrize("stems", [["../../evil", "b"], ["a/b"], ["a", "a"], [""], [], ["a\\b"]])
@pytest.mark.parametrize("write", [write_th, write_safetensors])
def test_names_of_stems_that_are_unsafe_as_files_are_refused(tmp_path, write, stems):
    network = tiny_network()
    network._init_args_kwargs[1]["sources"] = stems
    with pytest.raises(InputError, match="stem"):
        read_header(write(tmp_path, network=network))


@pytest.mark.parametrize("suffix", [".th", ".safetensors"])
@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a checkpoint",
        b"PK\x03\x04" + bytes(100),
        b"\x80\x02}q\x00.",
        bytes(200),
        b"\xff" * 200,
    ],
)
def test_what_is_no_checkpoint_is_named(tmp_path, suffix, content):
    path = tmp_path / f"mine{suffix}"
    path.write_bytes(content)
    for read in (read_header, lambda p: load_checkpoint(p, trust=True)):
        with pytest.raises(InputError) as caught:
            read(path)
        assert str(path) in caught.value.problem
        assert "\n" not in caught.value.problem


@pytest.mark.parametrize("write", [write_th, write_safetensors])
@pytest.mark.parametrize("share", [0.001, 0.2, 0.9, 0.9999])
def test_a_truncated_checkpoint_is_named(tmp_path, write, share):
    path = write(tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(InputError) as caught:
        load_checkpoint(path, trust=True)
    assert str(path) in caught.value.problem


def test_numbers_that_do_not_fit_the_network_are_refused(tmp_path):
    network = tiny_network()
    network._init_args_kwargs[1]["channels"] = 16
    with pytest.raises(InputError, match="size mismatch"):
        load_checkpoint(write_safetensors(tmp_path, network=network), trust=False)


def test_a_missing_file_is_named(tmp_path):
    for suffix in (".th", ".safetensors"):
        with pytest.raises(InputError, match="cannot be read"):
            read_header(tmp_path / f"none{suffix}")
        with pytest.raises(InputError, match="cannot be read"):
            load_checkpoint(tmp_path / f"none{suffix}", trust=True)


def test_headers_are_read_without_torch(tmp_path):
    paths = [str(write_th(tmp_path)), str(write_safetensors(tmp_path))]
    program = (
        "import sys, pathlib\n"
        "from workstation.separate.checkpoint import read_header\n"
        f"for p in {paths!r}: read_header(pathlib.Path(p))\n"
        "assert not {'torch', 'demucs', 'scipy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
