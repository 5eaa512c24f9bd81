"""What a take does on the routes of an Ardour session: faders and panners as automation.

A list of automation is text: a line an event, its time and its value, joined by straight lines.
Ardour smooths gains with a low pass of 25 Hz, so what it plays follows some 6 ms behind.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from workstation.export.ardour_xml import add, superclocks
from workstation.export.automation import Curve, Point, StemAutomation
from workstation.export.level import level_of, without_steps

if TYPE_CHECKING:
    from lxml.etree import _Element

# Lowers the side it turns away from and leaves the other, as the strips of a take do.
_BALANCE = "http://ardour.org/plugin/panner_balance"


def automate(
    route: _Element, strip: StemAutomation, sample_rate_hz: int, ids: Iterator[int]
) -> None:
    """Let fader and panner of a route do what a take does; a mute is silence of the fader.

    Args:
        route: With all its processors.
        strip: What it is to do.
        sample_rate_hz: Of the frames of the project.
        ids: Numbers that nothing in the session has yet.
    """
    if level := level_of(strip):
        (amp,) = route.iterfind("Processor[@type='amp']")
        _add_list(amp, "gain", level, sample_rate_hz, ids)
    if strip.pan:
        (shell,) = route.iterfind("Processor/PannerShell")
        shell.set("bypassed", "0")
        shell.set("user-panner", _BALANCE)
        places = without_steps([Point(p.frame, (p.value + 1) / 2) for p in strip.pan])
        _add_list(add(route, "Pannable", {}), "pan-azimuth", places, sample_rate_hz, ids)


def _add_list(
    parent: _Element, kind: str, curve: Curve, sample_rate_hz: int, ids: Iterator[int]
) -> None:
    """Add a list of automation that plays: `gain` in amplitude, `pan-azimuth` from 0 to 1."""
    values = {
        "automation-id": kind,
        "id": next(ids),
        "interpolation-style": "Linear",
        "time-domain": "AudioTime",
        "state": "Play",
    }
    events = add(add(add(parent, "Automation", {}), "AutomationList", values), "events", {})
    times = {superclocks(p.frame / sample_rate_hz): p.value for p in curve}
    events.text = "".join(f"a{time} {value:.9g}\n" for time, value in times.items())
