"""A `.logicx` bundle: the user's own is read, and a copy with the stems in it is written.

A bundle is a folder: `Alternatives/<nnn>/` with `ProjectData` and `MetaData.plist`, `Resources/`,
and the audio in `Media/Audio Files/`. All of it is copied; only these two files are changed.
"""

from __future__ import annotations

import itertools
import os
import plistlib
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

import msgspec
import numpy as np

from workstation.audio import need_space, open_audio
from workstation.audio.riff import walk_chunks
from workstation.export.logicx import ProjectData, encode, read_project_data
from workstation.export.logicx_parts import Stem
from workstation.model import InputError, JobContext
from workstation.model.names import shown

AUDIO_FOLDER = Path("Media", "Audio Files")
_MOST_FILES = 100_000
_DEEPEST = 50
_MOST_PLIST_BYTES = 16 << 20
MOST_WAV_BYTES = 0xFFFF_FFFF
_PIECE_BYTES = 8 << 20
_FRAMES_PER_BIN = 256
_BINS_PER_BLOCK = 1024
_SAVE_IT = "Open it in Logic Pro, save a copy as a package, and give that."
_PLIST_ERRORS = (
    plistlib.InvalidFileException, ExpatError, ValueError, TypeError, KeyError, IndexError,
    OverflowError, RecursionError, AttributeError, struct.error,
)  # fmt: skip


class Bundle(msgspec.Struct, frozen=True):
    """The user's own project.

    Attributes:
        path: Its folder.
        name: What it is called in words.
        files: All files in it, relative to its folder.
        alternative: The folder of its only alternative, relative too.
        data: Its `ProjectData`.
        about: Its `MetaData.plist`.
    """

    path: Path
    name: str
    files: tuple[Path, ...]
    alternative: Path
    data: ProjectData
    about: dict[str, Any]


def read_bundle(path: Path) -> Bundle:
    """Read a bundle.

    Raises:
        InputError: It is none, is damaged, reaches outside itself, or keeps its audio elsewhere.
    """
    name = shown(path.resolve().name)
    files = _files_in(path, name)
    found = [f for f in files if len(f.parts) == 3 and f.parts[0] == "Alternatives"]
    alternatives = [f.parent for f in found if f.name == "ProjectData"]
    if len(alternatives) != 1:
        how_many = f"has {len(alternatives)} alternatives" if alternatives else "has no project"
        raise InputError(
            f"{name} {how_many} in it; it must have one.",
            "In Logic Pro choose File > Save A Copy As, as a package, and give that.",
        )
    about = _plist(path / alternatives[0] / "MetaData.plist", name)
    information = Path("Resources", "ProjectInformation.plist")
    if information in files and _plist(path / information, name).get("HasProjectFolder"):
        raise InputError(f"{name} keeps its audio in a folder beside it.", _SAVE_IT)
    data = read_project_data(path / alternatives[0] / "ProjectData", name)
    return Bundle(path, name, tuple(files), alternatives[0], data, about)


def _files_in(path: Path, name: str) -> list[Path]:
    if not path.is_dir():
        raise InputError(
            f"{name} is not a project of Logic Pro: such a project is a folder.",
            "Give a .logicx project that Logic Pro saved; unpack one that is in a .zip.",
        )

    def refuse(error: OSError) -> None:
        raise InputError(f"{name} cannot be read: {error.strerror}.", _SAVE_IT) from error

    files: list[Path] = []
    for folder, folders, names in os.walk(path, onerror=refuse):
        # Told here, as it walks into every folder from within the walk of the one above.
        if len(Path(folder).relative_to(path).parts) > _DEEPEST:
            raise InputError(f"{name} holds folders that are nested too deep.", _SAVE_IT)
        for entry in (*folders, *names):
            kind = Path(folder, entry).lstat().st_mode
            if not (stat.S_ISDIR(kind) or stat.S_ISREG(kind)):
                raise InputError(f"{name} holds {shown(entry)}, which is no plain file.", _SAVE_IT)
        files += [Path(folder, entry).relative_to(path) for entry in names]
        if len(files) > _MOST_FILES:
            raise InputError(f"{name} holds more than {_MOST_FILES} files.", _SAVE_IT)
    return sorted(files)


def _plist(path: Path, name: str) -> dict[str, Any]:
    about: Any = None
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_PLIST_BYTES + 1)
        if len(content) <= _MOST_PLIST_BYTES:
            about = plistlib.loads(content)
            plistlib.dumps(about, fmt=plistlib.FMT_BINARY)  # It will be written again.
    except OSError as error:
        raise InputError(
            f"{name} has no {path.name} to read: {error.strerror}.", _SAVE_IT
        ) from error
    except _PLIST_ERRORS:
        about = None
    if not isinstance(about, dict):
        raise InputError(f"{name} is damaged: its {path.name} cannot be read.", _SAVE_IT)
    return about


# -- the copy -------------------------------------------------------------------------------------


def copy_bundle(bundle: Bundle, target: Path, job: JobContext) -> None:
    """Copy everything of a bundle to a new place.

    Raises:
        OutputError: There is no room for it.
    """
    total = sum((bundle.path / file).stat().st_size for file in bundle.files)
    need_space(target.parent, total)
    done = 0
    for file in bundle.files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        for size in _copied(bundle.path / file, target / file):
            job.check()
            done += size
            job.report(min(1.0, done / max(1, total)))


def _copied(source: Path, target: Path) -> Iterator[int]:
    """Copy a file piece by piece; gives the size of each."""
    try:
        reader = source.open("rb")
    except OSError as error:
        raise InputError(
            f"{shown(source)} cannot be read: {error.strerror}.", "Allow it to be read."
        ) from error
    with reader, target.open("wb") as writer:
        while piece := reader.read(_PIECE_BYTES):
            yield writer.write(piece)


def write_project(bundle: Bundle, target: Path, data: ProjectData, about: dict[str, Any]) -> None:
    """Write what is changed into the copy of a bundle.

    Args:
        bundle: The user's own.
        target: The copy.
        data: Its new content.
        about: New values in its `MetaData.plist`.
    """
    place = target / bundle.alternative
    (place / "ProjectData").write_bytes(encode(data))
    with (place / "MetaData.plist").open("wb") as file:
        plistlib.dump({**bundle.about, **about}, file, fmt=plistlib.FMT_BINARY)


def free_name(folder: Path, name: str, taken: set[str]) -> str:
    """A name that no file in a folder has, on systems that take a for A too.

    Args:
        folder: The folder.
        name: The name if it is free, or else how it begins.
        taken: More names that are not free, in small letters.
    """
    taken = taken | {path.name.casefold() for path in folder.iterdir()}
    stem, suffix = Path(name).stem, Path(name).suffix
    names = itertools.chain((name,), (f"{stem} {k}{suffix}" for k in itertools.count(2)))
    return next(n for n in names if n.casefold() not in taken)


# -- audio ----------------------------------------------------------------------------------------


def put_wav(source: Path, folder: Path, name: str, job: JobContext) -> Stem:
    """Copy a WAV into a bundle, with the overview chunk that Logic adds to one that has none.

    Logic would add it itself, and the size of the file would no longer be the one in the project.
    The chunk holds the number of frames, a number that Logic computes, and for every 256 frames
    the lowest and the highest level of 8 bits.

    Returns:
        The WAV as the project has it; what it is called is for others to say.
    """
    path = folder / name
    for _ in _copied(source, path):
        job.check()
    overview = _overview(source, job)
    with path.open("r+b") as file:
        parts = {part.name: part for part in walk_chunks(file)}
        end = file.seek(0, os.SEEK_END)
        size = end + end % 2 + 8 + len(overview)
        if size > MOST_WAV_BYTES:
            raise InputError(
                f"{shown(source.name)} is larger than 4 GiB.", "Give a shorter song to Logic Pro."
            )
        file.write(bytes(end % 2) + struct.pack("<4sI", b"LGWV", len(overview)) + overview)
        file.seek(4)
        file.write(struct.pack("<I", size - 8))
        file.seek(parts[b"fmt "].start)
        _, channels, rate_hz, _, frame_bytes, bits = struct.unpack("<HHIIHH", file.read(16))
    data = parts[b"data"]
    return Stem(
        name="",
        called="",
        file=name,
        file_bytes=size,
        data_start=data.start,
        overview_bytes=len(overview),
        frames=data.size // frame_bytes,
        rate_hz=rate_hz,
        channels=channels,
        bits=bits,
    )


def _overview(source: Path, job: JobContext) -> bytes:
    levels: list[np.ndarray] = []
    done = 0
    with open_audio(source) as reader:
        frames = max(1, reader.frames or 1)
        while (block := reader.read(_FRAMES_PER_BIN * _BINS_PER_BLOCK)).shape[1]:
            job.check()
            starts = np.arange(0, block.shape[1], _FRAMES_PER_BIN)
            peaks = np.maximum.reduceat(np.abs(block).max(axis=0), starts)
            high = np.minimum(peaks * 127, 127).astype(np.int8)
            levels.append(np.stack([-high, high], axis=1))
            done += block.shape[1]
            job.report(min(1.0, done / frames))
    return struct.pack("<II", done, 0) + b"".join(part.tobytes() for part in levels)
