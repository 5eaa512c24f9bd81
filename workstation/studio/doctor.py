"""What works on this machine, and how to get the rest."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import msgspec

from workstation.config import cache_dir, load_settings, shipped_folder
from workstation.model import WorkstationError
from workstation.studio.session import engine_options


class Check(msgspec.Struct, frozen=True):
    """One thing that was looked at.

    Attributes:
        part: What it is.
        state: `ok`; `missing` if the product works without it; `broken` if it does not.
        found: What was found, in words.
        remedy: How to get it; empty if it is there.
    """

    part: str
    state: Literal["ok", "missing", "broken"]
    found: str
    remedy: str = ""


def _short(path: Path) -> str:
    """A path as people write it: their home is `~`."""
    home = Path.home()
    return f"~/{path.relative_to(home)}" if path.is_relative_to(home) else str(path)


def examine() -> list[Check]:
    """Look at everything the product uses."""
    return [check() for check in _CHECKS]


def _package(part: str, module: str, package: str) -> Check:
    try:
        importlib.import_module(module)
    except (ImportError, OSError) as error:
        return Check(
            part,
            "broken",
            f"{package} cannot be loaded: {error}",
            f"pip install --force-reinstall {package}",
        )
    return Check(part, "ok", f"{package} {importlib.metadata.version(package)}")


def _audio_files() -> Check:
    return _package("WAV FLAC MP3 Ogg AIFF", "soundfile", "soundfile")


def _video_files() -> Check:
    return _package("M4A, .stem.mp4", "av", "av")


def _network_engines() -> Check:
    check = _package("Neural engines", "torch", "torch")
    if check.state != "ok":
        return check
    import torch

    device = "no GPU, CPU only"
    if torch.cuda.is_available():
        device = torch.cuda.get_device_name()
    elif torch.backends.mps.is_available():
        device = "Apple GPU"
    return Check(check.part, "ok", f"{check.found}, {device}")


def _fast_networks() -> Check:
    part = "Fast htdemucs"
    if importlib.util.find_spec("openvino") is None:
        remedy = "pip install 'workstation[fast]'"
        return Check(part, "missing", "openvino is not here; torch computes", remedy)
    return Check(part, "ok", f"openvino {importlib.metadata.version('openvino')}")


def _weights() -> Check:
    from workstation.separate.engines import DEFAULT_NETWORK
    from workstation.separate.weights import find_weights, network_reachable

    options = engine_options()
    if find_weights(DEFAULT_NETWORK, options).available:
        return Check("Weights", "ok", f"{DEFAULT_NETWORK} is on this machine")
    if not options.offline and network_reachable():
        return Check(
            "Weights",
            "missing",
            f"{DEFAULT_NETWORK} is not on this machine",
            f"downloaded when first used: --engine {DEFAULT_NETWORK}",
        )
    return Check(
        "Weights",
        "missing",
        f"{DEFAULT_NETWORK} is not here, no network",
        "copy weights into a folder and name it with --models-dir",
    )


def _sound() -> Check:
    from workstation.perform.outputs import devices
    from workstation.studio.controllers import quiet_libraries

    try:
        with quiet_libraries():
            found = devices()
    except WorkstationError as error:
        return Check("Sound", "missing", f"{error.problem} Silent clock only.", error.remedy)
    if not found:
        return Check(
            "Sound", "missing", "no output; `perform` runs on a silent clock", "plug one in"
        )
    default = next((d for d in found if d.default), found[0])
    return Check("Sound", "ok", f"{default.name} ({default.host}), {len(found)} in all")


def _midi() -> Check:
    from workstation.midi.ports import MidiSystem
    from workstation.studio.controllers import quiet_libraries

    try:
        with quiet_libraries():
            inputs = MidiSystem().names().inputs
    except WorkstationError as error:
        return Check("MIDI", "missing", error.problem, error.remedy)
    return Check("MIDI", "ok", f"{len(inputs)} inputs")


def _settings() -> Check:
    from workstation.config.settings import settings_file

    try:
        load_settings()
    except WorkstationError as error:
        return Check("Settings", "broken", error.problem, error.remedy)
    path = settings_file()
    found = _short(path) if path.exists() else f"defaults; {_short(path)} would change them"
    return Check("Settings", "ok", found)


def _templates() -> Check:
    try:
        folder = shipped_folder("templates")
    except WorkstationError as error:
        return Check("Scripts to copy", "broken", error.problem, error.remedy)
    return Check("Scripts to copy", "ok", _short(folder / "scripts"))


def _plots() -> Check:
    if importlib.util.find_spec("matplotlib") is None:
        return Check("Plots", "missing", "matplotlib is not here", "pip install matplotlib")
    return Check("Plots", "ok", f"matplotlib {importlib.metadata.version('matplotlib')}")


def _stretch() -> Check:
    part, package = "Tempo and pitch", "python-stretch"
    if importlib.util.find_spec("python_stretch") is None:
        return Check(part, "missing", f"{package} is not here", f"pip install {package}")
    return Check(part, "ok", f"{package} {importlib.metadata.version(package)}")


def _processors() -> Check:
    count = os.cpu_count() or 1
    return Check("Processor", "ok", f"{count} cores")


def _disk() -> Check:
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.1f} GB free in this folder"
    if not os.access(folder, os.W_OK):
        return Check("Disk", "missing", f"{folder} is read-only", "work in another folder")
    if free < 2e9:
        return Check("Disk", "missing", found, "a song of four minutes needs about 0.4 GB")
    return Check("Disk", "ok", found)


def _cache() -> Check:
    folder = cache_dir()
    there = folder
    while not there.exists():
        there = there.parent
    if os.access(there, os.W_OK):
        return Check("Cache", "ok", _short(folder))
    return Check(
        "Cache",
        "broken",
        f"{folder} cannot be written",
        "set WORKSTATION_CACHE_DIR to a folder of yours",
    )


_CHECKS: tuple[Callable[[], Check], ...] = (
    _audio_files,
    _video_files,
    _network_engines,
    _fast_networks,
    _weights,
    _sound,
    _midi,
    _settings,
    _templates,
    _plots,
    _stretch,
    _processors,
    _disk,
    _cache,
)
