"""The loss that a training lowers, and the figures by which it is judged.

The loss of a mix is the mean absolute error of its stems, plus that of their magnitudes in
short-time spectra of three window lengths (as in Yamamoto, Song, Kim, ICASSP 2020, without
logarithms: a stem may be silent), both as a share of the mix's level.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workstation.model import InputError, JobContext
from workstation.separate.metrics import is_silent
from workstation.separate.trained_file import StemFigures
from workstation.separate.training_songs import Clip

if TYPE_CHECKING:
    from torch import Tensor

_LOSS_WINDOWS = (256, 1024, 4096)
_LEAST_LEVEL = 1e-3
_SMALLEST_POWER = 1e-12
_MOST_DB = 200.0


def separation_loss(estimates: Tensor, stems: Tensor, mix: Tensor) -> Tensor:
    """How far estimates are from the stems, as a share of the level of their mix.

    Args:
        estimates: Shape (batch, stems, channels, frames).
        stems: The truth, of the same shape.
        mix: Shape (batch, channels, frames).

    Returns:
        A number: the mean over the batch.
    """
    level = mix.square().mean((1, 2)).sqrt().clamp(min=_LEAST_LEVEL)
    distance = (estimates - stems).abs().mean((1, 2, 3))
    for window in _LOSS_WINDOWS:
        apart = (_magnitudes(estimates, window) - _magnitudes(stems, window)).abs()
        distance = distance + apart.mean((1, 2, 3)) / len(_LOSS_WINDOWS)
    return (distance / level).mean()


def _magnitudes(wave: Tensor, window: int) -> Tensor:
    """Magnitudes of short-time spectra, as loud as the samples: (batch, …, bands, times)."""
    import torch

    spectrum = torch.stft(
        wave.flatten(0, 2),
        window,
        window // 2,
        window=torch.hann_window(window, dtype=wave.dtype, device=wave.device),
        pad_mode="constant",
        normalized=True,
        return_complex=True,
    )
    # Not `abs`, which takes twice the time, and has no slope to follow in silence.
    power = spectrum.real.square() + spectrum.imag.square()
    found: Tensor = (power + _SMALLEST_POWER).sqrt()
    return found.reshape(wave.shape[0], -1, *found.shape[1:])


def judge(
    network: Callable[[Tensor], Tensor],
    names: tuple[str, ...],
    clips: list[Clip],
    device: str,
    job: JobContext,
) -> tuple[float, dict[str, StemFigures]]:
    """Loss of a network on clips, and the plain SDR of every stem.

    SDR is that over all clips of a song, then the mean over the songs in which the stem sounds.

    Raises:
        InputError: Nothing sounds in any clip.
    """
    import torch

    losses = []
    # By song: energy of the truth, of the network's error, of the shared-out mix's: (3, stems).
    energies: dict[str, npt.NDArray[np.float64]] = {}
    samples: dict[str, int] = {}
    for clip in clips:
        job.check()
        stems = torch.from_numpy(clip.stems)[None].to(device)
        mix = stems.sum(1)
        with torch.no_grad():
            found = network(mix)
            losses.append(separation_loss(found, stems, mix).item())
        apart = (stems, found - stems, mix[:, None] / len(names) - stems)
        sums = np.stack([x[0].cpu().double().square().sum((1, 2)).numpy() for x in apart])
        samples[clip.song] = samples.get(clip.song, 0) + clip.stems[0].size
        energies[clip.song] = energies.get(clip.song, np.zeros_like(sums)) + sums
    figures = {}
    for place, name in enumerate(names):
        sounding = [
            sums[:, place]
            for song, sums in energies.items()
            if not is_silent(sums[:1, place], samples[song]).item()
        ]
        own = [_db(true, error) for true, error, _ in sounding]
        shared = [_db(true, error) for true, _, error in sounding]
        figures[name] = StemFigures(
            float(np.mean(own)) if own else None, float(np.mean(shared)) if shared else None
        )
    if all(one.sdr_db is None for one in figures.values()):
        raise InputError(
            "The held-out songs are silent where they would be listened to.",
            "Hold out other songs with --valid.",
        )
    return float(np.mean(losses)), figures


def mean_sdr(figures: Mapping[str, StemFigures]) -> float:
    """Mean SDR over the stems that have one."""
    return float(np.mean([one.sdr_db for one in figures.values() if one.sdr_db is not None]))


def _db(signal: float, error: float) -> float:
    if not math.isfinite(error):
        return -_MOST_DB
    ratio = 10 * math.log10(signal / error) if error > 0 else _MOST_DB
    return min(max(ratio, -_MOST_DB), _MOST_DB)
