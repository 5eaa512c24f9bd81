"""Sources."""

import numpy as np

from workstation.analyze import ArraySource


def test_reading_on_gives_everything_once():
    samples = np.arange(20, dtype=np.float32).reshape(2, 10)
    source = ArraySource(samples, 48000)
    parts = [source.read(4) for _ in range(4)]
    assert [p.shape[1] for p in parts] == [4, 4, 2, 0]
    assert np.array_equal(np.concatenate(parts, axis=1), samples)
    assert (source.sample_rate_hz, source.channels, source.frames) == (48000, 2, 10)
