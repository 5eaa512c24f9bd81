"""What `session.json` holds, and how older files are brought up to date."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from workstation.model import InputError, Song, Stem
from workstation.model.mixer import MixerState
from workstation.model.names import file_name

SCHEMA_VERSION = 2

# One step per version: UPGRADES[n] turns the contents of version n into version n + 1.
UPGRADES: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {
    # 2: the mixer, mute groups and snapshots; a session without them is played as it is.
    1: lambda values: {**values, "schema_version": 2},
}


class SessionState(msgspec.Struct, frozen=True):
    """The contents of `session.json`.

    Attributes:
        song: The song and its analysis.
        stems: Stems of all engines; those of one engine sum to the song.
        engine: Whose stems are in use; None before separation.
        stem_keys: For every engine, the key of what its stems were made from and with.
        mixer: How the player left the mixer; None before it was touched.
        groups: Stems of every mute group, by its number from 1.
        snapshots: Stored mixer states, by number from 1.
        schema_version: Version of this layout.
    """

    song: Song
    stems: tuple[Stem, ...] = ()
    engine: str | None = None
    stem_keys: dict[str, str] = {}
    mixer: MixerState | None = None
    groups: dict[int, tuple[str, ...]] = {}
    snapshots: dict[int, MixerState] = {}
    schema_version: int = SCHEMA_VERSION

    def stems_of(self, engine: str | None) -> tuple[Stem, ...]:
        """Stems that one engine made."""
        return tuple(stem for stem in self.stems if stem.engine == engine)


def encode_state(state: SessionState) -> bytes:
    """Turn the state into readable JSON."""
    return msgspec.json.format(msgspec.json.encode(state), indent=1) + b"\n"


def decode_state(text: bytes, path: Path) -> SessionState:
    """Read the state of any version up to this one.

    Args:
        text: Contents of the file.
        path: Where it came from, for the words of an error.

    Raises:
        InputError: The file is damaged, or from a newer version of the product.
    """
    try:
        values = json.loads(text)
        version = values["schema_version"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path, error) from error
    if not isinstance(version, int) or version < 1:
        raise _damaged(path, ValueError(f"schema_version is {version!r}"))
    if version > SCHEMA_VERSION:
        raise InputError(
            f"{path} was written by a newer version of workstation (schema {version}).",
            f"Install a newer workstation; this one knows schemas up to {SCHEMA_VERSION}.",
        )
    for step in range(version, SCHEMA_VERSION):
        values = UPGRADES[step](values)
    try:
        state = msgspec.convert(values, SessionState, str_keys=True)
        encode_state(state)  # Text that cannot be written again could not be printed either.
    except (msgspec.ValidationError, ValueError) as error:
        raise _damaged(path, error) from error
    _check_names(state, path)
    return state


def _check_names(state: SessionState, path: Path) -> None:
    """Refuse names that lead out of the folder: a session may come from a stranger."""
    names = [stem.name for stem in state.stems] + [stem.engine for stem in state.stems]
    if state.song.cover is not None:
        names.append(state.song.cover)
        if not state.song.cover.startswith("cover."):
            raise _damaged(path, ValueError(f"cover is {state.song.cover!r}"))
    for name in names:
        if file_name(name, fallback="") != name or not name:
            raise _damaged(path, ValueError(f"{name!r} is no name for a file"))


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        f"The session file {path} is damaged: {error}.",
        "Restore it from a copy, or start a new session from the song.",
    )
