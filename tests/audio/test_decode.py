"""Every format is read at its own rate, whole and in order, or refused in words."""

import contextlib
import errno
import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.audio.encode import (
    add_itunes_length,
    encode,
    noise,
    stem_file,
    video_without_sound,
    without_edit_list,
)
from workstation.audio import FloatWav, open_audio, probe, read_audio
from workstation.model import CancelledError, InputError, JobContext
from workstation.model.names import shown

# name, container and subtype for libsndfile, what `probe` says
LOSSLESS = [
    ("a.wav", "WAV", "PCM_16", "WAV"),
    ("a.wav", "WAV", "PCM_24", "WAV"),
    ("a.wav", "WAV", "PCM_32", "WAV"),
    ("a.wav", "WAV", "FLOAT", "WAV"),
    ("a.wav", "WAV", "DOUBLE", "WAV"),
    ("a.wav", "WAVEX", "PCM_24", "WAV"),
    ("a.wav", "RF64", "PCM_24", "WAV"),
    ("a.w64", "W64", "PCM_24", "W64"),
    ("a.flac", "FLAC", "PCM_16", "FLAC"),
    ("a.flac", "FLAC", "PCM_24", "FLAC"),
    ("a.aiff", "AIFF", "PCM_24", "AIFF"),
    ("a.aifc", "AIFF", "FLOAT", "AIFF"),
    ("a.caf", "CAF", "PCM_24", "CAF"),
    ("a.au", "AU", "PCM_24", "AU"),
]
# name, codec, container for FFmpeg, what `probe` says of container and codec
LOSSLESS_FFMPEG = [
    ("a.m4a", "alac", "MP4", "alac"),
    ("a.caf", "alac", "CAF", "alac"),
    ("a.mka", "flac", "MKV", "FLAC"),
    ("a.oga", "flac", "OGG", "FLAC"),
    ("a.wv", "wavpack", "WV", "wavpack"),
    ("a.tta", "tta", "TTA", "tta"),
]


def write(path, samples, rate_hz, container, subtype):
    soundfile.write(path, samples.T, rate_hz, format=container, subtype=subtype)
    return path


def assert_close_and_aligned(read, samples, tolerance):
    assert read.shape == samples.shape
    assert np.abs(read - samples).max() < tolerance


@pytest.mark.parametrize(("name", "container", "subtype", "said"), LOSSLESS)
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_lossless_files_read_back_exactly(tmp_path, name, container, subtype, said, channels):
    samples = noise(10_007, channels)
    path = write(tmp_path / name, samples, 44100, container, subtype)
    info = probe(path)
    assert (info.container, info.codec) == (said, subtype)
    assert (info.sample_rate_hz, info.channels, info.frames) == (44100, channels, 10_007)
    read, rate = read_audio(path)
    assert rate == 44100
    assert read.dtype == np.float32
    assert np.array_equal(read, samples)


@pytest.mark.parametrize(("name", "codec", "container", "said"), LOSSLESS_FFMPEG)
@pytest.mark.parametrize(("rate", "channels"), [(44100, 2), (8000, 1), (96000, 6)])
def test_lossless_files_of_other_codecs_read_back_exactly(
    tmp_path, name, codec, container, said, rate, channels
):
    samples = noise(2 * rate + 123, channels)
    path = encode(tmp_path / name, samples, rate, codec)
    info = probe(path)
    assert (info.container, info.codec) == (container, said)
    assert (info.sample_rate_hz, info.channels) == (rate, channels)
    assert info.frames == samples.shape[1]
    assert np.array_equal(read_audio(path)[0], samples)


def test_eight_bit_wav_reads_within_a_step(tmp_path):
    samples = noise(5000)
    path = write(tmp_path / "a.wav", samples, 22050, "WAV", "PCM_U8")
    assert_close_and_aligned(read_audio(path)[0], samples, 1.01 / 128)


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("frames", [1152, 2000, 48_123])
@pytest.mark.parametrize("channels", [1, 2])
def test_mp3_by_lame_has_the_length_of_the_original(tmp_path, rate, frames, channels):
    samples = noise(frames, channels)
    path = encode(tmp_path / "a.mp3", samples, rate, "libmp3lame")
    info = probe(path)
    assert (info.container, info.codec, info.frames) == ("MP3", "MPEG_LAYER_III", frames)
    assert_close_and_aligned(read_audio(path)[0], samples, 0.1)


def test_mp3_of_variable_rate_and_without_any_header_is_read_to_its_end(tmp_path):
    samples = noise(100_000)
    path = tmp_path / "a.mp3"
    soundfile.write(path, samples.T, 44100, bitrate_mode="VARIABLE", compression_level=0.5)
    data = path.read_bytes()
    path.write_bytes(data[data.index(data[:2], 100) :])
    assert 100_000 <= probe(path).frames < 100_000 + 3 * 1152


def test_foreign_tags_at_the_end_of_an_mp3_do_no_harm(tmp_path):
    path = encode(tmp_path / "a.mp3", noise(50_000), 44100, "libmp3lame")
    path.write_bytes(path.read_bytes() + b"LYRICSBEGIN" + b"APETAGEX" * 40 + b"TAG" + b"x" * 125)
    assert probe(path).frames == 50_000


@pytest.mark.parametrize("rate", [8000, 44100, 48000])
@pytest.mark.parametrize("channels", [1, 2, 6])
def test_aac_in_m4a_has_the_length_of_the_original(tmp_path, rate, channels):
    samples = noise(rate + 123, channels)
    path = encode(tmp_path / "a.m4a", samples, rate, "aac", bit_rate=320_000)
    info = probe(path)
    assert (info.container, info.codec) == ("MP4", "aac")
    assert info.frames == samples.shape[1]
    read = read_audio(path)[0]
    assert read.shape == samples.shape
    lags = np.correlate(read[0, :3000], samples[0, 1000:2000], "valid")
    assert lags.argmax() == 1000


@pytest.mark.parametrize("edit_list", [True, False])
def test_the_length_that_itunes_writes_counts(tmp_path, edit_list):
    samples = noise(44_100)
    path = encode(tmp_path / "a.m4a", samples, 44100, "aac", bit_rate=320_000)
    add_itunes_length(path, priming=1024, padding=200, frames=43_900)
    if not edit_list:
        without_edit_list(path)
    read = read_audio(path)[0]
    assert read.shape == (2, 43_900)
    assert np.correlate(read[0, :3000], samples[0, 1000:2000], "valid").argmax() == 1000


@pytest.mark.parametrize("frames", [1, 2000, 44_100, 100_001])
@pytest.mark.parametrize("channels", [1, 2])
def test_ogg_vorbis_has_the_length_of_the_original(tmp_path, frames, channels):
    samples = noise(frames, channels)
    path = write(tmp_path / "a.ogg", samples, 44100, "OGG", "VORBIS")
    info = probe(path)
    assert (info.container, info.codec, info.frames) == ("OGG", "VORBIS", frames)
    assert_close_and_aligned(read_audio(path)[0], samples, 0.1)


@pytest.mark.parametrize("rate", [8000, 24000, 48000])
@pytest.mark.parametrize("name", ["a.opus", "a.webm"])
def test_opus_is_read_at_48_khz_whatever_it_was_made_from(tmp_path, rate, name):
    path = encode(tmp_path / name, noise(rate + 10), rate, "libopus")
    info = probe(path)
    assert (info.codec, info.sample_rate_hz) == ("OPUS", 48000)
    assert info.frames == (rate + 10) * 48000 // rate
    assert read_audio(path)[0].shape == (2, info.frames)


@pytest.mark.parametrize(
    ("name", "codec"), [("a.flac", ""), ("a.m4a", "alac"), ("a.opus", "libopus")]
)
def test_surround_channels_come_in_the_order_of_wav(tmp_path, name, codec):
    t = np.arange(48_000) / 48_000
    samples = np.stack([0.1 * k * np.sin(2 * np.pi * 60 * t) for k in range(1, 7)])
    samples = samples.astype(np.float32)
    path = tmp_path / name
    if codec:
        encode(path, samples, 48000, codec, bit_rate=450_000)
    else:
        write(path, samples, 48000, "FLAC", "PCM_24")
    loudest = np.abs(read_audio(path)[0]).max(axis=1)
    assert loudest == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.5, 0.6], abs=0.05)


@pytest.mark.parametrize("rate", [8000, 192_000])
def test_a_second_of_silence_at_the_ends_of_the_range(tmp_path, rate):
    path = write(tmp_path / "a.flac", np.zeros((1, rate), np.float32), rate, "FLAC", "PCM_24")
    read, found = read_audio(path)
    assert found == rate
    assert read.shape == (1, rate)
    assert not read.any()


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25, deadline=None
)
@given(
    sizes=st.lists(st.integers(50, 9000), min_size=1, max_size=8),
    name=st.sampled_from(["a.wav", "a.flac", "a.ogg", "a.mp3", "a.m4a", "a.opus"]),
)
def test_reading_in_any_pieces_gives_the_same_as_reading_at_once(tmp_path, sizes, name):
    path = tmp_path / name
    if not path.exists():
        codec = {"a.mp3": "libmp3lame", "a.m4a": "aac", "a.opus": "libopus"}.get(name)
        if codec:
            encode(path, noise(30_000), 48000, codec)
        else:
            soundfile.write(path, noise(30_000).T, 48000)
    whole, _ = read_audio(path)
    parts = []
    with open_audio(path) as reader:
        assert reader.frames == whole.shape[1]
        k = 0
        while True:
            size = sizes[k % len(sizes)]
            part = reader.read(size)
            parts.append(part)
            k += 1
            if part.shape[1] < size:
                break
        assert reader.read(10).shape == (2, 0)
    assert np.array_equal(np.concatenate(parts, axis=1), whole)


def test_two_hours_are_read_in_bounded_memory(tmp_path):
    frames = 2 * 3600 * 8000
    with FloatWav(tmp_path / "a.wav", sample_rate_hz=8000, channels=1, frames=frames) as wav:
        wav.write(frames - 1, np.ones((1, 1), np.float32))
    assert probe(tmp_path / "a.wav").duration_s == 7200
    tracemalloc.start()
    total = 0
    with open_audio(tmp_path / "a.wav") as reader:
        while (block := reader.read(1 << 17)).shape[1]:
            total += block.shape[1]
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == frames
    assert peak < 20e6


def test_a_streamed_flac_that_does_not_know_its_length_is_counted(tmp_path):
    samples = noise(50_000)
    path = write(tmp_path / "a.flac", samples, 44100, "FLAC", "PCM_16")
    data = bytearray(path.read_bytes())
    data[21] &= 0xF0  # The 36 bits of STREAMINFO that hold the number of samples.
    data[22:26] = bytes(4)
    path.write_bytes(data)
    assert probe(path).frames == 50_000
    assert np.array_equal(read_audio(path)[0], samples)


@pytest.mark.parametrize("size", [0, 0xFFFFFFFF])
def test_a_wav_from_a_pipe_reads_to_its_end(tmp_path, size):
    samples = noise(5000)
    path = write(tmp_path / "a.wav", samples, 44100, "WAV", "PCM_16")
    data = bytearray(path.read_bytes())
    at = data.index(b"data")
    data[at + 4 : at + 8] = size.to_bytes(4, "little")
    path.write_bytes(data)
    assert np.array_equal(read_audio(path)[0], samples)


@pytest.mark.parametrize("name", [
    "音楽 – 曲.wav", "🎵 song.flac", " two  spaces .mp3", "-rf.m4a", "live: at home.m4a",
    "http:song.mp3", "x" * 246 + ".m4a", "-", "#1?.opus", "100%d.wav",
    os.fsdecode(b"\xff\xfe latin.wav"), os.fsdecode(b"\xff.m4a"),
])  # fmt: skip
def test_odd_names_are_names_like_any_other(tmp_path, monkeypatch, name):
    codecs = {".mp3": "libmp3lame", ".m4a": "alac", ".opus": "libopus"}
    codec = codecs.get(Path(name).suffix)
    plain = tmp_path / ("plain" + (Path(name).suffix or ".wav"))
    if codec:
        encode(plain, noise(5000), 48000, codec)
    else:
        soundfile.write(plain, noise(5000).T, 48000)
    try:
        plain.rename(tmp_path / name)
    except OSError as error:
        pytest.skip(f"this system cannot name a file so: {error}")
    monkeypatch.chdir(tmp_path)
    assert probe(name).frames == 5000
    assert read_audio(tmp_path / name)[0].shape == (2, 5000)


def test_each_stream_of_a_stem_file_is_read_by_its_number(tmp_path):
    tracks = [noise(20_000, seed=k) for k in range(5)]
    path = stem_file(
        tmp_path / "a.stem.mp4", tracks[0],
        dict(zip(["Drums", "Bass", "Other", "Vocals"], tracks[1:], strict=True)), 44100,
    )  # fmt: skip
    for k, track in enumerate(tracks):
        with open_audio(path, stream=k) as reader:
            assert np.array_equal(reader.read(50_000), track)
    with pytest.raises(InputError, match="5 audio streams"):
        open_audio(path, stream=5)


# -- what cannot be read ------------------------------------------------------------------


def refusal(path) -> InputError:
    with pytest.raises(InputError) as caught:
        read_audio(path)
    error = caught.value
    assert shown(path) in error.problem
    assert "\n" not in str(error)
    assert error.remedy
    with pytest.raises(InputError):
        probe(path)
    return error


def test_a_missing_file_is_named_with_its_near_namesake(tmp_path):
    (tmp_path / "My Song.wav").write_bytes(b"x")
    error = refusal(tmp_path / "My Sonk.wav")
    assert "not there" in error.problem
    assert "My Song.wav" in error.remedy
    assert "no folder" in refusal(tmp_path / "nowhere" / "a.wav").remedy


def test_what_is_no_file_is_refused(tmp_path):
    assert "folder" in refusal(tmp_path).problem
    os.mkfifo(tmp_path / "pipe.wav")
    assert "device" in refusal(tmp_path / "pipe.wav").problem
    assert "cannot be read" in refusal(tmp_path / ("x" * 300)).problem
    assert "cannot be read" in refusal(tmp_path / "a\0.wav").problem


def test_an_empty_file_is_refused(tmp_path):
    (tmp_path / "a.wav").touch()
    assert "0 bytes" in refusal(tmp_path / "a.wav").problem


def test_missing_permission_is_said(tmp_path, monkeypatch):
    path = write(tmp_path / "a.wav", noise(10), 44100, "WAV", "PCM_16")

    def refuse(*_args, **_kwargs):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    assert "permission" in refusal(path).problem


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.mp3", "a.m4a", "a.ogg", "a.aiff"])
def test_text_and_noise_under_the_name_of_audio_are_refused(tmp_path, name):
    path = tmp_path / name
    path.write_text("This is a letter, and no song at all.\n" * 40)
    assert refusal(path).remedy.startswith("Convert")
    path.write_bytes(np.random.default_rng(1).bytes(5000))
    refusal(path)


def test_a_play_list_is_no_audio_and_nothing_that_it_names_is_opened(tmp_path):
    secret = write(tmp_path / "other.wav", noise(5000), 44100, "WAV", "PCM_16")
    path = tmp_path / "a.mp3"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n")
    refusal(path)
    path.write_text(f"ffconcat version 1.0\nfile '{secret.name}'\n")
    refusal(path)


def test_a_video_without_sound_is_refused(tmp_path):
    path = video_without_sound(tmp_path / "a.mp4")
    assert "no sound" in refusal(path).problem


def test_a_file_without_samples_is_refused(tmp_path):
    path = write(tmp_path / "a.wav", np.zeros((2, 0), np.float32), 44100, "WAV", "PCM_16")
    assert "no sound" in refusal(path).problem


@pytest.mark.parametrize(("name", "container", "subtype"), [
    ("a.wav", "WAV", "PCM_24"), ("a.wav", "RF64", "FLOAT"), ("a.aiff", "AIFF", "PCM_16"),
    ("a.caf", "CAF", "PCM_24"), ("a.flac", "FLAC", "PCM_24"),
])  # fmt: skip
def test_a_file_that_was_cut_off_is_refused_with_the_seconds_that_are_whole(
    tmp_path, name, container, subtype
):
    path = write(tmp_path / name, noise(441_000), 44100, container, subtype)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    problem = refusal(path).problem
    whole, promised = (float(word) for word in problem.split() if word[:1].isdigit())
    assert 4.0 < whole <= 5.1
    assert promised == pytest.approx(10.0, abs=0.3)


@pytest.mark.parametrize(("name", "codec"), [("a.mp3", "libmp3lame"), ("a.mka", "flac")])
def test_a_compressed_file_that_was_cut_off_is_refused(tmp_path, name, codec):
    path = encode(tmp_path / name, noise(441_000), 44100, codec)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    assert "only" in refusal(path).problem


@pytest.mark.parametrize("name", ["a.m4a", "a.caf"])
def test_a_file_that_lost_the_index_at_its_end_is_refused(tmp_path, name):
    path = encode(tmp_path / name, noise(100_000), 44100, "alac")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2])
    refusal(path)


def test_a_hole_in_the_middle_of_an_mp3_is_noticed(tmp_path):
    path = encode(tmp_path / "a.mp3", noise(200_000), 44100, "libmp3lame")
    data = path.read_bytes()
    middle = len(data) // 2
    path.write_bytes(data[:middle] + data[middle + 8000 :])
    assert "only" in refusal(path).problem


def test_damage_in_the_middle_of_a_flac_or_m4a_is_not_read_over(tmp_path):
    for path in (
        write(tmp_path / "a.flac", noise(441_000), 44100, "FLAC", "PCM_24"),
        encode(tmp_path / "a.m4a", noise(441_000), 44100, "alac"),
    ):
        data = bytearray(path.read_bytes())
        middle = len(data) // 2
        data[middle : middle + 20_000] = bytes(20_000)
        path.write_bytes(data)
        with pytest.raises(InputError, match="damaged"):
            read_audio(path)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers_are_refused_with_their_place(tmp_path, value):
    samples = noise(100_000)
    samples[1, 88_200] = value
    path = write(tmp_path / "a.wav", samples, 44100, "WAV", "FLOAT")
    assert probe(path).frames == 100_000
    with pytest.raises(InputError, match=r"not numbers .* at 2\.0 s"):
        read_audio(path)


def test_a_cancelled_job_stops_the_count(tmp_path):
    path = encode(tmp_path / "a.m4a", noise(200_000), 44100, "aac")
    job = JobContext()
    job.cancel()
    with pytest.raises(CancelledError):
        probe(path, job=job)
    assert probe(path).frames == 200_000


def test_a_file_that_changed_is_probed_again(tmp_path):
    path = write(tmp_path / "a.wav", noise(1000), 44100, "WAV", "PCM_16")
    assert probe(path).frames == 1000
    write(path, noise(1234), 44100, "WAV", "PCM_16")
    assert probe(path).frames == 1234


FUZZED = [
    ("a.wav", None), ("a.flac", None), ("a.aiff", None), ("a.ogg", None), ("a.mp3", "libmp3lame"),
    ("a.m4a", "aac"), ("b.m4a", "alac"), ("a.opus", "libopus"), ("a.caf", "alac"),
]  # fmt: skip


@pytest.fixture(scope="module")
def whole_files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    for name, codec in FUZZED:
        if codec:
            encode(folder / name, noise(12_000), 48000, codec)
        else:
            soundfile.write(folder / name, noise(12_000).T, 48000)
    return {name: (folder / name).read_bytes() for name, _ in FUZZED}


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=120, deadline=None,
    derandomize=True,
)  # fmt: skip
@given(
    name=st.sampled_from([name for name, _ in FUZZED]),
    cut=st.floats(0, 1),
    hits=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=12),
    early=st.booleans(),
)
def test_damaged_files_are_read_or_refused_and_nothing_else(
    tmp_path, capfd, whole_files, name, cut, hits, early
):
    data = bytearray(whole_files[name])
    for place, value in hits:
        data[int(place * (min(200, len(data)) - 1 if early else len(data) - 1))] = value
    path = tmp_path / name
    path.write_bytes(data[: max(1, int(len(data) * (0.3 + 0.7 * cut)))])
    with contextlib.suppress(InputError):
        info = probe(path)
        read, rate = read_audio(path)
        assert read.shape == (info.channels, info.frames)
        assert rate == info.sample_rate_hz
    out, err = capfd.readouterr()
    assert out == err == ""


def test_real_songs_are_read_whole(shared_data):
    path = shared_data / "full" / "lithium.ogg"
    info = probe(path)
    assert info.duration_s == pytest.approx(327, abs=1)
    assert read_audio(path)[0].shape == (2, info.frames)
