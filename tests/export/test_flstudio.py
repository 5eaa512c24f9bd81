"""The FL Studio project and the kit for Logic Pro, read by readers of the tests' own."""

import struct
import wave
import zipfile
from pathlib import Path

import mido
import numpy as np
import pytest

from workstation.audio import read_audio
from workstation.model import BeatGrid, Section

BEATS = BeatGrid.constant(bpm=123.4, first_beat_s=0.3, duration_s=4, first_downbeat=2)


def events_of(path):
    """Ids and payloads, after the description of the format."""
    data = path.read_bytes()
    assert data[:4] == b"FLhd"
    assert data[14:18] == b"FLdt"
    channels, ppq = struct.unpack_from("<HH", data, 10)
    assert struct.unpack_from("<I", data, 18)[0] == len(data) - 22
    events, at = [], 22
    while at < len(data):
        number, at = data[at], at + 1
        if number < 192:
            size = 1 if number < 64 else 2 if number < 128 else 4
        else:
            size = shift = 0
            while True:
                size |= (data[at] & 0x7F) << shift
                at, shift = at + 1, shift + 7
                if data[at - 1] < 128:
                    break
        events.append((number, data[at : at + size]))
        at += size
    assert at == len(data)
    return channels, ppq, events


def texts(events, number):
    return [data.decode("utf-16-le").rstrip("\0") for n, data in events if n == number]


def numbers(events, number):
    return [int.from_bytes(data, "little") for n, data in events if n == number]


@pytest.fixture
def made(make_project, export_to):
    def make(**changes):
        project = make_project(**{"grid": BEATS, **changes})
        report = export_to(project, "flstudio")
        folder = Path(report.folder)
        return project, report, folder, *events_of(folder / report.open_with)

    return make


def test_every_stem_is_a_clip_on_a_track_and_an_insert_of_its_own(made):
    project, _report, _folder, channels, ppq, events = made()
    names = [track.name for track in project.tracks]
    assert (channels, ppq) == (4, 960)
    assert numbers(events, 64) == [0, 1, 2, 3]
    assert numbers(events, 21) == [4] * 4
    assert numbers(events, 22) == [1, 2, 3, 4]
    assert texts(events, 203) == texts(events, 239) == texts(events, 204) == names
    red, green, blue = 0xE9, 0x5A, 0x5A
    assert numbers(events, 128)[0] == red | green << 8 | blue << 16
    assert next(data for n, data in events if n == 199) == b"20.8.4.2576\0"
    # All channels come before the playlist; each path comes after event 20 of its channel.
    order = [n for n, _ in events]
    assert max(k for k, n in enumerate(order) if n == 64) < order.index(233)
    assert order.index(20) < order.index(196)
    volume = struct.unpack("<6I", next(data for n, data in events if n == 219))
    assert volume[:2] == (6400, 12800)


def test_clips_and_markers_are_where_the_song_has_them(made):
    project, report, _folder, _channels, ppq, events = made(
        sections=(Section(0.0, 1.3, "Intro"), Section(1.3, 4.0, "夜 & <B>"))
    )
    bpm = numbers(events, 156)[0] / 1000
    assert bpm == pytest.approx(123.4, abs=0.002)
    playlist = next(data for n, data in events if n == 233)
    rows = [struct.unpack_from("<IHHIHHHHIff", playlist, at) for at in range(0, len(playlist), 32)]
    assert len(rows) == 4
    start = rows[0][0]
    for index, row in enumerate(rows):
        assert row[0] == start
        assert row[2] == index
        assert row[4] == 499 - index
        assert row[3] == pytest.approx(project.duration_s * bpm / 60 * ppq, abs=1)
        assert row[9:] == (-1.0, -1.0)
    # The first downbeat is on a bar line, to half a tick (0.25 ms).
    downbeat = start + BEATS.downbeats_s[0] * bpm / 60 * ppq
    assert abs(downbeat / (4 * ppq) - round(downbeat / (4 * ppq))) * 4 * ppq < 1.01
    assert "bar line" in " ".join(report.dropped)
    places = [(value >> 24, value & 0xFFFFFF) for value in numbers(events, 148)]
    assert places[0] == (8, 0)
    expected = [start, start + round(1.3 * bpm / 60 * ppq)]
    assert [ticks for kind, ticks in places if kind == 0] == pytest.approx(expected, abs=1)
    assert texts(events, 205)[1:] == ["Intro", "夜 & <B>"]


def test_the_samples_lie_beside_it_and_in_the_zip(made, stem_files):
    _project, report, folder, *_rest, events = made()
    paths = texts(events, 196)
    assert all("/" not in path and "\\" not in path for path in paths)
    for path, (_, samples) in zip(paths, stem_files.values(), strict=True):
        found, _rate = read_audio(folder / path)
        np.testing.assert_allclose(found, samples, atol=2**-23)
    with zipfile.ZipFile(next(folder.glob("*.zip"))) as archive:
        assert archive.testzip() is None
        assert set(archive.namelist()) == {report.open_with, *paths}
        assert archive.read(report.open_with) == (folder / report.open_with).read_bytes()


def test_a_song_that_drifts_says_by_how_much(made):
    beats = tuple(np.cumsum([0.3, *np.linspace(0.48, 0.52, 8)]).tolist())
    _project, report, folder, *_ = made(grid=BeatGrid(beats, (0, 4, 8)))
    assert "ms off" in " ".join(report.dropped)
    assert mido.MidiFile(folder / "tempo-map.mid").tracks


def test_the_same_project_gives_the_same_bytes(make_project, export_to):
    first, second = (
        {
            path.name: path.read_bytes()
            for path in Path(
                export_to(make_project(), "flstudio", overwrite=again).folder
            ).iterdir()
        }
        for again in (False, True)
    )
    assert first == second


def test_the_kit_for_logic_has_map_stems_and_aaf(make_project, export_to, stem_files):
    report = export_to(make_project(), "logic")
    folder = Path(report.folder)
    assert report.open_with == "tempo-map.mid"
    assert mido.MidiFile(folder / report.open_with).ticks_per_beat == 960
    assert len(list(folder.glob("*.aaf"))) == 1
    stems = sorted((folder / "stems").glob("*.wav"))
    assert len(stems) == len(stem_files)
    with wave.open(str(stems[0])) as stem:
        assert stem.getsampwidth() == 3
    words = (folder / "README.txt").read_text()
    assert "Smart Tempo" in words
    assert "File > Open" in " ".join(words.split())
