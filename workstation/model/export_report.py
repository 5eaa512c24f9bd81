"""What an export made, and what the format could not carry."""

from __future__ import annotations

import msgspec


class ExportReport(msgspec.Struct, frozen=True):
    """The outcome of one export.

    Attributes:
        target: Name of the target, like `reaper`.
        folder: The folder that holds everything; it can be moved or zipped.
        files: Every file written, relative to `folder`, with forward slashes.
        open_with: The file to open, relative to `folder`, and in what: words for the user.
        dropped: In words, everything the format could not carry.
        lead_in: In words, where the first downbeat lies in the project.
        problem: Why it was not made, in words; None if it was.
        remedy: What to do about that.
        exit_code: Of which kind the problem is; 0 if there is none.
    """

    target: str
    folder: str
    files: tuple[str, ...]
    open_with: str
    dropped: tuple[str, ...] = ()
    lead_in: str = ""
    problem: str | None = None
    remedy: str | None = None
    exit_code: int = 0
