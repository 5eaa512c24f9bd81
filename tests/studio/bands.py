"""Sessions of ready-made stems whose samples are known."""

import numpy as np

from workstation.audio import write_audio
from workstation.studio import open_session

RATE = 8000


def noise(*, channels=2, frames=8000, seed=0, level=0.2):
    rng = np.random.default_rng(seed)
    return rng.uniform(-level, level, (channels, frames)).astype(np.float32)


def band(tmp_path, stems, *, rate=RATE, name="Band"):
    """A session of these stems: name to samples."""
    folder = tmp_path / name
    folder.mkdir()
    for stem, samples in stems.items():
        write_audio(folder / f"{stem}.wav", samples, rate, "float32")
    return open_session(folder, parent=tmp_path)


def four(tmp_path, *, frames=8000, channels=2, rate=RATE):
    """Drums, bass, other and vocals of noise, and their session."""
    names = ("drums", "bass", "other", "vocals")
    stems = {
        n: noise(frames=frames, channels=channels, seed=i) for i, n in enumerate(names, start=1)
    }
    return stems, band(tmp_path, stems, rate=rate)
