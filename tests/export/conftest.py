"""A small project with known stems, and readers that know nothing of our writers."""

import itertools
import zipfile
from xml.etree import ElementTree

import mido
import numpy as np
import pytest
import rpp

from workstation.audio import write_audio
from workstation.export import ExportOptions, Layout, Project, Track, export
from workstation.export.layouts import TrackRow
from workstation.model import BeatGrid, JobContext, Key, Section

RATE = 44100
FRAMES = 4 * RATE + 321


def layout_of(*rows, **values):
    return Layout(template_version=1, summary="", track=rows, **values)


def row(*stems, **values):
    return TrackRow(stems=stems, **values)


GROUPED = layout_of(
    row("drums", group="Rhythm"),
    row("vocals", muted=True, output=3),
    row("bass", group="Rhythm", name="Low & <b>"),
    row("*"),
    TrackRow(kind="empty", name="New", group="Rhythm", colour="#010203"),
    TrackRow(kind="bus", name="Reverb"),
)

# For a project of one's own that has the track of the drums.
ONES_OWN = layout_of(
    row("drums", group="Rhythm", muted=True, output=3),
    row("bass", group="Rhythm", muted=True),
    row("vocals", output=5),
    row("*"),
    TrackRow(kind="empty", name="New", group="Rhythm"),
    TrackRow(kind="bus", name="Reverb"),
)


@pytest.fixture(scope="session")
def stem_files(tmp_path_factory):
    """Four float32 stems, one of them mono, below full scale."""
    folder = tmp_path_factory.mktemp("stems")
    rng = np.random.default_rng(5)
    files = {}
    for name, channels in {"drums": 2, "bass": 1, "other": 2, "vocals": 2}.items():
        samples = rng.uniform(-0.2, 0.2, (channels, FRAMES)).astype(np.float32)
        write_audio(folder / f"{name}.wav", samples, RATE, "float32")
        files[name] = (folder / f"{name}.wav", samples)
    return files


@pytest.fixture
def make_project(stem_files):
    """Makes a project; what is not named is a steady song with a short lead-in."""

    def make(**changes):
        defaults = {
            "title": "Song: one/two",
            "artist": "Band & Söhne",
            "sample_rate_hz": RATE,
            "frames": FRAMES,
            "engine": "dsp",
            "key": Key("A minor", 0.7),
            "loudness_lufs": -14.2,
            "tracks": tuple(
                Track(name.capitalize(), path, colour)
                for (name, (path, _)), colour in zip(
                    stem_files.items(), ("#e95a5a", "#e9a23b", "#4fb286", "#5a8de9"), strict=True
                )
            ),
            "grid": BeatGrid.constant(bpm=120, first_beat_s=0.3, duration_s=4, first_downbeat=2),
            "sections": (Section(0.0, 1.3, "A"), Section(1.3, 4.0, "B")),
        }
        return Project(**{**defaults, **changes})

    return make


@pytest.fixture
def export_to(tmp_path):
    """Exports a project and gives the report."""

    def run(project, target, **options):
        return export(project, target, tmp_path, ExportOptions(**options), JobContext())

    return run


class TempoMap:
    """Integrates tempos: (quarter, bpm) points, each holding until the next."""

    def __init__(self, points):
        self.points = points

    def time_at(self, quarter):
        time_s = 0.0
        for (start, bpm), (end, _) in itertools.pairwise([*self.points, (float("inf"), 0)]):
            if quarter <= end:
                return time_s + (quarter - start) * 60 / bpm
            time_s += (end - start) * 60 / bpm
        raise AssertionError


def bar_lines(meters, last_quarter):
    """Quarters of all bar lines of (quarter, numerator, denominator) points."""
    lines = []
    for (start, numerator, denominator), (end, *_) in itertools.pairwise(
        [*meters, (max(last_quarter, meters[-1][0]), 4, 4)]
    ):
        at = start
        while at < end - 1e-9:
            lines.append(at)
            at += 4 * numerator / denominator
    return lines


def read_midi(path):
    """Tempo map, meters and markers (quarter, name) of a MIDI file, read by mido."""
    file = mido.MidiFile(path, charset="utf-8")
    assert file.type == 1
    tempos, meters, markers, ticks = [], [], [], 0
    for message in file.tracks[0]:
        ticks += message.time
        quarter = ticks / file.ticks_per_beat
        if message.type == "set_tempo":
            tempos.append((quarter, 60e6 / message.tempo))
        if message.type == "time_signature":
            meters.append((quarter, message.numerator, message.denominator))
        if message.type == "marker":
            markers.append((quarter, message.text))
    return TempoMap(tempos), meters, markers


def read_rpp(text):
    """Points (seconds, bpm, numerator, denominator, flags) and the parsed project of an .rpp."""
    root = rpp.loads(text)
    points = []
    for line in root.find("TEMPOENVEX").children:
        if line[0] == "PT":
            signature, flags = (int(line[4]), int(line[6])) if len(line) > 4 else (0, 0)
            points.append(
                (float(line[1]), float(line[2]), signature & 0xFFFF, signature >> 16, flags)
            )
    return root, points


def rpp_tempo_map(points):
    """Turn REAPER's points in seconds into a tempo map, and into its bar lines in quarters.

    A meter begins a bar; only if its flags have bit 2 may the bar before it be cut.
    """
    quarter, tempos, meters = 0.0, [], []
    for (time_s, bpm, numerator, denominator, flags), following in itertools.pairwise(
        [*points, None]
    ):
        if numerator:
            assert flags & 1
            if meters and not flags & 4:
                start, per_bar, unit = meters[-1]
                bars = (quarter - start) / (4 * per_bar / unit)
                assert abs(bars - round(bars)) < 1e-6
            meters.append((quarter, numerator, denominator))
        tempos.append((quarter, bpm))
        if following is not None:
            quarter += (following[0] - time_s) * bpm / 60
    return TempoMap(tempos), meters


def read_dawproject(path):
    """The root of `project.xml`, its tempo map and its meters."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return read_project_xml(archive.read("project.xml"))


def read_project_xml(text):
    """The root of a `project.xml`, its tempo map and its meters."""
    root = ElementTree.fromstring(text)
    arrangement = root.find("Arrangement")
    tempos = [
        (float(p.get("time")), float(p.get("value")))
        for p in arrangement.find("TempoAutomation").findall("RealPoint")
    ]
    meters = [
        (float(p.get("time")), int(p.get("numerator")), int(p.get("denominator")))
        for p in arrangement.find("TimeSignatureAutomation").findall("TimeSignaturePoint")
    ]
    return root, TempoMap(tempos), meters


def worst_beat_s(grid, tempos, meters):
    """How far the farthest beat of a grid is from where a project has it, in seconds.

    Knows only the project: the first downbeat must be on one of its bar lines, and from there
    the beats are counted in the note value of the meter.
    """
    downbeat_s = grid.downbeats_s[0]
    lines = bar_lines(meters, max(40.0, 4 * len(grid.beats_s)))
    start = min(lines, key=lambda quarter: abs(tempos.time_at(quarter) - downbeat_s))
    unit = next(denominator for q, _, denominator in reversed(meters) if q <= start + 1e-9)
    return max(
        abs(tempos.time_at(start + (index - grid.downbeats[0]) * 4 / unit) - beat_s)
        for index, beat_s in enumerate(grid.beats_s)
    )
