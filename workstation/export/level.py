"""One curve for fader and mute, for formats without mutes or without steps in their curves."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

from workstation.export.automation import Curve, Point, StemAutomation, value_at


def level_of(strip: StemAutomation) -> Curve:
    """Amplitudes of a strip, 0 while it is muted; empty if it stays at unity.

    Example:
        >>> from workstation.export.automation import Switch
        >>> strip = StemAutomation(mute=(Switch(0, False), Switch(5, True)))
        >>> [tuple(point) for point in level_of(strip)]
        [(0, 1.0), (4, 1.0), (5, 0.0)]
    """
    if not strip.mute:
        return without_steps(strip.volume)
    points: list[Point] = []
    for switch, following in itertools.pairwise([*strip.mute, None]):
        assert switch is not None
        part = (Point(0.0, 0.0),) if switch.on else strip.volume or (Point(0.0, 1.0),)
        last = float("inf") if following is None else following.frame - 1
        points.append(Point(switch.frame, value_at(part, switch.frame)))
        points += [point for point in part if switch.frame < point.frame < last]
        if following is not None and last > switch.frame:
            points.append(Point(last, value_at(part, last)))
    return without_steps(points)


def without_steps(points: Sequence[Point]) -> Curve:
    """The same curve with its steps drawn over one frame: no two points are at one place.

    The old value is at the frame before, as the new one counts from the frame itself on.
    """
    kept: list[Point] = []
    for point, following in itertools.pairwise([*points, None]):
        assert point is not None
        if following is None or point.frame < following.frame:
            kept.append(point)
        elif not kept or kept[-1].frame < point.frame - 1:
            kept.append(Point(point.frame - 1, point.value))
    return tuple(point for point in kept if point.frame >= 0)


def times(one: Curve, other: Curve) -> Curve:
    """The product of two curves, which bends where both move; empty stands for unity.

    Halves of every line keep it within 0.06 dB where each moves by no more than 3 dB.
    """
    if not one or not other:
        return one or other
    frames = sorted({point.frame for point in (*one, *other)})
    between = [(start + end) / 2 for start, end in itertools.pairwise(frames)]
    return tuple(
        Point(frame, value_at(one, frame) * value_at(other, frame))
        for frame in sorted([*frames, *between])
    )


def part_of(curve: Curve, start: int, frames: int) -> Curve:
    """A stretch of a curve without steps, at whole frames from 0 to its own end."""
    inner = [p for p in curve if 0 < round(p.frame) - start < frames]
    values = {
        0: value_at(curve, start),
        **{round(p.frame) - start: p.value for p in inner},
        frames: value_at(curve, start + frames),
    }
    return tuple(Point(frame, value) for frame, value in values.items())
