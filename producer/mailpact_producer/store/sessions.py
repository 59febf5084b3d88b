"""Sessions of readers who are logged in, stored as the hash of their secret."""

from typing import Final

from sqlalchemy import Connection, delete, insert, or_, update

from mailpact.database import clock
from mailpact_producer.store import users
from mailpact_producer.store.schema import sessions
from mailpact_producer.store.users import User

IDLE_SECONDS: Final = 30 * 60
LONGEST_SECONDS: Final = 12 * 3600
SEEN_SECONDS: Final = 60  # the time of the last request is written at most once in this time


def begin(connection: Connection, hashed: str, user_id: int) -> None:
    """Store a new session."""
    now = clock.now()
    connection.execute(insert(sessions).values(id=hashed, user_id=user_id, created_at=now, seen_at=now))


def reader(connection: Connection, hashed: str) -> User | None:
    """Return the reader of a session, and record that the session is in use; None if the session has ended."""
    found = users.of_session(connection, hashed)
    if found is None:
        return None
    user, begun, seen, now = found
    if now - seen > IDLE_SECONDS * clock.SECOND or now - begun > LONGEST_SECONDS * clock.SECOND:
        return None
    if now - seen > SEEN_SECONDS * clock.SECOND:
        connection.execute(update(sessions).where(sessions.c.id == hashed).values(seen_at=now))
    return user


def end(connection: Connection, hashed: str) -> bool:
    """End one session; False if there is no such session."""
    return connection.execute(delete(sessions).where(sessions.c.id == hashed)).rowcount > 0


def end_all(connection: Connection, user_id: int, *, but: str = "") -> None:
    """End all sessions of a reader, except the one with this hash."""
    connection.execute(delete(sessions).where(sessions.c.user_id == user_id, sessions.c.id != but))


def purge(connection: Connection) -> int:
    """Delete the sessions that have ended by themselves; return how many."""
    now = clock.now()
    ended = or_(
        sessions.c.seen_at < now - IDLE_SECONDS * clock.SECOND,
        sessions.c.created_at < now - LONGEST_SECONDS * clock.SECOND,
    )
    return connection.execute(delete(sessions).where(ended)).rowcount
