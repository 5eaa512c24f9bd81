"""What a network learns from: excerpts of songs whose stems are known, varied at random.

Excerpts are varied as Uhlich et al. (ICASSP 2017) and Demucs do it. In half of them every stem
comes from a song and place of its own ("remix"); each stem gets a gain of 0.25 to 1.25, is turned
over or not, and its channels change places or not. The mix is always the sum of what came out.

What is drawn depends on the seed and the number of the step alone, so that a training that was
interrupted goes on as if it had not been.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import msgspec
import numpy as np

from workstation.audio import Excerpts
from workstation.model import InputError, JobContext
from workstation.model.names import shown
from workstation.separate.metrics import is_silent
from workstation.separate.protocol import FloatArray

_REMIXED = 0.5
_GAINS = (0.25, 1.25)
_SLACK_S = 0.1
_SCAN_FRAMES = 1 << 17
_CLIPS = 12
_CLIP_S = 6.0
_USUAL_ORDER = ("drums", "bass", "other", "vocals")


class StemSource(msgspec.Struct, frozen=True):
    """Where one stem of a song lies: file, and which audio stream of it."""

    path: Path
    stream: int = 0


class TrainingSong(msgspec.Struct, frozen=True):
    """A song with its true stems, in the order of the network.

    Attributes:
        name: As it is told.
        stems: Its stems.
        frames: Its length: that of the shortest stem.
    """

    name: str
    stems: tuple[Excerpts, ...]
    frames: int

    def read(self, stem: int, start: int, frames: int, channels: int) -> FloatArray:
        """Get samples of a stem, shape (channels, frames); a mono one is on every channel."""
        samples = self.stems[stem].read(start, frames)
        return samples if len(samples) == channels else np.repeat(samples, channels, axis=0)


class SongSet(msgspec.Struct, frozen=True):
    """Songs that go together.

    Attributes:
        songs: The songs, by their names.
        stems: Names of the stems that all of them have.
        sample_rate_hz: Sample rate of all.
        channels: Channels of that which has most: 1 or 2.
    """

    songs: tuple[TrainingSong, ...]
    stems: tuple[str, ...]
    sample_rate_hz: int
    channels: int

    @property
    def seconds(self) -> float:
        """Length of all songs."""
        return sum(song.frames for song in self.songs) / self.sample_rate_hz

    def part(self, names: set[str]) -> SongSet:
        """The songs of these names only."""
        songs = tuple(song for song in self.songs if song.name in names)
        return msgspec.structs.replace(self, songs=songs)

    @property
    def fingerprint(self) -> str:
        """Tells one set of songs from another: by their names and lengths."""
        told = repr([(song.name, song.frames) for song in self.songs])
        return hashlib.sha256(told.encode("utf-8", "backslashreplace")).hexdigest()


def open_songs(
    sources: Mapping[str, Mapping[str, StemSource]], scratch: Path, job: JobContext
) -> SongSet:
    """Open songs for training, after making sure that they go together.

    Args:
        sources: By song, where its stems lie.
        scratch: Folder for what must be decoded first.
        job: Progress out, cancellation in.

    Raises:
        InputError: Stems are missing, or of other lengths, rates or channels than the others.
        OutputError: The scratch folder is too small.
        CancelledError: The job was cancelled.
    """
    songs, names = [], _stem_names(sources)
    for number, (name, stems) in enumerate(sources.items()):
        part = job.part(number / len(sources), (number + 1) / len(sources), f"Opening {name}")
        opened = []
        for place, stem in enumerate(names):
            source = stems[stem]
            step = part.part(place / len(names), (place + 1) / len(names))
            step.check()
            step.report(0.0)
            file = scratch / f"{number}-{place}.wav"
            opened.append(Excerpts(source.path, stream=source.stream, scratch=file, job=step))
        songs.append(_song(name, tuple(opened)))
    first = songs[0].stems[0]
    everything = [audio for song in songs for audio in song.stems]
    for audio in everything:
        _check_like(audio, first)
    channels = max(audio.channels for audio in everything)
    return SongSet(tuple(songs), names, first.sample_rate_hz, channels)


def _stem_names(sources: Mapping[str, Mapping[str, StemSource]]) -> tuple[str, ...]:
    """Names of the stems that all songs have, in the usual order."""
    (first, stems), *others = sources.items()
    for name, found in others:
        if set(found) != set(stems):
            raise InputError(
                f"{shown(name)} has the stems {_listed(found)}, {shown(first)} has "
                f"{_listed(stems)}.",
                "Give songs that have the same stems; sum up those that not all have.",
            )
    if len(stems) < 2:
        raise InputError(
            f"{shown(first)} has only the stem {_listed(stems)}.",
            "Give at least two stems that sum to the song, such as vocals and other.",
        )
    usual = [name for name in _USUAL_ORDER if name in stems]
    return (*usual, *sorted(set(stems) - set(usual)))


def _listed(stems: Mapping[str, StemSource]) -> str:
    return ", ".join(shown(name) for name in sorted(stems))


def _song(name: str, stems: tuple[Excerpts, ...]) -> TrainingSong:
    shortest = min(stems, key=lambda stem: stem.frames)
    for stem in stems:
        more_s = (stem.frames - shortest.frames) / stem.sample_rate_hz
        if more_s > _SLACK_S:
            raise InputError(
                f"{shown(stem.path)} is {more_s:.2f} s longer than {shown(shortest.path)}.",
                "Export all stems of a song over its whole length.",
            )
    return TrainingSong(name, stems, shortest.frames)


def _check_like(stem: Excerpts, first: Excerpts) -> None:
    if stem.sample_rate_hz != first.sample_rate_hz:
        raise InputError(
            f"{shown(stem.path)} has {stem.sample_rate_hz} Hz, {shown(first.path)} has "
            f"{first.sample_rate_hz} Hz.",
            "Give all songs at one sample rate.",
        )
    if stem.channels > 2:
        raise InputError(
            f"{shown(stem.path)} has {stem.channels} channels.", "Give mono or stereo stems."
        )


def silent_stems(found: SongSet, job: JobContext) -> list[tuple[str, str]]:
    """Find stems that are silent from start to end: pairs of song and stem.

    Raises:
        InputError: A song is silent as a whole, or a stem is in every song.
    """
    silent: list[tuple[str, str]] = []
    for number, song in enumerate(found.songs):
        job.report(number / len(found.songs), "Listening for silent stems")
        quiet = [
            name
            for name, stem in zip(found.stems, song.stems, strict=True)
            if not _sounds(stem, job)
        ]
        if len(quiet) == len(found.stems):
            raise InputError(
                f"{shown(song.name)} is silent in all its stems.", "Take this song out."
            )
        silent += [(song.name, name) for name in quiet]
    for name in found.stems:
        if sum(stem == name for _, stem in silent) == len(found.songs):
            raise InputError(
                f'The stem "{shown(name)}" is silent in every song: it cannot be learnt.',
                "Add songs in which it sounds, or take this stem out of all of them.",
            )
    return silent


def _sounds(stem: Excerpts, job: JobContext) -> bool:
    for start in range(0, stem.frames, _SCAN_FRAMES):
        job.check()
        piece = stem.read(start, min(_SCAN_FRAMES, stem.frames - start)).astype(np.float64)
        if not is_silent(np.square(piece).sum(keepdims=True), piece.size).item():
            return True
    return False


# -- excerpts to learn from -------------------------------------------------------------


def draw_batch(found: SongSet, seed: int, step: int, count: int, frames: int) -> FloatArray:
    """Draw the varied excerpts of one step: shape (count, stems, channels, frames).

    Raises:
        InputError: A file is damaged.
    """
    rng = np.random.default_rng((seed, step))
    return np.stack([vary(draw_excerpt(found, rng, frames), rng) for _ in range(count)])


def draw_excerpt(found: SongSet, rng: np.random.Generator, frames: int) -> FloatArray:
    """Draw one excerpt, remixed or not: shape (stems, channels, frames)."""
    lengths = np.array([song.frames for song in found.songs], np.float64)
    draws = len(found.stems) if rng.random() < _REMIXED else 1
    places = []
    for _ in range(draws):
        song = found.songs[int(rng.choice(len(lengths), p=lengths / lengths.sum()))]
        places.append((song, int(rng.integers(song.frames - frames + 1))))
    places *= len(found.stems) // draws
    return np.stack(
        [
            song.read(stem, start, frames, found.channels)
            for stem, (song, start) in enumerate(places)
        ]
    )


def vary(stems: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Give each stem (stems, channels, frames) its own gain, polarity and order of channels."""
    gains = rng.uniform(*_GAINS, len(stems)) * rng.choice([-1.0, 1.0], len(stems))
    swapped = rng.random(len(stems)) < 0.5
    varied = [
        (stem[::-1] if swap else stem) * np.float32(gain)
        for stem, gain, swap in zip(stems, gains, swapped, strict=True)
    ]
    return np.stack(varied)


# -- clips to judge by ------------------------------------------------------------------


class Clip(msgspec.Struct, frozen=True):
    """A piece of a held-out song: its stems, shape (stems, channels, frames)."""

    song: str
    stems: FloatArray


def held_out_clips(found: SongSet) -> list[Clip]:
    """Cut the same few pieces of 6 s from held-out songs every time, spread evenly."""
    each = max(1, _CLIPS // len(found.songs))
    wanted = round(_CLIP_S * found.sample_rate_hz)
    clips = []
    for song in found.songs:
        frames = min(wanted, song.frames)
        count = min(each, song.frames // frames)
        for number in range(count):
            start = round((number + 0.5) * song.frames / count - frames / 2)
            stems = [
                song.read(stem, start, frames, found.channels) for stem in range(len(found.stems))
            ]
            clips.append(Clip(song.name, np.stack(stems)))
    return clips
