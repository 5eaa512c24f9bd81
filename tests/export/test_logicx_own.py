"""A project of the user's own for Logic Pro: filled, read back, and all else as it was."""

import contextlib
import os
import plistlib
import struct
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.export.conftest import FRAMES, RATE, TempoMap, read_midi, worst_beat_s
from tests.export.logicx_files import (
    BUNDLES,
    audio_file,
    events_of,
    files_in,
    framed,
    make_bundle,
    name_at,
    own_records,
    placed,
    raw,
    read_logicx,
    unframed,
)
from workstation.export import ExportOptions, Timeline, Track, export
from workstation.export.logicx import decode, encode
from workstation.export.logicx_own import fill_own
from workstation.export.logicx_parts import Stem, file_record, marker_text, region_record
from workstation.export.markers import Marker
from workstation.export.timeline import MeterPoint
from workstation.model import (
    BeatGrid,
    CancelledError,
    InputError,
    JobContext,
    Section,
    UsageError,
)

DRIFTING = BeatGrid(tuple(0.05 + 0.5 * k + 0.01 * (k % 3) for k in range(8)), (1, 4, 7), 3)
NAMES = ["歌 🎛️", "A & <b> \"c\" 'd'", "x" * 300, "x" * 300]
RATES = {44100: (0, 0xE970, 0xE970), 48000: (0x16, 0xF8AC, 0xF8AC)}
DATA = "Alternatives/000/ProjectData"
ABOUT = "Alternatives/000/MetaData.plist"
WHOLE = framed(own_records())
SOMETHING = [Stem(n, n, f"{n}.wav", 1000, 44, 16, 9, RATE, 2, 24) for n in ("a", "Bass", "c")]


@pytest.fixture
def filled(make_project, export_to, tmp_path):
    """Exports into a project of one's own; gives the report, the copy, and what it says."""

    def run(project=None, own=None, **options):
        own = own or make_bundle(tmp_path / "Mine.logicx")
        report = export_to(project or make_project(), "logic", own_project=own, **options)
        bundle = Path(report.folder) / report.open_with
        return report, bundle, read_logicx(bundle)

    return run


def notes(report):
    return " ".join(report.dropped)


# -- what is asked is there -----------------------------------------------------------------------


def test_stems_come_onto_tracks_of_their_name_and_then_onto_empty_ones(filled, stem_files):
    report, bundle, said = filled()
    assert report.open_with == "Song one two.logicx"
    # Bass by its name; the others in their order, where nothing is; the instrument stays.
    assert said["tracks"] == ["Vocals", "Bass", "Synth", "Drums", "Other"]
    assert [r["track"] for r in said["regions"]] == ["Vocals", "Bass", "Drums", "Other"]
    for region in said["regions"]:
        stem = stem_files[region["name"].lower()][1]
        assert region["name"] == region["track"]
        assert region["channel"]
        assert region["quarter"] == 0
        assert region["folder"] == "Audio Files"
        assert region["format"] == (RATE, len(stem), 24)
        path = bundle / "Media" / "Audio Files" / region["file"]
        assert region["bytes"] == path.stat().st_size
        start, frames = region["samples"]
        assert frames == region["frames"] == FRAMES
        content = path.read_bytes()
        assert struct.unpack_from("<I", content, 4)[0] == len(content) - 8
        assert content[start - 8 : start - 4] == b"data"
        samples, rate = soundfile.read(path, always_2d=True)
        assert rate == RATE
        assert np.abs(samples.T - stem).max() < 2**-23
        overview = content[content.rindex(b"LGWV") + 8 :]
        assert struct.unpack_from("<I", overview)[0] == FRAMES
        assert len(overview) == 8 + 2 * -(-FRAMES // 256)
        peaks = np.frombuffer(overview[8:], np.int8).reshape(-1, 2)
        assert peaks[3, 1] == int(np.abs(stem[:, 768:1024]).max() * 127)
    for words in (
        "Song one two.logicx is Mine.logicx with the stems on the tracks Drums (was Audio 2), "
        "Bass, Other (was Audio 3), Vocals (was Audio 1)",
        "Regions on the track Audio 1 gave way: 1.",
        "Markers of Mine.logicx gave way: 1.",
        "Not yet confirmed in Logic Pro itself",
    ):
        assert words in notes(report)
    readme = " ".join((Path(report.folder) / "README.txt").read_text().split())
    assert "the Project Audio browser has every stem" in readme
    assert "the end of the project is after that of the song" in readme


@pytest.mark.parametrize("rate", [44100, 48000])
@pytest.mark.parametrize("grid", [None, DRIFTING])
def test_tempos_meters_markers_and_rate_are_those_of_the_song(
    make_project, filled, tmp_path, grid, rate
):
    own = make_bundle(tmp_path / "Mine.logicx", rate=rate)
    report, bundle, said = filled(make_project(grid=grid), own, bar_markers=True)
    tempos, meters, markers = read_midi(Path(report.folder) / "tempo-map.mid")
    assert said["rate"] == RATES[RATE]
    # MIDI has tempos in whole microseconds a quarter, so its ticks may be another way round.
    assert [q for q, _ in said["tempos"]] == pytest.approx([q for q, _ in tempos.points], abs=2e-3)
    assert said["meters"] == [(pytest.approx(q, abs=2e-3), n, d) for q, n, d in meters]
    assert [name for _, name in said["markers"]] == [name for _, name in markers]
    assert [q for q, _ in said["markers"]] == pytest.approx([q for q, _ in markers], abs=2e-3)
    assert said["song_bpm"] == [said["tempos"][0][1]] * 3
    exact = TempoMap(said["tempos"])
    assert said["clock_s"] == pytest.approx([exact.time_at(q) for q, _ in said["tempos"]], abs=1e-3)
    if grid is not None:
        assert worst_beat_s(grid, exact, said["meters"]) < 0.6e-3
    about = plistlib.loads((bundle / ABOUT).read_bytes())
    assert about["BeatsPerMinute"] == pytest.approx(said["tempos"][0][1], abs=1e-3)
    assert about["SampleRate"] == RATE
    assert (about["SongSignatureNumerator"], about["SongSignatureDenominator"]) == meters[0][1:]
    assert about["AudioFiles"][0] == "Audio Files/mine.wav"
    assert sorted(about["AudioFiles"][1:]) == sorted(
        f"Audio Files/{r['file']}" for r in said["regions"]
    )


def test_every_change_of_meter_begins_at_its_bar():
    meters = [(0, 4, 4), (8, 5, 8), (13, 3, 4), (22, 7, 16)]  # Bars 1, 3, 5 and 8.
    timeline = msgspec.structs.replace(
        Timeline.of(None, 15.0), meters=tuple(MeterPoint(q / 2, q, n, d) for q, n, d in meters)
    )
    data = fill_own(decode(WHOLE, "x"), SOMETHING, timeline, [], RATE, "x").data
    (sequence,) = (r for r in data.records if (r.tag, r.kind) == ("EvSq", 1))
    first, *later = [e for e in events_of(sequence.payload) if e[0] == 0x30]
    assert [(e[12], 1 << e[11]) for e in (first, *later)] == [(n, d) for _, n, d in meters]
    assert [struct.unpack_from("<I", e, 24)[0] for e in later] == [2, 4, 7]
    for at in (4, 28):
        assert [struct.unpack_from("<I", e, at)[0] - 38400 for e in later] == [
            q * 960 for q, *_ in meters[1:]
        ]


@pytest.mark.parametrize("title", NAMES[:3])
def test_names_of_all_kinds(make_project, filled, stem_files, title):
    path = next(iter(stem_files.values()))[0]
    project = make_project(
        title=title,
        tracks=tuple(Track(name, path, "#ffffff") for name in NAMES),
        sections=tuple(Section(k, k + 1.0, name) for k, name in enumerate(NAMES)),
    )
    _, bundle, said = filled(project)
    assert bundle.is_dir()
    assert bundle.name.isascii()
    assert [name for _, name in said["markers"]] == NAMES
    assert len(said["regions"]) == 4
    assert len({r["file"] for r in said["regions"]}) == 4
    assert "Synth" in said["tracks"]
    assert all(name.isascii() and len(name) <= 60 for name in said["tracks"])


def test_a_filled_project_can_be_filled_again(make_project, filled, tmp_path):
    _, bundle, first = filled()
    own = bundle.rename(tmp_path / "Again.logicx")
    report, bundle, said = filled(make_project(sections=()), own, overwrite=True)
    assert said["tracks"] == first["tracks"]
    assert len(said["regions"]) == 4
    assert {r["file"] for r in said["regions"]}.isdisjoint({r["file"] for r in first["regions"]})
    assert said["markers"] == []
    assert "Drums, Bass, Other, Vocals." in notes(report)
    records = unframed((bundle / DATA).read_bytes())
    numbers = [index for tag, _, index, *_ in records if tag == "AuFl"]
    assert numbers == [k << 18 for k in range(9)]
    ends = [p[len(p) - 122 :] for tag, *_, p in records if tag == "AuFl"]
    assert [struct.unpack_from("<I", e, 0x38)[0] for e in ends] == list(range(1, 10))
    links = [struct.unpack_from("<I", e, 0x3E)[0] for e in ends]
    assert links == [*(4 * k for k in range(1, 9)), 0xFFFFFFFF]
    ids = [p[-40:-24] for tag, *_, p in records if tag == "AuRg"]
    assert len(set(ids)) == 9


def test_a_name_of_a_file_that_is_gone_is_not_given_again(filled, tmp_path):
    records = own_records()
    at = next(k for k, r in enumerate(records) if r.startswith(b"lFuA"))
    records[at] = audio_file("01 DRUMS.wav", 0, 1, 0xFFFFFFFF)
    _, _, said = filled(own=make_bundle(tmp_path / "Mine.logicx", framed(records)))
    assert {r["file"] for r in said["regions"] if r["name"] == "Drums"} == {"01 Drums 2.wav"}


def test_a_mono_track_becomes_stereo_for_a_stereo_stem(filled, tmp_path):
    mono = ("Audio 1", "Bass", "Audio 3")  # The stem Bass is mono.
    report, bundle, _ = filled(own=make_bundle(tmp_path / "Mine.logicx", mono=mono))
    strips = [p for tag, *_, p in unframed((bundle / DATA).read_bytes()) if tag == "AuCO"]
    sides = [(p[0x4E], p[0x56], p[0x7B]) for p in strips]
    assert sides == [(0xD7, 1, 2), (0xD3, 0, 1), (0xD7, 1, 2), (0xD7, 1, 2), (0xD7, 1, 2)]
    assert "Tracks that were mono are stereo: Other, Vocals." in notes(report)
    # With plug-ins in it, it stays as it is.
    own = make_bundle(tmp_path / "Other.logicx", mono=mono, strips=205)
    report, bundle, _ = filled(own=own, overwrite=True)
    strips = [p for tag, *_, p in unframed((bundle / DATA).read_bytes()) if tag == "AuCO"]
    assert [p[0x7B] for p in strips] == [1, 1, 2, 2, 1]
    assert "The second channel of Other, Vocals" in notes(report)


def test_a_project_without_a_marker_track_is_told(filled, tmp_path):
    own = make_bundle(tmp_path / "Mine.logicx", markers=False)
    report, _, said = filled(own=own)
    assert said["markers"] == []
    assert "Mine.logicx has no marker track. Make a marker in Logic Pro" in notes(report)


# -- all else is as it was ------------------------------------------------------------------------


def differences(before, after):
    """Records that changed, as (tag, kind, index, offsets); files of stems and texts are taken out.

    What is added must follow what was there.
    """
    old, new = unframed(before), unframed(after)
    extra = [r for r in new if r[0] in {"AuFl", "AuRg"}][
        sum(r[0] in {"AuFl", "AuRg"} for r in old) :
    ]
    for record in extra:
        new.remove(record)
    texts = [r for r in new if r[0] == "TxSq" and r not in old]
    for record in texts:
        new.remove(record)
    kept = {(r[0], r[2]) for r in new}
    old = [r for r in old if r[0] != "TxSq" or (r[0], r[2]) in kept]
    assert [r[:4] for r in new] == [r[:4] for r in old]
    changed = []
    for a, b in zip(old, new, strict=True):
        if a != b:
            same = len(a[4]) == len(b[4])
            offsets = (
                {k for k, (x, y) in enumerate(zip(a[4], b[4], strict=True)) if x != y}
                if same
                else None
            )
            changed.append((*a[:3], offsets, a[4], b[4]))
    return changed


def check_only_what_may_change(before, after, rows):
    """The tempo map, the meters, the markers, the arrangement, and the tracks that got a stem."""
    song = {
        *range(0x6E, 0x72),
        *range(0xC6, 0xCA),
        *range(0x382, 0x386),
        0xDF,
        *range(0x11E, 0x122),
    }
    sequences = {(1, 0), (3, 0), (0x16, 0x40000), (0x17, 0x40000)}
    for tag, kind, index, offsets, old, new in differences(before, after):
        if tag == "Song":
            assert offsets <= song
        elif tag == "EvSq":
            assert (kind, index) in sequences
            if kind == 1:
                assert [e for e in events_of(old) if e[0] != 0x30] == [
                    e for e in events_of(new) if e[0] != 0x30
                ]
            if kind == 0x17:
                assert [e for e in events_of(old) if e[0x14] not in rows] == [
                    e for e in events_of(new) if e[0x14] not in rows
                ]
        elif tag == "Envi":
            assert old[:0x9E] == new[:0x9E]
            assert old[name_at(old, 0x9E)[1] :] == new[name_at(new, 0x9E)[1] :]
        elif tag == "AuFl":
            assert offsets <= set(range(len(old) - 122 + 0x3E, len(old) - 122 + 0x42))
        elif tag == "AuCO":
            assert offsets == {0x4E, 0x56, 0x7B}
        else:
            raise AssertionError(tag)


def test_all_else_is_as_it_was(filled, tmp_path):
    own = make_bundle(tmp_path / "Mine.logicx", mono=("Audio 2",))
    before = files_in(own)
    report, bundle, said = filled(own=own)
    assert files_in(own) == before
    after = files_in(bundle)
    added = {f"Media/Audio Files/{r['file']}" for r in said["regions"]}
    assert set(after) - set(before) == added
    assert {name for name in before if before[name] != after[name]} == {DATA, ABOUT}
    check_only_what_may_change(before[DATA], after[DATA], {1, 2, 4, 5})
    about, old = (plistlib.loads(f[ABOUT]) for f in (after, before))
    assert {k for k in old if old[k] != about[k]} == {"AudioFiles", "BeatsPerMinute"}
    assert not list(Path(report.folder).rglob("*.partial"))


@pytest.mark.skipif(not BUNDLES, reason="no projects of Logic here")
@pytest.mark.parametrize("own", BUNDLES, ids=lambda path: path.stem)
def test_projects_that_logic_saved_are_filled_and_all_else_is_as_it_was(make_project, filled, own):
    content = (own / DATA).read_bytes()
    assert encode(decode(content, "x")) == content
    before = files_in(own)
    tracks = {"F18_audio": 1, "F19_multi_base": 3, "F19b_4audio": 4, "F21_multitrack_regions": 3}
    count = tracks[own.stem]
    project = make_project(grid=DRIFTING)
    if count < 4:
        with pytest.raises(InputError, match=f"audio tracks: {count} for 4 stems") as caught:
            filled(project, own)
        assert f"make {4 - count} more" in caught.value.remedy
    project = msgspec.structs.replace(project, tracks=project.tracks[:count])
    report, bundle, said = filled(project, own)
    assert files_in(own) == before
    after = files_in(bundle)
    assert {name for name in before if before[name] != after[name]} == {DATA, ABOUT}
    check_only_what_may_change(content, after[DATA], set(range(1, count + 1)))
    assert [r["track"] for r in said["regions"]] == [t.name for t in project.tracks]
    assert [r["frames"] for r in said["regions"]] == [FRAMES] * count
    assert worst_beat_s(DRIFTING, TempoMap(said["tempos"]), said["meters"]) < 0.6e-3
    assert [name for _, name in said["markers"]] == ["A", "B"]
    assert ("are stereo: Vocals" in notes(report)) == (own.stem == "F19b_4audio")


@pytest.mark.skipif(not BUNDLES, reason="no projects of Logic here")
def test_another_reader_of_the_format_finds_the_same(make_project, filled):
    logicx = pytest.importorskip("logicx", reason="the package logicx is not here")
    own = next(path for path in BUNDLES if path.stem == "F19b_4audio")
    _, bundle, said = filled(make_project(grid=DRIFTING), own)
    data = logicx.projectdata.ProjectData.parse((bundle / DATA).read_bytes())
    assert [(t / 960, bpm) for t, bpm in data.get_tempo_map()] == [
        (q, pytest.approx(bpm, abs=1e-4)) for q, bpm in said["tempos"]
    ]
    assert [(t / 960, n, d) for t, n, d in data.get_meter_map()] == said["meters"]
    assert data.audio_track_filenames() == {
        k: r["file"] for k, r in enumerate(said["regions"], start=1)
    }


# -- against what Logic wrote ---------------------------------------------------------------------


@pytest.mark.skipif(not BUNDLES, reason="no projects of Logic here")
def test_files_and_regions_are_written_as_logic_writes_them():
    seen = 0
    for own in BUNDLES:
        records = unframed((own / DATA).read_bytes())
        regions = {index: (head, p) for tag, _, index, head, p in records if tag == "AuRg"}
        for tag, _, index, head, theirs in records:
            if tag != "AuFl":
                continue
            seen += 1
            path = (
                own / "Media" / "Audio Files" / theirs[10 : 10 + 2 * theirs[8]].decode("utf-16-le")
            )
            content, at = path.read_bytes(), len(theirs) - 122
            overview = content.rindex(b"LGWV")
            info = soundfile.info(path)
            ordinal, following = (struct.unpack_from("<I", theirs, at + k)[0] for k in (0x38, 0x3E))
            stem = Stem(
                name=path.stem, called="", file=path.name, file_bytes=len(content),
                data_start=content.index(b"data") + 8,
                overview_bytes=struct.unpack_from("<I", content, overview + 4)[0],
                frames=info.frames, rate_hz=info.samplerate, channels=info.channels,
                bits=int(info.subtype[-2:]),
            )  # fmt: skip
            more = None if following == 0xFFFFFFFF else following // 4
            ours = file_record(stem, index >> 18, ordinal, more)
            assert ours.head[:28] == head[:28]
            # Only the folder is another, and which one is selected.
            folder, selected = slice(at - 0x13E, at - 0x62), at - 0x1C1
            assert without(ours.payload, folder, selected) == without(theirs, folder, selected)
            region_head, region = regions[index]
            ours = region_record(stem, index >> 18)
            assert ours.head[:28] == region_head[:28]
            # Only its identity and its time are others, which is selected, and a mark on loops.
            identity, made = slice(len(region) - 40, len(region) - 24), slice(0x2A, 0x32)
            other = (identity, made, 0x26, name_at(region, 0x4A)[1] + 0x1E)
            assert without(ours.payload, *other) == without(region, *other)
    assert seen == 4


@pytest.mark.skipif(not BUNDLES, reason="no projects of Logic here")
def test_names_of_markers_are_written_as_logic_writes_them():
    texts = [
        p for own in BUNDLES for tag, *_, p in unframed((own / DATA).read_bytes())
        if tag == "TxSq" and b"{\\rtf1" in p
    ]  # fmt: skip
    assert texts
    for theirs in texts:
        name = theirs[:-1].rpartition(b"\\cf2 ")[2].decode("ascii")
        assert marker_text(name)[:0x62] == theirs[:0x62][:0] + marker_text(name)[:0x62]
        ours = marker_text(name)
        assert ours[0x10:0x14] == theirs[0x10:0x14]
        assert ours[0x18:0x62] == theirs[0x18:0x62]
        assert ours.endswith(theirs[-12 - len(name) :])


def without(content, *places):
    changed = bytearray(content)
    for place in places:
        size = place.stop - place.start if isinstance(place, slice) else 1
        changed[place if isinstance(place, slice) else slice(place, place + 1)] = bytes(size)
    return bytes(changed)


# -- what cannot be done --------------------------------------------------------------------------


def changed(tag, change, **options):
    """The records of an own project, with one of them changed."""
    records = own_records(**options)
    at = next(k for k, r in enumerate(records) if r.startswith(tag.encode()[::-1]))
    return framed([*records[:at], *change(records[at]), *records[at + 1 :]])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"FLhd" + bytes(40), "not a project of Logic Pro 10 or newer"),
        (framed([]), "a form that is not known"),
        (framed(own_records())[:-5], "not as long as its head says"),
        (framed(own_records(names=("Audio 1", "Synth"))), "audio tracks: 1 for 4 stems"),
        (framed(own_records(rate=96000)), "has another sample rate than the song, 44100 Hz"),
        (changed("EvSq", lambda _: []), "a form that is not known"),
        (changed("EvSq", lambda r: [r[:-1] + b"\x01"]), "a sequence without an end"),
        (changed("Song", lambda r: [raw("Song", 0, 0, b"short")]), "its first tempo"),
        (changed("Song", lambda r: [r[:0x300] + bytes(len(r) - 0x300)]), "its first tempo"),
        (changed("Styl", lambda _: [], audio=False), "its list of audio files"),
        (changed("AuFl", lambda r: [r, audio_file("b.wav", 1, 2, 0xFFFFFFFF)]), "list of audio"),
        (changed("AuFl", lambda _: [audio_file("b.wav", 0x3FFF, 2, 0xFFFFFFFF)]), "no room"),
        (changed("Envi", lambda r: [r[:28] + b"\x08\0\0\0" + r[32:44]]), "audio tracks: 3 for 4"),
    ],
    ids=lambda value: value.replace(" ", "_") if isinstance(value, str) else "",
)  # fmt: skip
def test_a_project_that_cannot_take_the_stems_is_told_apart(filled, tmp_path, content, words):
    own = make_bundle(tmp_path / "Mine.logicx", content)
    before = files_in(own)
    with pytest.raises(InputError) as caught:
        filled(own=own)
    assert words in caught.value.problem
    assert caught.value.problem.startswith("Mine.logicx ")
    assert caught.value.remedy
    assert files_in(own) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["Mine.logicx"]


def test_what_lies_on_a_track_and_is_no_audio_is_not_thrown_away(filled, tmp_path):
    records = own_records()
    at = next(k for k, r in enumerate(records) if r[:4] == b"qSvE" and r[6] == 0x17)
    records[at] = raw("EvSq", 0x17, 0x40000, placed(1, 0, 0x21) + events_end())
    own = make_bundle(tmp_path / "Mine.logicx", framed(records))
    with pytest.raises(InputError, match="what lies on its audio tracks"):
        filled(own=own)


def events_end():
    return bytes.fromhex("f1000000ffffff3f0000000000000000")


def test_a_bundle_that_is_none_is_told(filled, tmp_path):
    def attempt(path, words, error=InputError):
        with pytest.raises(error) as caught:
            filled(own=path)
        assert words in f"{caught.value.problem} {caught.value.remedy}"

    attempt(tmp_path / "gone.logicx", "is not there")
    file = tmp_path / "zipped.logicx"
    file.write_bytes(b"PK\x03\x04")
    attempt(file, "such a project is a folder. Give")
    attempt(tmp_path / "mine.als", "ends in .logicx", UsageError)
    empty = tmp_path / "empty.logicx"
    empty.mkdir()
    attempt(empty, "has no project in it")
    two = make_bundle(tmp_path / "two.logicx")
    (two / "Alternatives" / "001").mkdir()
    (two / "Alternatives" / "001" / "ProjectData").write_bytes(b"")
    attempt(two, "has 2 alternatives")
    folder = make_bundle(tmp_path / "folder.logicx")
    (folder / "Resources" / "ProjectInformation.plist").write_bytes(
        plistlib.dumps({"HasProjectFolder": True})
    )
    attempt(folder, "keeps its audio in a folder beside it")
    entity = b'<?xml version="1.0"?><!DOCTYPE p [<!ENTITY a "aaaa">]><plist><dict/></plist>'
    deep = b"<plist>" + b"<array>" * 5000 + b"</array>" * 5000 + b"</plist>"
    for k, content in enumerate((b"", b"bplist00", entity, deep, b"<plist><array/></plist>")):
        bad = make_bundle(tmp_path / f"bad{k}.logicx")
        (bad / ABOUT).write_bytes(content)
        attempt(bad, "its MetaData.plist cannot be read")
    (bad / ABOUT).unlink()
    attempt(bad, "has no MetaData.plist")


def test_a_hostile_project_costs_no_time():
    rows = [raw("Trak", 0x17, 0x40000, bytes(6) + struct.pack("<I", 0x16 << 18) + bytes(47))]
    records = own_records(names=("Audio 1", "Bass"))
    at = next(k for k, r in enumerate(records) if r[:4] == b"qSvE" and r[6] == 0x17)
    records[at] = raw("EvSq", 0x17, 0x40000, placed(7, 0) * 60_000 + events_end())
    before = time.monotonic()
    with pytest.raises(InputError, match="too few audio tracks"):
        fill(framed([*records, *rows * 60_000]))
    assert time.monotonic() - before < 10
    records[at] = raw("EvSq", 0x17, 0x40000, bytes(16) * 500_000 + events_end())
    with pytest.raises(InputError, match="a sequence of more than 500000 events"):
        fill(framed(records))


def test_a_wrong_encoding_is_told_before_the_work(make_project, filled):
    with pytest.raises(UsageError, match="float32"):
        filled(make_project(), encoding="float32")


@pytest.mark.skipif(os.name == "nt", reason="links need rights there")
def test_folders_that_are_nested_too_deep_are_refused(filled, tmp_path):
    own = make_bundle(tmp_path / "Mine.logicx")
    nested = [own / "Media" / ("x/" * depth) for depth in range(1, 1201)]
    for folder in nested:
        folder.mkdir()
    try:
        with pytest.raises(
            InputError, match=r"Mine\.logicx holds folders that are nested too deep"
        ):
            filled(own=own)
    finally:  # Not left to what walks folder by folder, too.
        for folder in reversed(nested):
            folder.rmdir()


@pytest.mark.parametrize(
    "place", [DATA, ABOUT, "Media/Audio Files/link.wav", "Media/out", "Resources/fifo"]
)
def test_nothing_outside_the_bundle_is_read(filled, tmp_path, place):
    own = make_bundle(tmp_path / "Mine.logicx")
    (tmp_path / "secret").mkdir()
    secret = tmp_path / "secret" / "file"
    secret.write_bytes((own / DATA).read_bytes())
    path = own / place
    path.unlink(missing_ok=True)
    if path.name == "fifo":
        os.mkfifo(path)
    else:
        path.symlink_to(secret.parent if path.name == "out" else secret)
    with pytest.raises(InputError, match=f"holds {path.name}, which is no plain file"):
        filled(own=own)
    assert not (tmp_path / "logic").exists()


def test_a_path_in_the_project_leads_nowhere(filled, tmp_path):
    records = own_records()
    at = next(k for k, r in enumerate(records) if r.startswith(b"lFuA"))
    records[at] = audio_file("../../../secret.wav", 0, 1, 0xFFFFFFFF)
    own = make_bundle(tmp_path / "a" / "Mine.logicx", framed(records))
    (tmp_path / "secret.wav").write_bytes(b"secret")
    report, _, _ = filled(own=own)
    assert b"secret" not in files_in(Path(report.folder)).values()


def test_a_cancelled_export_leaves_nothing(make_project, tmp_path):
    own = make_bundle(tmp_path / "Mine.logicx")
    before = files_in(own)
    job = JobContext(lambda fraction, label: fraction > 0.85 and job.cancel())
    with pytest.raises(CancelledError):
        export(make_project(), "logic", tmp_path / "out", ExportOptions(own_project=own), job)
    assert list((tmp_path / "out").iterdir()) == []
    assert files_in(own) == before


def fill(content):
    return fill_own(
        decode(content, "x"), SOMETHING, Timeline.of(DRIFTING, 4.0), [Marker(1.0, "A")], RATE, "x"
    )


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_bit_flip_or_a_cut_gives_a_project_or_one_clear_error(data):
    broken = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(WHOLE) - 1))
        broken[at] ^= 1 << data.draw(st.integers(0, 7))
    with contextlib.suppress(InputError):
        filled = fill(bytes(broken))
        assert len(filled.tracks) == 3
        unframed(encode(filled.data))
    with pytest.raises(InputError):
        fill(WHOLE[: data.draw(st.integers(0, len(WHOLE) - 1))])


def test_a_time_of_day_beyond_all_measure_does_no_harm():
    at = WHOLE.index(struct.pack("<I", 7_200_000))
    filled = fill(WHOLE[:at] + b"\xff" * 4 + WHOLE[at + 4 :])
    assert unframed(encode(filled.data))


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_content_of_a_record_gives_a_project_or_one_clear_error(data):
    records = own_records()
    at = data.draw(st.integers(0, len(records) - 1))
    head = records[at][:28]
    payload = data.draw(st.binary(max_size=300))
    records[at] = head + struct.pack("<II", len(payload), 0) + payload
    with contextlib.suppress(InputError):
        unframed(encode(fill(framed(records)).data))
