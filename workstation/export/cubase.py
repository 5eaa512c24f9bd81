"""The tempo map as a tempo track of Cubase and Nuendo (`.smt`).

XML of Steinberg's own kind of objects. Places are in 480ths of a quarter, bars count from 0, and a
tempo holds until the next one.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from workstation.export.target import Plan
from workstation.export.timeline import bar_numbers

FILE_NAME = "tempo-map.smt"
_TICKS = 480  # In a quarter.


def write_tempo_track(plan: Plan, path: Path) -> None:
    """Write all tempos and meters of a project."""
    from lxml import etree

    timeline = plan.timeline
    ids = itertools.count(1)

    def value(parent: etree._Element, kind: str, name: str, number: float) -> None:
        etree.SubElement(parent, kind, name=name, value=f"{number:.15g}")

    def track(name: str, kind: str, events: str) -> etree._Element:
        number = str(next(ids))
        etree.SubElement(roots, "root", name=name, ID=number)
        owner = etree.SubElement(root, "obj", {"class": kind, "ID": number})
        return etree.SubElement(owner, "list", name=events, type="obj")

    def event(parent: etree._Element, kind: str) -> etree._Element:
        return etree.SubElement(parent, "obj", {"class": kind, "ID": str(next(ids))})

    root = etree.Element("MasterTrack")
    roots = etree.SubElement(root, "rootObjects")
    tempos = track("Tempo Track", "MTempoTrackEvent", "TempoEvent")
    meters = track("Signature Track", "MSignatureTrackEvent", "SignatureEvent")
    for tempo in timeline.tempos:
        place = event(tempos, "MTempoEvent")
        value(place, "float", "BPM", tempo.bpm)
        value(place, "float", "PPQ", tempo.quarter * _TICKS)
    owner = tempos.getparent()
    assert owner is not None
    value(owner, "float", "RehearsalTempo", timeline.tempos[0].bpm)
    for meter, bar in zip(timeline.meters, bar_numbers(timeline), strict=True):
        place = event(meters, "MTimeSignatureEvent")
        value(place, "int", "Bar", bar - 1)
        value(place, "int", "Numerator", meter.numerator)
        value(place, "int", "Denominator", meter.denominator)
        value(place, "int", "Position", round(meter.quarter * _TICKS))
    data = etree.tostring(root, xml_declaration=True, encoding="utf-8", pretty_print=True)
    path.write_bytes(data)
