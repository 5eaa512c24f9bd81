"""The session folder: a song, its stems and what is known of them, as plain files."""

from workstation.session.folder import SessionFolder, find_session, is_session
from workstation.session.state import SCHEMA_VERSION, SessionState

__all__ = ["SCHEMA_VERSION", "SessionFolder", "SessionState", "find_session", "is_session"]
