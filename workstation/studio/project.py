"""What an export needs to know of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workstation.export import Project, Track
from workstation.model import Analysis, Key
from workstation.model.names import stem_colour

if TYPE_CHECKING:
    from workstation.studio.session import Session

_LEAST_CONFIDENCE = 0.1


def project_of(session: Session) -> Project:
    """Turn a session with stems into the input of an export."""
    song = session.song
    analysis = song.analysis
    tracks = tuple(
        Track(
            name=name.capitalize() if name.islower() else name,
            path=path,
            colour=stem_colour(name, index),
        )
        for index, (name, path) in enumerate(session.stems.items())
    )
    return Project(
        title=song.title,
        artist=song.artist,
        tracks=tracks,
        sample_rate_hz=song.source.sample_rate_hz,
        frames=song.source.frames,
        grid=analysis.grid if analysis else None,
        key=_clear_key(analysis),
        sections=analysis.sections if analysis else (),
        loudness_lufs=analysis.loudness_lufs if analysis else None,
        engine=session.engine or "",
        cover=session.cover_path,
    )


def _clear_key(analysis: Analysis | None) -> Key | None:
    """The key, if analysis is at all sure of it: a wrong one in a project misleads."""
    if analysis is None or analysis.key is None or analysis.key.confidence < _LEAST_CONFIDENCE:
        return None
    return analysis.key
