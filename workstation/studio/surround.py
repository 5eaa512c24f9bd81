"""5.1 from stems: voices in the centre, rhythm in front, all else around the listener.

Channels lie as WAV files have them (mask 0x3F): left, right, centre, low frequencies, left
and right surround. With l and r a stem's own channels, m = (l + r)/2 and s = (l - r)/2:

    voices          C = √2·m, L = s, R = -s          the middle moves to the centre speaker
    drums, bass     L = l, R = r
    all else        L = (1 - b/√2)·l, Ls = b·l       with b = 0.5 (-6 dB), so L is -3.8 dB
    LFE             m of drums and bass below 80 Hz, -10 dB, since players raise it by 10 dB

The gains are such that the fold-down of ITU-R BS.775, Lo = L + C/√2 + Ls/√2 (the LFE is left
out), gives every stem as it was: stems that sum to the song fold down to the song.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from workstation.audio import AudioWriter, FloatArray
from workstation.model import InputError, JobContext
from workstation.model.stem_roles import belongs_to
from workstation.studio.stem_blocks import BLOCK_FRAMES, Rendered, StemBlocks, mix_file

if TYPE_CHECKING:
    from workstation.studio.session import Session

CHANNELS = 6
CHANNEL_MASK = 0x3F
CROSSOVER_HZ = 80.0
_FILTER_ORDER = 4
_LFE_GAIN = 10 ** (-10 / 20)
_BEHIND = 0.5
_DOWN = math.sqrt(0.5)


def make_surround(
    session: Session,
    out: Path | str | None = None,
    *,
    encoding: str = "float32",
    overwrite: bool = False,
    job: JobContext | None = None,
) -> Rendered:
    """Spread the song over 5.1 channels by what its stems are; see the module's docstring.

    The file is a WAV with a channel mask (WAVE_FORMAT_EXTENSIBLE), or a FLAC. Its stereo
    fold-down is the song. Separates first where that is missing.

    Args:
        session: The song, mono or stereo; `session.surround(…)` is the same.
        out: The file, `.wav` or `.flac`; None is `<title> - 5.1.wav`.
        encoding: `float32`, `pcm24`, `pcm16`; `flac` follows from the name of the file.
        overwrite: Replace the file if it is there.
        job: Progress out, cancellation in.

    Raises:
        InputError: The song has more than two channels.
        UsageError: The file's name says another format.
        ExistsError: The file is there.
    """
    out, encoding = mix_file(session, "5.1", out, encoding, overwrite=overwrite, channels=CHANNELS)
    if session.song.source.channels > 2:
        raise InputError(
            f"5.1 is made from mono or stereo; this song has {session.song.source.channels} "
            "channels.",
            "Give a stereo song.",
        )
    job = job or JobContext()
    session.separate(job=job.part(0.0, 0.7))
    stems = StemBlocks(session)
    with AudioWriter(
        out,
        sample_rate_hz=stems.sample_rate_hz,
        channels=CHANNELS,
        encoding=encoding,
        channel_mask=CHANNEL_MASK,
    ) as writer:
        for block in surround_blocks(stems, job.part(0.7, 1.0, "Mixing")):
            writer.write(block)
    return Rendered(out, stems.frames / stems.sample_rate_hz, writer.clipped_samples)


def surround_blocks(stems: StemBlocks, job: JobContext) -> Iterator[FloatArray]:
    """The song in 5.1, block by block: float32, shape (6, frames).

    Raises:
        CancelledError: The job was cancelled.
    """
    from scipy.signal import sosfilt

    places = {name: place_of(name) for name in stems.names}
    low = low_pass(stems.sample_rate_hz)
    memory = np.zeros((len(low), 2))
    for start in range(0, stems.frames, BLOCK_FRAMES):
        job.check()
        job.report(start / stems.frames)
        count = min(BLOCK_FRAMES, stems.frames - start)
        out = np.zeros((CHANNELS, count), np.float32)
        rhythm = np.zeros(count, np.float32)
        for name, place in places.items():
            left, right = _stereo(stems.read(name, start, count))
            middle = (left + right) / 2
            if place == "centre":
                out[2] += middle / np.float32(_DOWN)
                out[0] += left - middle
                out[1] += right - middle
            elif place == "front":
                out[0] += left
                out[1] += right
                rhythm += middle
            else:
                ahead = np.float32(1 - _BEHIND * _DOWN)
                out[0] += left * ahead
                out[1] += right * ahead
                out[4] += left * np.float32(_BEHIND)
                out[5] += right * np.float32(_BEHIND)
        deep, memory = sosfilt(low, rhythm.astype(np.float64), zi=memory)
        out[3] = _LFE_GAIN * deep
        yield out


def place_of(stem: str) -> str:
    """Where a stem is heard: `centre`, `front`, or `around` the listener.

    >>> place_of("lead_vocals"), place_of("kick"), place_of("backing_vocals"), place_of("piano")
    ('centre', 'front', 'around', 'around')
    """
    if belongs_to(stem, "vocals"):
        return "around" if belongs_to(stem, "backing_vocals") else "centre"
    if belongs_to(stem, "drums") or belongs_to(stem, "bass"):
        return "front"
    return "around"


def fold_down(surround: FloatArray) -> FloatArray:
    """The stereo fold-down of ITU-R BS.775: centre and surrounds at -3 dB, without the LFE."""
    centre = surround[2] * np.float32(_DOWN)
    left = surround[0] + centre + surround[4] * np.float32(_DOWN)
    right = surround[1] + centre + surround[5] * np.float32(_DOWN)
    return np.stack([left, right])


def low_pass(rate_hz: int) -> npt.NDArray[np.float64]:
    """The filter before the LFE channel: Butterworth, 24 dB per octave from 80 Hz."""
    from scipy.signal import butter

    cutoff = min(CROSSOVER_HZ, 0.45 * rate_hz)
    sections: npt.NDArray[np.float64] = butter(_FILTER_ORDER, cutoff, fs=rate_hz, output="sos")
    return sections


def _stereo(samples: FloatArray) -> FloatArray:
    return samples if len(samples) == 2 else np.repeat(samples, 2, axis=0)
