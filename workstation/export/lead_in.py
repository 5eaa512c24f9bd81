"""The lead-in: how the time before the first beat becomes musical time.

One rule for all targets. Every stem starts at project time 0, which is the start of bar 1, and
the first downbeat falls on a bar line, wherever it lies in the file.

- The time before the first beat runs at a tempo of its own, between 20 and 300 bpm, which is
  what every host accepts. It is as many whole quarters as fit the tempo of the song best.
- If it is too short for a quarter (below 0.2 s), it is a bar of a single eighth, 16th, 32nd or
  64th: the longest of them whose tempo is not above 300 bpm.
- If it is too short even for that (below 12.5 ms), the first beat counts as the start. Only this
  one beat is off, by that much, and the words of the export say so.

Programs whose bars are coarser say so with `LeadInLimits`: the note is then never shorter than
theirs, at up to their own fastest tempo.

The quarters of the lead-in and the beats before the first downbeat (a pick-up) make a first bar
of their own meter, then whole bars. A format with bars that may be cut (REAPER) needs none of
this: there the song's own tempo runs from 0, and the bar before the first downbeat is cut.
"""

from __future__ import annotations

import math

import msgspec

SLOWEST_BPM = 20.0
FASTEST_BPM = 300.0
# Where bars can be cut, anything goes; but a bar of less than a millisecond helps nobody.
SHORTEST_CUT_BAR_S = 0.001
_NOTES = (1 / 2, 1 / 4, 1 / 8, 1 / 16)


class LeadInLimits(msgspec.Struct, frozen=True):
    """How short and how fast a lead-in of less than a quarter may be.

    Attributes:
        shortest_quarters: Length of the shortest bar in quarter notes.
        fastest_bpm: Tempo up to which a bar that short may run.
    """

    shortest_quarters: float = 1 / 16
    fastest_bpm: float = FASTEST_BPM

    @property
    def shortest_s(self) -> float:
        """The shortest time before the first beat that becomes a lead-in, in seconds."""
        return 60 / self.fastest_bpm * self.shortest_quarters


EVERY_HOST = LeadInLimits()
SHORTEST_S = EVERY_HOST.shortest_s


def lead_in_quarters(lead_s: float, bpm: float, limits: LeadInLimits = EVERY_HOST) -> float:
    """Length of the lead-in in quarter notes.

    Args:
        lead_s: Time of the first beat in seconds.
        bpm: Tempo of the song at its start, in quarters per minute.
        limits: Of the program it is for.

    Returns:
        A whole number, or 1/2, 1/4, 1/8 or 1/16; 0 if it is too short for any of them.

    >>> lead_in_quarters(9.0, 120), lead_in_quarters(0.05, 120), lead_in_quarters(0.01, 120)
    (18.0, 0.25, 0.0)
    """
    most = lead_s * FASTEST_BPM / 60 + 1e-9
    if most >= 1:
        least = max(1, math.ceil(lead_s * SLOWEST_BPM / 60 - 1e-9))
        return float(min(max(round(lead_s * bpm / 60), least), math.floor(most)))
    note = max((note for note in _NOTES if note <= most), default=0.0)
    if note >= limits.shortest_quarters:
        return note
    return limits.shortest_quarters if lead_s >= limits.shortest_s - 1e-12 else 0.0
