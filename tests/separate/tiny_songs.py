"""Generated songs with stems, and networks small enough to be trained in a second.

Other rooms' tests import it as `from tests.separate.tiny_songs import ...`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from workstation.audio import write_audio
from workstation.model import JobContext
from workstation.separate.trained_file import NetworkPlan, SpectrogramSizes, WaveformSizes
from workstation.separate.training_songs import StemSource, open_songs
from workstation.separate.training_state import Recipe

RATE = 8000
STEMS = ("drums", "bass", "other", "vocals")
SIZES = {
    "waveform": WaveformSizes(width=4, levels=3, recurrent=8),
    "spectrogram": SpectrogramSizes(window=256, width=16, blocks=2),
}


def stems_of(song: int, *, seconds=5.0, rate=RATE, channels=2) -> dict[str, np.ndarray]:
    """Noise bursts, a low tone, a chord and a gliding voice; each song has its own."""
    rng = np.random.default_rng(song)
    t = np.arange(round(seconds * rate)) / rate
    beat = 0.4 + 0.05 * song
    bursts = rng.standard_normal((channels, t.size)) * np.exp(-(t % beat) * 40)
    bass = np.sin(2 * np.pi * (60 + 5 * song) * t) * (1 + np.sin(2 * np.pi * t))
    chord = sum(np.sin(2 * np.pi * f * (1 + song / 20) * t) for f in (400, 500, 600))
    glide = np.sin(2 * np.pi * 900 * t + 30 * np.sin(2 * np.pi * 0.7 * t + song))
    width = np.linspace(1.0, 0.6, channels)[:, None]
    made = {
        "drums": 0.3 * bursts,
        "bass": 0.1 * bass * np.ones((channels, 1)),
        "other": 0.05 * chord * width,
        "vocals": 0.1 * glide * np.ones((channels, 1)),
    }
    return {name: samples.astype(np.float32) for name, samples in made.items()}


def write_song(folder: Path, stems: dict[str, np.ndarray], *, rate=RATE, suffix=".wav") -> Path:
    """Write a song as MUSDB18-HQ has it: its stems, and their mix."""
    folder.mkdir(parents=True)
    for name, samples in stems.items():
        write_audio(folder / f"{name}{suffix}", samples, rate, _encoding(suffix))
    mix = sum(stems.values())  # A mono stem is on every channel.
    write_audio(folder / f"mixture{suffix}", mix, rate, _encoding(suffix))
    return folder


def _encoding(suffix):
    return "float32" if suffix == ".wav" else "flac"


def write_songs(root: Path, count=4, **how) -> Path:
    """Write songs into folders `song 0`, `song 1`, …"""
    for song in range(count):
        write_song(root / f"song {song}", stems_of(song, **how), rate=how.get("rate", RATE))
    return root


def open_tiny(root: Path, scratch: Path):
    """Open what `write_songs` wrote."""
    sources = {
        song.name: {
            file.stem: StemSource(file) for file in sorted(song.iterdir()) if file.stem != "mixture"
        }
        for song in sorted(root.iterdir())
    }
    scratch.mkdir(exist_ok=True)
    return open_songs(sources, scratch, JobContext())


def tiny_plan(kind, *, stems=STEMS, rate=RATE, channels=2) -> NetworkPlan:
    return NetworkPlan(network=SIZES[kind], stems=stems, sample_rate_hz=rate, channels=channels)


def tiny_recipe(kind, **changes) -> Recipe:
    usual = {"batch": 2, "excerpt_s": 0.6, "steps_per_epoch": 4, "patience": 50}
    return Recipe(plan=tiny_plan(kind), **{**usual, **changes})


def shaken(network, seed=0):
    """Give a network weights as if it had learnt something: those of its last layer are zero."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return network.eval()
