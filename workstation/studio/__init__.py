"""The use cases: opening, separating, analysing and exporting a song."""

from workstation.studio.opening import open_session
from workstation.studio.session import Session

__all__ = ["Session", "open_session"]
