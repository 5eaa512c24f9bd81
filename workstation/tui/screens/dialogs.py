"""Small dialogs: an error, a question, a line of text, the keys of a screen."""

from __future__ import annotations

from typing import ClassVar

from rich.table import Table
from rich.text import Text
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.widgets import Button, Input, Label, Static

from workstation.model import WorkstationError
from workstation.model.names import shown
from workstation.tui.actions import Action
from workstation.tui.screens.base import Dialog


def plain(text: object) -> Text:
    """Text that is no markup, in one line."""
    return Text(shown(text))


class ErrorDialog(Dialog[bool]):
    """What went wrong, and what to do about it; True if the user wants to try again.

    Args:
        error: What went wrong.
        again: Label of a button that tries again; empty shows none.
    """

    def __init__(self, error: WorkstationError, again: str = "") -> None:
        super().__init__()
        self.error = error
        self._again = again

    def compose(self) -> ComposeResult:
        """Problem, remedy, buttons."""
        with Vertical(classes="dialog -error"):
            yield Label("This did not work", classes="dialog-title")
            yield Static(plain(self.error.problem), classes="problem")
            yield Static(plain(self.error.remedy), classes="remedy")
            with Horizontal(classes="buttons"):
                if self._again:
                    yield Button(self._again, id="again", variant="primary", compact=True)
                yield Button("Close", id="close", compact=True)

    def on_mount(self) -> None:
        """The first button can be pressed at once."""
        self.query(Button).first().focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Leave it."""
        self.dismiss(event.button.id == "again")


class Question(Dialog[bool]):
    """Asks whether to do something; True is yes.

    Args:
        question: A sentence with a question mark.
        yes: Label of the button that does it.
        no: Label of the button that does not.
    """

    def __init__(self, question: str, yes: str, no: str = "Cancel") -> None:
        super().__init__()
        self._question, self._yes, self._no = question, yes, no

    def compose(self) -> ComposeResult:
        """The question, and two buttons."""
        with Vertical(classes="dialog"):
            yield Static(plain(self._question), classes="problem")
            with Horizontal(classes="buttons"):
                yield Button(self._yes, id="yes", variant="primary", compact=True)
                yield Button(self._no, id="no", compact=True)

    def on_mount(self) -> None:
        """The careful answer is chosen."""
        self.query_one("#no", Button).focus()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer it."""
        self.dismiss(event.button.id == "yes")


class LineDialog(Dialog[str]):
    """Asks for a line of text.

    Args:
        title: What it is for.
        value: What stands there at first.
    """

    def __init__(self, title: str, value: str = "") -> None:
        super().__init__()
        self._title, self._value = title, value

    def compose(self) -> ComposeResult:
        """A field."""
        with Vertical(classes="dialog"):
            yield Label(plain(self._title), classes="dialog-title")
            yield Input(self._value)
            yield Label("enter keeps it, escape leaves it", classes="hint")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Give it."""
        self.dismiss(event.value)


class HelpDialog(Dialog[None]):
    """All keys of a screen.

    Args:
        title: Name of the screen.
        actions: Its rows of the table.
        words: A paragraph on what the screen is for.
    """

    BINDINGS: ClassVar = [("question_mark,q,enter", "leave", "Back")]

    def __init__(self, title: str, actions: tuple[Action, ...], words: str) -> None:
        super().__init__()
        self._title, self._actions, self._words = title, actions, words

    def compose(self) -> ComposeResult:
        """One table per heading."""
        with VerticalScroll(classes="dialog -wide"):
            yield Label(self._title, classes="dialog-title")
            if self._words:
                yield Static(Text(self._words), classes="hint")
            for group in dict.fromkeys(a.group for a in self._actions):
                yield Label(group, classes="heading")
                yield Static(_keys_table([a for a in self._actions if a.group == group]))


def _keys_table(actions: list[Action]) -> Table:
    table = Table.grid(padding=(0, 2))
    table.add_column(width=14, justify="right", style="bold", no_wrap=True)
    table.add_column()
    for action in actions:
        if action.id[-1:].isdigit() and not action.id.endswith("1"):
            continue  # mute2 … mute9 are like mute1.
        keys, words = shown_keys(action), action.help
        if action.id[-1:].isdigit():
            last = str(8 if action.group == "Snapshots" else 9)
            keys = f"{keys} … {last}"
            words = words.replace(" 1", f" 1 … {last}")
        table.add_row(keys, words)
    return table


def shown_keys(action: Action) -> str:
    """The keys of an action as people read them."""
    first = action.keys.split(",")[0]
    return action.shown_keys or first.replace("_", " ")
