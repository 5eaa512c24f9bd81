"""Choosing an engine by its card."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.content import Content
from textual.widgets import Button, Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.widgets.selection_list import Selection

from workstation.model import UsageError, WorkstationError
from workstation.tui.screens.base import Dialog
from workstation.tui.widgets.checks import CheckList
from workstation.tui.words import clock, fit

if TYPE_CHECKING:
    from workstation.separate.protocol import EngineCard
    from workstation.studio import Session

# The cost on a card is measured on two cores.
_CORES_OF_CARD = 2


class EngineDialog(Dialog[str]):
    """Gives the name of an engine to separate with, and behind an @ the stems that are wanted.

    Args:
        session: What is to be separated; the cost is told for it.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._cards: dict[str, EngineCard] = {}

    def compose(self) -> ComposeResult:
        """The engines, and the card of the one that is pointed at."""
        with VerticalScroll(classes="dialog -wide"):
            yield Label("Separate with", classes="dialog-title")
            yield OptionList(id="engines")
            yield Static("", classes="card", id="card")
            yield Label("Stems  space leaves one out", classes="hint")
            yield CheckList[str](id="stems", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Separate", id="separate", variant="primary", compact=True)
                yield Button("Cancel", id="cancel", compact=True)

    def on_mount(self) -> None:
        """Read the cards."""
        from workstation.separate import engine_cards
        from workstation.studio.session import engine_options

        try:
            cards = engine_cards(engine_options(offline=True))
        except WorkstationError as error:
            self.workstation.fail(error)
            return
        options = self.query_one("#engines", OptionList)
        for card in cards:
            self._cards[card.name] = card
            stems = fit(" ".join(card.stems), 36)
            words = f"{fit(card.name, 14)} {stems} {self._cost(card):>7}  "
            here = "in use" if card.name == self._session.engine else ""
            options.add_option(Option(Text(words + here), id=card.name))
        options.focus()
        options.highlighted = 0

    def _cost(self, card: EngineCard) -> str:
        cores = min(os.cpu_count() or _CORES_OF_CARD, 8)
        seconds = self._session.song.source.duration_s * card.realtime_factor
        return "~" + clock(seconds * _CORES_OF_CARD / cores, tenths=False)

    @on(OptionList.OptionHighlighted, "#engines")
    def _pointed(self, event: OptionList.OptionHighlighted) -> None:
        card = self._cards[str(event.option.id)]
        lines = [
            card.summary,
            f"Time      about {self._cost(card)[1:]} for this song on this machine",
            f"Licence   code {card.code_licence}"
            + (f"; weights {card.weights_licence}" if card.weights_licence else ""),
            f"Download  {card.download or 'nothing'}",
            f"Source    {card.source}",
        ]
        self.query_one("#card", Static).update(Text("\n".join(lines)))
        stems = self.query_one("#stems", CheckList)
        stems.clear_options()
        stems.add_options(Selection(Content(stem), stem, initial_state=True) for stem in card.stems)

    @on(OptionList.OptionSelected, "#engines")
    def _separate(self) -> None:
        at = self.query_one("#engines", OptionList).highlighted
        if at is None:
            return
        card = list(self._cards.values())[at]
        chosen = self.query_one("#stems", CheckList).selected
        wanted = [stem for stem in card.stems if stem in chosen]
        if not wanted:
            self.workstation.fail(UsageError("No stem is wanted.", "Select one with space."))
        elif len(wanted) == len(card.stems):
            self.dismiss(card.name)
        else:
            self.dismiss(f"{card.name}@{'+'.join(wanted)}")

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        if event.button.id == "separate":
            self._separate()
        else:
            self.dismiss(None)
