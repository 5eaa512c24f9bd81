"""The target `dawproject`: one file with the audio inside, after the DAWproject 1.0 schema."""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from workstation.audio import need_space
from workstation.export.archive import add_file
from workstation.export.automation import Curve, Point, Switch, in_quarters
from workstation.export.dawproject_own import OwnDaw
from workstation.export.markers import markers_of
from workstation.export.pieces import Clip
from workstation.export.stem_files import StemFiles, write_stems
from workstation.export.target import LayoutPart, Part, Plan, Target, Written
from workstation.export.text import one_line
from workstation.model import JobContext
from workstation.model.names import ascii_name

if TYPE_CHECKING:
    from lxml.etree import _Element

_UNITY = {"max": "2", "min": "0", "unit": "linear", "value": "1"}
_PAN_LAWS = (
    "The exact level of pans: the take pans as a balance, which leaves one side as it is; programs "
    "with another pan law raise or lower it by up to 3 dB."
)
_CENTRE = {"max": "1", "min": "0", "unit": "normalized", "value": "0.5"}


def write_dawproject(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the project with its stems inside.

    Raises:
        InputError: The user's own project cannot be read.
    """
    own = None if plan.options.own_project is None else OwnDaw(plan.options.own_project)
    work = folder / ".audio"
    files = write_stems(plan.project, work, plan.options, job.part(0.0, 0.7))
    name = ascii_name(plan.project.title, fallback="Song") + ".dawproject"
    entries = {"project.xml": project_xml(plan, files), "metadata.xml": metadata_xml(plan)}
    audio, gone, had = "audio", list[str](), set[str]()
    if own is not None:
        while any(entry.partition("/")[0].casefold() == audio for entry in own.names):
            audio += "-of-the-song"
        entries = {"project.xml": b""}
        entries["project.xml"], gone, had = own.merged(project_xml(plan, files), audio)
        need_space(folder, own.unpacked_bytes)
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_STORED) as archive:
        for entry, content in entries.items():
            archive.writestr(zipfile.ZipInfo(entry), content)
        if own is not None:
            own.copy_entries(archive, job.part(0.7, 0.8))
        count = len(files.names)
        for index, stem in enumerate(files.names):
            step = job.part(0.8 + 0.2 * index / count, 0.8 + 0.2 * (index + 1) / count)
            add_file(archive, f"{audio}/{stem}", work / stem, step)
            (work / stem).unlink()
    shutil.rmtree(work)
    notes = [*files.notes, *plan.arrangement.notes, *gone]
    if any(strip.pan for strip in plan.arrangement.stems.values()):
        notes.append(_PAN_LAWS)
    filled = (index for index in range(len(files.names)) if f"track{index}" in had)
    return Written(open_with=name, notes=tuple(notes), filled=tuple(filled))


def _number(value: float) -> str:
    return f"{value:.12g}"


def metadata_xml(plan: Plan) -> bytes:
    """The contents of `metadata.xml`."""
    from lxml import etree

    root = etree.Element("MetaData")
    etree.SubElement(root, "Title").text = one_line(plan.project.title)
    if plan.project.artist:
        etree.SubElement(root, "Artist").text = one_line(plan.project.artist)
    xml: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return xml


def project_xml(plan: Plan, files: StemFiles) -> bytes:
    """The contents of `project.xml`."""
    from lxml import etree

    root = etree.Element("Project", version="1.0")
    etree.SubElement(root, "Application", name="workstation", version="0.1.0")
    _add_transport(root, plan)
    _add_structure(root, plan, files)
    arrangement = etree.SubElement(root, "Arrangement", id="arrangement")
    _add_lanes(arrangement, plan, files)
    _add_markers(arrangement, plan)
    _add_tempos(arrangement, plan)
    etree.SubElement(root, "Scenes")
    xml: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return xml


def _add_transport(root: _Element, plan: Plan) -> None:
    from lxml import etree

    transport = etree.SubElement(root, "Transport")
    meter = plan.timeline.meters[0]
    etree.SubElement(
        transport,
        "Tempo",
        max="999",
        min="1",
        unit="bpm",
        value=_number(plan.timeline.tempos[0].bpm),
        id="tempo",
        name="Tempo",
    )
    etree.SubElement(
        transport,
        "TimeSignature",
        denominator=str(meter.denominator),
        numerator=str(meter.numerator),
        id="meter",
    )


def _add_structure(root: _Element, plan: Plan, files: StemFiles) -> None:
    from lxml import etree

    structure = etree.SubElement(root, "Structure")
    for number, group in enumerate(plan.project.folders):
        parent, destination = structure, "master"
        if group.name:
            destination = f"groupchannel{number}"
            look = {"name": one_line(group.name), "color": group.colour}
            parent = _add_track(structure, f"group{number}", "tracks", look)
            channel = _add_channel(parent, destination, "master", "master", 2)
            _add_mixer(channel, f"group{number}")
        for index in group.tracks:
            track = plan.project.tracks[index]
            look = {"name": one_line(track.name), "color": track.colour}
            element = _add_track(parent, f"track{index}", "audio", look)
            width = files.channels[index]
            channel = _add_channel(element, f"channel{index}", destination, "regular", width)
            _add_mixer(channel, f"track{index}", muted=track.muted)
        for index in group.empty:
            empty = plan.project.empty[index]
            look = {"name": one_line(empty.name), "color": empty.colour}
            element = _add_track(parent, f"empty{index}", "audio", look)
            role = "effect" if empty.bus else "regular"
            channel = _add_channel(element, f"emptychannel{index}", destination, role, 2)
            _add_mixer(channel, f"empty{index}")
    master = etree.SubElement(
        structure,
        "Track",
        contentType="audio notes",
        loaded="true",
        id="mastertrack",
        name="Master",
    )
    channel = etree.SubElement(
        master, "Channel", audioChannels="2", role="master", solo="false", id="master"
    )
    _add_mixer(channel, "master")


def _add_track(parent: _Element, number: str, content: str, look: dict[str, str]) -> _Element:
    from lxml import etree

    values = {"contentType": content, "loaded": "true", "id": number, **look}
    return etree.SubElement(parent, "Track", dict(values))


def _add_channel(
    track: _Element, number: str, destination: str, role: str, channels: int
) -> _Element:
    from lxml import etree

    return etree.SubElement(
        track,
        "Channel",
        audioChannels=str(channels),
        destination=destination,
        role=role,
        solo="false",
        id=number,
    )


def _add_mixer(channel: _Element, owner: str, *, muted: bool = False) -> None:
    from lxml import etree

    etree.SubElement(channel, "Mute", value=str(muted).lower(), id=f"{owner}mute", name="Mute")
    etree.SubElement(channel, "Pan", _CENTRE, id=f"{owner}pan", name="Pan")
    etree.SubElement(channel, "Volume", _UNITY, id=f"{owner}volume", name="Volume")


def _add_lanes(arrangement: _Element, plan: Plan, files: StemFiles) -> None:
    """The clips of every track and, with a take, how its mixer moves."""
    from lxml import etree

    lanes = etree.SubElement(arrangement, "Lanes", timeUnit="beats", id="lanes")
    for index, track in enumerate(plan.project.tracks):
        lane = etree.SubElement(lanes, "Lanes", track=f"track{index}", id=f"lane{index}")
        outer = etree.SubElement(lane, "Clips", id=f"clips{index}")
        for number, clip in enumerate(plan.arrangement.clips):
            which = f"{index}" if number == 0 else f"{index}piece{number}"
            _add_clip(outer, plan, files, index, clip, which)
        strip = plan.arrangement.of(track)
        _add_curve(lane, plan, f"track{index}volume", "linear", strip.volume)
        pan = tuple(Point(p.frame, (p.value + 1) / 2) for p in strip.pan)
        _add_curve(lane, plan, f"track{index}pan", "normalized", pan)
        _add_mutes(lane, plan, f"track{index}mute", strip.mute)
    if plan.arrangement.master:
        lane = etree.SubElement(lanes, "Lanes", track="mastertrack", id="masterlane")
        _add_curve(lane, plan, "mastervolume", "linear", plan.arrangement.master)


def _add_clip(
    outer: _Element, plan: Plan, files: StemFiles, index: int, clip: Clip, which: str
) -> None:
    """A piece of a stem, unwarped: a clip within a clip, as hosts write it."""
    from lxml import etree

    project, track = plan.project, plan.project.tracks[index]
    rate = project.sample_rate_hz
    begin = plan.timeline.quarter_at(clip.project_frame / rate)
    end = plan.timeline.quarter_at((clip.project_frame + clip.frames) / rate)
    length = _number(end - begin)
    element = etree.SubElement(
        outer,
        "Clip",
        time=_number(begin),
        duration=length,
        playStart="0",
        name=one_line(track.name),
        color=track.colour,
    )
    inner = etree.SubElement(element, "Clips", id=f"content{which}")
    content = etree.SubElement(
        inner,
        "Clip",
        time="0",
        duration=length,
        contentTimeUnit="seconds",
        playStart=_number(clip.song_frame / rate),
    )
    audio = etree.SubElement(
        content,
        "Audio",
        channels=str(files.channels[index]),
        duration=_number(project.duration_s),
        sampleRate=str(rate),
        algorithm="raw",
        id=f"audio{which}",
    )
    etree.SubElement(audio, "File", path=f"audio/{files.names[index]}")


def _add_points(lane: _Element, parameter: str, unit: dict[str, str]) -> _Element:
    from lxml import etree

    points: _Element = etree.SubElement(lane, "Points", unit, id=f"{parameter}points")
    etree.SubElement(points, "Target", parameter=parameter)
    return points


def _add_curve(lane: _Element, plan: Plan, parameter: str, unit: str, curve: Curve) -> None:
    from lxml import etree

    if not curve:
        return
    points = _add_points(lane, parameter, {"unit": unit})
    for quarter, value in in_quarters(curve, plan.project.sample_rate_hz, plan.timeline):
        etree.SubElement(
            points,
            "RealPoint",
            time=_number(quarter),
            value=_number(value),
            interpolation="linear",
        )


def _add_mutes(lane: _Element, plan: Plan, parameter: str, mutes: Sequence[Switch]) -> None:
    from lxml import etree

    if not mutes:
        return
    points = _add_points(lane, parameter, {})
    for frame, on in mutes:
        at = plan.timeline.quarter_at(frame / plan.project.sample_rate_hz)
        etree.SubElement(points, "BoolPoint", time=_number(at), value=str(on).lower())


def _add_markers(arrangement: _Element, plan: Plan) -> None:
    from lxml import etree

    markers = markers_of(plan.arrangement, plan.timeline, plan.options)
    if not markers:
        return
    parent = etree.SubElement(arrangement, "Markers", timeUnit="beats", id="markers")
    for marker in markers:
        at = plan.timeline.quarter_at(marker.time_s)
        etree.SubElement(parent, "Marker", time=_number(at), name=marker.name)


def _add_tempos(arrangement: _Element, plan: Plan) -> None:
    from lxml import etree

    tempos = etree.SubElement(
        arrangement, "TempoAutomation", timeUnit="beats", unit="bpm", id="tempoautomation"
    )
    etree.SubElement(tempos, "Target", parameter="tempo")
    for tempo in plan.timeline.tempos:
        etree.SubElement(
            tempos,
            "RealPoint",
            time=_number(tempo.quarter),
            value=_number(tempo.bpm),
            interpolation="hold",
        )
    meters = etree.SubElement(
        arrangement, "TimeSignatureAutomation", timeUnit="beats", id="meterautomation"
    )
    etree.SubElement(meters, "Target", parameter="meter")
    for meter in plan.timeline.meters:
        etree.SubElement(
            meters,
            "TimeSignaturePoint",
            time=_number(meter.quarter),
            numerator=str(meter.numerator),
            denominator=str(meter.denominator),
        )


DAWPROJECT = Target(
    name="dawproject",
    title="DAWproject",
    summary="one .dawproject file with the audio inside",
    opens_in="Bitwig Studio 5.0.9, Studio One 6.5, Cubase 14, n-Track 10.2, and newer",
    how_to=(
        "Open the .dawproject file: in Bitwig Studio, Studio One and n-Track with File > Open, in "
        "Cubase with File > Import > DAWproject. The audio is inside the file."
    ),
    carries=frozenset(
        {Part.AUDIO, Part.TEMPO, Part.SECTIONS, Part.BARS, Part.COLOURS, Part.AUTOMATION}
    ),
    encodings=("pcm24", "float32"),
    layout=frozenset(LayoutPart) - {LayoutPart.OUTPUTS},
    own_projects=(".dawproject",),
    confirmed=(
        "Not yet confirmed in Bitwig Studio, Studio One or Cubase themselves: it obeys the schema "
        "that the makers of the format publish."
    ),
    write=write_dawproject,
)
