"""Opening what a user points at: a session, a song, a stem file or a folder of stems."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec
import numpy as np

from workstation.audio import (
    DECODABLE_SUFFIXES,
    AudioInfo,
    AudioWriter,
    Tags,
    atomic_file,
    file_sha256,
    open_audio,
    probe,
    read_tags,
    stem_tracks,
    writing,
)
from workstation.model import (
    AudioRef,
    InputError,
    JobContext,
    Song,
    Stem,
)
from workstation.model.names import file_name
from workstation.model.stem_roles import is_usual
from workstation.session import SessionFolder, SessionState, find_session, is_session
from workstation.studio.session import Session, audio_ref

IMPORTED = "imported"
_BLOCK_FRAMES = 1 << 18
MIX_NAMES = {"mix", "mixture", "master", "full", "original", "song"}
# Stems of one song end together; a folder of songs does not.
_MOST_DIFFERENCE_S = 10.0  # Or half the length, if that is less.


def open_session(
    path: Path | str,
    *,
    parent: Path | str | None = None,
    copy_source: bool = True,
    job: JobContext | None = None,
) -> Session:
    """Open a song, a folder of stems, a `.stem.mp4` or a session; make the session if need be.

    Args:
        path: An audio file, a folder of ready-made stems, or a session folder.
        parent: Folder in which the session `<Title>.remix` is found or made; None is the
            working folder.
        copy_source: Copy the song into the session, so that it can be moved; False refers to
            where the song lies.
        job: Progress out, cancellation in.

    Raises:
        InputError: There is nothing at the path that can be opened.
        OutputError: The session cannot be written.
    """
    path = Path(path)
    job = job or JobContext()
    if is_session(path):
        folder = SessionFolder(path)
        return Session(folder, folder.load())
    parent = Path.cwd() if parent is None else Path(parent)
    if path.is_dir():
        return _open_stem_folder(path, parent, job)
    return _open_song(path, parent, job, copy_source=copy_source)


def existing_session(path: Path) -> Session:
    """The session at a path, or that of the song at it in the working folder.

    Raises:
        InputError: There is none.
    """
    if path.is_file():
        title = title_of(path, read_tags(path))
        name = file_name(title, fallback="song")
        folder, there = find_session(Path.cwd(), name, file_sha256(path, JobContext()))
        if not there:
            raise InputError(
                f"{path} has no session here.", "Play it first: `workstation perform SONG`."
            )
        return Session(folder, folder.load())
    folder = SessionFolder(path)
    return Session(folder, folder.load())


# -- a song -----------------------------------------------------------------------------


def _open_song(path: Path, parent: Path, job: JobContext, *, copy_source: bool) -> Session:
    info = probe(path, job=job)
    tags = read_tags(path)
    title = title_of(path, tags)
    sha256 = file_sha256(path, job.part(0.0, 0.3, "Reading the song"))
    folder, there = find_session(parent, file_name(title, fallback="song"), sha256)
    if there:
        return Session(folder, folder.load())
    with folder.locked():
        if is_session(folder.path):  # Another process was faster, with this song or its namesake.
            return _open_song(path, parent, job, copy_source=copy_source)
        if copy_source:
            stored = _copy(path, folder.path / f"source{_suffix(path)}", job.part(0.3, 0.6))
        else:
            stored = str(path.resolve())
        source = _ref(stored, sha256, info)
        cover = _save_cover(folder, tags)
        state = SessionState(song=Song(title, tags.artist, source, cover=cover))
        if (tracks := stem_tracks(path)) is not None:
            inputs = [(track.name, path, track.stream) for track in tracks]
            state = _import(folder, state, inputs, job.part(0.6, 1.0, "Taking the stems"))
        folder.save(state)
    return Session(folder, state)


def title_of(path: Path, tags: Tags) -> str:
    """Title of a song: that of its tags, else the name of its file."""
    return tags.title or plain_stem(path)


def plain_stem(path: Path) -> str:
    """Name of a file without its suffix; `.stem.mp4` counts as one suffix."""
    name = path.stem.encode("utf-8", "replace").decode()  # A file name need not be text.
    return re.sub(r"\.stem$", "", name, flags=re.IGNORECASE)


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    if path.stem.lower().endswith(".stem"):
        suffix = ".stem" + suffix
    return suffix if re.fullmatch(r"(\.[a-z0-9]{1,8}){0,2}", suffix) else ""


def _ref(stored_as: str, sha256: str, info: AudioInfo) -> AudioRef:
    return AudioRef(stored_as, sha256, info.sample_rate_hz, info.channels, info.frames)


def _copy(path: Path, to: Path, job: JobContext) -> str:
    """Copy a file into the session whole or not at all, and give its name there."""
    total = max(path.stat().st_size, 1)
    with atomic_file(to) as partial, path.open("rb") as source, partial.open("wb") as target:
        done = 0
        while block := source.read(1 << 22):
            job.check()
            target.write(block)
            done += len(block)
            job.report(done / total)
    return to.name


def _save_cover(folder: SessionFolder, tags: Tags) -> str | None:
    if tags.cover is None or tags.cover_suffix is None:
        return None
    name = f"cover{tags.cover_suffix}"
    with atomic_file(folder.path / name) as partial:
        partial.write_bytes(tags.cover)
    return name


# -- ready-made stems ---------------------------------------------------------------------


def _open_stem_folder(path: Path, parent: Path, job: JobContext) -> Session:
    files = audio_files(path)
    mixes = [f for f in files if stem_name(f).lower() in MIX_NAMES]
    stems = [f for f in files if f not in mixes]
    if not stems:
        raise InputError(
            f"The folder {path} holds no stems.",
            "Give a folder of audio files of equal length, one per stem, or one audio file.",
        )
    if len(mixes) > 1:
        raise InputError(
            f"The folder {path} holds {len(mixes)} mixes: {', '.join(f.name for f in mixes)}.",
            "Keep one of them beside the stems.",
        )
    infos = {file: probe(file, job=job) for file in files}
    _check_belong_together(path, infos)
    sha256 = _folder_sha256(files, job.part(0.0, 0.3, "Reading the stems"))
    tags = read_tags(files[0])
    title = tags.album or path.resolve().name
    folder, there = find_session(parent, file_name(title, fallback="stems"), sha256)
    if there:
        return Session(folder, folder.load())
    with folder.locked():
        if is_session(folder.path):  # Another process was faster.
            return Session(folder, folder.load())
        frames = max(info.frames for info in infos.values())
        to = folder.path / "source.wav"
        channels = max(info.channels for info in infos.values())
        _sum_files(mixes[:1] or stems, to, channels, frames, job.part(0.3, 0.6, "Mixing"))
        info = probe(to)
        # Known by the stems it was made from: the same folder finds the same session again.
        source = AudioRef(to.name, sha256, info.sample_rate_hz, info.channels, info.frames)
        state = SessionState(song=Song(title, tags.artist, source, cover=_save_cover(folder, tags)))
        inputs = [(stem_name(file), file, 0) for file in stems]
        state = _import(folder, state, inputs, job.part(0.6, 1.0, "Taking the stems"))
        folder.save(state)
    return Session(folder, state)


def audio_files(path: Path) -> list[Path]:
    """The audio files of a folder by their names, hidden ones left out.

    Raises:
        InputError: The folder cannot be read.
    """
    try:
        entries = sorted(path.iterdir())
    except OSError as error:
        raise InputError(
            f"The folder {path} cannot be read: {error.strerror}.", "Mend its permissions."
        ) from error
    return [
        f
        for f in entries
        if f.is_file() and f.suffix.lower() in DECODABLE_SUFFIXES and not f.name.startswith(".")
    ]


def stem_name(path: Path) -> str:
    """Name of a stem from its file: `03 - Vocals.wav` is `vocals`."""
    name = re.sub(r"^\d{1,2}[\s._-]+", "", plain_stem(path))
    return _usual(file_name(name, fallback="stem", max_bytes=60))


def _usual(name: str) -> str:
    return name.lower() if is_usual(name) or name.lower() in MIX_NAMES else name


def _check_belong_together(path: Path, infos: dict[Path, AudioInfo]) -> None:
    rates = {info.sample_rate_hz for info in infos.values()}
    if len(rates) > 1:
        raise InputError(
            f"The files in {path} have different sample rates "
            f"({', '.join(f'{rate} Hz' for rate in sorted(rates))}).",
            "Export all stems at one rate.",
        )
    channels = {info.channels for info in infos.values()} - {1}
    if len(channels) > 1:
        raise InputError(
            f"The files in {path} have different numbers of channels "
            f"({', '.join(str(n) for n in sorted(channels))}).",
            "Export all stems with one layout (mono ones may be among them).",
        )
    lengths = [info.duration_s for info in infos.values()]
    difference_s = max(lengths) - min(lengths)
    if difference_s > min(_MOST_DIFFERENCE_S, 0.5 * max(lengths)):
        raise InputError(
            f"The files in {path} differ in length by {difference_s:.0f} s, "
            "so they are not stems of one song.",
            "Give one song at a time; `workstation batch` does a folder of songs.",
        )


def _folder_sha256(files: list[Path], job: JobContext) -> str:
    import hashlib

    digest = hashlib.sha256()
    for index, file in enumerate(files):
        step = job.part(index / len(files), (index + 1) / len(files))
        digest.update(f"{file.name}\0{file_sha256(file, step)}\n".encode())
    return digest.hexdigest()


def _sum_files(files: list[Path], to: Path, channels: int, frames: int, job: JobContext) -> None:
    """Write the float32 sum of some files, each padded with silence to the full length."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        readers = [stack.enter_context(open_audio(file)) for file in files]
        writer = stack.enter_context(
            AudioWriter(
                to, sample_rate_hz=readers[0].sample_rate_hz, channels=channels, encoding="float32"
            )
        )
        for start in range(0, frames, _BLOCK_FRAMES):
            job.check()
            job.report(start / frames)
            block = np.zeros((channels, min(_BLOCK_FRAMES, frames - start)), np.float32)
            for reader in readers:
                part = reader.read(block.shape[1])
                block[:, : part.shape[1]] += part  # A mono stem sounds on every channel.
            writer.write(block)


def _import(
    folder: SessionFolder,
    state: SessionState,
    inputs: list[tuple[str, Path, int]],
    job: JobContext,
) -> SessionState:
    """Decode ready-made stems into the session, padded to the length of the song."""
    work = folder.work / IMPORTED
    final = folder.stem_folder(IMPORTED)
    with writing(work):
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
    stems: list[Stem] = []
    names = _distinct(
        [_usual(file_name(name, fallback="stem", max_bytes=60)) for name, _, _ in inputs]
    )
    for index, (name, (_, path, stream)) in enumerate(zip(names, inputs, strict=True)):
        step = job.part(index / len(inputs), (index + 1) / len(inputs))
        made = work / f"{name}.wav"
        _decode(path, stream, made, state.song.source.frames, step)
        stored = (final / made.name).relative_to(folder.path).as_posix()
        stems.append(Stem(name, audio_ref(made, stored, step), IMPORTED))
    folder.publish(work, final)
    return msgspec.structs.replace(
        state,
        stems=tuple(stems),
        engine=IMPORTED,
        stem_keys={IMPORTED: state.song.source.sha256},
    )


def _decode(path: Path, stream: int, to: Path, frames: int, job: JobContext) -> None:
    """Decode one stream to float32 WAV of exactly `frames`, silence after its end."""
    with (
        open_audio(path, stream=stream) as reader,
        AudioWriter(
            to, sample_rate_hz=reader.sample_rate_hz, channels=reader.channels, encoding="float32"
        ) as writer,
    ):
        for start in range(0, frames, _BLOCK_FRAMES):
            job.check()
            job.report(start / frames)
            count = min(_BLOCK_FRAMES, frames - start)
            block = reader.read(count)
            writer.write(np.pad(block, ((0, 0), (0, count - block.shape[1]))))


def _distinct(names: list[str]) -> list[str]:
    """Number names that occur more than once (also when only case differs)."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        seen[name.lower()] = count = seen.get(name.lower(), 0) + 1
        result.append(name if count == 1 else f"{name} {count}")
    return result
