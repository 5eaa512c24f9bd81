"""The session folder: a song, its stems and what is known of them, as plain files."""

from workstation.session.folder import SessionFolder, find_session, is_session
from workstation.session.state import SCHEMA_VERSION, SessionState
from workstation.session.takes import TakeJournal, TakeShelf, begin_take

__all__ = [
    "SCHEMA_VERSION",
    "SessionFolder",
    "SessionState",
    "TakeJournal",
    "TakeShelf",
    "begin_take",
    "find_session",
    "is_session",
]
