"""Live Sets (`.als`): reading one that may be hostile, and the places in it that are filled.

A Set is gzipped XML. Nothing about it is documented by its makers; what is written here was seen
in Sets that Live 10, 11 and 12 had saved:

- whatever can be automated has a target with an Id that is unique in the Set and below
  `NextPointeeId`; an envelope names the target that it moves;
- times of the arrangement are quarter notes; the first event of an envelope lies long before
  the start and is the value there; two events at one time are a step;
- the tracks for returns come last, and every other track has one send for each of them.

An empty Set with one audio track and one clip on it, in the schema of Live 11, lies beside this
module; newer versions open it.
"""

from __future__ import annotations

import copy
import gzip
import zlib
from collections.abc import Iterable, Sequence
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from workstation.export.text import one_line
from workstation.model import InputError

if TYPE_CHECKING:
    from lxml.etree import _Element

# A Set of a hundred tracks full of plug-ins has some 50 MiB; more is a bomb.
MAX_XML_BYTES = 128 << 20
# Elements and attributes: parsed, so many take some 700 MiB. The Sets that were seen have 390 000.
MAX_XML_PARTS = 3_000_000
BEFORE_START = "-63072000"
_VERSIONS = {"11", "12"}
_LARGEST_ID = 2**31 - 1
SILENT = 0.0003162277571  # The bottom of faders and sends: -70 dB, which Live shows as -inf.
_DECLARATION = b'<?xml version="1.0" encoding="UTF-8"?>\n'
_ARRANGEMENT = "DeviceChain/MainSequencer/Sample/ArrangerAutomation/Events"
# A track as Live makes it: no group, at unity gain, in the middle, playing what it has.
_PLAIN = {
    "Name/Annotation": "",
    "Name/MemorizedFirstClipName": "",
    "TrackDelay/Value": "0",
    "TrackGroupId": "-1",
    "LinkedTrackGroupId": "-1",
    "DeviceChain/Mixer/Speaker/Manual": "true",
    "DeviceChain/Mixer/SoloSink": "false",
    "DeviceChain/Mixer/PanMode": "0",
    "DeviceChain/Mixer/Pan/Manual": "0",
    "DeviceChain/Mixer/Volume/Manual": "1",
    "DeviceChain/Mixer/CrossFadeState/Manual": "1",
    "DeviceChain/MainSequencer/MonitoringEnum": "1",
    "DeviceChain/MainSequencer/Recorder/IsArmed": "false",
}
_SAVE_AGAIN = "Open it in Live 11 or 12, save it, and export again."


class LiveSet:
    """A Set in memory: the tracks and places that an export fills; everything else stays.

    Attributes:
        tracks: The element that holds all tracks.
        main: The track that is called Master in Live 11 and Main in Live 12.
        version: `11` or `12`.
    """

    def __init__(self, root: _Element, name: str) -> None:
        """Take a parsed Set.

        Raises:
            InputError: It is not a Set of Live 11 or 12, or lacks what every Set has.
        """
        self._root, self._name = root, name
        self.version = root.get("MinorVersion", "").partition(".")[0]
        if root.tag != "Ableton" or root.get("MajorVersion") != "5":
            raise self._refused("is not a Live Set")
        if self.version not in _VERSIONS:
            creator = one_line(root.get("Creator", ""))[:60] or "an unknown program"
            raise self._refused(f"was saved by {creator}, not by Live 11 or 12")
        self._live = self.find(root, "LiveSet")
        self.tracks = self.find(self._live, "Tracks")
        self.main = self.find(self._live, "MainTrack" if self.version == "12" else "MasterTrack")
        next_id = self._whole(self.find(self._live, "NextPointeeId").get("Value", ""))
        self._next_id = max(next_id, 1 + max(map(_number, root.iter()), default=0))
        if self._next_id > _LARGEST_ID - 1_000_000:
            raise self._refused("has used up the Ids that a Set can have")

    @classmethod
    def read(cls, path: Path) -> LiveSet:
        """Read a Set that may be anything.

        Raises:
            InputError: It cannot be read, is larger than any Set, or is not a Set.
        """
        name = one_line(path.name)
        return cls(_parsed(_unzipped(path, name), name), name)

    def to_bytes(self) -> bytes:
        """The Set as a file; the same Set always gives the same bytes."""
        from lxml import etree

        self.find(self._live, "NextPointeeId").set("Value", str(self._next_id))
        xml = etree.tostring(self._root, encoding="UTF-8", xml_declaration=False)
        return gzip.compress(_DECLARATION + xml + b"\n", mtime=0)

    def find(self, parent: _Element, path: str) -> _Element:
        """An element that every Set has.

        Raises:
            InputError: This one has not.
        """
        found = parent.find(path)
        if found is None:
            raise self._refused(f"has no {path} where every Set has one")
        return found

    def new_id(self) -> str:
        """An Id that nothing in the Set has."""
        self._next_id += 1
        return str(self._next_id - 1)

    def audio_tracks(self) -> list[_Element]:
        """The audio tracks in order."""
        return list(self.tracks.findall("AudioTrack"))

    def plain_track(self) -> _Element:
        """A new audio track in the schema of this very Set: a bare copy of one it has.

        Raises:
            InputError: It has none that is not frozen.
        """
        for track in self.audio_tracks():
            if not is_on(track, "Freeze"):
                return self._bared(copy.deepcopy(track))
        raise InputError(
            f"{self._name} has no audio track that is not frozen to put a stem on.",
            "In Live choose Create > Insert Audio Track, save the Set, and export again.",
        )

    def add_track(self, plain: _Element, name: str) -> _Element:
        """Add a copy of a plain track after all tracks but the returns."""
        track = copy.deepcopy(plain)
        track.set("Id", self.new_id())
        for element in track.iter():
            if element.get("Id") is not None and _is_target(element):
                element.set("Id", self.new_id())
        put(track, "Name/EffectiveName", name)
        put(track, "Name/UserName", name)
        at = sum(element.tag != "ReturnTrack" for element in self.tracks)
        self.tracks.insert(at, track)
        return track

    def set_clips(self, track: _Element, clips: Sequence[_Element]) -> int:
        """Put clips into the arrangement of a track; returns how many had to go."""
        events = self.find(track, _ARRANGEMENT)
        gone = len(events)
        events[:] = clips
        return gone

    def set_envelope(
        self, track: _Element, parameter: str, kind: str, events: Iterable[tuple[str, str]]
    ) -> None:
        """Automate a parameter of a track's mixer, in place of an automation it may have.

        Args:
            track: The track that has the parameter.
            parameter: Its name within the mixer: `Tempo`, `TimeSignature`, `Volume`, ….
            kind: What its events are called: `FloatEvent`, `EnumEvent` or `BoolEvent`.
            events: Times in quarter notes and values; the first is the value before the start.
        """
        from lxml import etree

        target = self.find(track, f"DeviceChain/Mixer/{parameter}/AutomationTarget")
        pointee = str(self._whole(target.get("Id", "")))
        envelopes = self.find(track, "AutomationEnvelopes/Envelopes")
        found = [e for e in envelopes if value_of(e, "EnvelopeTarget/PointeeId") == pointee]
        if found:
            envelope = found[0]
            envelope[:] = []
        else:
            number = 1 + max(map(_number, envelopes), default=-1)
            envelope = etree.SubElement(envelopes, "AutomationEnvelope", Id=str(number))
        add(etree.SubElement(envelope, "EnvelopeTarget"), "PointeeId", pointee)
        automation = etree.SubElement(envelope, "Automation")
        parent = etree.SubElement(automation, "Events")
        for index, (time, value) in enumerate(events):
            etree.SubElement(parent, kind, Id=str(index), Time=time, Value=value)
        view = etree.SubElement(automation, "AutomationTransformViewState")
        add(view, "IsTransformPending", "false")
        etree.SubElement(view, "TimeAndValueTransforms")

    def set_locators(self, locators: Iterable[tuple[str, str]]) -> None:
        """Replace all locators by these: times in quarter notes, and names."""
        from lxml import etree

        parent = self.find(self._live, "Locators/Locators")
        parent[:] = []
        for number, (time, name) in enumerate(locators):
            locator = etree.SubElement(parent, "Locator", Id=str(number))
            add(locator, "LomId", "0")
            add(locator, "Time", time)
            add(locator, "Name", name)
            add(locator, "Annotation", "")
            add(locator, "IsSongStart", "false")

    def samples(self) -> set[tuple[str, str]]:
        """The audio that the Set plays: what each path is relative to, and the path.

        `3` is the folder of the project, `1` the folder of the Set; other numbers are places
        that are the same for every Set, or none.
        """
        files = (sample.find("FileRef") for sample in self._root.iter("SampleRef"))
        return {
            (value_of(file, "RelativePathType"), value_of(file, "RelativePath"))
            for file in files
            if file is not None and value_of(file, "RelativePath")
        }

    def _bared(self, track: _Element) -> _Element:
        """Take away from a copied track all that makes it the user's own."""
        from lxml import etree

        for path in (
            "AutomationEnvelopes/Envelopes",
            "TakeLanes/TakeLanes",
            "DeviceChain/DeviceChain/Devices",
            "DeviceChain/DeviceChain/SignalModulations",
        ):
            for element in track.findall(path):
                element[:] = []
        for element in (*track.iter("Events"), *track.iterfind(".//ClipSlot/ClipSlot/Value")):
            element[:] = []
        etree.strip_elements(track, "KeyMidi", with_tail=False)
        for element in track.iter():
            if "LomId" in element.attrib:
                element.set("LomId", "0")
            elif element.tag in {"LomId", "LomIdView"}:
                element.set("Value", "0")
        for path, value in _PLAIN.items():
            put(track, path, value)
        for send in track.iterfind("DeviceChain/Mixer/Sends/TrackSendHolder/Send"):
            put(send, "Manual", str(SILENT))
        out = "Main" if self.version == "12" else "Master"
        put(track, "DeviceChain/AudioOutputRouting/Target", f"AudioOut/{out}")
        put(track, "DeviceChain/AudioOutputRouting/UpperDisplayString", "Master")
        put(track, "DeviceChain/AudioOutputRouting/LowerDisplayString", "")
        return track

    def _whole(self, text: str) -> int:
        """A number such as Live gives out."""
        if not _is_number(text):
            raise self._refused("has an Id that is not a number")
        return int(text)

    def _refused(self, problem: str) -> InputError:
        return InputError(f"{self._name} {problem}.", _SAVE_AGAIN)


def new_set() -> tuple[LiveSet, _Element, _Element]:
    """An empty Set, a plain audio track, and a plain clip."""
    from lxml import etree

    data = resources.files("workstation.export").joinpath("live11.xml").read_bytes()
    live_set = LiveSet(etree.fromstring(data), "live11.xml")
    track = live_set.audio_tracks()[0]
    clip = live_set.find(track, f"{_ARRANGEMENT}/AudioClip")
    live_set.set_clips(track, [])
    live_set.tracks.remove(track)
    return live_set, track, clip


def as_in_live_12(clip: _Element) -> _Element:
    """A clip with the places that Live 12 added."""
    from lxml import etree

    key = etree.Element("IsInKey", Value="false")
    scale = etree.Element("ScaleInformation")
    add(scale, "Root", "0")
    add(scale, "Name", "0")
    take = clip.find("TakeId")
    assert take is not None
    at = clip.index(take) + 1
    clip[at:at] = [key, scale]
    sample = clip.find("SampleRef")
    assert sample is not None
    add(sample, "SamplesToAutoWarp", "0")
    file = sample.find("FileRef")
    assert file is not None
    add(file, "SourceHint", "")
    return clip


def add(parent: _Element, tag: str, value: str) -> None:
    """Add an element with a value, as Live writes them."""
    from lxml import etree

    etree.SubElement(parent, tag, Value=value)


def put(parent: _Element, path: str, value: str) -> None:
    """Set the value of an element, if there is one: what a version lacks it does not need."""
    element = parent.find(path)
    if element is not None:
        element.set("Value", value)


def value_of(parent: _Element, path: str) -> str:
    """The value of an element; empty if there is none."""
    element = parent.find(path)
    return "" if element is None else element.get("Value", "")


def is_on(parent: _Element, path: str) -> bool:
    """Whether a switch is on."""
    return value_of(parent, path) == "true"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def _number(element: _Element) -> int:
    """The Id of an element; 0 if it has none that is a number."""
    text = element.get("Id", "")
    return int(text) if _is_number(text) else 0


def _is_target(element: _Element) -> bool:
    """Whether the Id of an element is one that must be unique in the whole Set."""
    tag = str(element.tag)
    return tag.endswith("Target") or tag == "Pointee" or tag.startswith("ControllerTargets")


def _unzipped(path: Path, name: str) -> bytes:
    try:
        with gzip.open(path) as file:
            data = file.read(MAX_XML_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"{name} is damaged or is not a Live Set.", _SAVE_AGAIN) from error
    parts = data.count(b"<") + data.count(b"=")
    if len(data) > MAX_XML_BYTES or parts > MAX_XML_PARTS:
        raise InputError(
            f"{name} is larger than any Live Set that can be filled.",
            f"Give a Set of less than {MAX_XML_BYTES >> 20} MiB when unzipped.",
        )
    return data


def _parsed(data: bytes, name: str) -> _Element:
    """Parse XML that may be hostile; it is UTF-8 whatever it says, so that nothing can hide."""
    from lxml import etree

    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise InputError(f"{name} defines XML entities, which no Live Set does.", _SAVE_AGAIN)
    parser = etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        no_network=True,
        load_dtd=False,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )
    try:
        return etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        raise InputError(
            f"{name} is damaged, is not a Live Set, or holds the state of a plug-in of more than "
            "10 million characters.",
            _SAVE_AGAIN,
        ) from error
