"""Markers and broadcast information join a WAV; its samples stay as they are."""

import os
import struct
import wave

import numpy as np
import pytest
import soundfile

from tests.audio.encode import names_in, noise
from workstation.audio import Bext, Cue, add_wav_chunks, read_audio, write_audio
from workstation.audio.riff import walk_chunks
from workstation.model import InputError

CUES = [Cue(0, "Intro"), Cue(1000, "Verse é 音"), Cue(2500, "Chorus!")]
BEXT = Bext(description="Björk – Jóga", originator="workstation 1", time_reference_frames=5 << 33)


def names(path):
    with path.open("rb") as file:
        return [part.name for part in walk_chunks(file)]


@pytest.mark.parametrize(("encoding", "channels"), [("pcm24", 1), ("pcm16", 2), ("float32", 2)])
def test_an_independent_reader_finds_what_was_written(tmp_path, encoding, channels):
    wavinfo = pytest.importorskip("wavinfo")
    path = tmp_path / "a.wav"
    samples = noise(3001, channels)  # Odd on purpose: 24-bit mono needs a padding byte.
    write_audio(path, samples, 48000, encoding)
    add_wav_chunks(path, bext=BEXT, cues=CUES)
    info = wavinfo.WavInfoReader(str(path))
    assert info.bext.description.startswith("Bjork")
    assert info.bext.originator == "workstation 1"
    assert info.bext.time_reference == 5 << 33
    assert info.fmt.sample_rate == 48000
    assert [(cue.position, cue.sample_offset) for cue in info.cues.cues] == [
        (cue.frame, cue.frame) for cue in CUES
    ]
    assert [label.text for label in info.cues.labels][::2] == ["Intro", "Chorus!"]
    assert np.array_equal(soundfile.read(path, dtype="float32", always_2d=True)[0].T, samples)
    data = path.read_bytes()
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    assert len(data) % 2 == 0
    assert names_in(tmp_path) == ["a.wav"]


def test_the_standard_library_still_reads_the_file(tmp_path):
    write_audio(tmp_path / "a.wav", noise(999, 1), 44100, "pcm24")
    with wave.open(str(tmp_path / "a.wav")) as file:
        before = file.readframes(999)
    add_wav_chunks(tmp_path / "a.wav", bext=BEXT, cues=CUES)
    with wave.open(str(tmp_path / "a.wav")) as file:
        assert file.readframes(999) == before


def test_broadcast_information_has_602_bytes_and_stands_before_the_format(tmp_path):
    write_audio(tmp_path / "a.wav", noise(100), 44100, "pcm24")
    add_wav_chunks(tmp_path / "a.wav", bext=Bext(description="x" * 999, originator="y" * 99))
    with (tmp_path / "a.wav").open("rb") as file:
        chunks = list(walk_chunks(file))
    order = [part.name for part in chunks]
    assert order.index(b"bext") < order.index(b"fmt ") < order.index(b"data")
    assert next(part.size for part in chunks if part.name == b"bext") == 602


def test_writing_again_replaces_and_other_chunks_stay(tmp_path):
    path = tmp_path / "a.wav"
    with soundfile.SoundFile(path, "w", 44100, 1, subtype="PCM_16") as file:
        file.title = "kept"
        file.write(noise(100, 1)[0])
    for _ in range(2):
        add_wav_chunks(path, bext=BEXT, cues=CUES)
    once = path.read_bytes()
    add_wav_chunks(path, bext=BEXT, cues=CUES)
    assert path.read_bytes() == once
    assert sorted(set(names(path))) == sorted(
        [b"JUNK", b"bext", b"fmt ", b"data", b"cue ", b"LIST"]
    )
    with soundfile.SoundFile(path) as file:
        assert file.title == "kept"


def test_a_file_that_grows_beyond_four_gibibytes_becomes_rf64(tmp_path, monkeypatch):
    samples = noise(3001, 1)
    path = tmp_path / "a.wav"
    write_audio(path, samples, 48000, "pcm24")
    monkeypatch.setattr("workstation.audio.wav_chunks.needs_rf64", lambda riff_bytes: True)
    for _ in range(2):  # The second time it is RF64 already.
        add_wav_chunks(path, bext=BEXT, cues=CUES)
        data = path.read_bytes()
        assert data[:4] == b"RF64"
        assert struct.unpack_from("<QQQ", data, 20) == (len(data) - 8, 9003, 3001)
        assert np.array_equal(soundfile.read(path, dtype="float32")[0], samples[0])
        assert np.array_equal(read_audio(path)[0], samples)


@pytest.mark.parametrize("data", [b"", b"RIFF", b"fLaC" + bytes(100), b"RIFF\x04\0\0\0WAVE"])
def test_what_is_no_wav_is_refused_and_left_alone(tmp_path, data):
    (tmp_path / "a.wav").write_bytes(data)
    with pytest.raises(InputError, match="WAV"):
        add_wav_chunks(tmp_path / "a.wav", cues=CUES)
    assert (tmp_path / "a.wav").read_bytes() == data
    with pytest.raises(InputError, match="cannot be read"):
        add_wav_chunks(tmp_path / "missing.wav", cues=CUES)


def test_a_wav_that_was_cut_off_is_refused(tmp_path):
    write_audio(tmp_path / "a.wav", noise(5000), 44100, "pcm24")
    os.truncate(tmp_path / "a.wav", 9000)
    with pytest.raises(InputError, match="whole"):
        add_wav_chunks(tmp_path / "a.wav", cues=CUES)
