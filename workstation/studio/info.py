"""What a file or a session is, in plain values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from workstation.audio import probe, read_tags, stem_tracks
from workstation.session import SessionFolder, is_session
from workstation.studio.session import Session


def describe_input(path: Path) -> dict[str, Any]:
    """Describe an audio file or a session folder; None stands for what it does not have.

    Raises:
        InputError: It is neither.
    """
    if is_session(path):
        folder = SessionFolder(path)
        return _describe_session(Session(folder, folder.load()))
    info = probe(path)
    tags = read_tags(path)
    tracks = stem_tracks(path)
    return {
        "file": str(path),
        "title": tags.title or None,
        "artist": tags.artist or None,
        "album": tags.album or None,
        "container": info.container,
        "codec": info.codec,
        "sample_rate_hz": info.sample_rate_hz,
        "channels": info.channels,
        "frames": info.frames,
        "duration_s": info.duration_s,
        "cover": tags.cover_suffix.lstrip(".") if tags.cover_suffix else None,
        "stems": [track.name for track in tracks] if tracks else None,
    }


def _describe_session(session: Session) -> dict[str, Any]:
    song, found = session.song, session.analysis
    exports = session.exports
    return {
        "session": str(session.path),
        "title": song.title,
        "artist": song.artist or None,
        "source": song.source.path,
        "sample_rate_hz": song.source.sample_rate_hz,
        "channels": song.source.channels,
        "frames": song.source.frames,
        "duration_s": song.source.duration_s,
        "cover": song.cover,
        "engine": session.engine,
        "stems": session.stem_states() or None,
        "bpm": found.bpm if found else None,
        "meter": f"{found.grid.beats_per_bar}/4" if found and found.grid else None,
        "key": found.key.name if found and found.key else None,
        "sections": [s.label for s in found.sections] if found and found.sections else None,
        "loudness_lufs": found.loudness_lufs if found else None,
        "exports": sorted(p.name for p in exports.iterdir() if not p.name.startswith("."))
        if exports.is_dir()
        else None,
    }
