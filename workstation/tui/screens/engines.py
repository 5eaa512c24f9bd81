"""Choosing an engine by its card."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.containers import Horizontal, VerticalScroll
from textual.widgets import Button, Label, OptionList, Static
from textual.widgets.option_list import Option

from workstation.model import WorkstationError
from workstation.tui.screens.base import Dialog
from workstation.tui.words import clock

if TYPE_CHECKING:
    from workstation.separate.protocol import EngineCard
    from workstation.studio import Session

# The cost on a card is measured on two cores.
_CORES_OF_CARD = 2


class EngineDialog(Dialog[str]):
    """Gives the name of an engine to separate with.

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
            yield OptionList()
            yield Static("", classes="card", id="card")
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
        options = self.query_one(OptionList)
        for card in cards:
            self._cards[card.name] = card
            words = f"{card.name:<16} {len(card.stems)} stems  {self._cost(card):>9}  "
            here = "in use" if card.name == self._session.engine else ""
            options.add_option(Option(Text(words + here), id=card.name))
        options.focus()
        options.highlighted = 0

    def _cost(self, card: EngineCard) -> str:
        cores = min(os.cpu_count() or _CORES_OF_CARD, 8)
        seconds = self._session.song.source.duration_s * card.realtime_factor
        return "~" + clock(seconds * _CORES_OF_CARD / cores, tenths=False)

    @on(OptionList.OptionHighlighted)
    def _pointed(self, event: OptionList.OptionHighlighted) -> None:
        card = self._cards[str(event.option.id)]
        lines = [
            card.summary,
            f"Stems     {', '.join(card.stems)}",
            f"Time      about {self._cost(card)[1:]} for this song on this machine",
            f"Licence   code {card.code_licence}"
            + (f"; weights {card.weights_licence}" if card.weights_licence else ""),
            f"Download  {card.download or 'nothing'}",
            f"Source    {card.source}",
        ]
        self.query_one("#card", Static).update(Text("\n".join(lines)))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(str(event.option.id))

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        at = self.query_one(OptionList).highlighted
        names = list(self._cards)
        chosen = names[at] if event.button.id == "separate" and at is not None else None
        self.dismiss(chosen)
