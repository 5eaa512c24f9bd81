"""Soft takeover: what a knob does while it stands apart from the control that it moves.

After a change of bank, a snapshot or a hand on the mouse, the knob stands elsewhere. `jump`
moves the control to the knob at once; `pickup` waits until the knob passes the control;
`scale` moves the control by what is left of the way on either side, so that both meet at the
end.
"""

from __future__ import annotations

from workstation.model.midi_mapping import Takeover

# Knob and control are at one place within this much of the way: two steps of 7 bits.
_NEAR = 2.0 / 127.0
_SAME = 1e-3


class SoftTakeover:
    """One knob or fader.

    Attributes:
        position: Where the knob stands, 0 to 1; None before it was ever moved.
        engaged: Whether it moves its control.
    """

    def __init__(self, mode: Takeover) -> None:
        self.mode = mode
        self.position: float | None = None
        self.engaged = mode == "jump"
        self._sent: float | None = None

    def forget(self) -> None:
        """The knob may stand anywhere by now, or moves another control."""
        self.engaged = self.mode == "jump"
        self.position = self._sent = None

    def move(self, position: float, control: float) -> float | None:
        """Move the knob.

        Args:
            position: Where it stands now, 0 to 1.
            control: Position of its control, 0 to 1.

        Returns:
            Where the control goes, or None if it stays.
        """
        before, self.position = self.position, position
        if self.mode == "jump":
            return position
        if self.engaged and self._sent is not None and abs(control - self._sent) > _SAME:
            self.engaged = False  # Something else has moved the control.
        if not self.engaged:
            passed = before is not None and (before - control) * (position - control) <= 0
            self.engaged = abs(position - control) <= _NEAR or passed
        if self.engaged:
            self._sent = position
            return position
        if self.mode == "scale" and before is not None:
            return self._scaled(before, position, control)
        return None

    def _scaled(self, before: float, position: float, control: float) -> float:
        if position > before:
            way = 1.0 - before
            return control + (position - before) * (1.0 - control) / way if way > 0 else 1.0
        return control * position / before if before > 0 else 0.0
