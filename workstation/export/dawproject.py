"""The target `dawproject`: one file with the audio inside, after the DAWproject 1.0 schema."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from workstation.export.archive import add_file
from workstation.export.markers import markers_of
from workstation.export.stem_files import StemFiles, write_stems
from workstation.export.target import Part, Plan, Target, Written
from workstation.export.text import one_line
from workstation.model import JobContext
from workstation.model.names import ascii_name

if TYPE_CHECKING:
    from lxml.etree import _Element

_UNITY = {"max": "2", "min": "0", "unit": "linear", "value": "1"}
_CENTRE = {"max": "1", "min": "0", "unit": "normalized", "value": "0.5"}


def write_dawproject(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the project with its stems inside."""
    work = folder / ".audio"
    files = write_stems(plan.project, work, plan.options, job.part(0.0, 0.8))
    name = ascii_name(plan.project.title, fallback="Song") + ".dawproject"
    entries = {"project.xml": project_xml(plan, files), "metadata.xml": metadata_xml(plan)}
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_STORED) as archive:
        for entry, content in entries.items():
            archive.writestr(zipfile.ZipInfo(entry), content)
        count = len(files.names)
        for index, stem in enumerate(files.names):
            step = job.part(0.8 + 0.2 * index / count, 0.8 + 0.2 * (index + 1) / count)
            add_file(archive, f"audio/{stem}", work / stem, step)
            (work / stem).unlink()
    shutil.rmtree(work)
    return Written(open_with=name, notes=files.notes)


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
    for index, track in enumerate(plan.project.tracks):
        element = etree.SubElement(
            structure,
            "Track",
            contentType="audio",
            loaded="true",
            id=f"track{index}",
            name=one_line(track.name),
            color=track.colour,
        )
        channel = etree.SubElement(
            element,
            "Channel",
            audioChannels=str(files.channels[index]),
            destination="master",
            role="regular",
            solo="false",
            id=f"channel{index}",
        )
        _add_mixer(channel, f"track{index}")
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


def _add_mixer(channel: _Element, owner: str) -> None:
    from lxml import etree

    etree.SubElement(channel, "Mute", value="false", id=f"{owner}mute", name="Mute")
    etree.SubElement(channel, "Pan", _CENTRE, id=f"{owner}pan", name="Pan")
    etree.SubElement(channel, "Volume", _UNITY, id=f"{owner}volume", name="Volume")


def _add_lanes(arrangement: _Element, plan: Plan, files: StemFiles) -> None:
    """One clip a track, from time 0, unwarped: a clip within a clip, as hosts write it."""
    from lxml import etree

    project = plan.project
    length = _number(plan.timeline.quarter_at(project.duration_s))
    seconds = _number(project.duration_s)
    lanes = etree.SubElement(arrangement, "Lanes", timeUnit="beats", id="lanes")
    for index, track in enumerate(project.tracks):
        lane = etree.SubElement(lanes, "Lanes", track=f"track{index}", id=f"lane{index}")
        outer = etree.SubElement(lane, "Clips", id=f"clips{index}")
        clip = etree.SubElement(
            outer,
            "Clip",
            time="0",
            duration=length,
            playStart="0",
            name=one_line(track.name),
            color=track.colour,
        )
        inner = etree.SubElement(clip, "Clips", id=f"content{index}")
        content = etree.SubElement(
            inner, "Clip", time="0", duration=length, contentTimeUnit="seconds", playStart="0"
        )
        audio = etree.SubElement(
            content,
            "Audio",
            channels=str(files.channels[index]),
            duration=seconds,
            sampleRate=str(project.sample_rate_hz),
            algorithm="raw",
            id=f"audio{index}",
        )
        etree.SubElement(audio, "File", path=f"audio/{files.names[index]}")


def _add_markers(arrangement: _Element, plan: Plan) -> None:
    from lxml import etree

    markers = markers_of(plan.project, plan.timeline, plan.options)
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
    carries=frozenset({Part.AUDIO, Part.TEMPO, Part.SECTIONS, Part.BARS, Part.COLOURS}),
    encodings=("pcm24", "float32"),
    write=write_dawproject,
)
