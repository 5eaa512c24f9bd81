"""A session and a take to an audio file, faster than it can be played."""

from __future__ import annotations

from pathlib import Path

from workstation.audio import AudioWriter, map_samples, probe
from workstation.model import JobContext
from workstation.model.mixer import MixerState
from workstation.model.take import Take
from workstation.perform.deck import Track
from workstation.perform.render import render_mix, render_take
from workstation.studio.stem_blocks import Rendered, check_output


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
    rate = probe(next(iter(stems.values()))).sample_rate_hz
    encoding = check_output(out, encoding, rate, 2, overwrite=overwrite)
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
