"""The one family of errors that users see: a problem, a remedy and an exit code.

Every failure a user can cause or meet is a `WorkstationError`. Faces print
`problem` and `remedy` and leave with `exit_code`; a traceback is a bug.
"""

from __future__ import annotations

from typing import ClassVar


class WorkstationError(Exception):
    """Something went wrong that a user can understand and mend.

    Attributes:
        problem: What happened, to which file or device, in one line.
        remedy: What to do about it, in one line.
    """

    exit_code: ClassVar[int] = 1

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(problem, remedy)
        self.problem = problem
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.problem} {self.remedy}"


class UsageError(WorkstationError):
    """A command, option or argument that makes no sense (exit code 2)."""

    exit_code: ClassVar[int] = 2


class InputError(WorkstationError):
    """A file that cannot be read or is not what it should be (exit code 3)."""

    exit_code: ClassVar[int] = 3


class UnavailableError(WorkstationError):
    """An engine, its weights, the network or a package is missing (exit code 4)."""

    exit_code: ClassVar[int] = 4


class ExistsError(WorkstationError):
    """The output is already there and was not to be overwritten (exit code 5)."""

    exit_code: ClassVar[int] = 5


class OutputError(WorkstationError):
    """The output cannot be written: disk full, read-only, no permission (exit code 6)."""

    exit_code: ClassVar[int] = 6


class LockedError(WorkstationError):
    """Another process is writing to the session (exit code 7)."""

    exit_code: ClassVar[int] = 7


class EngineError(WorkstationError):
    """A separation engine failed while it worked (exit code 8)."""

    exit_code: ClassVar[int] = 8


class CancelledError(WorkstationError):
    """The user stopped the work; what was complete is kept (exit code 130)."""

    exit_code: ClassVar[int] = 130

    def __init__(self, problem: str = "Stopped.", remedy: str = "Run it again to go on.") -> None:
        super().__init__(problem, remedy)
