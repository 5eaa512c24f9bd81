"""Where the shipped `templates/` and `presets/` lie: inside a wheel, or in a checkout."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from workstation.model import UnavailableError

_PACKAGE = Path(__file__).resolve().parents[1]


def shipped_folder(kind: Literal["templates", "presets"]) -> Path:
    """Find a shipped folder, in an installed wheel as well as in an editable checkout.

    Raises:
        UnavailableError: The installation is incomplete.
    """
    for candidate in (_PACKAGE / "_shipped" / kind, _PACKAGE.parent / kind):
        if candidate.is_dir():
            return candidate
    raise UnavailableError(
        f"The folder {kind}/ of this installation is missing.", "Install workstation again."
    )
