"""What to say of files that are not whole."""

from __future__ import annotations

from pathlib import Path

from workstation.model import InputError
from workstation.model.names import shown

_EXPORT_AGAIN = (
    "Copy or export it again; to keep the part that is whole, save it anew in an audio editor."
)


def truncated(path: Path, whole_s: float, promised_s: float) -> InputError:
    """Say that a file ends before its header says."""
    return InputError(
        f"{shown(path)} is cut off or damaged: "
        f"only {whole_s:.1f} of {promised_s:.1f} s can be read.",
        _EXPORT_AGAIN,
    )


def damaged(path: Path, at_s: float) -> InputError:
    """Say that a file cannot be decoded from some place on."""
    return InputError(f"{shown(path)} is damaged after {at_s:.1f} s.", _EXPORT_AGAIN)
