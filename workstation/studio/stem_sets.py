"""Finding songs whose stems lie as files: true ones, and the estimates that belong to them."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import msgspec

from workstation.audio import stem_tracks
from workstation.model import InputError
from workstation.model.names import shown
from workstation.session import is_session
from workstation.studio.opening import MIX_NAMES, audio_files, open_session, plain_stem, stem_name

_STEM_FILES = (".stem.mp4", ".stem.m4a")
# The streams of a .stem.mp4 without names, as in MUSDB18: stream 0 is the mix.
_MUSDB_STREAMS = ("drums", "bass", "other", "vocals")
_MOST_DEPTH = 6


class StemFile(msgspec.Struct, frozen=True):
    """One stem: its name, its file, and which audio stream of that."""

    name: str
    path: Path
    stream: int = 0


class SongPair(msgspec.Struct, frozen=True):
    """A song: where its true stems lie, and where the estimates."""

    name: str
    reference: Path
    estimate: Path


def pair_songs(references: Path, estimates: Path) -> tuple[list[SongPair], list[str]]:
    """Find the estimates that belong to true stems.

    Two songs belong together if their paths below the two folders are the same (`test/Song`),
    or else the last parts of these (`Song`); and always if each side is one song only.

    Returns:
        The pairs by name, and the names of the songs that have no estimates.

    Raises:
        InputError: A folder holds no song, or none of one is in the other.
    """
    true, estimated = songs_at(references), songs_at(estimates)
    if len(true) == len(estimated) == 1 and {references, estimates} <= {
        *true.values(),
        *estimated.values(),
    }:
        return [SongPair(next(iter(true)), references, estimates)], []
    by_last: dict[str, list[Path]] = {}
    for name, path in estimated.items():
        by_last.setdefault(_last(name), []).append(path)
    pairs, alone = [], []
    for name, path in true.items():
        near = by_last.get(_last(name), [])
        if name in estimated:
            pairs.append(SongPair(name, path, estimated[name]))
        elif len(near) == 1:
            pairs.append(SongPair(name, path, near[0]))
        else:
            alone.append(name)
    if not pairs:
        raise InputError(
            f"No song in {shown(estimates)} is called like one in {shown(references)}.",
            f"Name the folders of estimates like {shown(next(iter(true)))}.",
        )
    return pairs, alone


def _last(name: str) -> str:
    return name.rpartition("/")[2]


def songs_at(root: Path) -> dict[str, Path]:
    """Songs below a path by their names: folders of stems, stem files, sessions.

    Raises:
        InputError: There are none.
    """
    if _is_song(root):
        return {shown(_song_name(root, root.resolve().name)): root}
    if not root.is_dir():
        raise InputError(
            f"{shown(root)} holds no stems." if root.exists() else f"{shown(root)} is not there.",
            "Give a folder of stems, a .stem.mp4, or a folder of such.",
        )
    found: dict[str, Path] = {}
    _collect(root, root, found, _MOST_DEPTH)
    if not found:
        raise InputError(
            f"The folder {shown(root)} holds no stems.",
            "Give a folder of audio files, one per stem, a .stem.mp4, or a folder of such.",
        )
    return found


def _is_song(path: Path) -> bool:
    if not path.is_dir():
        return path.is_file() and bool(stem_file_tracks(path))
    if is_session(path):
        return True
    return bool(_loose_stems(path)) and not any(is_session(p) for p in _folders(path))


def _collect(folder: Path, root: Path, found: dict[str, Path], depth: int) -> None:
    for path in audio_files(folder):
        if path.name.lower().endswith(_STEM_FILES):
            found[shown(_song_name(path, path.relative_to(root).as_posix()))] = path
    for path in _folders(folder):
        if _is_song(path):
            found[shown(_song_name(path, path.relative_to(root).as_posix()))] = path
        elif depth:
            _collect(path, root, found, depth - 1)


def _folders(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))


def _loose_stems(folder: Path) -> list[Path]:
    return [p for p in audio_files(folder) if not p.name.lower().endswith(_STEM_FILES)]


def _song_name(path: Path, relative: str) -> str:
    """Name of a song by its place: `test/Song`; a session called like a mix has its folder's."""
    if path.is_file():
        return relative[: -len(path.name)] + plain_stem(path)
    if not is_session(path):
        return relative
    name = relative.removesuffix(".remix")
    above, _, last = name.rpartition("/")
    return above if above and last.lower() in MIX_NAMES else name


def stem_file_tracks(path: Path) -> list[StemFile]:
    """The stems inside a `.stem.mp4`; none if the file is not one."""
    tracks = stem_tracks(path)
    if tracks is not None:
        return [StemFile(track.name.lower(), path, track.stream) for track in tracks]
    if not path.name.lower().endswith(_STEM_FILES):
        return []
    return [StemFile(name, path, stream) for stream, name in enumerate(_MUSDB_STREAMS, start=1)]


def stems_at(path: Path) -> list[StemFile]:
    """The stems of one song; a mix among them is left out.

    Raises:
        InputError: There are none, or two of one name.
    """
    if path.is_file():
        stems = stem_file_tracks(path)
    elif is_session(path):
        stems = [StemFile(name, file) for name, file in open_session(path).stems.items()]
    else:
        stems = [StemFile(stem_name(file), file) for file in _loose_stems(path)]
    stems = [stem for stem in stems if stem.name.lower() not in MIX_NAMES]
    twice = [name for name, count in Counter(s.name for s in stems).items() if count > 1]
    if twice:
        raise InputError(
            f"{shown(path)} holds the stem {shown(twice[0])} more than once.", "Keep one of them."
        )
    if not stems:
        raise InputError(
            f"{shown(path)} holds no stems.", "Put one audio file per stem there: drums.wav, …"
        )
    return stems
