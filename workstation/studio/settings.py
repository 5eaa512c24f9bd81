"""Changing the settings file."""

from __future__ import annotations

from typing import Any

import msgspec
import tomlkit

from workstation.audio import atomic_file
from workstation.config import Settings, load_settings
from workstation.config.settings import settings_file
from workstation.model import InputError


def save_settings(changes: dict[str, Any]) -> Settings:
    """Write some keys into the settings file; what else stands in it stays, comments too.

    Args:
        changes: New values by key; None takes a key out, so that its default holds.

    Raises:
        InputError: A value is of a wrong type, or the file there is damaged.
        OutputError: The file cannot be written.
    """
    load_settings()  # A file that is damaged is not made worse.
    path = settings_file()
    document = tomlkit.parse(path.read_text(encoding="utf-8") if path.exists() else "")
    for key, value in changes.items():
        if value is None:
            document.pop(key, None)
        else:
            document[key] = value
    try:
        settings = msgspec.convert(document.unwrap(), Settings)
    except msgspec.ValidationError as error:
        raise InputError(f"This setting does not hold: {error}.", "Give another value.") from error
    with atomic_file(path) as partial:
        partial.write_text(tomlkit.dumps(document), encoding="utf-8")
    return settings
