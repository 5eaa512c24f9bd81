"""The list of jobs: what runs, what waits, how it ended."""

from __future__ import annotations

from typing import ClassVar

from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import DataTable, Label

from workstation.model.names import shown
from workstation.studio.jobs import Job
from workstation.tui.screens.base import Dialog
from workstation.tui.words import left_words

_MARKS = {"waiting": "·", "running": "▸", "done": "✓", "failed": "✗", "cancelled": "–"}


class JobsDialog(Dialog[None]):
    """What runs in the background."""

    BINDINGS: ClassVar = [("c,delete", "cancel", "Cancel the job"), ("b", "leave", "Back")]

    def compose(self) -> ComposeResult:
        """A table."""
        with Vertical(classes="dialog -wide"):
            yield Label("Jobs", classes="dialog-title")
            yield DataTable(cursor_type="row")
            yield Label(
                "c cancels the job, enter shows what one made, or why it failed", classes="hint"
            )

    @property
    def table(self) -> DataTable[Text]:
        """The jobs."""
        return self.query_one(DataTable)

    def on_mount(self) -> None:
        """Fill it."""
        for title, width in (("", 1), ("Job", 40), ("Done", 5), ("Step", 24), ("Left", 12)):
            self.table.add_column(title, width=width)
        self._fill()
        self.table.focus()

    def show_job(self, job: Job) -> None:
        """Something has moved on."""
        del job
        if self.is_mounted:
            self._fill()

    @property
    def _jobs(self) -> list[Job]:
        return list(reversed(self.workstation.jobs.all))

    def _fill(self) -> None:
        at = self.table.cursor_row
        self.table.clear()
        for job in self._jobs:
            step = job.label if job.state == "running" else job.state
            if job.error is not None:
                step = job.error.problem
            cells = (
                _MARKS[job.state], job.title, f"{job.fraction:.0%}", step, left_words(job.left_s)
            )  # fmt: skip
            self.table.add_row(*(Text(shown(cell)) for cell in cells))
        if not self._jobs:
            self.table.add_row(Text(""), Text("Nothing has been started yet."))
        self.table.move_cursor(row=at)

    def action_cancel(self) -> None:
        """Stop the selected job."""
        if self._jobs:
            job = self._jobs[self.table.cursor_row]
            if not job.ended:
                self.workstation.jobs.cancel(job)

    def on_data_table_row_selected(self, event: DataTable.RowSelected) -> None:
        """Why it failed, or what it made."""
        if self._jobs:
            self.workstation.show_result_of(self._jobs[event.cursor_row])
