"""The first screen: the sessions there are, and ways to a new one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from rich.text import Text
from textual import events, on, work
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import DataTable, Footer, Input, Static

from workstation.model.names import shown
from workstation.studio.recent import SessionFacts, forget, recent_sessions
from workstation.tui.actions import HOME_ACTIONS
from workstation.tui.screens.base import TableScreen
from workstation.tui.widgets.bars import TitleBar
from workstation.tui.words import clock, left_words, pasted_paths

if TYPE_CHECKING:
    from workstation.studio.jobs import Job

_EMPTY = """No sessions yet.

Press  d  to make the demo song and play it,
or  o  to open a song or a folder of stems.
Dropping files onto the terminal opens them as well."""


class SearchField(Input):
    """Text to search for; files that are dropped are not for it."""

    def on_paste(self, event: events.Paste) -> None:
        """Leave paths to the screen."""
        if pasted_paths(event.text):
            event.prevent_default()


class HomeScreen(TableScreen):
    """The sessions you worked on, newest first. Enter opens one."""

    TABLE = HOME_ACTIONS
    BINDINGS: ClassVar = [action.binding() for action in HOME_ACTIONS]

    def __init__(self) -> None:
        super().__init__()
        self._sessions: list[SessionFacts] = []
        self._rows: list[SessionFacts] = []

    def compose(self) -> ComposeResult:
        """A search field, the list, what runs."""
        yield TitleBar(id="title")
        with Vertical(id="home"):
            yield SearchField(placeholder="Search title, artist, key", id="search", compact=True)
            yield DataTable(id="sessions", cursor_type="row", zebra_stripes=False)
            yield Static(_EMPTY, id="empty", markup=False)
            yield Static("", id="work", markup=False)
        yield Footer(compact=True, show_command_palette=False)

    @property
    def table(self) -> DataTable[Text]:
        """The list."""
        return self.query_one(DataTable)

    def on_mount(self) -> None:
        """Fill the list."""
        for title, width in (
            ("Title", None), ("Artist", None), ("Tempo", 6), ("Key", 9), ("Length", 7),
            ("Takes", 5), ("Stems", None),
        ):  # fmt: skip
            self.table.add_column(title, width=width)
        self.query_one("#empty").display = False
        self.query_one(TitleBar).show("workstation", "a remix workstation for the terminal")
        self.reload()
        self.table.focus()

    def on_screen_resume(self) -> None:
        """What changed meanwhile is seen; what was opened meanwhile comes."""
        self.reload()
        self.workstation.show_ready()

    @property
    def searching(self) -> bool:
        """Whether somebody types in the search field; it has the focus of an empty list, too."""
        field = self.query_one("#search", Input)
        return field.has_focus and bool(field.value)

    @work(thread=True, exclusive=True, group="list", exit_on_error=False)
    def reload(self) -> None:
        """Read the sessions anew."""
        found = recent_sessions(Path.cwd())
        self.app.call_from_thread(self._show, found)

    def _show(self, sessions: list[SessionFacts]) -> None:
        self._sessions = sessions
        self._filter(self.query_one(Input).value)

    def _filter(self, wanted: str) -> None:
        words = wanted.lower().split()
        self._rows = [
            facts
            for facts in self._sessions
            if all(word in f"{facts.title} {facts.artist} {facts.key}".lower() for word in words)
        ]
        at = self.table.cursor_row
        self.table.clear()
        titles = Counter(facts.title for facts in self._sessions)
        for facts in self._rows:
            cells = [Text(shown(cell)) for cell in _cells(facts)]
            if titles[facts.title] > 1:
                cells[0].append(f"  {shown(facts.path.name)}", "dim")
            self.table.add_row(*cells)
        self.table.move_cursor(row=min(at, max(len(self._rows) - 1, 0)))
        some = bool(self._sessions)
        self.table.display = some
        self.query_one("#search").display = some
        self.query_one("#empty").display = not some

    @on(Input.Changed, "#search")
    def _searched(self, event: Input.Changed) -> None:
        self._filter(event.value)

    @on(Input.Submitted, "#search")
    def _search_done(self) -> None:
        self.table.focus()

    def on_key(self, event: events.Key) -> None:
        """Escape leaves the search."""
        if event.key == "escape" and self.query_one(Input).has_focus:
            self.query_one(Input).value = ""
            self.table.focus()

    @on(DataTable.RowSelected)
    def _chosen(self, event: DataTable.RowSelected) -> None:
        if event.cursor_row < len(self._rows):
            self.workstation.open_path(self._rows[event.cursor_row].path)

    def show_job(self, job: Job) -> None:
        """All jobs that run or wait, a line each."""
        del job
        lines = [
            f"{'▸' if one.state == 'running' else '·'} {shown(one.title)}  "
            + (f"{one.fraction:4.0%}  {one.label}  {left_words(one.left_s)}"
               if one.state == "running" else "waits")
            for one in self.workstation.jobs.active
        ]  # fmt: skip
        more = [f"  and {len(lines) - 6} more: press b"] if len(lines) > 6 else []
        for place in self.query("#work").results(Static):  # None while the screen closes.
            place.update("\n".join([*lines[:6], *more]))

    def do_open(self) -> None:
        """The file browser."""
        from workstation.tui.screens.files import FileDialog

        self.app.push_screen(FileDialog(), self._open_all)

    def _open_all(self, paths: list[Path] | None) -> None:
        for path in paths or ():
            self.workstation.open_path(path)

    def do_demo(self) -> None:
        """The demo song."""
        self.workstation.open_demo()

    def do_search(self) -> None:
        """Into the search field."""
        self.query_one(Input).focus()

    def do_forget(self) -> None:
        """Take the session off the list."""
        at = self.table.cursor_row
        if at < len(self._rows):
            forget(self._rows[at].path)
            self.reload()


def _cells(facts: SessionFacts) -> tuple[str, ...]:
    if facts.problem:
        return (facts.title, facts.problem, "", "", "", "", str(facts.path))
    return (
        facts.title,
        facts.artist,
        f"{facts.bpm:.1f}" if facts.bpm else "–",
        facts.key or "–",
        clock(facts.duration_s, tenths=False),
        str(facts.takes or "–"),
        ", ".join(facts.stems) or "not separated",
    )
