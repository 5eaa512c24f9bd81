"""When things start: onset strength in four bands, from features to one curve."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from workstation.analyze.features import (
    BAND_HZ,
    FLOOR_DB,
    LEVEL_HOP,
    LEVEL_RATE_HZ,
    LEVEL_WINDOW,
    Features,
)
from workstation.analyze.source import FloatArray
from workstation.model import JobContext

# Kick and bass; low drums and chords; snare and voices; hats.
GROUP_EDGES_HZ = (0.0, 150.0, 900.0, 5000.0, 12000.0)
_COMPRESSION = 30.0
# Frames further back that a level is compared with: one short window's overlap.
_LAG = 2
# Smaller rises are the wavering of steady sounds (a tenth is about 1 dB at full level).
_LEAST_RISE = 0.1
_CUT_FRAMES = LEVEL_WINDOW // LEVEL_HOP
_CHUNK = 20_000
# What the curve listens to: low drums and bass tell the beat, hats fill the places between.
_GROUP_WEIGHTS = np.array([1.5, 1.5, 1.0, 0.5], np.float32)
_MIX_WEIGHT = np.float32(2.0)
# A band with much weaker onsets than the others must not be blown up to their size.
_WEAKEST_BAND = 0.3


@dataclass(frozen=True, slots=True)
class Onsets:
    """Onset strength over time, `rate_hz` values per second, value k at k / rate_hz seconds.

    Attributes:
        groups: float32, shape (4, frames): kick, low, snare, hat band; each of unit RMS, or
            zero where nothing ever starts.
        curve: float32, shape (frames,): all groups together, evened out over quiet and loud
            passages, of about unit RMS.
    """

    groups: FloatArray
    curve: FloatArray
    rate_hz: float = LEVEL_RATE_HZ

    def at(self, times_s: npt.ArrayLike, *, reach_s: float = 0.03) -> FloatArray:
        """Strongest value of every group within `reach_s` of each time, shape (4, times)."""
        from scipy.ndimage import maximum_filter1d

        reach = max(1, round(reach_s * self.rate_hz))
        highest = maximum_filter1d(self.groups, 2 * reach + 1, axis=1, mode="constant")
        frames = np.round(np.asarray(times_s) * self.rate_hz).astype(np.intp)
        found: FloatArray = highest[:, np.clip(frames, 0, self.groups.shape[1] - 1)]
        return found

    def accents(self, times_s: npt.ArrayLike) -> FloatArray:
        """How far each group rises at each time above what it does at any time, (4, times)."""
        anywhere = np.arange(0, self.groups.shape[1], 5) / self.rate_hz
        risen: FloatArray = self.at(times_s) - self.at(anywhere).mean(axis=1, keepdims=True)
        return risen


def onset_strength(features: Features, *, job: JobContext) -> Onsets:
    """Measure how much starts at every moment.

    Spectral flux with a maximum filter over frequency, which keeps vibrato from counting as
    onsets (Böck & Widmer, "Maximum filter vibrato suppression for onset detection", DAFx
    2013), of levels compressed logarithmically relative to each band's own loudest moments.

    Args:
        features: The song's features.
        job: Cancellation in.

    Returns:
        The curves; all zero for silence.
    """
    levels = features.levels_db
    if len(levels) == 0:
        return Onsets(np.zeros((4, 1), np.float32), np.zeros(1, np.float32))
    top = np.percentile(levels[:: max(1, len(levels) // 20000)].astype(np.float32), 99.5, axis=0)
    top = np.maximum(top, max(top.max() - 40.0, FLOOR_DB + 40.0))
    groups = np.zeros((4, len(levels)), np.float32)
    for start in range(0, len(levels), _CHUNK):
        job.check()
        earlier = levels[max(0, start - _LAG) : start].astype(np.float32)
        if start == 0:
            # Before the song there is silence.
            earlier = np.full((_LAG, levels.shape[1]), FLOOR_DB, np.float32)
        now = levels[start : start + _CHUNK].astype(np.float32)
        flux = _flux(np.concatenate([earlier, now]), top)
        for g in range(4):
            inside = (GROUP_EDGES_HZ[g] <= BAND_HZ) & (GROUP_EDGES_HZ[g + 1] > BAND_HZ)
            groups[g, start : start + len(now)] = flux[:, inside].mean(axis=1)
    # Where the file breaks off, the cut spreads over all frequencies like an attack.
    groups[:, -_CUT_FRAMES:] = 0.0
    groups = _of_unit_rms(groups)
    return Onsets(groups, _even_out(_GROUP_WEIGHTS @ groups))


def together(mix: Onsets, drums: Onsets) -> Onsets:
    """Add the onsets of a drum stem to those of the mix.

    Drums alone show clearer when things happen, but drummers play against the beat as well:
    the mix, with bass and chords, counts double, and carries on where the drums pause.
    """
    frames = min(mix.groups.shape[1], drums.groups.shape[1])
    groups = _of_unit_rms(_MIX_WEIGHT * mix.groups[:, :frames] + drums.groups[:, :frames])
    return Onsets(groups, _even_out(_GROUP_WEIGHTS @ groups))


def _of_unit_rms(groups: FloatArray) -> FloatArray:
    rms = np.sqrt(np.square(groups).mean(axis=1, keepdims=True))
    scaled: FloatArray = groups / np.maximum(rms, max(_WEAKEST_BAND * float(rms.max()), 1e-4))
    return scaled


def _flux(levels_db: FloatArray, top_db: FloatArray) -> FloatArray:
    from scipy.ndimage import maximum_filter1d

    loudness = np.log1p(_COMPRESSION * 10 ** ((levels_db - top_db) / 20))
    before = maximum_filter1d(loudness, 3, axis=1, mode="nearest")[:-_LAG]
    rise: FloatArray = np.maximum(loudness[_LAG:] - before - _LEAST_RISE, 0.0)
    return rise


def _even_out(curve: FloatArray) -> FloatArray:
    from scipy.ndimage import uniform_filter1d

    overall = float(np.sqrt(np.square(curve).mean()))
    if overall == 0:
        return curve
    nearby = np.sqrt(
        np.maximum(uniform_filter1d(np.square(curve), round(8 * LEVEL_RATE_HZ), mode="reflect"), 0)
    )
    evened: FloatArray = (curve / np.maximum(nearby, 0.2 * overall)).astype(np.float32)
    return evened
