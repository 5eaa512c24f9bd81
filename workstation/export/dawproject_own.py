"""Putting stems into a `.dawproject` of the user's own, leaving everything else in it as it is.

Our own project for the same song is made first; its tracks, clips and curves then go into the
user's: to tracks of the same name, else behind the last. Tempo, meter and markers are replaced.
The file may be hostile: its XML knows no entities, its names stay inside, and no part of it is
held in memory but the XML, of a size that is bounded.
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from workstation.export.text import one_line
from workstation.model import InputError, JobContext

if TYPE_CHECKING:
    from lxml.etree import _Element

_PROJECT = "project.xml"
_MOST_XML_BYTES = 64 << 20
_MOST_XML_PARTS = 2_000_000
_MOST_BYTES = 64 << 30
_MOST_ENTRIES = 100_000
# What the standard library says of a zip that is damaged, encrypted or of a kind it does not know.
_UNREADABLE = (
    OSError, EOFError, KeyError, RuntimeError, ValueError, zipfile.BadZipFile, zlib.error,
)  # fmt: skip
_COPY_BYTES = 1 << 22
_REFERENCES = ("destination", "track", "parameter")
_SAVE_IT = "Export it again from the program that made it, and give that."
# The parts of an arrangement that are the song's, in the order that the format wants.
_SONGS = ("Markers", "TempoAutomation", "TimeSignatureAutomation")


class OwnDaw:
    """A project as it was read.

    Attributes:
        path: Where from.
        names: Of all its entries.
        unpacked_bytes: What they take together when they are unpacked.
    """

    def __init__(self, path: Path) -> None:
        """Read a project.

        Raises:
            InputError: It is none, is damaged, or is made to do harm.
        """
        self.path = path
        try:
            with zipfile.ZipFile(path) as archive:
                entries = archive.infolist()
                self._check(entries)
                with archive.open(_PROJECT) as file:
                    data = file.read(_MOST_XML_BYTES + 1)
        except _UNREADABLE as error:
            raise self._bad("is damaged or is not a DAWproject") from error
        self.names = [entry.filename for entry in entries]
        self.unpacked_bytes = sum(entry.file_size for entry in entries)
        self._root = self._parsed(data)

    def merged(self, ours: bytes, audio: str) -> tuple[bytes, list[str], set[str]]:
        """The XML of the project with ours in it, in words what gave way, and what it had.

        The last are identifiers of ours: of the tracks, too, that became one with its own.

        Args:
            ours: The XML of our own project for the same song.
            audio: The folder of its audio in the zip, which is free in this one.
        """
        from lxml import etree

        root, song = self._root, etree.fromstring(ours)
        for file in song.iter("File"):
            file.set("path", audio + "/" + PurePosixPath(file.get("path", "")).name)
        prefix = self._rename(song)
        notes: list[str] = []
        same = self._match(song, notes)
        for element in (*song.iter(), *root.iter()):  # Some of ours are theirs by now.
            for name in _REFERENCES:
                if element.get(name) in same:
                    element.set(name, same[element.get(name, "")])
        arrangement = _child(root, "Arrangement", after=("Application", "Transport", "Structure"))
        lanes = _child(arrangement, "Lanes", after=())
        self._add_lanes(lanes, song, set(same.values()), notes)
        for tag in _SONGS:
            old, new = arrangement.find(tag), song.find(f"Arrangement/{tag}")
            if old is not None:
                if tag == "Markers" and len(old):
                    notes.append(f"Markers of your project gave way: {len(old)}.")
                arrangement.remove(old)
            if new is not None:
                arrangement.append(new)
        return (
            etree.tostring(root, xml_declaration=True, encoding="UTF-8"),
            notes,
            {name.removeprefix(prefix) for name in same},
        )

    def copy_entries(self, target: zipfile.ZipFile, job: JobContext) -> None:
        """Copy all but the project itself into another archive, a piece at a time.

        Raises:
            InputError: An entry is damaged.
        """
        done = 0
        with zipfile.ZipFile(self.path) as archive:
            for entry in archive.infolist():
                if entry.filename == _PROJECT or entry.is_dir():
                    continue
                made = zipfile.ZipInfo(entry.filename, entry.date_time)
                large = entry.file_size > 0x7FFF_FFFF
                try:
                    with (
                        archive.open(entry) as source,
                        target.open(made, "w", force_zip64=large) as file,
                    ):
                        while block := source.read(_COPY_BYTES):
                            job.check()
                            done += file.write(block)
                            job.report(done / max(1, self.unpacked_bytes))
                except (EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
                    raise self._bad("is damaged") from error

    def _bad(self, what: str) -> InputError:
        return InputError(f"{one_line(self.path.name)} {what}.", _SAVE_IT)

    def _check(self, entries: list[zipfile.ZipInfo]) -> None:
        size = sum(entry.file_size for entry in entries)
        if len(entries) > _MOST_ENTRIES or size > _MOST_BYTES:
            raise self._bad("is larger than any DAWproject when it is unpacked")
        seen = set()
        for entry in entries:
            path = PurePosixPath(entry.filename)
            outside = path.is_absolute() or ".." in path.parts or ":" in entry.filename
            if outside or "\\" in entry.filename or entry.filename in seen:
                raise self._bad("names files outside itself, or one of them twice")
            seen.add(entry.filename)

    def _parsed(self, data: bytes) -> _Element:
        from lxml import etree

        if len(data) > _MOST_XML_BYTES or data.count(b"<") + data.count(b"=") > _MOST_XML_PARTS:
            raise self._bad("is larger than any DAWproject when it is unpacked")
        if b"<!DOCTYPE" in data or b"<!ENTITY" in data or b"\0" in data:
            raise self._bad("defines XML entities, which no DAWproject does")
        # Read as UTF-8 whatever it says, so that nothing can hide in another encoding.
        parser = etree.XMLParser(
            encoding="utf-8", resolve_entities=False, no_network=True, load_dtd=False
        )
        try:
            root = etree.fromstring(data, parser)
        except (etree.XMLSyntaxError, ValueError) as error:
            raise self._bad("is damaged or is not a DAWproject") from error
        if root.tag != "Project" or root.find("Application") is None:
            raise self._bad("is not a DAWproject")
        return root

    def _rename(self, song: _Element) -> str:
        """Give everything of ours an identifier that the project has not; returns its prefix."""
        taken = {element.get("id") for element in self._root.iter() if element.get("id")}
        prefix = "w"
        while any(str(name).startswith(prefix) for name in taken):
            prefix += "w"
        prefix += "-"
        for element in song.iter():
            for name in ("id", *_REFERENCES):
                if element.get(name):
                    element.set(name, prefix + element.get(name, ""))
        return prefix

    def _match(self, song: _Element, notes: list[str]) -> dict[str, str]:
        """Put our tracks and tempo where theirs are; returns which of our ids are now theirs."""
        same: dict[str, str] = {}
        self._match_tempo(song, same)
        structure = _child(self._root, "Structure", after=("Application", "Transport"))
        free = [track for track in structure.iter("Track") if _plays_audio(track)]
        main = next((c for c in structure.iter("Channel") if _is_master(c)), None)
        for mine in [track for track in song.iter("Track") if not _is_group(track)]:
            channel = mine.find("Channel")
            assert channel is not None
            if _is_master(channel):
                if main is not None:
                    _same_id(same, channel, main)
                    self._drop_master(song, mine, notes)
                    _remove(mine)
                continue
            wanted = _name_of(mine), _role_of(mine)
            theirs = next((t for t in free if (_name_of(t), _role_of(t)) == wanted), None)
            if theirs is not None:
                free.remove(theirs)
                _remove(mine)
                _same_id(same, mine, theirs)
                self._match_mixer(song, channel, theirs, same, notes)
        # What has no place there yet: tracks, and groups with the rest of their tracks.
        for mine in song.findall("Structure/Track"):
            if not _is_group(mine) or mine.find("Track") is not None:
                structure.append(mine)
        return same

    def _match_tempo(self, song: _Element, same: dict[str, str]) -> None:
        transport = _child(self._root, "Transport", after=("Application",))
        for place, tag in enumerate(("Tempo", "TimeSignature")):
            mine, theirs = song.find(f"Transport/{tag}"), transport.find(tag)
            assert mine is not None
            if theirs is None:
                transport.insert(place, mine)
                continue
            theirs.attrib.update({k: v for k, v in mine.attrib.items() if k not in _KEPT})
            _same_id(same, mine, theirs)

    def _match_mixer(
        self,
        song: _Element,
        channel: _Element,
        theirs: _Element,
        same: dict[str, str],
        notes: list[str],
    ) -> None:
        """Let our automation of a channel be that of their track, and mute it if ours is."""
        if channel.find("Mute[@value='true']") is not None:
            parent = theirs.find("Channel")
            assert parent is not None
            _child(parent, "Mute", after=("Devices",)).set("value", "true")
        for parameter in channel:
            kind = str(parameter.tag)
            found = theirs.find(f"Channel/{kind}")
            if found is not None:
                _same_id(same, parameter, found)
            elif self._drop_points(song, parameter.get("id", "")):
                name = _name_of(theirs)
                notes.append(f"{kind} of the take on your track {name}: the file has none.")

    def _drop_master(self, song: _Element, track: _Element, notes: list[str]) -> None:
        for lane in song.findall(f"Arrangement/Lanes/Lanes[@track='{track.get('id', '')}']"):
            notes.append("The master fader of the take: the master of your project stays.")
            _remove(lane)

    def _drop_points(self, song: _Element, parameter: str) -> bool:
        """Take the automation of something away; tells whether there is any."""
        found = [
            target.getparent()
            for target in song.iter("Target")
            if target.get("parameter") == parameter
        ]
        for points in found:
            if points is not None:
                _remove(points)
        return bool(found)

    def _add_lanes(
        self, lanes: _Element, song: _Element, theirs: set[str], notes: list[str]
    ) -> None:
        """Add our lanes; what theirs have on the same tracks gives way."""
        moved = {
            target.get("parameter")
            for target in song.iterfind("Arrangement/Lanes/Lanes/Points/Target")
        }
        for target in list(lanes.iter("Target")):
            parent = target.getparent()
            if parent is not None and target.get("parameter") in moved & theirs:
                _remove(parent)
                notes.append("Automation of a track of your project gave way to the take.")
        for mine in song.findall("Arrangement/Lanes/Lanes"):
            if mine.get("track") in theirs:
                gone = [c for c in _clips_of(lanes, mine.get("track", "")) if len(c)]
                count = sum(len(clips) for clips in gone)
                for clips in gone:
                    clips[:] = []
                if count:
                    name = _name_of(mine.find("Clips/Clip"))
                    notes.append(f"Clips on your track {name} gave way: {count}.")
            mine.set("timeUnit", "beats")
            lanes.append(mine)


_KEPT = {"id", "name", "min", "max"}


def _remove(element: _Element) -> None:
    parent = element.getparent()
    if parent is not None:
        parent.remove(element)


def _same_id(same: dict[str, str], mine: _Element, theirs: _Element) -> None:
    """Use their identifier for ours; one that has none gets ours."""
    number = mine.get("id", "")
    if theirs.get("id") is None:
        theirs.set("id", number)
    same[number] = theirs.get("id", "")


def _name_of(element: _Element | None) -> str:
    return "" if element is None else one_line(element.get("name", "")).casefold()


def _role_of(track: _Element) -> str:
    channel = track.find("Channel")
    return "" if channel is None else channel.get("role", "regular")


def _is_master(channel: _Element) -> bool:
    """Groups may have this role, too, but their sound goes on to somewhere."""
    return channel.get("role") == "master" and channel.get("destination") is None


def _is_group(track: _Element) -> bool:
    return track.get("contentType") == "tracks"


def _plays_audio(track: _Element) -> bool:
    return (
        _role_of(track) in {"regular", "effect"}
        and "audio" in track.get("contentType", "audio").split()
    )


def _clips_of(lanes: _Element, track: str) -> Iterator[_Element]:
    """The clips of a track, whether they lie in a lane or are one."""
    for element in lanes:
        if element.get("track") == track:
            yield from [element] if element.tag == "Clips" else element.findall("Clips")


def _child(parent: _Element, tag: str, after: tuple[str, ...]) -> _Element:
    """A child, made if it is not there, behind those that the format wants before it."""
    from lxml import etree

    found = parent.find(tag)
    if found is None:
        found = etree.Element(tag)
        places = [parent.index(child) for child in parent if child.tag in after]
        parent.insert(max(places) + 1 if places else 0, found)
    return found
