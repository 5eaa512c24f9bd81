"""Settings, the user's own folders, and the templates and presets that are shipped."""

from workstation.config.dirs import cache_dir, config_dir
from workstation.config.settings import Settings, load_settings
from workstation.config.shipped import shipped_folder

__all__ = ["Settings", "cache_dir", "config_dir", "load_settings", "shipped_folder"]
