"""Making DAW projects, and mixing to a file."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Input, Label, Select, SelectionList, Static
from textual.widgets.selection_list import Selection

from workstation.export import TARGETS, Part
from workstation.export.layouts import layout_files, read_layout
from workstation.model import ExportReport, JobContext, UsageError, WorkstationError
from workstation.model.names import shown
from workstation.tui.screens.base import Dialog
from workstation.tui.screens.dialogs import plain
from workstation.tui.widgets.checks import CheckBox, CheckList
from workstation.tui.words import typed_path

if TYPE_CHECKING:
    from workstation.model.mixer import MixerState
    from workstation.studio import Session
    from workstation.studio.stem_blocks import Rendered

_ENCODINGS = tuple(dict.fromkeys(e for target in TARGETS.values() for e in target.encodings))
_OWN = " ".join(suffix for target in TARGETS.values() for suffix in target.own_projects)


class ExportDialog(Dialog[None]):
    """Targets with what they carry, the folder, the audio.

    Args:
        session: What is exported.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session

    def compose(self) -> ComposeResult:
        """A form."""
        with VerticalScroll(classes="dialog -wide"):
            yield Label("Export", classes="dialog-title")
            yield CheckList[str](
                *(
                    Selection(
                        f"{target.name:<12} {target.title} · {target.summary}",
                        target.name,
                        target.name == "reaper",
                    )
                    for target in TARGETS.values()
                ),
                compact=True,
            )
            yield Static("", classes="card", id="carries")
            with Horizontal(classes="field"):
                yield Label("Take")
                yield Select(self._takes(), value="", allow_blank=False, id="take", compact=True)
            with Horizontal(classes="field"):
                yield Label("Template")
                yield Select(_layouts(), value="", allow_blank=False, id="layout", compact=True)
            with Horizontal(classes="field"):
                yield Label("Into")
                yield Input(placeholder=f"a new project; or one of your own: {_OWN}", id="own")
            with Horizontal(classes="field"):
                yield Label("Folder")
                yield Input(str(self._session.exports), id="out")
            with Horizontal(classes="field"):
                yield Label("Audio")
                yield Select(
                    [("as the template has it, or pcm24", ""), *((e, e) for e in _ENCODINGS)],
                    value="", allow_blank=False, id="encoding",
                    compact=True,
                )  # fmt: skip
            yield CheckBox("A marker on every bar", id="bars", compact=True)
            yield CheckBox("Replace earlier exports there", id="overwrite", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Export", id="export", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def _takes(self) -> list[tuple[Content, str]]:
        """What can be chosen: a name and a value each."""
        choices = [(Content("none: the song as it is"), "")]
        try:
            for number, take in self._session.takes.numbered().items():
                choices.append((Content(f"{number}: {shown(take.name)}"), str(number)))
        except WorkstationError as error:
            self.call_after_refresh(self.workstation.fail, error)
        return choices

    def on_mount(self) -> None:
        """The targets are ready for the arrows."""
        self.query_one(CheckList).focus()

    @on(SelectionList.SelectionHighlighted)
    def _pointed(self, event: SelectionList.SelectionHighlighted[str]) -> None:
        target = TARGETS[event.selection.value]
        carried = [part.value for part in Part if part in target.carries]
        lesser = {Part.ONE_TEMPO} if Part.TEMPO in target.carries else set()
        dropped = [part.value for part in Part if part not in target.carries | lesser]
        lines = [
            f"Opens in  {target.opens_in}",
            f"Carries   {', '.join(carried)}",
            f"Drops     {', '.join(dropped) or 'nothing'}",
        ]
        self.query_one("#carries", Static).update(Text("\n".join(lines)))

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss(None)

    @on(Button.Pressed, "#export")
    def _export(self) -> None:
        from workstation.studio.exporting import check_free, check_played

        names = list(self.query_one(CheckList).selected)
        out = typed_path(self.query_one("#out", Input).value)
        encoding = str(self.query_one("#encoding", Select).value) or None
        layout = str(self.query_one("#layout", Select).value) or None
        overwrite = self.query_one("#overwrite", CheckBox).value
        take = str(self.query_one("#take", Select).value) or None
        own = self.query_one("#own", Input).value.strip()
        own_project = typed_path(own) if own else None
        try:
            if not names:
                raise UsageError("No target is chosen.", "Choose one or more with space.")
            check_free(
                self._session, names, out=out, encoding=encoding, overwrite=overwrite,
                layout=layout, own_project=own_project,
            )  # fmt: skip
            if take is not None:
                check_played(self._session, take, None)
        except WorkstationError as error:
            self.workstation.fail(error)
            return
        session, bars = self._session, self.query_one("#bars", CheckBox).value

        def work(job: JobContext) -> list[ExportReport]:
            from workstation.studio.exporting import export_to

            return export_to(
                session, names, out=out, encoding=encoding, bar_markers=bars,
                overwrite=overwrite, take=take, layout=layout, own_project=own_project, job=job,
            )  # fmt: skip

        app = self.workstation
        app.run_job(f"Export {', '.join(names)}", work, shows=ReportDialog)
        self.dismiss(None)


def _layouts() -> list[tuple[Content, str]]:
    """What can be chosen: words and a name each."""
    found = [(Content("none: the stems as they are"), "")]
    for name, path in layout_files().items():
        with contextlib.suppress(WorkstationError):  # `templates check` tells what is wrong.
            found.append((Content(f"{shown(name)}: {shown(read_layout(path).summary)}"), name))
    return found


class ReportDialog(Dialog[None]):
    """What was made, what to open, what was left out.

    Args:
        reports: One per target.
    """

    def __init__(self, reports: list[ExportReport]) -> None:
        super().__init__()
        self._reports = reports

    def compose(self) -> ComposeResult:
        """A paragraph per target."""
        with VerticalScroll(classes="dialog -wide"):
            yield Label("Exported", classes="dialog-title")
            for report in self._reports:
                yield Label(f"{report.target}: {len(report.files)} files", classes="heading")
                yield Static(plain(Path(report.folder) / report.open_with))
                words = [report.lead_in, *(f"Left out: {w}" for w in report.dropped)]
                yield Static(Text("\n".join(shown(w) for w in words if w)), classes="hint")
            with Horizontal(classes="buttons"):
                yield Button("Copy path", id="copy", compact=True)
                yield Button("Close", id="close", variant="primary", compact=True)

    def on_mount(self) -> None:
        """It can be closed at once."""
        self.query_one("#close", Button).focus()

    @on(Button.Pressed, "#copy")
    def _copy(self) -> None:
        self.app.copy_to_clipboard("\n".join(report.folder for report in self._reports))
        self.notify("The path is on the clipboard, if the terminal allows it.")

    @on(Button.Pressed, "#close")
    def _close(self) -> None:
        self.dismiss(None)


class RenderDialog(Dialog[None]):
    """Mix what is heard, or a take, to a WAV or FLAC file.

    Args:
        session: What is mixed.
        mixer: What is heard now; None is what was heard last.
    """

    def __init__(self, session: Session, mixer: MixerState | None) -> None:
        super().__init__()
        self._session, self._mixer = session, mixer

    def compose(self) -> ComposeResult:
        """A form."""
        takes = [(Content("the mixer as it is now"), "")]
        try:
            takes += [
                (Content(f"take {number}: {shown(take.name)}"), str(number))
                for number, take in self._session.takes.numbered().items()
            ]
        except WorkstationError as error:
            self.call_after_refresh(self.workstation.fail, error)
        with Vertical(classes="dialog"):
            yield Label("Render", classes="dialog-title")
            with Horizontal(classes="field"):
                yield Label("What")
                yield Select(takes, value="", allow_blank=False, id="take", compact=True)
            with Horizontal(classes="field"):
                yield Label("File")
                yield Input(str(self._session.path / "mix.wav"), id="out")
            yield CheckBox("Replace the file", id="overwrite", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Render", id="render", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    @on(Button.Pressed, "#cancel")
    def _cancel(self) -> None:
        self.dismiss(None)

    @on(Button.Pressed, "#render")
    @on(Input.Submitted)
    def _start(self) -> None:
        out = typed_path(self.query_one("#out", Input).value)
        take = str(self.query_one("#take", Select).value) or None
        overwrite = self.query_one("#overwrite", CheckBox).value
        session, mixer, app = self._session, self._mixer, self.workstation

        def work(job: JobContext) -> Rendered:
            return session.render(out, take=take, mixer=mixer, overwrite=overwrite, job=job)

        def done(_: Rendered) -> None:
            app.notify(f"{shown(out)} is written.", markup=False)

        app.run_job(f"Render {shown(out.name)}", work, done)
        self.dismiss(None)
