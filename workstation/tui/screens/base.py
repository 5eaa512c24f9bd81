"""What all screens have in common: their actions are rows of the table."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, TypeVar, cast

from textual import events
from textual.screen import ModalScreen, Screen

from workstation.tui.actions import Action
from workstation.tui.words import pasted_paths

if TYPE_CHECKING:
    from workstation.tui.app import WorkstationApp


Result = TypeVar("Result")


class TableScreen(Screen[None]):
    """A screen whose keys, footer, palette and help come from a table of actions."""

    TABLE: ClassVar[tuple[Action, ...]] = ()

    @property
    def workstation(self) -> WorkstationApp:
        """The application."""
        return cast("WorkstationApp", self.app)

    def on_paste(self, event: events.Paste) -> None:
        """Files that were dropped onto the terminal arrive as pasted paths."""
        paths = pasted_paths(event.text)
        if paths:
            event.stop()
        for path in paths:
            self.workstation.open_path(path)
        if not paths and event.text.strip():
            self.notify("That is no path of a file or folder.", severity="warning")

    def action_do(self, action_id: str) -> None:
        """Do a row of the table."""
        action = next(a for a in self.TABLE if a.id == action_id)
        self.perform(action)

    def perform(self, action: Action) -> None:
        """Do an action; by a method `do_<id>` if no other way is known."""
        getattr(self, f"do_{action.id}")()


class Dialog(ModalScreen[Result]):
    """Something on top of a screen; escape leaves it as if nothing had been."""

    BINDINGS: ClassVar = [("escape", "leave", "Back")]

    @property
    def workstation(self) -> WorkstationApp:
        """The application."""
        return cast("WorkstationApp", self.app)

    def action_leave(self) -> None:
        """Close it."""
        self.dismiss(None)
