"""The takes of a session."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import DataTable, Label

from workstation.model import WorkstationError
from workstation.model.names import shown
from workstation.model.take import Take
from workstation.tui.screens.base import Dialog
from workstation.tui.screens.dialogs import LineDialog
from workstation.tui.words import clock

if TYPE_CHECKING:
    from workstation.studio import Session
    from workstation.studio.player import Player


class TakesDialog(Dialog[None]):
    """Play takes back, play over them, rename, delete, undo.

    Args:
        session: Whose takes.
        player: Plays them; None while there is none.
    """

    BINDINGS: ClassVar = [
        ("o", "over", "Record over"),
        ("r", "rename", "Rename"),
        ("delete,backspace", "delete", "Delete"),
        ("u", "undo", "Undo"),
        ("t", "leave", "Back"),
    ]

    def __init__(self, session: Session, player: Player | None) -> None:
        super().__init__()
        self._session, self._player = session, player
        self._takes: list[tuple[int, Take]] = []

    def compose(self) -> ComposeResult:
        """A table."""
        with Vertical(classes="dialog -wide"):
            yield Label("Takes", classes="dialog-title")
            yield DataTable(cursor_type="row")
            yield Label(
                "enter plays it back · o records over it · r renames · ⌫ deletes · u undoes",
                classes="hint",
            )

    @property
    def table(self) -> DataTable[Text]:
        """The takes."""
        return self.query_one(DataTable)

    def on_mount(self) -> None:
        """Fill it."""
        columns = (("No", 3), ("Name", 30), ("Length", 8), ("Changes", 7), ("Stems of", 12),
                   ("Recorded", 16))  # fmt: skip
        for title, width in columns:
            self.table.add_column(title, width=width)
        self._fill()
        self.table.focus()

    def _fill(self) -> None:
        try:
            self._takes = sorted(self._session.takes.numbered().items(), reverse=True)
        except WorkstationError as error:
            self.workstation.fail(error)
        at = self.table.cursor_row
        self.table.clear()
        for number, take in self._takes:
            cells = (
                number, take.name, clock(take.duration_s), len(take.events), take.engine,
                take.created[:16].replace("T", " "),
            )  # fmt: skip
            self.table.add_row(*(Text(shown(cell)) for cell in cells))
        if not self._takes:
            self.table.add_row(Text(""), Text("None yet: r records one."))
        self.table.move_cursor(row=min(at, max(len(self._takes) - 1, 0)))

    @property
    def _selected(self) -> str | None:
        at = self.table.cursor_row
        return str(self._takes[at][0]) if at < len(self._takes) else None

    def on_data_table_row_selected(self) -> None:
        """Play it back."""
        self._replay(record=False)

    def action_over(self) -> None:
        """Play it back and record."""
        self._replay(record=True)

    def _replay(self, *, record: bool) -> None:
        if self._selected is None or self._player is None:
            return
        if self._try(lambda player, name: player.replay(name, record=record)):
            self.dismiss(None)

    def _try(self, call: Callable[[Player, str], object]) -> bool:
        assert self._player is not None
        assert self._selected is not None
        try:
            call(self._player, self._selected)
        except WorkstationError as error:
            self.workstation.fail(error)
            return False
        return True

    def action_rename(self) -> None:
        """Ask for the new name."""
        at = self.table.cursor_row
        if self._selected is not None:
            self.app.push_screen(
                LineDialog("New name of the take", self._takes[at][1].name), self._rename
            )

    def _rename(self, name: str | None) -> None:
        if name and self._selected is not None:
            self._edit(lambda number: self._session.takes.rename(number, name))

    def action_delete(self) -> None:
        """Delete it; u brings it back."""
        if self._selected is not None and self._edit(self._session.takes.delete):
            self.notify("Deleted; u brings it back.")

    def action_undo(self) -> None:
        """Undo the last rename or deletion."""
        self._edit(lambda _: self.notify(self._session.takes.undo(), markup=False))

    def _edit(self, call: Callable[[str], object]) -> bool:
        """Change the shelf, and show it; False if that failed."""
        done = True
        try:
            call(self._selected or "")
        except WorkstationError as error:
            self.workstation.fail(error)
            done = False
        self._fill()
        return done
