"""The settings file: `settings.toml` in the user's config folder, every key optional."""

from __future__ import annotations

import difflib
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from workstation.config.dirs import config_dir
from workstation.model import InputError


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a user can set once for all commands; an option typed on the command line wins.

    Attributes:
        engine: Separation engine to use where none is named.
        models_dir: Folder of the user's own weights.
        offline: Never touch the network.
        theme: Of the screen: `dark` or `light`.
    """

    engine: str = "auto"
    models_dir: str | None = None
    offline: bool = False
    theme: Literal["dark", "light"] = "dark"


def settings_file() -> Path:
    """Where the settings file lies (or would lie)."""
    return config_dir() / "settings.toml"


def load_settings() -> Settings:
    """Read the settings file; defaults where there is none.

    Raises:
        InputError: The file is not TOML, or has an unknown key or a value of a wrong type.
    """
    path = settings_file()
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return Settings()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"The settings file {path} cannot be read: {error}.",
            "Mend its permissions, or remove it.",
        ) from error
    try:
        values = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise InputError(
            f"The settings file {path} is not TOML: {error}.", "Mend that line, or remove the file."
        ) from error
    known = Settings.__struct_fields__
    for key in values:
        if key not in known:
            near = difflib.get_close_matches(key, known, n=1)
            hint = f'Did you mean "{near[0]}"?' if near else f"Known keys: {', '.join(known)}."
            raise InputError(f'The settings file {path} has an unknown key "{key}".', hint)
    try:
        return msgspec.convert(values, Settings)
    except msgspec.ValidationError as error:
        raise InputError(
            f"The settings file {path} has a wrong value: {error}.", "Mend that value."
        ) from error
