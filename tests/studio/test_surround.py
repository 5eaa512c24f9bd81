"""5.1: every stem in its place, and the fold-down is the song."""

import shutil
import struct
import subprocess

import numpy as np
import pytest
import soundfile

from tests.studio.bands import band, four, noise
from workstation.audio import read_audio, write_audio
from workstation.audio.riff import walk_chunks, wav_header
from workstation.model import ExistsError, InputError
from workstation.studio import open_session
from workstation.studio.surround import fold_down, low_pass

RATE = 8000


def db(a, b):
    return 20 * np.log10(np.sqrt(np.mean(a**2)) / np.sqrt(np.mean(b**2)))


def alone(tmp_path, stem, samples, rate=RATE):
    session = band(tmp_path, {stem: samples}, name=stem, rate=rate)
    return read_audio(session.surround(tmp_path / f"{stem}.wav").path)[0]


def test_the_fold_down_is_the_song(tmp_path):
    _, session = four(tmp_path, frames=150_001)
    made = read_audio(session.surround(tmp_path / "s.wav").path)[0]
    song = read_audio(session.source_path)[0]
    assert made.shape == (6, 150_001)
    assert db(fold_down(made) - song, song) < -130


def test_in_24_bit_the_fold_down_is_the_song_to_its_rounding(tmp_path):
    _, session = four(tmp_path)
    made = read_audio(session.surround(tmp_path / "s.wav", encoding="pcm24").path)[0]
    song = read_audio(session.source_path)[0]
    assert np.abs(fold_down(made) - song).max() < 2 * 2.4142 * 2**-24 + 2e-7


def test_a_voice_in_the_middle_sounds_from_the_centre_alone(tmp_path):
    voice = noise(channels=1)
    left, right, centre, low, *behind = alone(tmp_path, "vocals", voice)
    assert np.abs(left).max() < 1e-7
    assert np.abs(right).max() < 1e-7
    assert np.allclose(centre, voice[0] * np.sqrt(2), atol=1e-6)
    assert not low.any()
    assert not np.any(behind)


def test_what_a_voice_has_at_the_sides_stays_in_front(tmp_path):
    sides = noise(channels=1)
    left, right, centre, *_ = alone(tmp_path, "vocals", np.concatenate([sides, -sides]))
    assert np.allclose(left, sides[0], atol=1e-7)
    assert np.allclose(right, -sides[0], atol=1e-7)
    assert np.abs(centre).max() < 1e-7


@pytest.mark.parametrize("stem", ["piano", "other", "backing_vocals"])
def test_all_else_is_around_the_listener(tmp_path, stem):
    samples = noise(seed=4)
    made = alone(tmp_path, stem, samples)
    assert np.allclose(made[4:], 0.5 * samples, atol=1e-6)
    assert db(made[:2], samples) == pytest.approx(-3.79, abs=0.01)
    assert not made[2].any()
    assert not made[3].any()


def test_the_lfe_has_the_depths_of_drums_and_bass_10_db_down(tmp_path):
    t = np.arange(4 * RATE) / RATE
    for hz, wanted_db, within in ((30, -10, 0.1), (80, -13, 0.2), (160, -34, 0.6)):
        tone = 0.3 * np.sin(2 * np.pi * hz * t)
        folder = tmp_path / str(hz)
        folder.mkdir()
        made = alone(folder, "kick", np.stack([tone, tone]).astype(np.float32))
        assert db(made[3, RATE:], tone[RATE:]) == pytest.approx(wanted_db, abs=within)
        assert np.allclose(made[:2], tone, atol=1e-6)


def test_blocks_of_the_lfe_join_without_a_seam(tmp_path):
    from scipy.signal import sosfilt

    samples = noise(frames=200_000, seed=9)
    made = alone(tmp_path, "bass", samples)
    whole = sosfilt(low_pass(RATE), samples.mean(axis=0).astype(np.float64)) * 10**-0.5
    assert np.abs(made[3] - whole).max() < 1e-6


@pytest.mark.parametrize(("encoding", "tag", "bits"), [("float32", 3, 32), ("pcm24", 1, 24)])
def test_the_file_says_which_channel_is_which(tmp_path, encoding, tag, bits):
    _, session = four(tmp_path, frames=999)
    path = session.surround(tmp_path / "s.wav", encoding=encoding).path
    with path.open("rb") as file:
        fmt = next(part for part in walk_chunks(file) if part.name == b"fmt ")
        file.seek(fmt.start)
        fields = struct.unpack("<HHIIHHHHI16s", file.read(fmt.size))
    assert fields[:3] == (0xFFFE, 6, RATE)
    assert fields[5:9] == (bits, 22, bits, 0x3F)
    assert fields[9][:2] == struct.pack("<H", tag)
    info = soundfile.info(path)
    assert (info.format, info.channels, info.frames) == ("WAVEX", 6, 999)
    if shutil.which("ffprobe"):
        words = subprocess.run(
            ["ffprobe", "-v", "error", "-show_entries", "stream=channel_layout", "-of", "csv=p=0",
             path], capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert words.stdout.strip() == "5.1"


@pytest.mark.parametrize("floating", [True, False])
def test_beyond_4_gib_the_header_has_the_same_length_and_64_bit_sizes(floating):
    def header(frames):
        return wav_header(
            sample_rate_hz=RATE, channels=6, frames=frames, bits=32 if floating else 24,
            floating=floating, channel_mask=0x3F,
        )  # fmt: skip

    small, large = header(1), header(1 << 28)
    assert len(small) == len(large)
    assert (small[:4], large[:4]) == (b"RIFF", b"RF64")
    assert struct.unpack_from("<Q", large, 28)[0] == (1 << 28) * 6 * (4 if floating else 3)


def test_what_cannot_be_done_is_told_and_nothing_is_replaced(tmp_path):
    _, session = four(tmp_path, frames=500)
    session.surround(tmp_path / "s.wav")
    with pytest.raises(ExistsError, match="is there already"):
        session.surround(tmp_path / "s.wav")
    write_audio(tmp_path / "six.wav", noise(channels=6), RATE, "float32")
    with pytest.raises(InputError, match="6 channels"):
        open_session(tmp_path / "six.wav", parent=tmp_path).surround(tmp_path / "x.wav")
