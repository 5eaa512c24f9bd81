"""Waveforms of a session's stems, kept in the session so that they are read only once."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

import numpy as np

from workstation.audio import atomic_file
from workstation.audio.peaks import HOP_FRAMES, Peaks, peaks_of
from workstation.model import JobContext, OutputError
from workstation.model.names import file_name

if TYPE_CHECKING:
    from workstation.studio.session import Session


def stem_peaks(session: Session, stem: str, job: JobContext | None = None) -> Peaks:
    """The peaks of one stem in use.

    Raises:
        InputError: The stem cannot be read.
        CancelledError: The job was cancelled.
    """
    path = session.stems[stem]
    hops = -(-session.song.source.frames // HOP_FRAMES)
    kept = session.path / ".peaks" / f"{session.engine}-{file_name(stem, fallback='stem')}.npy"
    with contextlib.suppress(OSError, ValueError, EOFError):  # Not there yet, or of no use.
        if kept.stat().st_mtime >= path.stat().st_mtime:
            finest = np.load(kept, allow_pickle=False)
            if finest.dtype == np.uint8 and finest.shape == (max(hops, 1),):
                return Peaks(finest)
    finest = peaks_of(path, job or JobContext())
    with contextlib.suppress(OutputError, OSError):  # A folder that is read-only does without.
        kept.parent.mkdir(exist_ok=True)
        with atomic_file(kept) as partial, partial.open("wb") as file:
            np.save(file, finest, allow_pickle=False)
    return Peaks(finest)
