"""What a song is: its audio, its stems, and what analysis found in it."""

from __future__ import annotations

from typing import Annotated

import msgspec

from workstation.model.beatgrid import BeatGrid

# A number of something that there is.
Count = Annotated[int, msgspec.Meta(gt=0)]


class AudioRef(msgspec.Struct, frozen=True):
    """A piece of audio on disk, known by its content.

    Attributes:
        path: Relative to the session folder, with forward slashes; absolute only for a
            source that is referenced and not copied.
        sha256: Of the file, in hexadecimal.
        sample_rate_hz: Of the file; nothing is resampled on the quiet.
        channels: Number of channels.
        frames: Number of samples per channel, exact.
    """

    path: str
    sha256: str
    sample_rate_hz: Count
    channels: Count
    frames: Count

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.frames / self.sample_rate_hz


class Stem(msgspec.Struct, frozen=True):
    """One part of a song (drums, bass, …) as audio of the song's own length and rate."""

    name: str
    audio: AudioRef
    engine: str
    gain_db: float = 0.0


class Key(msgspec.Struct, frozen=True):
    """A musical key like `A minor` or `Bb major`, and how sure analysis is (0 to 1)."""

    name: str
    confidence: float


class Section(msgspec.Struct, frozen=True):
    """A part of the song's form; equal labels sound alike."""

    start_s: float
    end_s: float
    label: str


class Analysis(msgspec.Struct, frozen=True):
    """Everything that listening to a song tells.

    Attributes:
        grid: Beats, downbeats and meter; None where no beat was found (silence, one second).
        key: None where nothing is pitched.
        sections: In order, without gaps, from 0 to the end; empty where there is no beat.
        loudness_lufs: Integrated loudness (ITU-R BS.1770-4); None for silence or below 0.4 s.
        peak_dbfs: Highest sample in dB of full scale; None for silence.
    """

    grid: BeatGrid | None
    key: Key | None
    sections: tuple[Section, ...]
    loudness_lufs: float | None
    peak_dbfs: float | None = None

    @property
    def bpm(self) -> float | None:
        """Mean tempo, or None without a grid."""
        return None if self.grid is None else self.grid.bpm


class Song(msgspec.Struct, frozen=True):
    """A song: what it is called, where its audio is, and what analysis found.

    `cover` is the file name of the cover picture in the session folder, if it has one.
    """

    title: str
    artist: str
    source: AudioRef
    analysis: Analysis | None = None
    cover: str | None = None
