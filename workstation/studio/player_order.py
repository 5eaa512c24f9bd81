"""What a player process is told at its start; light, as every face of the product imports it."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec

from workstation.model import BeatGrid
from workstation.model.mixer import MixerState
from workstation.perform.outputs import OutputOptions


class PlayerOrder(msgspec.Struct, frozen=True):
    """What the player is to play, and on what. Paths are hexadecimal bytes: see `pathname`."""

    shared: str
    stems: tuple[tuple[str, str], ...]
    takes: str
    engine: str
    sample_rate_hz: int
    grid: BeatGrid | None
    output: OutputOptions
    mixer: MixerState | None = None
    head: int = 0
    groups: dict[int, tuple[str, ...]] = {}
    snapshots: dict[int, MixerState] = {}
    controllers: tuple[str, ...] = ()
    any_controller: bool = True
    clock_ports: tuple[str, ...] = ()
    osc_listen: tuple[str, int] | None = None
    osc_reply_to: tuple[str, int] | None = None


def hexed(path: Path) -> str:
    """A path as text that JSON can carry, whatever bytes are in it."""
    return os.fsencode(path).hex()


def pathname(text: str) -> Path:
    """The inverse of `hexed`."""
    return Path(os.fsdecode(bytes.fromhex(text)))
