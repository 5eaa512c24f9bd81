"""The target `nistems`, read back with our own reader, with PyAV and with ffprobe and stempeg."""

import importlib.util
import json
import shutil
import struct
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest

from tests.export.conftest import FRAMES, RATE
from workstation.audio import StemTrack, open_audio, stem_tracks, write_audio
from workstation.export import ExportOptions, Track, export
from workstation.model import InputError, JobContext, UsageError

NAMES = ("歌🎛️", "&<>\"'`", "x" * 100, "歌🎛️")
FULL = 2**23


@pytest.fixture
def stem_file(export_to):
    """Exports a project and gives the path of the stem file."""

    def run(project, **options):
        report = export_to(project, "nistems", **options)
        return Path(report.folder) / report.open_with

    return run


@pytest.fixture
def make_tracks(stem_files):
    """Makes tracks of some names, all from the known stems in turn."""

    def make(*names):
        paths = [path for path, _ in stem_files.values()]
        return tuple(
            Track(name, paths[index % 4], f"#0000{index:02x}") for index, name in enumerate(names)
        )

    return make


def samples(path, stream):
    """24-bit samples of a stream, by our own reader."""
    with open_audio(path, stream=stream) as reader:
        assert reader.sample_rate_hz == RATE
        return np.rint(reader.read(10 * FRAMES).astype(np.float64) * FULL).astype(np.int64)


def boxes(data, start, end):
    """Name and contents of the boxes between two places."""
    found = []
    while start < end:
        size, name = struct.unpack_from(">I4s", data, start)
        found.append((name, start + 8, start + size))
        start += size
    assert start == end
    return found


def stem_box(path):
    """The JSON in `moov/udta/stem`, walked by hand; `moov` is last, `udta` is there once."""
    data = path.read_bytes()
    top = boxes(data, 0, len(data))
    assert [name for name, *_ in top][-1] == b"moov"
    inner = boxes(data, *top[-1][1:])
    (udta,) = [box for box in inner if box[0] == b"udta"]
    ((_, start, end),) = [box for box in boxes(data, *udta[1:]) if box[0] == b"stem"]
    return json.loads(data[start:end])


def test_stems_are_exact_and_the_mix_is_their_sum_to_the_bit(make_project, stem_file, stem_files):
    path = stem_file(make_project())
    read = [samples(path, stream) for stream in range(5)]
    assert {part.shape for part in read} == {(2, FRAMES)}
    for part, (_, known) in zip(read[1:], stem_files.values(), strict=True):
        exact = np.rint(known.astype(np.float64) * FULL).astype(np.int64)
        assert np.array_equal(part, np.broadcast_to(exact, (2, FRAMES)))
    assert np.array_equal(read[0], sum(read[1:]))


def test_the_box_names_and_colours_the_stems_and_masters_nothing(make_project, stem_file):
    project = make_project()
    tracks = tuple(
        Track(name, track.path, track.colour)
        for name, track in zip(NAMES, project.tracks, strict=True)
    )
    path = stem_file(make_project(tracks=tracks))
    box = stem_box(path)
    assert box["version"] == 1
    assert box["stems"] == [
        {"name": name, "color": track.colour.upper()}
        for name, track in zip(NAMES, tracks, strict=True)
    ]
    assert not box["mastering_dsp"]["compressor"]["enabled"]
    assert not box["mastering_dsp"]["limiter"]["enabled"]
    assert stem_tracks(path) == [
        StemTrack(name, track.colour, stream)
        for stream, (name, track) in enumerate(zip(NAMES, tracks, strict=True), start=1)
    ]


def test_players_that_know_no_stems_play_the_mix(make_project, stem_file):
    path = stem_file(make_project(title="Söng & <1>", artist="歌"))
    with av.open(str(path)) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["alac"] * 5
        enabled = [bool(s.disposition & av.stream.Disposition.default) for s in file.streams]
        assert enabled == [True, False, False, False, False]
        assert (file.metadata["title"], file.metadata["artist"]) == ("Söng & <1>", "歌")


def test_aac_has_the_length_of_the_song_and_starts_with_it(make_project, export_to, stem_files):
    report = export_to(make_project(), "nistems", encoding="aac")
    path = Path(report.folder) / report.open_with
    with av.open(str(path)) as file:
        assert [stream.codec_context.name for stream in file.streams] == ["aac"] * 5
    _, known = stem_files["drums"]
    read = samples(path, 1)
    assert read.shape == (2, FRAMES)
    part = read[0, 4096:40960] / FULL
    same = known[0, 4096:40960]
    shifted = known[0, 4096 + 64 : 40960 + 64]
    assert np.corrcoef(part, same)[0, 1] > 0.5 > abs(np.corrcoef(part, shifted)[0, 1])
    assert any("lossy" in words for words in report.dropped)


def test_fewer_than_four_are_followed_by_silence(make_project, export_to, make_tracks):
    report = export_to(make_project(tracks=make_tracks("Vocals", "Rest")), "nistems")
    path = Path(report.folder) / report.open_with
    names = [track.name for track in stem_tracks(path)]
    assert names == ["Vocals", "Rest", "Silence", "Silence"]
    assert not samples(path, 3).any()
    assert not samples(path, 4).any()
    assert any("2 stems are silent" in words for words in report.dropped)


def test_more_than_four_lie_together_in_the_last(make_project, export_to, make_tracks):
    tracks = make_tracks("Guitar", "Drums", "Piano", "Bass", "Vocals", "Other")
    report = export_to(make_project(tracks=tracks), "nistems")
    path = Path(report.folder) / report.open_with
    names = [track.name for track in stem_tracks(path)]
    assert names == ["Drums", "Bass", "Vocals", "Guitar + Piano + Other"]
    assert any("Guitar + Piano + Other lie together" in words for words in report.dropped)
    read = [samples(path, stream) for stream in range(5)]
    assert np.array_equal(read[0], sum(read[1:]))
    named = make_project(tracks=make_tracks("A", "B", "C", "D", "E"))
    report = export_to(named, "nistems", overwrite=True)
    path = Path(report.folder) / report.open_with
    assert [track.name for track in stem_tracks(path)] == ["A", "B", "C", "D + E"]


def test_parts_of_one_role_lie_together(make_project, export_to, make_tracks):
    tracks = make_tracks("Kick", "Snare", "Hihat", "Bass", "Piano", "Lead vocals", "Backing vocals")
    report = export_to(make_project(tracks=tracks), "nistems")
    path = Path(report.folder) / report.open_with
    names = [track.name for track in stem_tracks(path)]
    assert names == ["Kick + Snare + Hihat", "Bass", "Piano", "Lead vocals + Backing vocals"]
    assert any("Kick + Snare + Hihat lie together" in words for words in report.dropped)
    read = [samples(path, stream) for stream in range(5)]
    assert np.array_equal(read[0], sum(read[1:]))


def test_a_mix_beyond_full_scale_lowers_all_by_one_gain(make_project, export_to, tmp_path):
    loud = np.full((2, FRAMES), 0.4, np.float32)
    write_audio(tmp_path / "loud.wav", loud, RATE, "float32")
    tracks = tuple(Track(name, tmp_path / "loud.wav", "#112233") for name in "ABCD")
    report = export_to(make_project(tracks=tracks), "nistems")
    assert any("dB lower" in words for words in report.dropped)
    read = [samples(Path(report.folder) / report.open_with, stream) for stream in range(5)]
    assert np.array_equal(read[0], sum(read[1:]))
    assert read[0].max() / FULL == pytest.approx(1, abs=2e-5)


def test_what_no_stem_file_can_hold_is_refused_in_words(make_project, export_to, tmp_path):
    write_audio(tmp_path / "six.wav", np.zeros((6, FRAMES), np.float32), RATE, "float32")
    tracks = (Track("All", tmp_path / "six.wav", "#112233"),)
    with pytest.raises(InputError, match="All has 6 channels"):
        export_to(make_project(tracks=tracks), "nistems")
    write_audio(tmp_path / "odd.wav", np.zeros((2, 100), np.float32), 12345, "float32")
    tracks = (Track("Odd", tmp_path / "odd.wav", "#112233"),)
    odd = make_project(tracks=tracks, sample_rate_hz=12345, frames=100)
    with pytest.raises(UsageError, match="12345 Hz"):
        export_to(odd, "nistems", encoding="aac")
    assert not any(path.name.startswith(".nistems") for path in tmp_path.iterdir())


@pytest.mark.parametrize("encoding", ["pcm24", "aac"])
def test_the_same_song_gives_the_same_bytes(make_project, tmp_path, encoding):
    contents = []
    for out in (tmp_path / "one", tmp_path / "two"):
        options = ExportOptions(encoding=encoding)
        report = export(make_project(), "nistems", out, options, JobContext())
        contents.append((Path(report.folder) / report.open_with).read_bytes())
    assert contents[0] == contents[1]


@pytest.mark.skipif(shutil.which("ffprobe") is None, reason="ffprobe is not installed")
def test_ffprobe_finds_five_streams_of_one_length(make_project, stem_file):
    done = subprocess.run(
        ["ffprobe", "-v", "error", "-show_streams", "-of", "json", stem_file(make_project())],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stderr == ""
    streams = json.loads(done.stdout)["streams"]
    assert [stream["codec_name"] for stream in streams] == ["alac"] * 5
    assert {stream["duration_ts"] for stream in streams} == {FRAMES}
    assert {stream["bits_per_raw_sample"] for stream in streams} == {"24"}


@pytest.mark.skipif(
    importlib.util.find_spec("stempeg") is None or shutil.which("ffmpeg") is None,
    reason="stempeg, or the ffmpeg that it needs, is not installed",
)
def test_stempeg_reads_mix_and_stems(make_project, stem_file):
    import stempeg

    path = stem_file(make_project())
    read, rate = stempeg.read_stems(str(path), dtype=np.float64)
    assert (rate, read.shape) == (RATE, (5, FRAMES, 2))
    for stream, part in enumerate(read):
        assert np.abs(part.T * FULL - samples(path, stream)).max() < 1
