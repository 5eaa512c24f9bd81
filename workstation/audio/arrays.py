"""How audio lies in memory, everywhere in the project."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float32]
"""float32, shape (channels, frames), full scale at ±1; surround in the order of WAV files
(front left, front right, centre, low frequencies, left behind, right behind)."""
