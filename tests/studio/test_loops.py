"""Loop packs: whole bars, exact to the grid, that samplers and DAWs understand."""

import struct

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.studio.bands import band, noise
from workstation.audio import read_audio
from workstation.audio.riff import walk_chunks
from workstation.model import (
    BeatGrid,
    CancelledError,
    ExistsError,
    InputError,
    JobContext,
    Section,
    UsageError,
)
from workstation.studio.loops import faded, loops_beside, plan_cuts

RATE = 8000


def chunks(path):
    with path.open("rb") as file:
        found = {}
        for part in walk_chunks(file):
            file.seek(part.start)
            found[part.name] = file.read(part.size)
        return found


@pytest.fixture
def song(tmp_path):
    """Sixteen bars of 120.5 bpm; the bass rests in the second half."""
    grid = BeatGrid.constant(bpm=120.5, first_beat_s=0.25, duration_s=33.0, first_downbeat=1)
    frames = 33 * RATE
    stems = {
        "drums": noise(frames=frames, seed=1),
        "bass": noise(frames=frames, seed=2),
        "vocals": noise(frames=frames, seed=3, channels=1),
    }
    stems["bass"][:, frames // 2 :] = 0
    session = band(tmp_path, stems, rate=RATE)
    session.analyze()
    session.set_grid(grid)
    sections = (Section(0, 8.2, "A"), Section(8.2, 20.0, "B"), Section(20.0, 33.0, "A"))
    analysis = session.analysis
    with session._editing():
        session._save_analysis(msgspec.structs.replace(analysis, sections=sections))
    return stems, session, grid


def test_loops_are_the_stems_between_downbeats_to_the_frame(song, tmp_path):
    stems, session, grid = song
    pack = session.loops(tmp_path / "pack", bars=2, encoding="float32")
    assert pack.silent == 1
    assert len(pack.files) == 3 * 3 - 1
    assert sorted(p.name for p in pack.folder.iterdir()) == sorted(pack.files)
    downbeats = [round(t * RATE) for t in grid.downbeats_s]
    for name in pack.files:
        got, rate = read_audio(pack.folder / name)
        assert rate == RATE
        stem = name.split(" - ")[1]
        number = int(name.split(" - ")[2][:2])
        start = {1: downbeats[0], 2: downbeats[4], 3: downbeats[10]}[number]
        end = downbeats[downbeats.index(start) + 2]
        truth = np.broadcast_to(stems[stem][:, start:end], (2, end - start))
        assert got.shape == truth.shape
        fade = round(0.0015 * RATE)
        assert np.array_equal(got[:, fade:-fade], truth[:, fade:-fade])
        assert np.abs(got[:, 0]).max() < 0.02


def test_names_and_chunks_tell_tempo_meter_and_length(song, tmp_path):
    _, session, _ = song
    pack = session.loops(tmp_path / "pack", bars=4)
    name = next(n for n in pack.files if " drums - 02 B" in n)
    assert name.startswith("Band - drums - 02 B - 4 bars 120.5 bpm")
    found = chunks(pack.folder / name)
    frames = len(found[b"data"]) // 6
    flags, _root, _, _, beats, lower, upper, bpm = struct.unpack("<IHHfIHHf", found[b"acid"])
    assert (flags & 1, flags & 4, beats, upper, lower) == (0, 4, 16, 4, 4)
    assert bpm == pytest.approx(60 * 16 * RATE / frames)
    assert bpm == pytest.approx(120.5, abs=0.01)
    sampler = struct.unpack("<15I", found[b"smpl"])
    assert (sampler[7], sampler[11], sampler[12], sampler[14]) == (1, 0, frames - 1, 0)
    assert sampler[2] == round(1e9 / RATE)


def test_an_independent_reader_finds_the_loop(song, tmp_path):
    wavinfo = pytest.importorskip("wavinfo")
    _, session, _ = song
    pack = session.loops(tmp_path / "pack")
    info = wavinfo.WavInfoReader(str(pack.folder / pack.files[0]))
    assert info.smpl.sample_loops[0].start == 0
    assert info.smpl.sample_loops[0].end == info.data.frame_count - 1
    assert info.smpl.midi_note == 60


def test_nothing_is_replaced_unasked_and_nothing_left_half(song, tmp_path):
    _, session, _ = song
    pack = session.loops(tmp_path / "pack")
    before = {p.name: p.stat().st_mtime_ns for p in pack.folder.iterdir()}
    with pytest.raises(ExistsError, match="is there already"):
        session.loops(tmp_path / "pack")
    assert before == {p.name: p.stat().st_mtime_ns for p in pack.folder.iterdir()}
    session.loops(tmp_path / "pack", overwrite=True)

    job = JobContext(lambda fraction, _: fraction > 0.8 and job.cancel())
    with pytest.raises(CancelledError):
        session.loops(tmp_path / "other", job=job)
    assert not (tmp_path / "other").exists()


def test_two_packs_at_once_in_one_folder_do_not_disturb_each_other(song, tmp_path):
    _, session, _ = song
    packs = []

    def listener(fraction, _):
        if fraction > 0.8 and not packs:
            packs.append(session.loops(tmp_path / "pack", bars=1))

    packs.append(session.loops(tmp_path / "pack", bars=2, job=JobContext(listener)))
    names = [name for pack in packs for name in pack.files]
    assert sorted(path.name for path in (tmp_path / "pack").iterdir()) == sorted(names)
    assert len(names) == 2 * (3 * 3 - 1)


def test_a_pack_that_comes_second_replaces_nothing_unasked(song, tmp_path):
    _, session, _ = song
    first = []

    def listener(fraction, _):
        if fraction > 0.8 and not first:
            pack = session.loops(tmp_path / "pack")
            first.append({p: p.stat().st_mtime_ns for p in pack.folder.glob("*.wav")})

    with pytest.raises(ExistsError, match="is there already"):
        session.loops(tmp_path / "pack", job=JobContext(listener))
    assert first == [{p: p.stat().st_mtime_ns for p in (tmp_path / "pack").iterdir()}]


def test_what_a_killed_process_left_is_taken_away(song, tmp_path):
    _, session, _ = song
    left = tmp_path / "pack" / ".loops-1.partial"
    left.mkdir(parents=True)
    (left / "half.wav").write_bytes(b"0")
    pack = session.loops(tmp_path / "pack")
    assert sorted(p.name for p in pack.folder.iterdir()) == sorted(pack.files)


def test_loops_beside_an_export_tell_how_much_of_them_clips(song, tmp_path):
    stems, session, _ = song
    loud = {name: 6 * samples for name, samples in stems.items()}
    other = band(tmp_path, loud, rate=RATE, name="Loud")
    other.analyze()
    other.set_grid(session.analysis.grid)
    quiet = loops_beside(session, 2)(tmp_path / "quiet", JobContext())
    assert not any("full scale" in words for words in quiet)
    report = other.export("reaper", out=tmp_path / "out", layout="dj-edit")
    (told,) = [words for words in report.dropped if words.startswith("The peaks of the loops")]
    beyond = sum(
        int((np.abs(read_audio(path)[0]) >= 1 - 2**-23).sum())
        for path in (tmp_path / "out" / "reaper" / "loops").iterdir()
    )
    count = int(told.split(": ")[1].split()[0])
    assert count > 1000
    assert count == pytest.approx(beyond, rel=0.001)
    assert told in " ".join((tmp_path / "out/reaper/README.txt").read_text().split())


def test_only_targets_with_audio_have_loops_beside_them(song, tmp_path):
    _, session, _ = song
    with_audio = session.export("stems", out=tmp_path, layout="dj-edit")
    assert any(name.startswith("loops/") for name in with_audio.files)
    without = session.export("midi", out=tmp_path, layout="dj-edit")
    assert not any(name.startswith("loops/") for name in without.files)
    assert not any("loops" in words for words in without.dropped)


def test_what_makes_no_loop_is_told(tmp_path):
    session = band(tmp_path, {"drums": np.zeros((1, 20000), np.float32)})
    with pytest.raises(InputError, match="no beat"):
        session.loops(tmp_path / "pack")
    for bars in (0, 65):
        with pytest.raises(UsageError, match="bars"):
            session.loops(tmp_path / "pack", bars=bars)
    assert not (tmp_path / "pack").exists()


@given(
    bpm=st.floats(50, 200),
    first=st.floats(0, 3),
    per_bar=st.integers(2, 7),
    bars=st.integers(1, 16),
    starts=st.lists(st.floats(0, 59), min_size=1, max_size=8, unique=True).map(sorted),
)
def test_cuts_are_whole_bars_inside_the_song(bpm, first, per_bar, bars, starts):
    grid = BeatGrid.constant(bpm=bpm, first_beat_s=first, duration_s=60, beats_per_bar=per_bar)
    ends = [*starts[1:], 60.0]
    sections = [Section(a, b, "A") for a, b in zip(starts, ends, strict=True)]
    cuts = plan_cuts(grid, sections, bars, 44100, 60 * 44100)
    edges = {round(grid.time_at(grid.beat_of_bar(n)) * 44100) for n in range(1, 300)}
    for cut in cuts:
        assert {cut.start, cut.end} <= edges
        assert 0 <= cut.start < cut.end <= 60 * 44100
        assert 1 <= cut.bars <= bars
        assert cut.beats == cut.bars * per_bar
        assert (cut.end - cut.start) / 44100 == pytest.approx(cut.beats * 60 / bpm, abs=3e-5)
    assert len({cut.start for cut in cuts}) == len(cuts)


def test_fades_touch_nothing_but_the_ends():
    samples = np.ones((2, 4410), np.float32)
    out = faded(samples, 44100)
    assert (out[:, 66:-66] == 1).all()
    assert out[0, 0] < 0.01
    assert np.array_equal(out, out[:, ::-1])
    assert faded(samples[:, :1], 44100).shape == (2, 1)
