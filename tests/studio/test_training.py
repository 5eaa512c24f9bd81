"""From a folder of songs to a network: what is held out, what is refused, what is gone on with."""

import numpy as np
import pytest
import torch

import workstation
from tests.separate.tiny_songs import RATE, SIZES, STEMS, stems_of, write_song, write_songs
from workstation import TrainingOptions, train
from workstation.audio import StemMp4Writer
from workstation.model import (
    CancelledError,
    ExistsError,
    InputError,
    JobContext,
    UnavailableError,
    UsageError,
)
from workstation.separate.trained_file import read_trained
from workstation.studio import training as module

QUICK = {"epochs": 1, "batch": 1, "device": "cpu"}


@pytest.fixture(scope="module", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(autouse=True)
def _small(monkeypatch, tmp_path):
    """Tiny networks, few steps; the cache is the test's own."""
    monkeypatch.setenv("WORKSTATION_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr(module, "usual_sizes", lambda network, _rate: SIZES[network])
    monkeypatch.setattr(module, "_STEPS_PER_EPOCH", (3, 3))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_songs(tmp_path_factory.mktemp("songs") / "train", 4)


def options(**changes):
    return TrainingOptions(**{**QUICK, **changes})


def test_a_folder_like_musdb_becomes_a_network(folder, tmp_path):
    said = []
    out = tmp_path / "nets" / "my.safetensors"
    report = train(folder, out, options=options(), say=said.append)
    assert report.path == str(out)
    assert report.network == "waveform"
    assert report.stopped == "1 epochs"
    assert report.steps == 3
    assert set(report.stems) == set(STEMS)
    assert len(report.songs) == 3
    assert len(report.held_out) == 1
    assert set(report.songs) | set(report.held_out) == {f"song {n}" for n in range(4)}
    assert said[0].startswith("Learning drums, bass, other, vocals from 3 songs (0.2 min); held")
    assert said[1].startswith("Epoch 1: loss ")
    header = read_trained(out)
    assert header.plan.stems == STEMS
    assert header.plan.sample_rate_hz == RATE
    assert {file.name for file in out.parent.iterdir()} == {"my.safetensors", "my.training"}
    assert not list((tmp_path / "cache").glob("training-*"))


def test_songs_to_judge_by_can_be_named(folder, tmp_path):
    write_songs(tmp_path / "valid", 2)
    report = train(folder, tmp_path / "my.safetensors", options=options(valid=tmp_path / "valid"))
    assert report.held_out == ("song 0 (held out)", "song 1 (held out)")
    assert len(report.songs) == 4


def test_stem_files_are_learnt_from_as_folders_of_wavs_are(tmp_path):
    for song in range(2):
        write_song(tmp_path / "folders" / f"{song}", stems_of(song))
        path = tmp_path / "files" / f"{song}.stem.mp4"
        stems = stems_of(song)
        colours = [(name, "#808080") for name in stems]
        with StemMp4Writer(path, colours, sample_rate_hz=RATE, codec="alac", tags={}) as writer:
            writer.write(list(stems.values()))
    reports = [
        train(tmp_path / kind, tmp_path / f"{kind}.safetensors", options=options())
        for kind in ("folders", "files")
    ]
    assert reports[0].songs == reports[1].songs
    assert reports[0].history[0].loss == pytest.approx(reports[1].history[0].loss, rel=1e-4)
    for name in STEMS:  # The files hold 24 bits, the folders 32.
        one, other = reports[0].stems[name], reports[1].stems[name]
        assert one.mix_sdr_db == pytest.approx(other.mix_sdr_db, abs=0.01)


def test_what_is_held_out_depends_on_the_seed_alone():
    names = [f"song {n}" for n in range(10)]
    assert module._held_out(names, 3) == module._held_out(names, 3)
    assert len(module._held_out(names, 3)) == 2
    assert len({frozenset(module._held_out(names, seed)) for seed in range(20)}) > 5


def test_it_goes_on_as_it_was_begun(folder, tmp_path):
    whole, parts = tmp_path / "whole.safetensors", tmp_path / "parts.safetensors"
    begun = {"network": "spectrogram", "seed": 5}
    wanted = train(folder, whole, options=options(epochs=2, **begun))
    train(folder, parts, options=options(**begun))
    report = train(folder, parts, options=TrainingOptions(epochs=2, device="cpu"), resume=True)
    assert parts.read_bytes() == whole.read_bytes()
    assert report.history == wanted.history
    assert report.network == "spectrogram"
    with pytest.raises(UsageError, match="was begun with --seed 5, not 6"):
        train(folder, parts, options=TrainingOptions(seed=6), resume=True)
    with pytest.raises(UsageError, match="was begun with --network spectrogram, not waveform"):
        train(folder, parts, options=TrainingOptions(network="waveform"), resume=True)
    write_song(tmp_path / "other" / "a", stems_of(7))
    write_song(tmp_path / "other" / "b", stems_of(8))
    with pytest.raises(InputError, match="not those that the training was begun with"):
        train(tmp_path / "other", parts, options=options(batch=None), resume=True)


def test_stopped_it_says_how_to_go_on(folder, tmp_path):
    job = JobContext()
    out = tmp_path / "my.safetensors"
    with pytest.raises(CancelledError) as caught:
        train(
            folder,
            out,
            options=options(epochs=50),
            say=lambda words: job.cancel() if words.startswith("Epoch 2") else None,
            job=job,
        )
    assert caught.value.remedy == "Add --resume to go on from there."
    report = train(folder, out, options=TrainingOptions(epochs=3, device="cpu"), resume=True)
    assert len(report.history) == 3


def test_nothing_is_overwritten_unless_it_is_asked_for(folder, tmp_path):
    out = tmp_path / "my.safetensors"
    out.write_bytes(b"mine")
    with pytest.raises(ExistsError, match="is there already"):
        train(folder, out, options=options())
    assert out.read_bytes() == b"mine"
    with pytest.raises(InputError, match="no training to go on with"):
        train(folder, out, options=options(), resume=True)
    with pytest.raises(UsageError):
        train(folder, out, options=options(), resume=True, overwrite=True)
    train(folder, out, options=options(), overwrite=True)
    assert read_trained(out).steps == 3


@pytest.mark.parametrize(
    "name",
    ["my.pt", "my", "dsp.safetensors", "auto.safetensors", "a(b).safetensors", ".safetensors"],
)
def test_a_name_that_is_none_for_an_engine_is_refused_before_the_work(folder, tmp_path, name):
    with pytest.raises(UsageError) as caught:
        train(folder, tmp_path / name, options=options())
    assert ".safetensors" in caught.value.remedy
    assert not (tmp_path / name).exists()


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"network": "unet"}, "network"),
        ({"batch": 0}, "batch"),
        ({"learning_rate": 0.0}, "learning_rate"),
        ({"seed": -1}, "seed"),
        ({"epochs": 0}, "epochs"),
        ({"minutes": -1.0}, "minutes"),
    ],
)
def test_options_that_make_no_sense_are_refused(folder, tmp_path, wish, words):
    with pytest.raises(UsageError, match=words):
        train(folder, tmp_path / "my.safetensors", options=options(**wish))


def test_a_device_that_is_not_there_is_told(folder, tmp_path):
    if torch.backends.mps.is_available():
        pytest.skip("this machine has that device")
    with pytest.raises(UnavailableError, match="no mps device"):
        train(folder, tmp_path / "my.safetensors", options=options(device="mps"))


def refused(folder, tmp_path, **changes):
    with pytest.raises(InputError) as caught:
        train(folder, tmp_path / "out" / "my.safetensors", options=options(**changes))
    assert caught.value.remedy
    assert not list(tmp_path.glob("out/*"))
    return caught.value.problem


def test_too_few_songs_are_refused(tmp_path):
    write_songs(tmp_path / "songs", 1)
    assert "holds one song" in refused(tmp_path / "songs", tmp_path)
    (tmp_path / "empty").mkdir()
    assert "holds no stems" in refused(tmp_path / "empty", tmp_path)
    assert "is not there" in refused(tmp_path / "nowhere", tmp_path)


def test_songs_that_are_too_short_are_refused(tmp_path):
    write_songs(tmp_path / "songs", 2, seconds=2.0)
    assert "is shorter than the 3 s" in refused(tmp_path / "songs", tmp_path)


def test_a_song_cannot_be_learnt_from_and_held_out(folder, tmp_path):
    problem = refused(folder, tmp_path, valid=folder / "song 1")
    assert "song 1 is both to be learnt from and held out" in problem


def test_a_stem_that_is_silent_in_one_song_is_noted_and_in_all_is_refused(tmp_path):
    for song in range(3):
        stems = stems_of(song)
        if song != 1:
            stems["bass"] = np.zeros_like(stems["bass"])
        write_song(tmp_path / "songs" / f"{song}", stems)
    seeds = {next(iter(module._held_out(["0", "1", "2"], seed))): seed for seed in range(20)}
    said = []
    train(
        tmp_path / "songs",
        tmp_path / "my.safetensors",
        options=options(seed=seeds["0"]),
        say=said.append,
    )
    assert "2: bass is silent." in said
    assert '"bass" is silent in every song' in refused(
        tmp_path / "songs", tmp_path, seed=seeds["1"]
    )


def test_a_damaged_song_is_named(tmp_path):
    write_songs(tmp_path / "songs", 2)
    broken = tmp_path / "songs" / "song 1" / "bass.wav"
    broken.write_bytes(broken.read_bytes()[:-9000])
    assert str(broken) in refused(tmp_path / "songs", tmp_path)


def test_the_python_face_has_it():
    assert workstation.train is train
