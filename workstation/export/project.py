"""What an export starts from: a song with its stems, and the user's options."""

from __future__ import annotations

from pathlib import Path

import msgspec

from workstation.model import BeatGrid, Key, Section
from workstation.model.take import Take


class Track(msgspec.Struct, frozen=True):
    """A stem as a track: its name, its float32 WAV and its colour (`#rrggbb`).

    `stem` is what takes call it, where that is not its name.
    """

    name: str
    path: Path
    colour: str
    stem: str = ""


class Project(msgspec.Struct, frozen=True, kw_only=True):
    """Everything an export knows of a song.

    Attributes:
        title: Name of the song.
        artist: Who made it; empty if unknown.
        tracks: The stems in order; all have the rate and the frames of the song.
        sample_rate_hz: Of the song and every stem.
        frames: Samples per channel of the song and every stem.
        grid: Its beats; None if none were found.
        key: Its key; None if it has none.
        sections: Its form.
        loudness_lufs: Its integrated loudness.
        engine: Who separated the stems.
        cover: Its picture.
        take: The performance that becomes automation; its stems are those of the tracks.
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

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate_hz


class ExportOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a user may choose about an export.

    Attributes:
        encoding: Of the audio: `pcm24`, `float32`, `flac`, `mp3`, `aac`, where the target can.
        bar_markers: A marker on every bar besides those of the sections.
        overwrite: Replace an earlier export.
        own_project: A project of the user's own, made in the target's program, that the stems
            are put into; everything else in it stays. It is only read.
        shared_stems: Folder of the stems of several exports, on the same disk as these: written
            once, and there in every export by another name of the same file. None writes them.
    """

    encoding: str = "pcm24"
    bar_markers: bool = False
    overwrite: bool = False
    own_project: Path | None = None
    shared_stems: Path | None = None
