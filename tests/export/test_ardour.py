"""The target `ardour`: its session file read as XML, and opened and exported by the real Ardour."""

import itertools
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import soundfile
from scipy.signal import lfilter

from tests.export.conftest import FRAMES, RATE, TempoMap, bar_lines, worst_beat_s
from tests.export.test_takes import JUMPS, STRAIGHT, read_ardour
from workstation.audio import write_audio
from workstation.export import ExportOptions, Track, export
from workstation.model import BeatGrid, JobContext, Section

SUPERCLOCKS = 282_240_000
NAMES = ("歌🎛️", "&<>\"'`", "x/y:z" * 60, "歌🎛️")
DRIFTING = BeatGrid(tuple(0.05 + 0.5 * k + 0.01 * (k % 3) for k in range(8)), (1, 4, 7), 3)
LATE = BeatGrid.constant(bpm=93.7, first_beat_s=3.1, duration_s=4, beats_per_bar=3)
SHORT_LEAD = BeatGrid.constant(bpm=120, first_beat_s=0.02, duration_s=4)
QUICK = BeatGrid.constant(bpm=420, first_beat_s=0.11, duration_s=4, beats_per_bar=7)
GRIDS = [
    DRIFTING, LATE, SHORT_LEAD, QUICK,
    BeatGrid.constant(bpm=120, first_beat_s=0, duration_s=4),
    BeatGrid.constant(bpm=133.3333, first_beat_s=0.3, duration_s=4, first_downbeat=2),
]  # fmt: skip
needs_ardour = pytest.mark.skipif(
    shutil.which("ardour7-lua") is None or shutil.which("ardour7-export") is None,
    reason="Ardour 7 is not installed (Debian: apt-get install --no-install-recommends ardour)",
)
READ = """
AudioEngine:set_backend("None (Dummy)", "", "")
local session = load_session(arg[1], arg[2])
assert(session, "the session does not load")
local function row(...) print("ROW\\t" .. table.concat({...}, "\\t")) end
row("rate", session:nominal_sample_rate())
for route in session:get_routes():iter() do
  row("route", route:name(), route:presentation_info_ptr():color(), route:n_inputs():n_audio(),
      route:n_outputs():n_audio(), route:gain_control():get_value())
  local track = route:to_track()
  if not track:isnil() then
    for region in track:playlist():region_list():iter() do
      row("region", region:position():samples(), region:length():samples())
    end
  end
end
for place in session:locations():list():iter() do
  row("place", place:name(), place:start():samples(), place:_end():samples(),
      tostring(place:is_mark()))
end
local map = Temporal.TempoMap.read()
for tick in string.gmatch(arg[3], "%d+") do
  local place = Temporal.timepos_t.from_ticks(tonumber(tick))
  row("tick", tick, map:sample_at(place), map:bbt_at(place):str())
end
close_session()
quit()
"""


def session_of(report):
    path = Path(report.folder) / report.open_with
    return ElementTree.parse(path).getroot(), path


def quarters(text):
    whole, ticks = text.split(":")
    return int(whole) + int(ticks) / 1920


def tempo_map(root):
    """Tempo map and meters; every point's own time and bar must agree with those before it."""
    tempos = [(quarters(t.get("quarters")), float(t.get("npm"))) for t in root.iter("Tempo")]
    meters = [
        (quarters(m.get("quarters")), int(m.get("divisions-per-bar")), int(m.get("note-value")))
        for m in root.iter("Meter")
    ]
    found = TempoMap(tempos)
    for point in (*root.iter("Tempo"), *root.iter("Meter")):
        quarter = quarters(point.get("quarters"))
        assert abs(int(point.get("sclock")) / SUPERCLOCKS - found.time_at(quarter)) < 1e-6
        assert point.get("bbt") == place_in_bars(meters, quarter)
    return found, meters


def place_in_bars(meters, quarter):
    """Bar, beat and tick of a quarter, counted bar by bar."""
    bar, at = 1, 0.0
    for (_, beats, unit), following in itertools.pairwise([*meters, None]):
        end = following[0] if following else float("inf")
        while at < end - 1e-9 and at + 4 * beats / unit <= quarter + 1e-9:
            at += 4 * beats / unit
            bar += 1
        if quarter < end - 1e-9:
            beat, rest = divmod(round((quarter - at) * 1920), 4 * 1920 // unit)
            return f"{bar}|{beat + 1}|{rest}"
    raise AssertionError


@pytest.mark.parametrize("grid", [*GRIDS, None])
def test_beats_are_where_the_grid_has_them(make_project, export_to, grid):
    root, _ = session_of(export_to(make_project(grid=grid), "ardour"))
    tempos, meters = tempo_map(root)
    if grid is None:
        assert (tempos.points, meters) == ([(0.0, 120.0)], [(0.0, 4, 4)])
    else:
        assert worst_beat_s(grid, tempos, meters) < 1e-6


def test_all_parts_refer_to_parts_that_are_there(make_project, export_to):
    report = export_to(make_project(), "ardour")
    root, path = session_of(report)
    ids = [element.get("id") for element in root.iter() if element.get("id")]
    assert len(ids) == len(set(ids))
    assert max(map(int, ids)) < int(root.get("id-counter"))
    sources = {source.get("id"): source for source in root.find("Sources")}
    routes = {route.get("id"): route for route in root.find("Routes")}
    audio = path.parent / "interchange" / path.stem / "audiofiles"
    for playlist in root.find("Playlists"):
        assert routes[playlist.get("orig-track-id")].get("audio-playlist") == playlist.get("id")
        (region,) = playlist
        for channel in range(int(region.get("channels"))):
            source = sources[region.get(f"source-{channel}")]
            assert int(source.get("channel")) == channel
            assert (audio / source.get("name")).is_file()
    assert root.get("name") == path.stem
    assert not any(
        "/" in (source.get("name") + source.get("origin")) for source in sources.values()
    )


def test_names_are_made_such_that_every_track_is_found(make_project, export_to):
    project = make_project()
    tracks = tuple(
        Track(name, track.path, track.colour)
        for name, track in zip(("master", *NAMES[1:]), project.tracks, strict=True)
    )
    report = export_to(make_project(tracks=tracks, title="歌 & <b>"), "ardour")
    root, _ = session_of(report)
    names = [route.get("name") for route in root.find("Routes")]
    assert names[:3] == ["Master", "master 2", NAMES[1]]
    assert len({name.casefold() for name in names}) == 5
    assert all(len(name.encode()) <= 130 and not set(name) & {"/", ":"} for name in names)
    assert any("names of some tracks" in words for words in report.dropped)
    assert root.find("Metadata").find("title").text == "歌 & <b>"


def test_the_same_song_gives_the_same_bytes(make_project, tmp_path):
    contents = []
    for out in (tmp_path / "one", tmp_path / "two"):
        report = export(make_project(), "ardour", out, ExportOptions(), JobContext())
        contents.append([(n, (Path(report.folder) / n).read_bytes()) for n in report.files])
    assert contents[0] == contents[1]


class Ardour:
    """The real Ardour, without a window, with a home of its own."""

    def __init__(self, home):
        self._home = home
        (home / "read.lua").write_text(READ)

    def _run(self, *arguments):
        environment = {"HOME": str(self._home), "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
        return subprocess.run(
            list(map(str, arguments)),
            env=environment,
            cwd=self._home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def read(self, path, ticks=()):
        """Rows of what the program holds after it has loaded a session."""
        wanted = ",".join(map(str, ticks))
        done = self._run("ardour7-lua", "read.lua", path.parent, path.stem, wanted)
        rows = [line.split("\t")[1:] for line in done.stdout.splitlines() if line[:4] == "ROW\t"]
        assert rows, done.stdout + done.stderr
        # Its own patch files, which it reads on a thread of its own, are none of our business.
        said = [line for line in (done.stdout + done.stderr).splitlines() if "midnam" not in line]
        assert "ERROR" not in "\n".join(said)
        return rows

    def export(self, path):
        """The samples that leave the master over the length of the session."""
        out = self._home / "mix.wav"
        done = self._run(
            "ardour7-export", "-b", "float", "-s", RATE, "-o", out, path.parent, path.stem
        )
        assert out.is_file(), done.stdout + done.stderr
        samples, rate = soundfile.read(out, dtype="float32", always_2d=True)
        assert rate == RATE
        return samples


@pytest.fixture
def ardour(tmp_path):
    (tmp_path / "home").mkdir()
    return Ardour(tmp_path / "home")


@needs_ardour
def test_ardour_has_tracks_colours_clips_and_markers(make_project, export_to, ardour):
    project = make_project()
    tracks = tuple(
        Track(name, track.path, track.colour)
        for name, track in zip(NAMES, project.tracks, strict=True)
    )
    sections = (Section(0.0, 1.3, "A 歌"), Section(1.3, 4.0, "B & <b>"))
    report = export_to(make_project(tracks=tracks, sections=sections), "ardour")
    rows = ardour.read(Path(report.folder) / report.open_with)
    assert ["rate", str(RATE)] in rows
    routes = [row[1:] for row in rows if row[0] == "route" and row[1] != "Master"]
    assert [int(row[1]) >> 8 for row in routes] == [0xE95A5A, 0xE9A23B, 0x4FB286, 0x5A8DE9]
    assert [row[2:] for row in routes] == [
        ["2", "2", "1.0"], ["1", "2", "1.0"], ["2", "2", "1.0"], ["2", "2", "1.0"],
    ]  # fmt: skip
    assert [row[0] for row in routes][:2] == list(NAMES[:2])
    assert [row[1:] for row in rows if row[0] == "region"] == [["0", str(FRAMES)]] * 4
    places = [row[1:] for row in rows if row[0] == "place"]
    assert ["session", "0", str(FRAMES), "false"] in places
    marks = [row[:2] for row in places if row[3] == "true"]
    assert marks == [["A 歌", "0"], ["B & <b>", str(round(1.3 * RATE))]]


@needs_ardour
@pytest.mark.parametrize("grid", GRIDS)
def test_ardour_has_every_beat_within_a_sample(make_project, export_to, ardour, grid):
    report = export_to(make_project(grid=grid), "ardour")
    root, path = session_of(report)
    tempos, meters = tempo_map(root)
    start = min(
        bar_lines(meters, 40),
        key=lambda quarter: abs(tempos.time_at(quarter) - grid.downbeats_s[0]),
    )
    unit = next(denominator for q, _, denominator in reversed(meters) if q <= start)
    ticks = [
        round((start + (index - grid.downbeats[0]) * 4 / unit) * 1920)
        for index in range(len(grid.beats_s))
    ]
    rows = [row[1:] for row in ardour.read(path, ticks) if row[0] == "tick"]
    assert len(rows) == len(grid.beats_s)
    for (_, sample, _), beat_s in zip(rows, grid.beats_s, strict=True):
        assert abs(int(sample) - beat_s * RATE) <= 1
    for tick, _, place in rows:
        bar, beat, rest = place.split("|")
        assert f"{int(bar)}|{int(beat)}|{int(rest)}" == place_in_bars(meters, int(tick) / 1920)


@needs_ardour
@pytest.mark.parametrize("encoding", ["pcm24", "float32"])
def test_the_mix_of_ardour_nulls_with_the_sum_of_the_stems(
    make_project, export_to, ardour, tmp_path, encoding
):
    report = export_to(make_project(), "ardour", encoding=encoding)
    moved = tmp_path / "elsewhere" / "renamed"
    moved.parent.mkdir()
    shutil.move(report.folder, moved)
    total = np.zeros((FRAMES, 2), np.float32)
    for file in sorted((moved / report.open_with).parent.glob("interchange/*/audiofiles/*.wav")):
        total += soundfile.read(file, dtype="float32", always_2d=True)[0]
    assert np.abs(ardour.export(moved / report.open_with) - total).max() <= 2**-23


@needs_ardour
def test_ardour_plays_a_stem_of_six_channels_to_six_sides(
    make_project, export_to, ardour, tmp_path
):
    samples = np.random.default_rng(1).uniform(-0.5, 0.5, (6, FRAMES)).astype(np.float32)
    write_audio(tmp_path / "surround.wav", samples, RATE, "float32")
    tracks = (Track("All", tmp_path / "surround.wav", "#112233"),)
    report = export_to(make_project(tracks=tracks), "ardour", encoding="float32")
    path = Path(report.folder) / report.open_with
    routes = [row for row in ardour.read(path) if row[0] == "route"]
    assert [row[4] for row in routes] == ["6", "6"]


@needs_ardour
@pytest.mark.parametrize("take", [STRAIGHT, JUMPS])
def test_ardour_plays_a_take_as_its_curves_say(make_project, export_to, ardour, take):
    report = export_to(make_project(take=take), "ardour", encoding="float32")
    played = ardour.export(Path(report.folder) / report.open_with)
    strips = read_ardour(report)
    wanted, _ = strips.sound(len(played), smoothed)
    assert np.sqrt(np.mean(wanted**2)) > 0.05
    edges = np.zeros(len(played), bool)
    for start_s, _, length_s in strips.tracks[0][1]:
        for frame in (round(start_s * RATE), round((start_s + length_s) * RATE)):
            edges[max(0, frame - 100) : frame + 100] = True
    error = np.abs(played - wanted)
    assert error[~edges].max() < 3e-3


def smoothed(gains):
    """Gains as Ardour 7 applies them: a low pass of 25 Hz, behind its engine's quarter block."""
    late = np.concatenate([np.full(256, gains[0]), gains[:-256]])
    a = 156.825 / RATE
    return lfilter([0, a], [1, a - 1], late, zi=late[:1])[0]
