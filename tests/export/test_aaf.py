"""The target `aaf`, read back with pyaaf2 and, where it is installed, with libaaf's `aaftool`."""

import os
import shutil
import subprocess
from pathlib import Path

import aaf2
import numpy as np
import pytest
import soundfile

from tests.export.conftest import FRAMES, RATE
from workstation.audio import write_audio
from workstation.export import ExportOptions, Timeline, Track, export
from workstation.export.aaf import write_aaf
from workstation.export.target import Plan
from workstation.model import JobContext, Section

NAMES = ("歌🎛️", "&<>\"'`", "x" * 300, "歌🎛️")
COMBINER = "6b46dd7a-132d-4856-ab21-8b751d8462ec"
AAFTOOL = os.environ.get("AAFTOOL") or shutil.which("aaftool")


@pytest.fixture
def opened(export_to):
    """Exports a project and opens the AAF with pyaaf2."""
    files = []

    def run(project, **options):
        report = export_to(project, "aaf", **options)
        files.append(aaf2.open(str(Path(report.folder) / report.open_with)))
        return files[-1]

    yield run
    for file in files:
        file.close()


def sound_slots(file):
    (composition,) = file.content.toplevel()
    return [slot for slot in composition.slots if slot.media_kind == "Sound"]


def clips_of(slot):
    """The clips of a track that has one combiner or one clip."""
    (part,) = slot.segment.components
    return list(part.segments) if isinstance(part, aaf2.components.OperationGroup) else [part]


def samples_of(clip):
    """24-bit samples that a clip plays, followed from mob to mob down to the essence."""
    master = clip.mob
    source = master.slot_at(clip.slot_id).segment.mob
    data = np.frombuffer(bytes(source.essence.open("r").read()), np.uint8).reshape(-1, 3)
    wide = np.zeros((len(data), 4), np.uint8)
    wide[:, 1:] = data
    return wide.view("<i4")[:, 0] >> 8


def stem_samples(folder):
    """24-bit samples of the target `stems`, which is checked elsewhere, by file name."""
    return {
        path.name: (soundfile.read(path, dtype="int32", always_2d=True)[0] >> 8).T
        for path in sorted(Path(folder).glob("*.wav"))
    }


def renamed(project, names):
    return tuple(
        Track(name, track.path, track.colour)
        for name, track in zip(names, project.tracks, strict=True)
    )


def test_every_sample_is_that_of_the_stems(make_project, export_to, opened):
    stems = stem_samples(export_to(make_project(), "stems").folder)
    file = opened(make_project())
    slots = sound_slots(file)
    assert len(slots) == len(stems) == 4
    for slot, stem in zip(slots, stems.values(), strict=True):
        clips = clips_of(slot)
        assert len(clips) == len(stem)
        for clip, channel in zip(clips, stem, strict=True):
            assert np.array_equal(samples_of(clip), channel)


def test_tracks_start_at_zero_and_have_the_rate_and_length_of_the_song(make_project, opened):
    file = opened(make_project())
    for number, slot in enumerate(sound_slots(file), start=1):
        assert (slot.edit_rate, slot.origin, slot.length) == (RATE, 0, FRAMES)
        assert slot["PhysicalTrackNumber"].value == number
        for clip in clips_of(slot):
            assert (clip.start, clip.length) == (0, FRAMES)
            source = clip.mob.slot_at(1).segment.mob
            pcm = source.descriptor
            assert (pcm["Channels"].value, pcm["QuantizationBits"].value) == (1, 24)
            assert (pcm["SampleRate"].value, pcm.length) == (RATE, FRAMES)
            assert source.slot_at(1).segment.mob.descriptor is not None  # The tape.


def test_stereo_is_two_mono_essences_in_the_channel_combiner(make_project, opened):
    file = opened(make_project())
    drums, bass, *_ = sound_slots(file)
    (group,) = drums.segment.components
    assert str(group.operation.auid) == COMBINER
    assert [clip.mob.name for clip in group.segments] == ["Drums.L", "Drums.R"]
    assert [(t.name, t.value) for t in drums["TimelineMobAttributeList"]] == [("_TRACK_FORMAT", 2)]
    (clip,) = bass.segment.components
    assert clip.mob.name == "Bass"
    assert [(t.name, t.value) for t in bass["TimelineMobAttributeList"]] == [("_TRACK_FORMAT", 1)]


def test_more_than_two_channels_stay_together(make_project, opened, tmp_path):
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (6, FRAMES)).astype(np.float32)
    write_audio(tmp_path / "surround.wav", samples, RATE, "float32")
    file = opened(make_project(tracks=(Track("All", tmp_path / "surround.wav", "#112233"),)))
    (slot,) = sound_slots(file)
    assert next(iter(slot["TimelineMobAttributeList"])).value == 3
    for clip, channel in zip(clips_of(slot), samples, strict=True):
        assert np.abs(samples_of(clip) / 2**23 - channel).max() <= 2**-24 + 1e-9


def test_names_of_all_kinds_arrive_whole(make_project, opened):
    project = make_project()
    file = opened(make_project(title="歌 & <b>", tracks=renamed(project, NAMES)))
    assert next(iter(file.content.toplevel())).name == "歌 & <b>"
    assert [slot.name for slot in sound_slots(file)] == list(NAMES)


def test_equal_stems_keep_ids_of_their_own(make_project, opened):
    track = make_project().tracks[0]
    file = opened(make_project(tracks=(track, track)))
    assert len({clip.mob.mob_id for slot in sound_slots(file) for clip in clips_of(slot)}) == 4


def test_sections_are_markers_at_their_samples(make_project, opened):
    sections = (
        Section(-0.5, 1.3, "A 歌"),
        Section(1.3, 99.0, "B & <b>"),
        Section(99.0, 100.0, "C"),
    )
    file = opened(make_project(sections=sections))
    (composition,) = file.content.toplevel()
    (slot,) = (s for s in composition.slots if s.media_kind == "DescriptiveMetadata")
    assert slot.edit_rate == RATE
    found = [(e["Position"].value, e["Comment"].value) for e in slot.segment.components]
    assert found == [(0, "A 歌"), (round(1.3 * RATE), "B & <b>"), (FRAMES - 1, "C")]
    bare = opened(make_project(sections=()), overwrite=True)
    assert all(s.media_kind != "DescriptiveMetadata" for s in next(bare.content.toplevel()).slots)


def test_the_same_song_gives_the_same_bytes_and_other_audio_other_ids(
    make_project, stem_files, tmp_path
):
    contents = []
    for out in (tmp_path / "one", tmp_path / "two"):
        report = export(make_project(), "aaf", out, ExportOptions(), JobContext())
        contents.append((Path(report.folder) / report.open_with).read_bytes())
    assert contents[0] == contents[1]
    drums, bass, *_ = make_project().tracks
    ids = []
    for path in (drums.path, bass.path):
        project = make_project(tracks=(Track("Same", path, "#112233"),))
        report = export(
            project, "aaf", tmp_path / "ids", ExportOptions(overwrite=True), JobContext()
        )
        with aaf2.open(str(Path(report.folder) / report.open_with)) as file:
            ids.append({mob.mob_id for mob in file.content.mobs})
    assert not ids[0] & ids[1]


def test_a_kit_that_wants_float_stems_gets_the_same_aaf(make_project, export_to, tmp_path):
    project = make_project()
    timeline = Timeline.of(project.grid, project.duration_s)
    (tmp_path / "kit").mkdir()
    plan = Plan(project, timeline, ExportOptions(encoding="float32"))
    written = write_aaf(plan, tmp_path / "kit", JobContext())
    report = export_to(project, "aaf")
    alone = (Path(report.folder) / report.open_with).read_bytes()
    assert (tmp_path / "kit" / written.open_with).read_bytes() == alone
    assert [path.name for path in (tmp_path / "kit").iterdir()] == [written.open_with]


@pytest.mark.skipif(AAFTOOL is None, reason="aaftool of libaaf is not installed")
def test_libaaf_reads_tracks_markers_and_samples(make_project, export_to, tmp_path):
    report = export_to(make_project(), "aaf")
    path = tmp_path / "moved.aaf"
    shutil.move(Path(report.folder) / report.open_with, path)

    def tool(*arguments):
        done = subprocess.run(
            [AAFTOOL, "--no-color", *map(str, arguments), path],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout

    text = tool("--aaf-clips", "--pos-format", "samples")
    lines = [line for line in text.splitlines() if "AudioTrack[" in line]
    formats = [line.split("Format: ")[1].split()[0] for line in lines]
    assert [line.split('Name: "')[1].rstrip('"') for line in lines] == [
        "Drums", "Bass", "Other", "Vocals",
    ]  # fmt: skip
    assert formats == ["STEREO", "MONO", "STEREO", "STEREO"]
    assert text.count(f"Len: {FRAMES} ") == 4
    assert [line.split('"')[-2] for line in text.splitlines() if " Marker[" in line] == ["A", "B"]
    (tmp_path / "out").mkdir()
    tool("--extract-essences", "--extract-path", tmp_path / "out")
    stems = stem_samples(export_to(make_project(), "stems").folder)
    for name, stem in zip(("Drums", "Bass", "Other", "Vocals"), stems.values(), strict=True):
        suffixes = [""] if len(stem) == 1 else [".L", ".R"]
        for suffix, channel in zip(suffixes, stem, strict=True):
            read, rate = soundfile.read(tmp_path / "out" / f"{name}{suffix}.wav", dtype="int32")
            assert rate == RATE
            assert np.array_equal(read >> 8, channel)
