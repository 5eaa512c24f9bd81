"""The user's own folders. They are named here and made at the first write, never at import."""

from __future__ import annotations

import os
from pathlib import Path


def config_dir() -> Path:
    """Folder of the user's settings; `WORKSTATION_CONFIG_DIR` overrides it."""
    from platformdirs import user_config_path

    override = os.environ.get("WORKSTATION_CONFIG_DIR")
    return Path(override) if override else user_config_path("workstation", appauthor=False)


def cache_dir() -> Path:
    """Folder of downloaded weights and logs; `WORKSTATION_CACHE_DIR` overrides it."""
    from platformdirs import user_cache_path

    override = os.environ.get("WORKSTATION_CACHE_DIR")
    return Path(override) if override else user_cache_path("workstation", appauthor=False)
