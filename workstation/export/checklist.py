"""A short list in the README by which a musician sees that a project opened right."""

from __future__ import annotations

import bisect

from workstation.export.markers import markers_of
from workstation.export.target import Part, Plan, Target


def checklist(plan: Plan, target: Target, *, sums: bool) -> list[str]:
    """What to look at, a sentence or two each; empty where nothing opens as a project.

    Args:
        plan: The project.
        target: What it was written for.
        sums: Whether the tracks together are the song.
    """
    if not target.confirmed:
        return []
    checks = []
    # A user's own project keeps its tempo where the target has no tempo map.
    ours = Part.TEMPO in target.carries or plan.options.own_project is None
    if plan.timeline.downbeat_s is not None and ours:
        checks += _tempo_checks(plan, target)
    if Part.SECTIONS in target.carries and ours:
        checks += _marker_checks(plan, target)
    checks.append(_sum_check(plan, sums=sums))
    return [*checks, target.confirmed]


def _tempo_checks(plan: Plan, target: Target) -> list[str]:
    if Part.ONE_TEMPO in target.carries:
        return ["The tempo is the one that is named above, from start to end."]
    if Part.TEMPO not in target.carries:
        return []
    timeline = plan.timeline
    index = len(timeline.bars_s) // 2
    time_s = timeline.bars_s[index]
    times = [point.time_s for point in timeline.tempos]
    bpm = timeline.tempos[bisect.bisect_right(times, time_s + 1e-9) - 1].bpm
    return [f"Bar {index + 1} starts at {_clock(time_s)}; the tempo there is {bpm:.2f} bpm."]


def _marker_checks(plan: Plan, target: Target) -> list[str]:
    form = plan.arrangement if Part.AUTOMATION in target.carries else plan.project
    markers = markers_of(form, plan.timeline, plan.options)
    if not markers:
        return []
    first, last = markers[0], markers[-1]
    words = f"Markers: {len(markers)}. The first is {first.name} at {_clock(first.time_s)}"
    if last is not first:
        words += f", the last {last.name} at {_clock(last.time_s)}"
    return [f"{words}."]


def _sum_check(plan: Plan, *, sums: bool) -> str:
    tracks = f"Tracks: {len(plan.project.tracks)}, none of them stretched."
    if not sums:
        return tracks
    lead_s = plan.project.lead_frames / plan.project.sample_rate_hz
    start = f"at {lead_s:.6f} s" if lead_s else "from the very start"
    return (
        f"{tracks} Put the song itself on one more track, {start}, and turn its phase round. "
        "Together all are silent."
    )


def _clock(time_s: float) -> str:
    minutes, ms = divmod(round(time_s * 1000), 60_000)
    return f"{minutes}:{ms / 1000:06.3f}"
