"""What an export needs to know of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

from workstation.export import Project, Track
from workstation.model import Analysis, InputError, Key
from workstation.model.names import shown, stem_colour
from workstation.model.take import Take

if TYPE_CHECKING:
    from workstation.studio.session import Session

_LEAST_CONFIDENCE = 0.1


def project_of(session: Session, take: Take | None = None) -> Project:
    """Turn a session with stems into the input of an export.

    Raises:
        InputError: The take was played on other stems.
    """
    song = session.song
    if take is not None:
        check_take(session, take, session.engine)
        _check_stems(session, take)
    analysis = song.analysis
    tracks = tuple(
        Track(
            name=name.replace("_", " ").capitalize() if name.islower() else name,
            path=path,
            colour=stem_colour(name, index),
            stem=name,
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
        key=clear_key(analysis),
        sections=analysis.sections if analysis else (),
        loudness_lufs=analysis.loudness_lufs if analysis else None,
        engine=session.engine or "",
        cover=session.cover_path,
        take=take,
    )


def check_take(session: Session, take: Take, engine: str | None) -> None:
    """Find out whether a take was played on the stems of an engine and at the song's rate.

    Raises:
        InputError: It was not.
    """
    if take.engine != engine:
        stems = f"those of {engine}" if engine else "not separated yet"
        raise InputError(
            f'The take "{shown(take.name)}" was played on the stems of {shown(take.engine)}; the '
            f"stems in use are {stems}.",
            f"Choose its stems with --engine {shown(take.engine)}, or leave the take away.",
        )
    rate = session.song.source.sample_rate_hz
    if take.sample_rate_hz != rate:
        raise InputError(
            f'The take "{shown(take.name)}" was played at {take.sample_rate_hz} Hz; the song has '
            f"{rate} Hz.",
            "Record it again, or leave it away.",
        )


def _check_stems(session: Session, take: Take) -> None:
    if set(take.stems) != set(session.stems):
        raise InputError(
            f'The take "{shown(take.name)}" was played on {shown(", ".join(take.stems))}; the '
            f"stems here are {', '.join(session.stems)}.",
            "Record it again, or leave it away.",
        )


def clear_key(analysis: Analysis | None) -> Key | None:
    """The key, if analysis is at all sure of it: a wrong one in a project misleads."""
    if analysis is None or analysis.key is None or analysis.key.confidence < _LEAST_CONFIDENCE:
        return None
    return analysis.key
