"""A session and a take to an audio file, faster than it can be played."""

from __future__ import annotations

from pathlib import Path

import msgspec

from workstation.audio import AudioWriter, check_encoding, map_samples, probe
from workstation.model import ExistsError, JobContext, UsageError
from workstation.model.mixer import MixerState
from workstation.model.names import shown
from workstation.model.take import Take
from workstation.perform.deck import Track
from workstation.perform.render import render_mix, render_take

_ENCODINGS = {".wav": ("float32", "pcm24", "pcm16"), ".flac": ("flac",)}


class Rendered(msgspec.Struct, frozen=True):
    """What was rendered.

    Attributes:
        path: The file.
        duration_s: Its length in seconds.
        clipped_samples: Samples beyond full scale that the encoding could not carry.
    """

    path: Path
    duration_s: float
    clipped_samples: int


def render_session(
    stems: dict[str, Path],
    mixer: MixerState,
    take: Take | None,
    out: Path,
    encoding: str,
    *,
    overwrite: bool,
    job: JobContext,
) -> Rendered:
    """Render stems to a stereo file: see `Session.render`."""
    allowed = _ENCODINGS.get(out.suffix.lower())
    if allowed is None:
        raise UsageError(
            f'{shown(out)} cannot be rendered: "{shown(out.suffix)}" is none of its formats.',
            "Name the file .wav or .flac.",
        )
    if encoding not in allowed:
        encoding = allowed[0]
    if out.exists() and not overwrite:
        raise ExistsError(f"{shown(out)} is there already.", "Choose another name, or --overwrite.")
    rate = probe(next(iter(stems.values()))).sample_rate_hz
    check_encoding(encoding, rate, 2)
    tracks = [Track(name, map_samples(path)) for name, path in stems.items()]
    if take is None:
        blocks = render_mix(tracks, rate, mixer, job)
    else:
        blocks = render_take(tracks, take, job)
    frames = 0
    with AudioWriter(out, sample_rate_hz=rate, channels=2, encoding=encoding) as writer:
        for block in blocks:
            writer.write(block.T)
            frames += len(block)
    return Rendered(out, frames / rate, writer.clipped_samples)
