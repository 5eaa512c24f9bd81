"""The target `ardour`: a session folder of Ardour 7, with the stems inside.

The session file is XML. Positions in time are superclocks, of which a second has 282,240,000, so
that every usual sample rate divides them; positions in music are quarters and 1920ths of one. A
source is found by its file name in `interchange/<session>/audiofiles`, so the folder can be moved.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from workstation.export.ardour_mix import automate
from workstation.export.ardour_tempo import add_tempo_map
from workstation.export.ardour_xml import add, superclocks
from workstation.export.automation import StemAutomation
from workstation.export.markers import markers_of
from workstation.export.project import EmptyTrack
from workstation.export.stem_files import StemFiles, write_stems
from workstation.export.target import LayoutPart, Part, Plan, Target, Written
from workstation.export.text import one_line
from workstation.model import JobContext
from workstation.model.names import ascii_name

if TYPE_CHECKING:
    from lxml.etree import _Element

_VERSION = "7002"
_DATA_FORMATS = {"pcm24": "FormatInt24", "float32": "FormatFloat"}
# Ports are named after their track, and a port's name may have 255 bytes with its client's.
_MOST_NAME_BYTES = 120
_MUTE_POINTS = "PreFader,PostFader,Listen,Main"
# What Ardour itself calls its own routes.
_TAKEN_NAMES = ("Master", "Monitor", "Auditioner", "Click")


class _Track(msgspec.Struct, frozen=True):
    """A track with the numbers by which the parts of the session refer to each other."""

    name: str
    colour: str
    file: str
    channels: int
    route: int
    playlist: int
    regions: tuple[int, ...]
    sources: tuple[int, ...]
    strip: StemAutomation
    muted: bool = False
    output: int | None = None

    @property
    def inputs(self) -> int:
        """Input ports: a mono stem that is panned gets two sides, which the panner balances."""
        return max(2, self.channels) if self.strip.pan else self.channels

    @property
    def outputs(self) -> int:
        """Output ports: a mono stem goes to both sides of the master."""
        return max(2, self.channels)


def write_ardour(plan: Plan, folder: Path, job: JobContext) -> Written:
    """Write the folder of a session."""
    name = ascii_name(plan.project.title, fallback="Song")
    session = folder / name
    audio = session / "interchange" / name / "audiofiles"
    files = write_stems(plan.project, audio, plan.options, job)
    (session / f"{name}.ardour").write_bytes(session_xml(plan, files, name))
    notes = [*files.notes, *plan.arrangement.notes]
    strips = plan.arrangement.stems.values()
    if any(strip.volume or strip.mute for strip in strips):
        notes.append("The faders at the very moment: Ardour smooths them, some 10 ms behind.")
    if any(strip.mute for strip in strips):
        notes.append("The mute buttons: a muted stem is silent by its fader.")
    wanted = [one_line(track.name) for track in plan.project.tracks]
    if _route_names(wanted) != wanted:
        notes.append(
            "The names of some tracks: in Ardour each is there once, short, and without / and :."
        )
    return Written(open_with=f"{name}/{name}.ardour", notes=tuple(notes))


def _route_names(wanted: list[str]) -> list[str]:
    """Names as Ardour can have them: every one different, of a length that ports can carry.

    >>> _route_names(["A", "A", "a/b", ""])
    ['A', 'A 2', 'a-b', 'Stem']
    """
    names: list[str] = []
    for name in wanted:
        plain = _cut(name.replace("/", "-").replace(":", "-")) or "Stem"
        tries = itertools.chain([plain], (f"{plain} {number}" for number in itertools.count(2)))
        taken = {other.casefold() for other in (*names, *_TAKEN_NAMES)}
        names.append(next(name for name in tries if name.casefold() not in taken))
    return names


def _cut(name: str) -> str:
    return name.encode()[:_MOST_NAME_BYTES].decode(errors="ignore").strip()


def _tracks_of(plan: Plan, files: StemFiles, ids: Iterator[int]) -> list[_Track]:
    tracks = plan.project.tracks
    names = _route_names([one_line(track.name) for track in tracks])
    return [
        _Track(
            name=name,
            colour=track.colour,
            file=file,
            channels=channels,
            route=next(ids),
            playlist=next(ids),
            regions=tuple(itertools.islice(ids, len(plan.arrangement.clips))),
            sources=tuple(itertools.islice(ids, channels)),
            strip=plan.arrangement.of(track),
            muted=track.muted,
            output=track.output,
        )
        for name, track, file, channels in zip(
            names, tracks, files.names, files.channels, strict=True
        )
    ]


def session_xml(plan: Plan, files: StemFiles, name: str) -> bytes:
    """The contents of the session file.

    Args:
        plan: What to write.
        files: The stems in the session's folder for audio.
        name: Of the session, which is that of its file and its folders.
    """
    from lxml import etree

    ids = itertools.count(1)
    tracks, empty = _tracks_of(plan, files, ids), plan.project.empty
    root = etree.Element(
        "Session",
        {"version": _VERSION, "name": name, "sample-rate": str(plan.project.sample_rate_hz)},
    )
    add(root, "ProgramVersion", {"created-with": "workstation", "modified-with": "workstation"})
    config = add(root, "Config", {})
    data_format = _DATA_FORMATS[plan.options.encoding]
    add(config, "Option", {"name": "native-file-data-format", "value": data_format})
    add(config, "Option", {"name": "native-file-header-format", "value": "WAVE"})
    _add_metadata(root, plan)
    _add_sources(root, tracks)
    add(root, "Regions", {})
    _add_locations(root, plan, ids)
    add(root, "Bundles", {})
    routes = _add_routes(root, plan, tracks, ids)
    playlists = _add_playlists(root, plan, tracks)
    names = _route_names([*(t.name for t in tracks), *(one_line(e.name) for e in empty)])
    for order, track in enumerate(empty, start=len(tracks) + 1):
        name = names[order - 1]
        number = _add_empty(routes, name, track, order, ids)
        if number is not None:
            owner = routes[-1].get("id", "")
            _add_playlist(playlists, number, name, owner)
    add(root, "UnusedPlaylists", {})
    add(root, "RouteGroups", {})
    _add_click(root, ids)
    add_tempo_map(root, plan.timeline)
    root.set("id-counter", str(next(ids)))
    xml: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8", pretty_print=True)
    return xml


def _add_metadata(root: _Element, plan: Plan) -> None:
    metadata = add(root, "Metadata", {})
    add(metadata, "title", {}).text = one_line(plan.project.title)
    if plan.project.artist:
        add(metadata, "artist", {}).text = one_line(plan.project.artist)


def _add_sources(root: _Element, tracks: list[_Track]) -> None:
    """A source is one channel of a file."""
    parent = add(root, "Sources", {})
    for track in tracks:
        for channel, number in enumerate(track.sources):
            values = {
                "name": track.file,
                "type": "audio",
                "flags": "",
                "id": number,
                "channel": channel,
                "origin": "",
                "gain": 1,
            }
            add(parent, "Source", values)


def _add_locations(root: _Element, plan: Plan, ids: Iterator[int]) -> None:
    parent = add(root, "Locations", {})
    duration_s = plan.arrangement.frames / plan.project.sample_rate_hz
    _add_location(parent, "session", "IsSessionRange", (0.0, duration_s), next(ids))
    for marker in markers_of(plan.arrangement, plan.timeline, plan.options):
        at = marker.time_s
        _add_location(parent, marker.name, "IsMark", (at, at), next(ids))


def _add_location(
    parent: _Element, name: str, flags: str, span_s: tuple[float, float], number: int
) -> None:
    values = {
        "id": number,
        "name": name,
        "start": _audio_time(span_s[0]),
        "end": _audio_time(span_s[1]),
        "flags": flags,
        "locked": 0,
    }
    add(parent, "Location", values)


def _audio_time(time_s: float) -> str:
    return f"a{superclocks(time_s)}"


def _add_routes(root: _Element, plan: Plan, tracks: list[_Track], ids: Iterator[int]) -> _Element:
    rate = plan.project.sample_rate_hz
    parent = add(root, "Routes", {})
    width = max(track.outputs for track in tracks)
    master = {"version": _VERSION, "id": next(ids), "name": "Master", "default-type": "audio"}
    route = add(parent, "Route", {**master, "strict-io": 1, "active": 1})
    add(route, "PresentationInfo", {"order": 0, "flags": "MasterOut,OrderSet", "color": 0})
    sides = range(1, width + 1)
    _add_ports(route, "Master", "Input", {side: [] for side in sides}, ids)
    playback = {side: [f"system:playback_{side}"] for side in sides}
    _add_ports(route, "Master", "Output", playback, ids)
    _add_processors(route, "Master", ("trim", "amp", "main-outs", "meter"), ids)
    automate(route, StemAutomation(plan.arrangement.master), rate, ids)
    for order, track in enumerate(tracks, start=1):
        _add_track(parent, track, order, ids)
        automate(parent[-1], track.strip, rate, ids)
    return parent


def _add_track(parent: _Element, track: _Track, order: int, ids: Iterator[int]) -> None:
    values = {
        "version": _VERSION,
        "id": track.route,
        "name": track.name,
        "default-type": "audio",
        "strict-io": 0,
        "active": 1,
        "meter-point": "MeterPostFader",
        "audio-playlist": track.playlist,
        "mode": "Normal",
    }
    route = add(parent, "Route", values)
    # Red, green, blue and full opacity, as one number.
    colour = int(track.colour[1:], 16) << 8 | 0xFF
    add(
        route,
        "PresentationInfo",
        {"order": order, "flags": "AudioTrack,OrderSet", "color": colour},
    )
    inputs: dict[int, list[str]] = {side: [] for side in range(1, track.inputs + 1)}
    _add_ports(route, track.name, "Input", inputs, ids)
    outputs = {side: [f"Master/audio_in {side}"] for side in range(1, track.outputs + 1)}
    if track.output is not None:
        outputs = {side: [f"system:playback_{track.output + side - 1}"] for side in outputs}
    _add_ports(route, track.name, "Output", outputs, ids)
    if track.muted:
        add(route, "MuteMaster", {"mute-point": _MUTE_POINTS, "muted": 1})
    kinds = ("diskreader", "trim", "amp", "meter", "main-outs")
    _add_processors(route, track.name, kinds, ids)


def _add_empty(
    parent: _Element, name: str, empty: EmptyTrack, order: int, ids: Iterator[int]
) -> int | None:
    """A bus, or a track without regions, whose playlist's number is returned."""
    values: dict[str, object] = {
        "version": _VERSION,
        "id": next(ids),
        "name": name,
        "default-type": "audio",
        "strict-io": 0,
        "active": 1,
        "meter-point": "MeterPostFader",
    }
    playlist = None if empty.bus else next(ids)
    if playlist is not None:
        values |= {"audio-playlist": playlist, "mode": "Normal"}
    route = add(parent, "Route", values)
    colour = int(empty.colour[1:], 16) << 8 | 0xFF
    flags = "AudioBus,OrderSet" if empty.bus else "AudioTrack,OrderSet"
    add(route, "PresentationInfo", {"order": order, "flags": flags, "color": colour})
    _add_ports(route, name, "Input", {1: [], 2: []}, ids)
    outputs = {side: [f"Master/audio_in {side}"] for side in (1, 2)}
    _add_ports(route, name, "Output", outputs, ids)
    reads = () if empty.bus else ("diskreader",)
    _add_processors(route, name, (*reads, "trim", "amp", "meter", "main-outs"), ids)
    return playlist


def _add_ports(
    route: _Element,
    name: str,
    direction: str,
    connections: Mapping[int, list[str]],
    ids: Iterator[int],
) -> None:
    values = {"name": name, "id": next(ids), "direction": direction, "default-type": "audio"}
    io = add(route, "IO", values)
    kind = "in" if direction == "Input" else "out"
    for side, others in connections.items():
        port = add(io, "Port", {"type": "audio", "name": f"{name}/audio_{kind} {side}"})
        for other in others:
            add(port, "Connection", {"other": other})


def _add_processors(route: _Element, name: str, kinds: tuple[str, ...], ids: Iterator[int]) -> None:
    names = {"diskreader": f"player:{name}", "meter": f"meter-{name}", "main-outs": name}
    for kind in kinds:
        values = {"id": next(ids), "name": names.get(kind, "Amp"), "active": 1, "type": kind}
        processor = add(route, "Processor", values)
        if kind == "main-outs":
            processor.set("own-input", "1")
            processor.set("own-output", "0")
            processor.set("output", name)
            processor.set("role", "Main")
            # The panner would lower a mono stem by 3 dB; without it every side is at unity.
            add(processor, "PannerShell", {"bypassed": 1, "user-panner": "", "linked-to-route": 1})


def _add_playlist(parent: _Element, number: int, name: str, owner: object) -> _Element:
    values = {
        "id": number,
        "name": name,
        "type": "audio",
        "orig-track-id": owner,
        "frozen": 0,
        "combine-ops": 0,
    }
    return add(parent, "Playlist", values)


def _add_playlists(root: _Element, plan: Plan, tracks: list[_Track]) -> _Element:
    parent = add(root, "Playlists", {})
    rate = plan.project.sample_rate_hz
    for track in tracks:
        playlist = _add_playlist(parent, track.playlist, track.name, track.route)
        for clip, number in zip(plan.arrangement.clips, track.regions, strict=True):
            at = _audio_time(clip.project_frame / rate)
            region = {
                "name": track.name,
                "id": number,
                "type": "audio",
                "start": _audio_time(clip.song_frame / rate),
                "length": f"{_audio_time(clip.frames / rate)}@{at}",
                "first-edit": "nothing",
                "layering-index": 0,
                "muted": 0,
                "opaque": 1,
                "locked": 0,
                "automatic": 0,
                "whole-file": 0,
                "import": 0,
                "external": 1,
                "stretch": 1,
                "shift": 1,
                "channels": track.channels,
                "scale-amplitude": 1,
                "envelope-active": 0,
                "fade-in-active": 0,
                "fade-out-active": 0,
                "default-fade-in": 0,
                "default-fade-out": 0,
            }
            for channel, source in enumerate(track.sources):
                region[f"source-{channel}"] = region[f"master-source-{channel}"] = source
            add(playlist, "Region", region)
    return parent


def _add_click(root: _Element, ids: Iterator[int]) -> None:
    """The metronome, silent until it is switched on: it follows the beats of the song."""
    click = add(root, "Click", {})
    _add_ports(click, "Click", "Output", {s: [f"system:playback_{s}"] for s in (1, 2)}, ids)
    _add_processors(click, "Click", ("amp",), ids)


ARDOUR = Target(
    name="ardour",
    title="Ardour",
    summary="a session folder with the stems inside",
    opens_in="Ardour 7 and newer",
    how_to=(
        "Open the .ardour file in Ardour with Session > Open. Leave it where it is: the stems lie "
        "in the folders beside it."
    ),
    carries=frozenset(
        {Part.AUDIO, Part.TEMPO, Part.SECTIONS, Part.BARS, Part.COLOURS, Part.AUTOMATION}
    ),
    encodings=tuple(_DATA_FORMATS),
    links_stems=True,
    layout=frozenset(LayoutPart) - {LayoutPart.GROUPS},
    confirmed=(
        "Confirmed by Ardour 7.3 itself: it opens such sessions, has every beat within a sample, "
        "and exports the sum of the tracks that are not muted and go to the master."
    ),
    write=write_ardour,
)
