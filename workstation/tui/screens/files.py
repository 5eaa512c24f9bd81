"""Choosing a file or folder: a tree of what can be opened, and a path to type."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from rich.text import Text, TextType
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.suggester import Suggester
from textual.widgets import Button, DirectoryTree, Input, Label

from workstation.audio import DECODABLE_SUFFIXES
from workstation.model.names import shown
from workstation.tui.screens.base import Dialog
from workstation.tui.words import pasted_paths, typed_path


class AudioTree(DirectoryTree):
    """Folders, and files that can be opened; hidden ones are left out."""

    ICON_NODE = "▸ "
    ICON_NODE_EXPANDED = "▾ "
    ICON_FILE = "♪ "

    def process_label(self, label: TextType) -> Text:
        """A name that can be shown, whatever its bytes are."""
        return super().process_label(shown(label) if isinstance(label, str) else label)

    def filter_paths(self, paths: Iterable[Path]) -> Iterable[Path]:
        """What can be opened, or leads there."""
        return [
            path
            for path in paths
            if not path.name.startswith(".")
            and (path.is_dir() or path.suffix.lower() in DECODABLE_SUFFIXES)
        ]


class PathSuggester(Suggester):
    """Completes paths as a shell does."""

    def __init__(self, start: Path) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._start = start

    async def get_suggestion(self, value: str) -> str | None:
        """The first path that begins so."""
        head, slash, begin = value.rpartition("/")
        folder = typed_path(head + slash) if slash else self._start
        folder = folder if folder.is_absolute() else self._start / folder
        try:
            names = sorted(path.name for path in folder.iterdir())
        except OSError:
            return None
        for name in names:
            if begin and name.startswith(begin):
                end = "/" if (folder / name).is_dir() else ""
                return f"{head}{slash}{name}{end}"
        return None


class FileDialog(Dialog[list[Path]]):
    """Gives the paths to open.

    Args:
        start: Folder that is shown first; None is the working folder.
    """

    def __init__(self, start: Path | None = None) -> None:
        super().__init__()
        self._start = (start or Path.cwd()).resolve()

    def compose(self) -> ComposeResult:
        """A path, a tree, two buttons."""
        with Vertical(classes="dialog -wide -tall"):
            yield Label("Open a song, a folder of stems or a session", classes="dialog-title")
            yield Input(
                placeholder="Path; → completes it", suggester=PathSuggester(self._start), id="path"
            )
            yield AudioTree(self._start)
            with Horizontal(classes="buttons"):
                yield Button("Folder above", id="above", compact=True)
                yield Button("Open this folder", id="folder", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        """The tree is ready for the arrows."""
        self.query_one(AudioTree).focus()

    @on(DirectoryTree.FileSelected)
    def _file(self, event: DirectoryTree.FileSelected) -> None:
        self.dismiss([event.path])

    @on(DirectoryTree.DirectorySelected)
    def _folder(self, event: DirectoryTree.DirectorySelected) -> None:
        if event.path.suffix == ".remix":
            self.dismiss([event.path])

    @on(Input.Submitted)
    def _typed(self, event: Input.Submitted) -> None:
        paths = pasted_paths(event.value)
        if not paths:
            self.notify("There is no such file or folder.", severity="warning")
        elif len(paths) == 1 and paths[0].is_dir() and event.value.endswith("/"):
            self.query_one(AudioTree).path = paths[0]
        else:
            self.dismiss(paths)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        tree = self.query_one(AudioTree)
        if event.button.id == "above":
            tree.path = Path(tree.path).parent
        elif event.button.id == "folder":
            node = tree.cursor_node
            at = node.data.path if node is not None and node.data is not None else tree.path
            path = Path(at)
            self.dismiss([path if path.is_dir() else path.parent])
        else:
            self.dismiss(None)
