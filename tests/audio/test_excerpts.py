"""Any part of a file is what reading it from the start gives, whatever its format."""

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from workstation.audio import Excerpts, open_audio, write_audio
from workstation.model import CancelledError, InputError, JobContext, OutputError

RATE = 8000
FRAMES = 20000
ENCODINGS = {
    "float32": "wav", "pcm24": "wav", "pcm16": "wav", "flac": "flac", "ogg": "ogg", "mp3": "mp3",
}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    samples = np.random.default_rng(0).uniform(-0.5, 0.5, (2, FRAMES)).astype(np.float32)
    found = {}
    for encoding, suffix in ENCODINGS.items():
        path = folder / f"{encoding}.{suffix}"
        write_audio(path, samples, RATE, encoding)
        with open_audio(path) as reader:
            whole = reader.read(reader.frames)
        scratch = folder / f"{encoding} decoded.wav"
        excerpts = Excerpts(path, stream=0, scratch=scratch, job=JobContext())
        found[encoding] = (whole, excerpts, scratch)
    return found


@pytest.mark.parametrize("encoding", ENCODINGS)
@given(data=st.data())
def test_an_excerpt_is_that_part_of_the_whole(files, encoding, data):
    whole, excerpts, _ = files[encoding]
    assert (excerpts.sample_rate_hz, excerpts.channels) == (RATE, 2)
    assert excerpts.frames == whole.shape[1]
    start = data.draw(st.integers(0, excerpts.frames - 1))
    frames = data.draw(st.integers(1, excerpts.frames - start))
    assert np.array_equal(excerpts.read(start, frames), whole[:, start : start + frames])


def test_only_what_cannot_be_read_in_place_is_decoded_to_a_scratch_file(files):
    decoded = {encoding for encoding, (_, _, scratch) in files.items() if scratch.exists()}
    assert decoded == {"flac", "ogg", "mp3"}


def test_samples_that_are_no_numbers_are_told_with_their_place(tmp_path):
    samples = np.zeros((1, 2 * RATE), np.float32)
    samples[0, 12000] = np.nan
    soundfile.write(tmp_path / "x.wav", samples.T, RATE, "FLOAT")
    excerpts = Excerpts(tmp_path / "x.wav", stream=0, scratch=tmp_path / "s.wav", job=JobContext())
    assert excerpts.read(0, 12000).shape == (1, 12000)
    with pytest.raises(InputError, match=r"not numbers .* at 1\.5 s"):
        excerpts.read(11000, 2000)


def test_decoding_can_be_cancelled_and_a_folder_that_is_not_there_is_an_error_in_words(files):
    job = JobContext()
    job.cancel()
    path = files["flac"][1].path
    with pytest.raises(CancelledError):
        Excerpts(path, stream=0, scratch=path.with_name("new.wav"), job=job)
    with pytest.raises(OutputError, match="its folder is not there"):
        Excerpts(path, stream=0, scratch=path.parent / "no" / "new.wav", job=JobContext())
