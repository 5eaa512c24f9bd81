"""The lines of a REAPER project (`.rpp`): a text file of nested blocks, one value a line."""

from __future__ import annotations

import uuid
from pathlib import Path

from workstation.export.automation import Curve
from workstation.export.markers import markers_of
from workstation.export.pieces import Clip
from workstation.export.project import Folder, Track
from workstation.export.stem_files import StemFiles
from workstation.export.target import Plan
from workstation.export.text import one_line
from workstation.export.timeline import MeterPoint

_SOURCES = {".wav": "WAVE", ".flac": "FLAC", ".mp3": "MP3"}
_LINEAR = 0
_SQUARE = 1  # A tempo, or a mute, that holds until the next one.
# Flags of a tempo point: it has a meter, which begins a bar; the bar before may be cut.
_METER = 1
_CUTS_BAR = 4


def project_lines(plan: Plan, files: StemFiles) -> list[str]:
    """The lines of the project file."""
    project = plan.project
    lines = [
        '<REAPER_PROJECT 0.1 "7.0/linux-x86_64" 0',
        f"  TITLE {quoted(project.title)}",
        f"  AUTHOR {quoted(project.artist)}",
        "  PANLAW 1",
        "  PANMODE 3",
        # Items and tempo points stay where they are in seconds when a tempo is edited.
        "  TIMELOCKMODE 0",
        "  TEMPOENVLOCKMODE 0",
        f"  SAMPLERATE {project.sample_rate_hz} 1 0",
        f"  {tempo_line(plan)}",
        f"  MASTER_NCH {_master_channels(files)} 2",
        "  MASTER_VOLUME 1 0 -1 -1 1",
        *_volume_lines(plan, "MASTERVOLENV2", plan.arrangement.master, "  "),
        *tempo_lines(plan),
        *marker_lines(plan),
    ]
    for number, group in enumerate(project.folders):
        lines += folder_lines(plan, files, group, number)
    return [*lines, ">"]


def folder_lines(plan: Plan, files: StemFiles, group: Folder, number: int) -> list[str]:
    """A track with the tracks that lie in it, or one that lies in none."""
    tracks = [
        *(track_lines(plan, files, index) for index in group.tracks),
        *(_empty_lines(plan, index) for index in group.empty),
    ]
    if not group.name:
        return tracks[0]
    # The last track of a folder closes it.
    tracks[-1].insert(2, "    ISBUS 2 -1")
    head = [
        *_head_lines(plan, group.name, group.colour, f"group {number}"),
        f"    NCHAN {max(track_channels(files.channels[i]) for i in group.tracks or [0])}",
        "    MAINSEND 1 0",
        "  >",
    ]
    head.insert(2, "    ISBUS 1 1")
    return [*head, *(line for track in tracks for line in track)]


def _head_lines(
    plan: Plan, name: str, colour: str, which: str, *, muted: bool = False
) -> list[str]:
    return [
        f"  <TRACK {_guid(plan, which)}",
        f"    NAME {quoted(name)}",
        f"    PEAKCOL {_colour(colour)}",
        "    BEAT -1",
        "    VOLPAN 1 0 -1 -1 1",
        f"    MUTESOLO {int(muted)} 0 0",
    ]


def _empty_lines(plan: Plan, index: int) -> list[str]:
    """A track without items: what REAPER has for a bus, too."""
    track = plan.project.empty[index]
    which = f"empty {index}"
    return [
        *_head_lines(plan, track.name, track.colour, which),
        "    NCHAN 2",
        f"    TRACKID {_guid(plan, which)}",
        "    MAINSEND 1 0",
        "  >",
    ]


def _output_lines(track: Track) -> list[str]:
    """Where the sound goes: to the master or its folder, or to two outputs of the device."""
    if track.output is None:
        return ["    MAINSEND 1 0"]
    return ["    MAINSEND 0 0", f"    HWOUT {track.output - 1} 0 1 0 0 0 0 -1:U -1"]


def quoted(text: str) -> str:
    """A value as REAPER quotes it: in the first kind of quotation mark it does not contain."""
    text = one_line(text)
    for mark in ('"', "'", "`"):
        if mark not in text:
            return f"{mark}{text}{mark}"
    return f"`{text.replace('`', chr(39))}`"


def _guid(plan: Plan, what: str) -> str:
    """An identifier that is the same at every export of the same song."""
    seed = f"{one_line(plan.project.title)}/{plan.project.frames}/{what}"
    return f"{{{str(uuid.uuid5(uuid.NAMESPACE_OID, seed)).upper()}}}"


def _colour(colour: str) -> int:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return 0x1000000 | red | green << 8 | blue << 16


def track_channels(channels: int) -> int:
    """Channels of a track: an even number, as REAPER has it."""
    return max(2, channels + channels % 2)


def _master_channels(files: StemFiles) -> int:
    return max(track_channels(channels) for channels in files.channels)


def tempo_line(plan: Plan) -> str:
    """Tempo and meter at the start."""
    meter = plan.timeline.meters[0]
    bpm = plan.timeline.tempos[0].bpm
    return f"TEMPO {bpm:.10f} {meter.numerator} {meter.denominator}"


def tempo_lines(plan: Plan) -> list[str]:
    """The tempo envelope: points in seconds, and where a meter begins, that meter and flags."""
    meters = {m.quarter: m for m in plan.timeline.meters}
    points = {t.quarter: (t.time_s, t.bpm) for t in plan.timeline.tempos}
    for quarter, meter in meters.items():
        if quarter not in points:
            before = max(t.quarter for t in plan.timeline.tempos if t.quarter <= quarter)
            points[quarter] = (meter.time_s, points[before][1])
    lines = []
    for quarter, (time_s, bpm) in sorted(points.items()):
        line = f"    PT {time_s:.12f} {bpm:.10f} {_SQUARE}"
        lines.append(line + (_signature(meters[quarter]) if quarter in meters else ""))
    return [
        "  <TEMPOENVEX",
        f"    EGUID {_guid(plan, 'tempo')}",
        "    ACT 1 -1",
        "    VIS 1 0 1",
        "    LANEHEIGHT 0 0",
        "    ARM 0",
        "    DEFSHAPE 1 -1 -1",
        *lines,
        "  >",
    ]


def _signature(meter: MeterPoint) -> str:
    flags = _METER | (_CUTS_BAR if meter.cuts_bar else 0)
    return f" {meter.denominator << 16 | meter.numerator} 0 {flags}"


def marker_lines(plan: Plan) -> list[str]:
    """A line a marker, at its time in seconds."""
    return [
        f"  MARKER {number} {marker.time_s:.12f} {quoted(marker.name)} 0 0 1 R "
        f"{_guid(plan, f'marker {number}')} 0"
        for number, marker in enumerate(
            markers_of(plan.arrangement, plan.timeline, plan.options), start=1
        )
    ]


def track_lines(plan: Plan, files: StemFiles, index: int) -> list[str]:
    """The block of a track of its own, with its items."""
    track, name = plan.project.tracks[index], files.names[index]
    return [
        *_head_lines(plan, track.name, track.colour, f"track {index}", muted=track.muted),
        f"    NCHAN {track_channels(files.channels[index])}",
        f"    TRACKID {_guid(plan, f'track {index}')}",
        *_output_lines(track),
        *envelope_lines(plan, index),
        *item_lines(plan, name, index),
        "  >",
    ]


def item_lines(plan: Plan, name: str, index: int) -> list[str]:
    """The items of a track, which play a file: its path as seen from the project."""
    clips = plan.arrangement.clips
    return [line for clip in clips for line in _item_lines(plan, name, index, clip)]


def _item_lines(plan: Plan, name: str, index: int, clip: Clip) -> list[str]:
    rate = plan.project.sample_rate_hz
    # The one item of a song that is there as a whole keeps the identifiers of earlier exports.
    which = f"{index} {clip.project_frame}" if clip.project_frame else str(index)
    return [
        "    <ITEM",
        f"      POSITION {_seconds(clip.project_frame / rate)}",
        "      SNAPOFFS 0",
        f"      LENGTH {clip.frames / rate:.12f}",
        "      LOOP 0",
        "      ALLTAKES 0",
        "      FADEIN 1 0 0 1 0 0 0",
        "      FADEOUT 1 0 0 1 0 0 0",
        "      MUTE 0 0",
        "      BEAT 0",
        f"      IGUID {_guid(plan, f'item {which}')}",
        f"      NAME {quoted(plan.project.tracks[index].name)}",
        "      VOLPAN 1 0 1 -1",
        f"      SOFFS {_seconds(clip.song_frame / rate)}",
        "      PLAYRATE 1 1 0 -1 0 0.0025",
        "      CHANMODE 0",
        f"      GUID {_guid(plan, f'take {which}')}",
        f"      <SOURCE {_SOURCES[Path(name).suffix]}",
        f"        FILE {quoted(name)}",
        "      >",
        "    >",
    ]


def _seconds(time_s: float) -> str:
    return f"{time_s:.12f}" if time_s else "0"


def envelope_lines(plan: Plan, index: int) -> list[str]:
    """What a take does on a track; the fader stays at unity, as it multiplies the envelope."""
    rate = plan.project.sample_rate_hz
    strip = plan.arrangement.of(plan.project.tracks[index])
    owner = f"track {index}"
    # An envelope of pans runs the other way than the knob: 1 is left.
    pan = [f"PT {p.frame / rate:.12f} {0 - p.value:.9g} {_LINEAR}" for p in strip.pan]
    mute = [f"PT {s.frame / rate:.12f} {0 if s.on else 1} {_SQUARE}" for s in strip.mute]
    return [
        *_volume_lines(plan, "VOLENV2", strip.volume, "    ", owner),
        *_envelope(plan, "PANENV2", pan, "    ", owner),
        *_envelope(plan, "MUTEENV", mute, "    ", owner),
    ]


def _volume_lines(
    plan: Plan, kind: str, curve: Curve, indent: str, owner: str = "master"
) -> list[str]:
    """An envelope of amplitudes that is straight in amplitude, not along the fader."""
    rate = plan.project.sample_rate_hz
    points = [f"PT {p.frame / rate:.12f} {p.value:.9g} {_LINEAR}" for p in curve]
    return _envelope(plan, kind, ["VOLTYPE 0", *points] if points else [], indent, owner)


def _envelope(plan: Plan, kind: str, lines: list[str], indent: str, owner: str) -> list[str]:
    if not lines:
        return []
    inner = [
        f"EGUID {_guid(plan, f'{owner} {kind}')}",
        "ACT 1 -1",
        "VIS 1 1 1",
        "LANEHEIGHT 0 0",
        "ARM 0",
        f"DEFSHAPE {_SQUARE if kind == 'MUTEENV' else _LINEAR} -1 -1",
        *lines,
    ]
    return [f"{indent}<{kind}", *(f"{indent}  {line}" for line in inner), f"{indent}>"]
