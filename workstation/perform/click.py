"""The sound of the click: two short tones, the higher one for downbeats."""

from __future__ import annotations

import numpy as np

from workstation.perform.deck import FloatArray

_LENGTH_S = 0.03
_BEAT_HZ = 1000.0
_DOWNBEAT_HZ = 1600.0
_DECAY_PER_S = 120.0


def click_tones(sample_rate_hz: int) -> FloatArray:
    """Click of a beat and of a downbeat, float32, shape (2, frames), peak about 0.9."""
    t = np.arange(round(_LENGTH_S * sample_rate_hz)) / sample_rate_hz
    envelope = np.exp(-t * _DECAY_PER_S) * np.minimum(1.0, (t + t[1]) / 0.0005)
    tones = [np.sin(2 * np.pi * f * t) * envelope for f in (_BEAT_HZ, _DOWNBEAT_HZ)]
    return np.ascontiguousarray(np.stack(tones), dtype=np.float32)
