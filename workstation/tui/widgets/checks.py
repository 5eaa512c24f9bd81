"""Check boxes that need no colour: the cross is there or it is not."""

from __future__ import annotations

from typing import TypeVar

from rich.segment import Segment
from textual.strip import Strip
from textual.widgets import Checkbox, SelectionList
from textual.widgets.option_list import OptionDoesNotExist

Value = TypeVar("Value")


class CheckBox(Checkbox):
    """A check box with a cross only while it is on."""

    def watch_value(self) -> None:
        """Set or take the cross."""
        self.BUTTON_INNER = "X" if self.value else " "
        super().watch_value()

    def on_mount(self) -> None:
        """The first cross."""
        self.BUTTON_INNER = "X" if self.value else " "


class CheckList(SelectionList[Value]):
    """A list of check boxes with a cross only beside what is selected."""

    def render_line(self, y: int) -> Strip:
        """The line as Textual draws it, without the cross where nothing is selected."""
        line = super().render_line(y)
        try:
            option = self.get_option_at_index(self.scroll_offset.y + y)
        except OptionDoesNotExist:
            return line
        if option.value in self.selected:
            return line
        left, cross, *rest = line
        return Strip([left, Segment(" " * len(cross.text), cross.style), *rest])
