"""What an export starts from: a song with its stems, and the user's options."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import msgspec

from workstation.model import BeatGrid, Key, Section
from workstation.model.take import Take


class Track(msgspec.Struct, frozen=True):
    """A stem as a track.

    Attributes:
        name: As it is shown.
        path: Its float32 WAV.
        colour: As `#rrggbb`.
        stem: What takes call it, where that is not its name.
        group: Name of the folder of tracks that it lies in; empty for none.
        muted: Whether it is muted at first.
        output: First of its two outputs of the device, from 1; None is the master.
        made: Whether it is no stem of the song but made for the project, of its length.
    """

    name: str
    path: Path
    colour: str
    stem: str = ""
    group: str = ""
    muted: bool = False
    output: int | None = None
    made: bool = False


class EmptyTrack(msgspec.Struct, frozen=True):
    """A track without audio, for what the user adds; a bus is fed by other tracks."""

    name: str
    colour: str
    group: str = ""
    bus: bool = False


class Folder(NamedTuple):
    """A group of tracks, or one track alone, whose `name` is empty.

    Attributes:
        name: Of the group.
        colour: Of its first track.
        tracks: Indices into the tracks of the project.
        empty: Indices into its empty tracks.
    """

    name: str
    colour: str
    tracks: list[int]
    empty: list[int]


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an export knows of a song.

    Attributes:
        title: Name of the song.
        artist: Who made it; empty if unknown.
        tracks: The stems in order; all have the rate and the frames of the song.
        sample_rate_hz: Of the song and every stem.
        frames: Samples per channel of the project: of every stem, and of the lead.
        lead_frames: Silence before every stem.
        grid: Its beats; None if none were found.
        key: Its key; None if it has none.
        sections: Its form.
        loudness_lufs: Its integrated loudness.
        engine: Who separated the stems.
        cover: Its picture.
        take: The performance that becomes automation; its stems are those of the tracks.
        empty: Tracks for what the user adds, after the others.
    """

    title: str
    artist: str
    tracks: tuple[Track, ...]
    sample_rate_hz: int
    frames: int
    grid: BeatGrid | None = None
    key: Key | None = None
    sections: tuple[Section, ...] = ()
    loudness_lufs: float | None = None
    engine: str = ""
    cover: Path | None = None
    take: Take | None = None
    lead_frames: int = 0
    empty: tuple[EmptyTrack, ...] = ()

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate_hz

    @property
    def folders(self) -> list[Folder]:
        """The tracks and empty tracks, those of a group together where its first one is."""
        found: dict[str, Folder] = {}
        tracks: list[Track | EmptyTrack] = [*self.tracks, *self.empty]
        for number, track in enumerate(tracks):
            key = track.group or f"\0{number}"  # A track without a group stands alone.
            folder = found.setdefault(key, Folder(track.group, track.colour, [], []))
            if isinstance(track, Track):
                folder.tracks.append(number)
            else:
                folder.empty.append(number - len(self.tracks))
        return list(found.values())


class SharedStems(msgspec.Struct, frozen=True):
    """The stems of exports that are made together: written once, then linked or copied.

    Attributes:
        folder: On the same disk as these exports.
        links: How many of these exports keep them as links, which are then one file.
    """

    folder: Path
    links: int


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may choose about an export.

    Attributes:
        encoding: Of the audio: `pcm24`, `float32`, `flac`, `mp3`, `aac`, where the target can.
        bar_markers: A marker on every bar besides those of the sections.
        overwrite: Replace an earlier export.
        own_project: A project of the user's own, made in the target's program, that the stems
            are put into; everything else in it stays. It is only read.
        shared_stems: Of `workstation.export.shared_stems`, for several exports; None writes the
            stems for this one alone.
    """

    encoding: str = "pcm24"
    bar_markers: bool = False
    overwrite: bool = False
    own_project: Path | None = None
    shared_stems: SharedStems | None = None
