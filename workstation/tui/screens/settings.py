"""The settings file as a form."""

from __future__ import annotations

from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.widgets import Button, Input, Label, Select, Static

from workstation.config.settings import Settings, settings_file
from workstation.model import WorkstationError
from workstation.studio.settings import save_settings
from workstation.tui.screens.base import Dialog
from workstation.tui.screens.dialogs import plain
from workstation.tui.widgets.checks import CheckBox


class SettingsDialog(Dialog[None]):
    """Engine, weights, network, theme; kept in `settings.toml`."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self._settings = settings

    def compose(self) -> ComposeResult:
        """A field for every key."""
        settings = self._settings
        with Vertical(classes="dialog"):
            yield Label("Settings", classes="dialog-title")
            with Horizontal(classes="field"):
                yield Label("Engine")
                yield Input(settings.engine, id="engine", placeholder="auto")
            with Horizontal(classes="field"):
                yield Label("Weights folder")
                yield Input(settings.models_dir or "", id="models_dir", placeholder="none")
            with Horizontal(classes="field"):
                yield Label("Theme")
                yield Select(
                    [("dark", "dark"), ("light", "light")],
                    value=settings.theme, allow_blank=False, id="theme", compact=True,
                )  # fmt: skip
            yield CheckBox("Never use the network", settings.offline, id="offline", compact=True)
            yield Static(plain(settings_file()), classes="hint")
            with Horizontal(classes="buttons"):
                yield Button("Save", id="save", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    @on(Button.Pressed, "#save")
    @on(Input.Submitted)
    def _save(self) -> None:
        folder = self.query_one("#models_dir", Input).value.strip()
        engine = self.query_one("#engine", Input).value.strip()
        try:
            if engine not in {"", "auto"}:
                self._check_engine(engine)
            settings = save_settings({
                "engine": engine or None,
                "models_dir": folder or None,
                "offline": self.query_one("#offline", CheckBox).value or None,
                "theme": self.query_one("#theme", Select).value,
            })  # fmt: skip
        except WorkstationError as error:
            self.workstation.fail(error)
            return
        self.app.theme = f"workstation-{settings.theme}"
        self.dismiss(None)

    @staticmethod
    def _check_engine(name: str) -> None:
        from workstation.separate import engine
        from workstation.studio.session import engine_options

        engine(name, engine_options(offline=True))

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss(None)
