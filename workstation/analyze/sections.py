"""The form of a song: where its parts begin, and which of them are alike."""

from __future__ import annotations

import itertools

import numpy as np

from workstation.analyze.features import (
    LEVEL_RATE_HZ,
    PITCH_RATE_HZ,
    Features,
)
from workstation.analyze.key import chroma
from workstation.analyze.tempo import Float64Array
from workstation.model import BeatGrid, JobContext, Section

# Sections of 4 to 16 bars are usual; more than 32 are cut.
_LONGEST_BARS = 32
# What a boundary costs, in units of a bar's mean deviation from the song's mean; dearer
# where it leaves a section of an odd length, or a very short one.
_BOUNDARY_COST = 0.9
_LENGTH_COSTS = {0: 0.0, 2: 0.5}
_ODD_COST = 1.0
_SHORT_COST = 1.5
# Two sections are alike if their means are nearer than this; a bar is 1 from the mean bar.
_ALIKE = 0.6
_RANGE_DB = 60.0
_DIMENSIONS = 10
_HARMONY_WEIGHT = 0.5


def find_sections(features: Features, grid: BeatGrid, *, job: JobContext) -> tuple[Section, ...]:
    """Divide a song into sections and give alike ones the same letter.

    Every bar is described by its timbre (levels in 32 bands, mean and movement) and its
    harmony (chroma). The boundaries are those that leave each section most uniform at the
    least number of sections (optimal partitioning: Jackson et al. 2005), with regular
    lengths preferred; sections with like means share a letter (average linkage).

    Args:
        features: The song's features.
        grid: Its beat grid; boundaries fall on downbeats.
        job: Cancellation in.

    Returns:
        Sections in order, without gaps from 0 to the end; labels `A`, `B`, … by appearance.
    """
    duration_s = features.duration_s
    bar_s = 60.0 / grid.bpm * grid.beats_per_bar
    last_s = duration_s - 0.6 * bar_s
    starts = [0.0, *(t for t in grid.downbeats_s if 0.4 * bar_s < t < last_s)]
    bars = _describe_bars(features, np.array([*starts, duration_s]), job)
    # What comes before the first downbeat is no bar: sections are counted from there.
    pickup = 1 if len(starts) > 1 and grid.downbeats_s[0] > 0.4 * bar_s else 0
    job.check()
    bounds = _partition(bars, pickup)
    labels = _label(bars, bounds)
    times = [*starts, duration_s]
    sections: list[Section] = []
    for (first, last), label in zip(itertools.pairwise(bounds), labels, strict=True):
        start_s, end_s = round(times[first], 6), round(times[last], 6)
        sections.append(Section(start_s, end_s, label))
    return tuple(sections)


def _describe_bars(features: Features, edges_s: Float64Array, job: JobContext) -> Float64Array:
    """Principal components of the bars' timbre and harmony, shape (bars, dimensions).

    Scaled so that the mean squared distance of a bar from the mean bar is 1.
    """
    levels = features.levels_db
    frames = np.clip((edges_s * LEVEL_RATE_HZ).astype(np.intp), 0, len(levels))
    top = max(float(levels.max()), -100.0)
    pitch_frames = np.clip((edges_s * PITCH_RATE_HZ).astype(np.intp), 0, len(features.pitches))
    classes = chroma(features)
    timbre, harmony = [], []
    for i in range(len(edges_s) - 1):
        job.check()
        part = levels[frames[i] : max(frames[i + 1], frames[i] + 1)].astype(np.float64)
        part = np.maximum(part, top - _RANGE_DB)
        timbre.append(np.concatenate([part.mean(axis=0), part.std(axis=0)]))
        notes = classes[pitch_frames[i] : max(pitch_frames[i + 1], pitch_frames[i] + 1)]
        harmony.append(notes.mean(axis=0) if len(notes) else np.zeros(12))
    loud = np.array(timbre)
    notes_all = np.array(harmony)
    notes_all /= np.maximum(np.linalg.norm(notes_all, axis=1, keepdims=True), 1e-9)
    both = np.hstack([_unit_variance(loud), _HARMONY_WEIGHT * _unit_variance(notes_all)])
    left, size, _ = np.linalg.svd(both - both.mean(axis=0), full_matrices=False)
    return _unit_variance((left * size)[:, :_DIMENSIONS])


def _unit_variance(rows: Float64Array) -> Float64Array:
    """Centre, and scale as a whole to a mean squared length of 1."""
    centred = rows - rows.mean(axis=0)
    scale = float(np.sqrt(np.square(centred).sum(axis=1).mean()))
    result: Float64Array = centred / scale if scale > 1e-9 else centred * 0.0
    return result


def _partition(bars: Float64Array, pickup: int) -> list[int]:
    """Bar indices at which sections begin, and the number of bars at the end."""
    count = len(bars)
    sums = np.vstack([np.zeros(bars.shape[1]), np.cumsum(bars, axis=0)])
    squares = np.concatenate([[0.0], np.cumsum(np.square(bars).sum(axis=1))])
    best = np.full(count + 1, np.inf)
    best[0] = 0.0
    back = np.zeros(count + 1, np.intp)
    for end in range(1, count + 1):
        start = np.arange(max(0, end - _LONGEST_BARS - pickup), end)
        length = end - start
        spread = squares[end] - squares[start]
        spread = spread - np.square(sums[end] - sums[start]).sum(axis=1) / length
        whole = length - np.where(start == 0, pickup, 0)
        cost = best[start] + spread + _BOUNDARY_COST + _length_cost(whole, last=end == count)
        back[end] = start[int(cost.argmin())]
        best[end] = cost.min()
    bounds = [count]
    while bounds[-1] > 0:
        bounds.append(int(back[bounds[-1]]))
    return bounds[::-1]


def _length_cost(bars: np.ndarray[tuple[int], np.dtype[np.intp]], *, last: bool) -> Float64Array:
    cost = np.full(len(bars), _ODD_COST)
    for rest, price in _LENGTH_COSTS.items():
        cost[bars % 4 == rest] = price
    cost[bars < 4] += _SHORT_COST
    # A song may end anywhere.
    return cost * (0.3 if last else 1.0)


def _label(bars: Float64Array, bounds: list[int]) -> list[str]:
    """Letters for the sections, equal for alike ones."""
    means = np.array([bars[a:b].mean(axis=0) for a, b in itertools.pairwise(bounds)])
    groups = [0]
    if len(means) > 1:
        from scipy.cluster.hierarchy import fcluster, linkage
        from scipy.spatial.distance import pdist

        groups = fcluster(linkage(pdist(means), "average"), _ALIKE, "distance").tolist()
    letters: dict[int, str] = {}
    return [letters.setdefault(group, _letter(len(letters))) for group in groups]


def _letter(index: int) -> str:
    """Letter of a number: A to Z, then AA, AB and so on."""
    letters = chr(ord("A") + index % 26)
    return letters if index < 26 else _letter(index // 26 - 1) + letters
