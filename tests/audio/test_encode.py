"""What is written reads back with other programs, rounded to nearest, whole or not at all."""

import contextlib
import itertools
import os
import resource
import struct
import wave

import av
import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.audio.encode import names_in, noise
from workstation.audio import (
    ENCODINGS,
    AudioWriter,
    probe,
    read_audio,
    suffix_of,
    write_audio,
)
from workstation.audio.riff import wav_header
from workstation.model import OutputError, UsageError

WAVS = ("float32", "pcm24", "pcm16")
LOSSLESS = (*WAVS, "flac")


@pytest.mark.parametrize("encoding", LOSSLESS)
@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (48000, 6), (192_000, 2)])
def test_lossless_encodings_read_back_exactly(tmp_path, encoding, rate, channels):
    samples = noise(10_001, channels)
    path = tmp_path / ("a" + suffix_of(encoding))
    assert write_audio(path, samples, rate, encoding) == 0
    read, found = soundfile.read(path, dtype="float32", always_2d=True)
    assert found == rate
    assert np.array_equal(read.T, samples)
    assert np.array_equal(read_audio(path)[0], samples)
    with av.open(str(path)) as container:
        assert container.streams.audio[0].codec_context.channels == channels


@pytest.mark.parametrize("encoding", ["mp3", "ogg"])
@pytest.mark.parametrize("frames", [1, 1000, 100_003])
@pytest.mark.parametrize("channels", [1, 2])
def test_lossy_encodings_keep_length_and_place(tmp_path, encoding, frames, channels):
    samples = noise(frames, channels)
    path = tmp_path / ("a" + suffix_of(encoding))
    write_audio(path, samples, 44100, encoding)
    read, rate = read_audio(path)
    assert rate == 44100
    assert read.shape == samples.shape
    assert np.abs(read - samples).max() < 0.05


def test_mp3_has_320_kbit_per_second(tmp_path):
    write_audio(tmp_path / "a.mp3", noise(441_000), 44100, "mp3")
    assert (tmp_path / "a.mp3").stat().st_size * 8 / 10 == pytest.approx(320_000, rel=0.01)


@pytest.mark.parametrize(("encoding", "tag"), [("pcm24", 1), ("pcm16", 1), ("float32", 3)])
def test_wav_is_plain_and_never_extensible(tmp_path, encoding, tag):
    write_audio(tmp_path / "a.wav", noise(1001, 1), 44100, encoding)
    data = (tmp_path / "a.wav").read_bytes()
    assert struct.unpack_from("<H", data, data.index(b"fmt ") + 8)[0] == tag
    assert struct.unpack_from("<I", data, 4)[0] == len(data) - 8
    if tag == 1:
        with wave.open(str(tmp_path / "a.wav")) as plain:
            assert (plain.getnframes(), plain.getnchannels()) == (1001, 1)


@pytest.mark.parametrize(("encoding", "bits"), [("pcm24", 24), ("pcm16", 16), ("flac", 24)])
@given(values=st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=50))
def test_integers_are_rounded_to_nearest(tmp_path_factory, encoding, bits, values):
    path = tmp_path_factory.mktemp("a") / "a"
    samples = np.array([values], np.float32)
    write_audio(path, samples, 44100, encoding)
    step = 2.0 ** (1 - bits)
    read = soundfile.read(path, always_2d=True)[0].T
    nearest = np.clip(np.rint(samples.astype(float) / step) * step, -1, 1 - step)
    assert np.array_equal(read, nearest)


@pytest.mark.parametrize(("encoding", "bits"), [("pcm24", 24), ("pcm16", 16), ("flac", 24)])
def test_samples_beyond_full_scale_are_clipped_and_counted(tmp_path, encoding, bits):
    step = 2.0 ** (1 - bits)
    samples = np.array([[0.5, 1.0, 1.001, 7.0], [-0.5, -1.0, -1.001, -7.0]], np.float32)
    path = tmp_path / "a"
    assert write_audio(path, samples, 44100, encoding) == 4
    read = soundfile.read(path, always_2d=True)[0].T
    assert read.tolist() == [[0.5, 1 - step, 1 - step, 1 - step], [-0.5, -1, -1, -1]]


def test_float_carries_what_is_beyond_full_scale(tmp_path):
    samples = noise(100) * 100
    assert write_audio(tmp_path / "a.wav", samples, 44100, "float32") == 0
    assert np.array_equal(read_audio(tmp_path / "a.wav")[0], samples)


@pytest.mark.parametrize("encoding", [*LOSSLESS, "mp3"])  # Vorbis decides by what it is given.
@settings(max_examples=25, deadline=None)
@given(cuts=st.lists(st.integers(0, 5000), max_size=5))
def test_writing_in_pieces_gives_the_same_file_as_writing_at_once(tmp_path_factory, encoding, cuts):
    folder = tmp_path_factory.mktemp("a")
    samples = noise(5000)
    write_audio(folder / "whole", samples, 44100, encoding)
    with AudioWriter(
        folder / "pieces", sample_rate_hz=44100, channels=2, encoding=encoding
    ) as writer:
        for start, end in itertools.pairwise([0, *sorted(cuts), 5000]):
            writer.write(samples[:, start:end])
    assert (folder / "whole").read_bytes() == (folder / "pieces").read_bytes()


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_interrupted_writer_leaves_nothing(tmp_path, encoding):
    path = tmp_path / "a"
    path.write_text("old")

    def write_half():
        with AudioWriter(path, sample_rate_hz=44100, channels=2, encoding=encoding) as writer:
            writer.write(noise(50_000))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_half()
    assert names_in(tmp_path) == ["a"]
    assert path.read_text() == "old"


@contextlib.contextmanager
def files_of_at_most(size):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("size", [10, 20_000])
def test_a_disk_that_takes_no_more_is_said_and_nothing_is_left(tmp_path, capfd, encoding, size):
    path = tmp_path / "a"
    with files_of_at_most(size), pytest.raises(OutputError, match="too large") as caught:
        write_audio(path, noise(300_000), 44100, encoding)
    assert str(path) in caught.value.problem
    assert names_in(tmp_path) == []
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_cannot_be_written_is_said(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot be written"):
        write_audio(tmp_path / "file" / "a.wav", noise(10), 44100)


@pytest.mark.parametrize(("encoding", "rate", "channels"), [
    ("mp3", 96000, 2), ("mp3", 44100, 3), ("ogg", 44100, 6), ("flac", 44100, 9),
    ("flac", 1_000_000, 2), ("aiff", 44100, 2),
])  # fmt: skip
def test_what_an_encoding_cannot_carry_is_refused_before_anything_is_written(
    tmp_path, encoding, rate, channels
):
    with pytest.raises(UsageError):
        write_audio(tmp_path / "a", noise(100, channels), rate, encoding)
    assert names_in(tmp_path) == []


@pytest.mark.parametrize("samples", [
    np.zeros(100, np.float32), np.zeros((3, 100), np.float32),
    np.full((2, 100), np.nan, np.float32), np.full((2, 100), np.inf, np.float32),
])  # fmt: skip
def test_arrays_that_are_no_audio_are_refused(tmp_path, samples):
    with (
        pytest.raises(ValueError, match="samples"),
        AudioWriter(tmp_path / "a", sample_rate_hz=44100, channels=2, encoding="pcm24") as writer,
    ):
        writer.write(samples)
    assert names_in(tmp_path) == []


def test_above_four_gibibytes_the_header_becomes_rf64_and_keeps_its_length(tmp_path):
    small = wav_header(sample_rate_hz=96000, channels=2, frames=0, bits=24)
    large = wav_header(sample_rate_hz=96000, channels=2, frames=2**30, bits=24)
    assert len(small) == len(large)
    assert (small[:4], large[:4]) == (b"RIFF", b"RF64")
    path = tmp_path / "a.wav"
    frames = (2**32 - len(large)) // 6 + 1  # Just too long for RIFF, and it takes no room.
    path.write_bytes(wav_header(sample_rate_hz=96000, channels=2, frames=frames, bits=24))
    os.truncate(path, len(large) + frames * 6)
    assert soundfile.info(path).frames == frames
    assert probe(path).frames == frames
