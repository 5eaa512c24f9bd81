"""The whole analysis of a song, step after step."""

from __future__ import annotations

from workstation.analyze.features import Features, extract_features
from workstation.analyze.grid import find_beats
from workstation.analyze.key import estimate_key
from workstation.analyze.meter import find_meter
from workstation.analyze.onsets import Onsets, onset_strength, together
from workstation.analyze.sections import find_sections
from workstation.analyze.source import BlockSource
from workstation.audio import Loudness
from workstation.model import Analysis, BeatGrid, JobContext


def analyze(source: BlockSource, *, drums: BlockSource | None = None, job: JobContext) -> Analysis:
    """Find everything that listening to a song tells.

    Memory does not hold the song: about 14 kB are kept for each of its seconds.

    Args:
        source: The song, read once from front to back.
        drums: Its separated drums, of the same length, if there are any: they make the
            beats clearer.
        job: Progress out, cancellation in.

    Returns:
        The analysis. The grid is None where no beat is found, the key where nothing is
        pitched, loudness and peak in silence.

    Raises:
        CancelledError: The job was cancelled.
    """
    meter = Loudness(source.sample_rate_hz, source.channels)
    split = 0.45 if drums is not None else 0.8
    features = extract_features(source, job=job.part(0.0, split, "listening"), meter=meter)
    onsets = onset_strength(features, job=job)
    if drums is not None:
        beaten = extract_features(drums, job=job.part(split, 0.85, "listening to the drums"))
        onsets = together(onsets, onset_strength(beaten, job=job))
    grid = find_grid(features, onsets, job=job.part(0.85, 0.95, "beats"))
    job.check()
    key = estimate_key(features)
    sections = (
        () if grid is None else find_sections(features, grid, job=job.part(0.95, 1.0, "sections"))
    )
    job.report(1.0)
    return Analysis(
        grid=grid,
        key=key,
        sections=sections,
        loudness_lufs=_rounded(meter.integrated_lufs()),
        peak_dbfs=_rounded(meter.peak_dbfs()),
    )


def find_grid(features: Features, onsets: Onsets, *, job: JobContext) -> BeatGrid | None:
    """Find beats, meter and downbeats.

    Args:
        features: Of the song.
        onsets: Of the song, its drums, or both together.
        job: Progress out, cancellation in.

    Returns:
        The grid, beat times rounded to microseconds; None if there is no beat.
    """
    pulse = find_beats(onsets, features.duration_s, job=job)
    if pulse is None:
        return None
    per_bar, first = find_meter(features, onsets, pulse.beats_s)
    if pulse.kind == "loop":
        # A loop is cut to whole bars, so it begins on one.
        first = 0
        per_bar = per_bar if len(pulse.beats_s) % per_bar == 0 else 7 - per_bar
    beats = tuple(round(float(t), 6) for t in pulse.beats_s)
    return BeatGrid(beats, tuple(range(first, len(beats), per_bar)), per_bar)


def _rounded(decibels: float | None) -> float | None:
    return None if decibels is None else round(decibels, 2)
