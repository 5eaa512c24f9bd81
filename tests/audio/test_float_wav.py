"""A float32 WAV that is filled in any order is one that every reader understands."""

import struct

import numpy as np
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from workstation.audio.float_wav import FloatWav
from workstation.audio.riff import wav_header


@given(channels=st.integers(1, 6), frames=st.integers(1, 300), cut=st.integers(0, 300))
def test_what_is_written_in_two_parts_reads_back_exactly(tmp_path_factory, channels, frames, cut):
    path = tmp_path_factory.mktemp("wav") / "a.wav"
    samples = np.random.default_rng(frames).standard_normal((channels, frames)).astype(np.float32)
    cut = min(cut, frames)
    with FloatWav(path, sample_rate_hz=48000, channels=channels, frames=frames) as wav:
        wav.write(cut, samples[:, cut:])
    with FloatWav(path, sample_rate_hz=48000, channels=channels, frames=frames) as wav:
        wav.write(0, samples[:, :cut])
        assert np.array_equal(wav.read(0, frames), samples)
    read, rate = soundfile.read(path, dtype="float32", always_2d=True)
    assert rate == 48000
    assert np.array_equal(read.T, samples)


def test_a_file_is_whole_and_silent_before_anything_is_written(tmp_path):
    with FloatWav(tmp_path / "a.wav", sample_rate_hz=44100, channels=2, frames=1000) as wav:
        wav.sync()
    read, _rate = soundfile.read(tmp_path / "a.wav")
    assert read.shape == (1000, 2)
    assert not read.any()


def test_beyond_four_gibibytes_the_header_is_rf64_with_the_true_sizes():
    frames = 2**30
    header = wav_header(sample_rate_hz=96000, channels=2, frames=frames, bits=32, floating=True)
    assert header[:4] == b"RF64"
    assert header[12:16] == b"ds64"
    riff_size, data_size, sample_count = struct.unpack_from("<QQQ", header, 20)
    assert data_size == frames * 8
    assert sample_count == frames
    assert riff_size == len(header) + data_size - 8
    assert header[-8:] == b"data" + struct.pack("<I", 0xFFFFFFFF)


def test_a_sparse_rf64_file_opens_with_its_length(tmp_path):
    frames = 2**29 + 100  # 4 GiB of stereo that take no room: nothing is written
    with FloatWav(tmp_path / "long.wav", sample_rate_hz=44100, channels=2, frames=frames) as wav:
        wav.write(frames - 2, np.full((2, 2), 0.5, np.float32))
    info = soundfile.info(tmp_path / "long.wav")
    assert info.frames == frames
    tail, _rate = soundfile.read(tmp_path / "long.wav", start=frames - 3)
    assert tail.tolist() == [[0, 0], [0.5, 0.5], [0.5, 0.5]]
