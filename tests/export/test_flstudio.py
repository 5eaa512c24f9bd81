"""The target `flstudio`, read back by a reader that knows nothing of our writer."""

import contextlib
import hashlib
import itertools
import os
import shutil
import struct
import subprocess
import zipfile
from pathlib import Path

import mido
import numpy as np
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.export.conftest import FRAMES, RATE
from workstation.export import ExportOptions, Timeline, Track
from workstation.export.flp import Event, Flp, decode, encode, number, text
from workstation.export.flp_own import fill_own
from workstation.export.flp_parts import MOST_TICKS, Stem, clip, clip_bytes
from workstation.export.flstudio import new_project
from workstation.export.stem_files import StemFiles
from workstation.export.target import Plan
from workstation.model import BeatGrid, InputError, Section, UsageError

GOLDEN = Path(__file__).parent / "golden"
DRIFTING = BeatGrid(tuple(0.05 + 0.5 * k + 0.01 * (k % 3) for k in range(8)), (1, 4, 7), 3)
NAMES = ["歌 🎛️", "A & <b> \"c\" 'd'", "x" * 300, "x" * 300]
OLD, NEW, NEWER = "20.8.4.2576", "24.1.1.4239", "25.1.5.4976"


# -- a reader ----------------------------------------------------------------------------------


def events_of(content):
    """(id, payload) of every event; the framing is checked on the way."""
    magic, size, kind, channels, ticks = struct.unpack_from("<4sIhHH", content)
    assert (magic, size, kind, content[14:18]) == (b"FLhd", 6, 0, b"FLdt")
    assert struct.unpack_from("<I", content, 18)[0] == len(content) - 22
    found, at = [], 22
    while at < len(content):
        event_id, at = content[at], at + 1
        if event_id < 192:
            width = 3 if event_id == 172 else (1, 2, 4)[event_id // 64]
        else:
            width = shift = 0
            while True:
                width |= (content[at] & 0x7F) << shift
                shift, at = shift + 7, at + 1
                if content[at - 1] < 0x80:
                    break
        found.append((event_id, content[at : at + width]))
        at += width
    assert at == len(content)
    return found, channels, ticks


def words(payload):
    assert payload.endswith(b"\0\0")
    return payload[:-2].decode("utf-16-le")


class Song:
    """What FL Studio would make of a file, as far as it is known."""

    def __init__(self, path):
        self.events, count, self.ticks = events_of(Path(path).read_bytes())
        ids = [event_id for event_id, _ in self.events]
        assert ids.count(64) == count
        assert max(k for k, e in enumerate(ids) if e == 64) < ids.index(233)
        self.version = dict(self.events)[199].rstrip(b"\0").decode()
        self.bpm = int.from_bytes(dict(self.events)[156], "little") / 1000
        self.ticks_per_s = self.bpm * self.ticks / 60
        self.values = {k: v for _, k, v in struct.iter_unpack("<IIi", dict(self.events)[225])}
        playlist = len(ids) - 1 - ids[::-1].index(99)
        self.channels, self.markers, self.tracks, self.inserts = [], [], {}, []
        self._read_channels(self.events[: ids.index(99)])
        self._read_arrangement(self.events[playlist : ids.index(100)])
        self._read_mixer(self.events[ids.index(100) :])

    def _read_channels(self, events):
        for event_id, payload in events:
            if event_id == 64:
                self.channels.append({"id": int.from_bytes(payload, "little")})
            if self.channels:
                self.channels[-1].setdefault(event_id, payload)

    def _read_arrangement(self, events):
        self.rows = dict(events)[233]
        for event_id, payload in events:
            value = int.from_bytes(payload[:4], "little")
            if event_id == 148:
                at_s = (value & 0xFFFFFF) / self.ticks_per_s
                self.markers.append({"type": value >> 24, "s": at_s})
            elif event_id in {33, 34}:
                self.markers[-1][event_id] = value
            elif event_id == 205:
                self.markers[-1]["name"] = words(payload)
            elif event_id == 238:
                track = value
                self.tracks[track] = {"colour": payload[4:7]}
            elif event_id == 239:
                self.tracks[track]["name"] = words(payload)

    def _read_mixer(self, events):
        before = {}
        for event_id, payload in events:
            if event_id in {149, 204}:
                before[event_id] = payload
            elif event_id == 236:
                self.inserts.append(before)
                before = {}
            elif event_id == 235:
                self.inserts[-1]["routes"] = payload

    def clips(self):
        size = 32
        if self.version.startswith(("21", "22", "23", "24.1")):
            size = 60
        elif self.version.startswith("25"):
            size = 80
        assert len(self.rows) % size == 0
        return [self.rows[k : k + size] for k in range(0, len(self.rows), size)]


def flp_of(report):
    return Song(Path(report.folder) / report.open_with)


def plan_of(project, **options):
    timeline = Timeline.of(project.grid, project.duration_s, cut_bars=True)
    return Plan(project, timeline, ExportOptions(**options))


def files_of(project):
    names = tuple(f"{k:02d}.wav" for k in range(len(project.tracks)))
    return StemFiles(names, (2,) * len(names), ())


# -- a new project -------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["pcm24", "float32", "flac"])
def test_every_stem_is_a_clip_at_unity_on_its_own_track_and_insert(
    make_project, export_to, stem_files, encoding
):
    report = export_to(make_project(), "flstudio", encoding=encoding)
    song = flp_of(report)
    assert (song.version, song.bpm, song.ticks) == (OLD, 120.0, 960)
    assert [words(c[203]) for c in song.channels] == ["Drums", "Bass", "Other", "Vocals"]
    for index, (channel, row) in enumerate(zip(song.channels, song.clips(), strict=True)):
        assert channel["id"] == index
        assert channel[21] == b"\x04"
        assert channel[22][0] == index + 1
        pan, volume, pitch = struct.unpack_from("<3I", channel[219])
        assert (pan, volume, pitch) == (6400, 12800, 0)
        time_multiplier_mode = struct.unpack_from("<Iiii", channel[215], 96)
        assert len(channel[215]) == 158
        assert time_multiplier_mode == (0, 0, 0, 0)
        assert int.from_bytes(channel[143], "little") & 1 == 0
        position, base, item, length, track = struct.unpack_from("<IHHIH", row)
        assert (position, base, item, 500 - track) == (0, 20480, index, index + 1)
        assert 0 <= length / song.ticks_per_s - FRAMES / RATE < 1 / song.ticks_per_s
        assert struct.unpack_from("<ff", row, 24) == (-1.0, -1.0)
        path = Path(report.folder) / words(channel[196])
        samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        assert (len(samples), rate) == (FRAMES, RATE)
        expected = np.broadcast_to(list(stem_files.values())[index][1].T, samples.shape)
        assert np.abs(samples - expected).max() <= (0 if encoding == "float32" else 1 / 2**23)
    assert len(song.tracks) == 500
    assert len(song.inserts) == 127


def test_tracks_and_inserts_are_named_coloured_and_routed(make_project, export_to):
    song = flp_of(export_to(make_project(), "flstudio"))
    for index, colour in enumerate(("e95a5a", "e9a23b", "4fb286", "5a8de9")):
        name, rgb = words(song.channels[index][203]), bytes.fromhex(colour)
        track, insert = song.tracks[index + 1], song.inserts[index + 1]
        assert (track["name"], words(insert[204])) == (name, name)
        assert (track["colour"], insert[149][:3], song.channels[index][128][:3]) == (rgb,) * 3
        assert insert["routes"][0] == 1
        place = 0x2000 + ((index + 1) << 6) << 16
        assert song.values[place | 0x1FC0] == 12800
        assert song.values[place | 0x1FC1] == 0
    assert song.values[0x40000000] == 12800
    assert "name" not in song.tracks[5]
    assert 204 not in song.inserts[5]


def test_sections_and_the_first_downbeat_have_markers(make_project, export_to):
    report = export_to(make_project(), "flstudio", bar_markers=True)
    markers = flp_of(report).markers
    text_ones = [(m["name"], round(m["s"], 2)) for m in markers if m["type"] == 0]
    # A downbeat is at 1.3 s, and a section begins there.
    assert text_ones == [("A", 0.0), ("B", 1.3), ("Bar 3", 3.3)]
    signatures = [(m["name"], m[33], m[34], round(m["s"], 3)) for m in markers if m["type"] == 8]
    assert signatures == [("4/4", 4, 4, 1.3)]
    assert report.dropped == ("The key, A minor.",)
    assert "tempo-map.mid" not in report.files


def test_a_song_that_drifts_gets_its_mean_tempo_and_a_note(make_project, export_to):
    report = export_to(make_project(grid=DRIFTING), "flstudio")
    song = flp_of(report)
    assert song.bpm == round(60 * 7 / (DRIFTING.beats_s[-1] - DRIFTING.beats_s[0]), 3)
    (note,) = (n for n in report.dropped if "tempo" in n)
    period_s = 60 / song.bpm
    beside_s = max(
        abs(at - DRIFTING.beats_s[1] - (k - 1) * period_s) for k, at in enumerate(DRIFTING.beats_s)
    )
    assert f"here {song.bpm:.3f} bpm" in note
    assert f"up to {beside_s * 1000:.0f} ms beside" in note
    midi = mido.MidiFile(Path(report.folder) / "tempo-map.mid")
    assert sum(message.type == "set_tempo" for message in midi.tracks[0]) > 2
    signatures = [(m[33], m[34]) for m in song.markers if m["type"] == 8]
    assert signatures == [(3, 4)]
    assert [round(m["s"], 3) for m in song.markers if m["type"] == 0] == [0.0, 1.3]


def test_a_song_without_beats_runs_at_120(make_project, export_to):
    report = export_to(make_project(grid=None), "flstudio")
    song = flp_of(report)
    assert song.bpm == 120
    assert "No beats were found" in report.lead_in


def test_quick_beats_are_shorter_notes(make_project, export_to):
    grid = BeatGrid.constant(bpm=420, first_beat_s=0.1, duration_s=4, beats_per_bar=7)
    song = flp_of(export_to(make_project(grid=grid), "flstudio"))
    assert song.bpm == 210
    numbers = dict(song.events[:30])
    assert (numbers[17][0], numbers[18][0]) == (7, 8)


def test_the_zip_holds_the_same_project_and_the_stems(make_project, export_to):
    report = export_to(make_project(), "flstudio")
    folder = Path(report.folder)
    with zipfile.ZipFile((folder / report.open_with).with_suffix(".zip")) as archive:
        assert archive.testzip() is None
        for name in archive.namelist():
            assert archive.read(name) == (folder / name).read_bytes()
        held = set(archive.namelist())
    assert held == {n for n in report.files if n.endswith((".flp", ".wav"))}


def test_names_of_all_kinds_arrive_whole(make_project, export_to):
    tracks = tuple(
        Track(name, track.path, track.colour)
        for name, track in zip(NAMES, make_project().tracks, strict=True)
    )
    sections = (Section(0.0, 4.0, NAMES[0]),)
    report = export_to(make_project(tracks=tracks, title=NAMES[1], sections=sections), "flstudio")
    song = flp_of(report)
    assert [words(c[203]) for c in song.channels] == NAMES
    assert [song.tracks[k]["name"] for k in range(1, 5)] == NAMES
    assert [words(song.inserts[k][204]) for k in range(1, 5)] == NAMES
    assert song.markers[0]["name"] == NAMES[0]
    assert words(dict(song.events)[194]) == NAMES[1]
    files = [words(c[196]) for c in song.channels]
    assert len(set(files)) == 4
    assert all(name.isascii() and (Path(report.folder) / name).is_file() for name in files)


def test_the_same_song_makes_the_same_files(make_project, export_to):
    def made():
        report = export_to(make_project(), "flstudio", overwrite=True)
        return {
            name: hashlib.sha256((Path(report.folder) / name).read_bytes()).hexdigest()
            for name in report.files
        }

    assert made() == made()


def test_the_file_equals_the_golden_one_byte_for_byte(make_project, export_to):
    report = export_to(make_project(grid=DRIFTING, title="Golden"), "flstudio", bar_markers=True)
    folder = Path(report.folder)
    content = (folder / "Golden.flp").read_bytes()
    found = {"Golden.flp": content, "flstudio-README.txt": (folder / "README.txt").read_bytes()}
    for name, made in found.items():
        if os.environ.get("UPDATE_GOLDEN"):  # After a change that is wanted; read the diff.
            (GOLDEN / name).write_bytes(made)
        assert made == (GOLDEN / name).read_bytes(), f"{name} has changed"


def test_a_long_song_has_a_coarser_resolution(make_project):
    grid = BeatGrid.constant(bpm=290, first_beat_s=0, duration_s=4)
    project = make_project(grid=grid, frames=3 * 3600 * RATE)
    flp = new_project(plan_of(project), files_of(project))
    assert flp.ticks_per_quarter == 192
    assert MOST_TICKS < 3 * 3600 * 290 / 60 * 384


def test_more_stems_than_inserts_are_refused(make_project, export_to):
    tracks = make_project().tracks[:1] * 126
    with pytest.raises(UsageError, match="125 mixer inserts"):
        export_to(make_project(tracks=tracks), "flstudio")


# -- the user's own project ----------------------------------------------------------------------


def own_flp(version=OLD, *, rows=b"", tracks=500, inserts=127, used=(), extra=()):
    """A project as a user could have it, with things in it that nobody knows."""
    made = [Event(199, version.encode() + b"\0"), number(156, 90_500), text(231, "Unsorted"),
            text(231, "Audio"), number(64, 7), number(21, 0), text(203, "Mine"), number(22, 2),
            Event(215, bytes(158) + (b"" if version == OLD else b"tail")), number(20, 0),
            text(196, "C:\\mine.wav"), number(65, 1), text(193, "Pattern"), *extra]  # fmt: skip
    for arrangement in (0, 1):
        made += [number(99, arrangement), text(241, "A"), Event(233, rows if arrangement else b"")]
        for k in range(1, tracks + 1):
            made += [Event(238, struct.pack("<I", k) + bytes(62)), number(43, 0)]
            made += [text(239, "Used")] if k == 3 else []
    made += [number(100, 1), number(172, 0x010203)]
    for k in range(inserts):
        made += [text(204, "Used")] if k in used else []
        made += [Event(236, bytes(12)), Event(212, b"fx") if k == 3 else number(98, 0)]
        made += [Event(235, bytes(127)), number(147, -1)]
    made += [Event(225, bytes(24)), Event(250, b"unknown", 3)]
    return encode(Flp(1, 96, tuple(made)))


def own_row(version, position=0, track=4, identifier=1):
    stem = Stem("", "#000000", "", 7, track, 1)
    row = clip(stem, 96, tuple(map(int, version.split("."))), identifier)
    return struct.pack("<I", position) + row[4:]


def export_into(export_to, make_project, tmp_path, content, **options):
    path = tmp_path / "mine" / "Mine.FLP"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    path.chmod(0o444)
    report = export_to(make_project(), "flstudio", own_project=path, **options)
    assert path.read_bytes() == content
    return report


@pytest.mark.parametrize("version", [OLD, "21.0.3.3517", NEW, NEWER])
def test_stems_come_into_the_users_own_project(make_project, export_to, tmp_path, version):
    rows = own_row(version) + own_row(version, 960, track=5, identifier=2)
    own = own_flp(version, rows=rows, used=(0, 5))
    report = export_into(export_to, make_project, tmp_path, own)
    song = flp_of(report)
    assert (song.version, song.bpm, song.ticks) == (version, 90.5, 96)
    ours = song.channels[1:]
    assert [c["id"] for c in ours] == [8, 9, 10, 11]
    # 2 plays a channel, 3 has an effect, 5 has a name.
    assert [c[22][0] for c in ours] == [1, 4, 6, 7]
    assert [words(song.inserts[k][204]) for k in (1, 4, 6, 7)] == [words(c[203]) for c in ours]
    assert all(c[145] == b"\x01\0\0\0" for c in ours)
    assert all(c[215][158:] == (b"" if version == OLD else b"tail") for c in ours)
    clips = song.clips()
    assert [struct.unpack_from("<H", row, 6)[0] for row in clips] == [7, 8, 9, 10, 11, 7]
    assert [500 - struct.unpack_from("<H", row, 12)[0] for row in clips] == [4, 6, 7, 8, 9, 5]
    assert [song.tracks[k]["name"] for k in (6, 7, 8, 9)] == [words(c[203]) for c in ours]
    length = struct.unpack_from("<I", clips[1], 8)[0]
    assert length == -(-FRAMES * 90.5 * 96 // (RATE * 60))
    if len(clips[0]) > 32:
        assert len({row[32:36] for row in clips}) == 6
    assert any("90.500 bpm" in note and "120.000 bpm" in note for note in report.dropped)


@pytest.mark.parametrize("version", [OLD, NEW, NEWER])
def test_everything_else_in_it_stays_byte_for_byte(make_project, export_to, tmp_path, version):
    rows = own_row(version) + own_row(version, 960, track=5, identifier=2)
    own = own_flp(version, rows=rows, used=(0, 5))
    report = export_into(export_to, make_project, tmp_path, own)
    before = list(decode(own, "own").events)
    after = list(decode((Path(report.folder) / report.open_with).read_bytes(), "new").events)
    added, rest = [], iter(before)
    wanted = next(rest, None)
    for event in after:
        same = event == wanted
        if wanted is not None and wanted.data == rows and event.id == 233:
            size = clip_bytes(tuple(map(int, version.split("."))))
            assert event.data[:size] + event.data[-size:] == rows
            same = True
        if same:
            wanted = next(rest, None)
        else:
            added.append(event.id)
    assert wanted is None
    per_channel = added.index(64, 1) - added.index(64)
    assert len(added) == 4 * (per_channel + 2)
    assert (added.count(239), added.count(204)) == (4, 4)


def test_an_empty_project_of_the_user_is_filled_from_its_first_track(
    make_project, export_to, tmp_path
):
    own = encode(new_project(plan_of(make_project(tracks=())), StemFiles((), (), ())))
    song = flp_of(export_into(export_to, make_project, tmp_path, own))
    assert [song.tracks[k]["name"] for k in range(1, 5)] == ["Drums", "Bass", "Other", "Vocals"]
    assert [c["id"] for c in song.channels] == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("own", "problem", "remedy"),
    [
        (b"RIFF", "not an FL Studio project", "saved as .flp"),
        (own_flp()[:-1], "not as long", "save it again"),
        (own_flp("11.1.0"), "saved by FL Studio 11.1.0", "20.8 or newer"),
        (own_flp("?"), "does not say", "20.8 or newer"),
        (own_flp(rows=bytes(33)), "of a kind that is not known", "delete all clips"),
        (own_flp(NEWER, rows=own_row(OLD) * 5), "of a kind that is not known", "delete all clips"),
        (own_flp(tracks=6), "no 4 free tracks", "further up"),
        (own_flp(inserts=6), "has 2 free mixer inserts", "off some"),
        (own_flp(extra=[number(64, 20479)]), "no room for 4 more channels", "save a copy"),
        (encode(Flp(0, 96, (Event(199, b"20.8.4\0"),))), "has no tempo", "save a copy"),
        (
            encode(Flp(0, 96, (Event(199, b"20.8.4\0"), number(156, 120_000)))),
            "has no arrangement",
            "save a copy",
        ),
    ],
)
def test_a_project_without_room_is_refused_before_the_work(
    make_project, export_to, tmp_path, own, problem, remedy
):
    with pytest.raises(InputError) as caught:
        export_into(export_to, make_project, tmp_path, own)
    assert problem in caught.value.problem
    assert remedy in caught.value.remedy
    assert not (tmp_path / "flstudio").exists()


@settings(max_examples=150, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_broken_project_is_filled_or_refused_in_words(data):
    broken = bytearray(own_flp(NEW, rows=own_row(NEW), tracks=9, inserts=9))
    for _ in range(data.draw(st.integers(1, 8))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InputError):
        own = decode(bytes(broken), "x.flp")
        filled = fill_own(own, [("A", "#112233", "a.wav")] * 2, 200.0, "x.flp")
        assert len(filled.flp.events) > len(own.events)
        encode(filled.flp)


# -- from outside --------------------------------------------------------------------------------

PYFLP = """
import sys, warnings, pyflp
warnings.simplefilter("ignore")
project = pyflp.parse(sys.argv[1])
pyflp.save(project, sys.argv[2])
print(project.tempo, project.ppq, project.channel_count)
for channel in project.channels:
    print(channel.name, channel.insert, channel.volume, channel.sample_path, sep="|")
"""


def test_pyflp_reads_it_and_writes_it_back_as_it_was(make_project, export_to, tmp_path):
    """Runs where PYFLP_PYTHON names a Python (3.10 or older) that has PyFLP 2.2.1."""
    python = os.environ.get("PYFLP_PYTHON", "")
    if not shutil.which(python):
        pytest.skip("PYFLP_PYTHON names no Python that has PyFLP")
    report = export_to(make_project(), "flstudio")
    path, again = Path(report.folder) / report.open_with, tmp_path / "again.flp"
    done = subprocess.run(
        [python, "-c", PYFLP, str(path), str(again)], capture_output=True, text=True, check=True
    )
    assert again.read_bytes() == path.read_bytes()
    first, *channels = done.stdout.splitlines()
    assert first == "120.0 960 4"
    assert channels == [
        f"{name}|{k}|12800|{k:02d} {name}.wav"
        for k, name in zip(itertools.count(1), ("Drums", "Bass", "Other", "Vocals"), strict=False)
    ]
