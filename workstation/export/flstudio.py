"""The target `flstudio`: an FL Studio project of audio clips, and the same as a zip.

Written as FL Studio 20.8 does, which newer versions open. One tempo holds for the whole project:
how its tempo automation is stored is not proved, and audio must never follow it. The clips start
so late that the first downbeat is on a bar line.
"""

from __future__ import annotations

import itertools
import struct
import zipfile
from pathlib import Path

import msgspec

from workstation.export.flp import Event, Flp, blob, byte, dword, text, word
from workstation.export.markers import markers_of
from workstation.export.midi import FILE_NAME, write_tempo_map
from workstation.export.stem_files import StemFiles, write_stems
from workstation.export.target import Part, Plan, Target, Written
from workstation.export.text import one_line
from workstation.model import JobContext
from workstation.model.names import ascii_name

PPQ = 960
_VERSION, _BUILD = "20.8.4.2576", 2576
_UNITY = 12800
_INSERTS = 127
_TRACKS = 500
_AUDIO_CLIP = 4
_FIRST_ROW = 499
_TIME_SIGNATURE = 8
_TRACK_COLOUR = 0x565148


class _Layout(msgspec.Struct, frozen=True):
    """One tempo, and where the clips start.

    Attributes:
        bpm: In quarter notes a minute, in steps of 0.001.
        start_ticks: Of every clip.
        meter: Numerator and denominator.
        drift_s: By how much a beat is off a steady grid at most.
    """

    bpm: float
    start_ticks: int
    meter: tuple[int, int]
    drift_s: float

    def ticks(self, time_s: float) -> int:
        """Place of a time of the song."""
        return self.start_ticks + round(time_s * self.bpm / 60 * PPQ)


def _layout(plan: Plan) -> _Layout:
    timeline, project = plan.timeline, plan.project
    numerator, denominator = timeline.meter
    if timeline.downbeat_s is None or project.grid is None:
        return _Layout(timeline.tempos[0].bpm, 0, timeline.meter, 0.0)
    beats = project.grid.beats_s
    # The mean tempo, by the beats themselves: what comes before them has a tempo of its own.
    quarters = 4 / denominator * (len(beats) - 1)
    bpm = round(60 * quarters / (beats[-1] - beats[0]), 3)
    bar = PPQ * 4 * numerator // denominator
    downbeat = round(timeline.downbeat_s * bpm / 60 * PPQ)
    each_s = 60 / bpm * 4 / denominator
    anchor = project.grid.downbeats[0]
    drift = max(abs(beats[k] - (beats[anchor] + (k - anchor) * each_s)) for k in range(len(beats)))
    return _Layout(bpm, -downbeat % bar, timeline.meter, drift)


def write_flstudio(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the project, its stems beside it, and both as a zip."""
    files = write_stems(plan.project, folder, plan.options, job.part(0.0, 0.7))
    layout = _layout(plan)
    name = ascii_name(plan.project.title, fallback="Song")
    (folder / f"{name}.flp").write_bytes(project_file(plan, files, layout).encode())
    write_tempo_map(plan, folder / FILE_NAME)
    with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
        for index, member in enumerate((f"{name}.flp", *files.names)):
            job.check()
            job.part(0.7, 1.0, "Packing").report(index / (len(files.names) + 1))
            # A date of its own, so that the same project gives the same bytes.
            info = zipfile.ZipInfo(member, (1980, 1, 1, 0, 0, 0))
            with (
                archive.open(info, "w", force_zip64=True) as out,
                (folder / member).open("rb") as source,
            ):
                while block := source.read(1 << 20):
                    job.check()
                    out.write(block)
    return Written(open_with=f"{name}.flp", notes=(*files.notes, *_notes(layout)))


def _notes(layout: _Layout) -> list[str]:
    notes = []
    if layout.drift_s > 0.005:
        notes.append(
            f"The tempo map: the project has one tempo, {layout.bpm:.3f} bpm, and a beat is up to "
            f"{layout.drift_s * 1000:.0f} ms off it. {FILE_NAME} holds the map."
        )
    if layout.start_ticks:
        quarters = layout.start_ticks / PPQ
        notes.append(
            f"The clips start {quarters:.2f} quarter notes after bar 1, so that the first downbeat "
            "is on a bar line."
        )
    return notes


def project_file(plan: Plan, files: StemFiles, layout: _Layout) -> Flp:
    """The whole project."""
    tracks = plan.project.tracks
    channels = [
        event
        for index in range(len(tracks))
        for event in _channel(
            index, tracks[index].name, tracks[index].colour, files.names[index], index + 1
        )
    ]
    events = (*_head(plan, layout), *channels, *_arrangement(plan, layout), *_mixer(plan))
    return Flp(len(tracks), PPQ, events)


def _head(plan: Plan, layout: _Layout) -> list[Event]:
    project = plan.project
    return [
        text(199, _VERSION), dword(159, _BUILD), byte(28, 1), byte(37, 1), text(200, ""),
        dword(156, round(layout.bpm * 1000)), word(67, 1), byte(9, 1), byte(11, 0), word(80, 0),
        byte(17, layout.meter[0]), byte(18, layout.meter[1]), byte(35, 1), byte(23, 0),
        byte(30, 1), byte(10, 0), text(194, one_line(project.title)), text(206, ""),
        text(207, one_line(project.artist)), text(202, ""), text(195, ""),
        blob(237, struct.pack("<dd", 0.0, 0.0)), text(231, "Audio"),
        dword(146, 0xFFFFFFFF), blob(216, b""),
        *(blob(226, bytes.fromhex(code)) for code in (
            "01000000000000000190ff0f04000000d5010000",
            "fd000000000000008090ff0f04000000d5010000",
            "ff000000ff0000000400ff0f0400000000feffff",
        )),
    ]  # fmt: skip


def _colour(colour: str) -> int:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return red | green << 8 | blue << 16


def _channel(number: int, name: str, colour: str, path: str, insert: int) -> list[Event]:
    """An audio clip as a channel: at its own speed whatever the tempo, at unity, on an insert."""
    name = one_line(name)
    low, high = (100, 0, 0, 0), (60, 0, 0, 0)
    return [
        word(64, number), byte(21, _AUDIO_CLIP), text(201, ""),
        blob(212, struct.pack("<IIiII", 0, 0, -1, 0, 0x50) + bytes(32)), text(203, name),
        dword(155, 0), dword(128, _colour(colour)), byte(0, 1),
        blob(209, struct.pack("<5I", 0, 6400, 0, 4, 144)), dword(138, 0x00800080),
        dword(139, 0x10000),
        *(word(event, value) for event, value in (
            (89, 0), (97, 128), (69, 128), (86, 256), (71, 1024), (83, 0), (74, 0), (75, 0),
            (76, 0), (85, 2048),
        )),
        dword(131, 0x800000), word(70, 0), byte(22, insert),
        blob(219, struct.pack("<6I", 6400, _UNITY, 0, 256, 0, 0)),
        blob(229, struct.pack("<5I", 0, _UNITY, 0, 0, 0)),
        blob(221, struct.pack("<IIB", 0, 500, 0)), blob(215, _sampling()), dword(132, 0),
        dword(144, 0), dword(145, 0), byte(32, 0), blob(228, struct.pack("<4i", *low)),
        blob(228, struct.pack("<4i", *high)), *(_envelope(index) for index in range(5)),
        dword(143, 0x102), byte(20, 0), text(196, path),
    ]  # fmt: skip


def _sampling() -> bytes:
    """How a channel plays its sample: time 0, so that it keeps its own speed."""
    return b"".join((
        struct.pack("<2i", -1, 0), struct.pack("<4B", 0, 0, 0, 1), struct.pack("<2i", -1, 60),
        struct.pack("<5f", *(1.0,) * 5), struct.pack("<5I", 0, 1, 0xFFFFFFFF, 1024, 48),
        struct.pack("<4B", 0, 0, 1, 0), struct.pack("<2H", 1447, 0),
        struct.pack("<3I", 0, 256, 0), struct.pack("<4B", 0, 0, 0, 0),
        struct.pack("<3I", 0, 0, 1), struct.pack("<I", 0), struct.pack("<3i", 0, 0, 0),
        struct.pack("<I", 2), struct.pack("<3i", -2, -1, 0), struct.pack("<3d", 0.0, 1.0, 0.0),
        struct.pack("<i", -1), struct.pack("<2B", 1, 1),
    ))  # fmt: skip


def _envelope(index: int) -> Event:
    second = index == 1
    values = (
        4 if second else 0, 0, 100, 20000, 20000, 30000, 50, 20000, 0, 100, 20000, 0, 32950, 0, 0,
        0, -101 if second else 0,
    )  # fmt: skip
    return blob(218, struct.pack("<17i", *values))


def _arrangement(plan: Plan, layout: _Layout) -> list[Event]:
    project = plan.project
    length = layout.ticks(project.duration_s) - layout.start_ticks
    rows = b"".join(
        struct.pack(
            "<IHHIHHHHIff", layout.start_ticks, 20480, index, length, _FIRST_ROW - index, 0, 0x78,
            0x40, 0x80806440, -1.0, -1.0,
        )
        for index in range(len(project.tracks))
    )  # fmt: skip
    events = [word(99, 0), text(241, "Arrangement"), byte(36, 0), blob(233, rows)]
    events += _marker(0, f"{layout.meter[0]}/{layout.meter[1]}", layout.meter, _TIME_SIGNATURE)
    for marker in markers_of(project, plan.timeline, plan.options):
        events += _marker(layout.ticks(marker.time_s), marker.name, layout.meter, 0)
    for index in range(_TRACKS):
        mine = index < len(project.tracks)
        colour = _colour(project.tracks[index].colour) if mine else _TRACK_COLOUR
        events.append(blob(238, _track(index + 1, colour)))
        if mine:
            events.append(text(239, one_line(project.tracks[index].name)))
    return events


def _marker(ticks: int, name: str, meter: tuple[int, int], kind: int) -> list[Event]:
    return [
        dword(148, kind << 24 | ticks & 0xFFFFFF), byte(33, meter[0]), byte(34, meter[1]),
        text(205, name),
    ]  # fmt: skip


def _track(number: int, colour: int) -> bytes:
    head = struct.pack("<IIIBfiB6I2B", number, colour, 0, 1, 1.0, -1, 0, 0, 0, 5, 0, 1, 0, 0, 0)
    return head + bytes(5) + b"\xff" * 8 + b"\x01" + bytes(4)


def _mixer(plan: Plan) -> list[Event]:
    tracks = plan.project.tracks
    events = [word(100, 0), byte(29, 1), byte(39, 1), byte(40, 0), byte(31, 0), byte(38, 3)]
    values: list[bytes] = [struct.pack("<IIi", 0, 0x40000000, _UNITY)]
    for insert in range(_INSERTS):
        if 1 <= insert <= len(tracks):
            events.append(dword(149, _colour(tracks[insert - 1].colour)))
            events.append(text(204, one_line(tracks[insert - 1].name)))
        edge = insert in {0, _INSERTS - 1}
        events.append(blob(236, struct.pack("<III", 0, 0x0C if edge else 0x4C, 0)))
        events += [word(98, slot) for slot in range(10)]
        routes = bytearray(_INSERTS)
        routes[0] = insert != 0
        last = 0 if insert == 0 else -1
        events += [blob(235, bytes(routes)), dword(154, -1), dword(147, last)]
        values += _insert_values(insert)
    return [*events, blob(225, b"".join(values)), dword(133, 0)]


def _insert_values(insert: int) -> list[bytes]:
    def record(slot: int, what: int, value: int) -> bytes:
        return struct.pack("<IIi", 0, (0x2000 + (insert << 6) + slot) << 16 | what, value)

    equaliser = itertools.chain(
        zip(range(0x1FD0, 0x1FD3), (0, 0, 0), strict=True),
        zip(range(0x1FD8, 0x1FDB), (5777, 33145, 55825), strict=True),
        zip(range(0x1FE0, 0x1FE3), (17500, 17500, 17500), strict=True),
    )
    slots = [
        record(slot, what, value)
        for slot in range(10)
        for what, value in ((0x1F00, 1), (0x1F01, _UNITY))
    ]
    own = ((0x1FC0, _UNITY), (0x1FC1, 0), (0x1FC2, 0), *equaliser, (0x1F40, _UNITY))
    return [*slots, *(record(0, what, value) for what, value in own)]


FLSTUDIO = Target(
    name="flstudio",
    title="FL Studio",
    summary="an .flp with its stems, and both as a .zip",
    opens_in="FL Studio 20.8 and newer",
    how_to=(
        "Open the .flp in FL Studio, with the stems beside it; or drag the .zip into FL Studio. If "
        "a sample is not found, right-click it and point to this folder once."
    ),
    carries=frozenset({Part.AUDIO, Part.SECTIONS, Part.BARS, Part.COLOURS}),
    encodings=("pcm24", "float32"),
    scratch_copies=1,
    write=write_flstudio,
)
