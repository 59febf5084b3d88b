"""Readers, and the key that their forms' tokens are signed with."""

from sqlalchemy import Connection, insert, select

from mailpact.database import clock
from mailpact_producer.accounts import Registration
from mailpact_producer.store.schema import site_key, users

THE_KEY = 1


def insert_user(connection: Connection, registration: Registration, *, guid: str, password_hash: str) -> None:
    """Store a reader. Raises IntegrityError when the address is known already: no SELECT could tell in time."""
    connection.execute(
        insert(users).values(
            guid=guid,
            name=registration.name,
            email=registration.email,
            email_key=registration.email_key,
            password_hash=password_hash,
            created_at=clock.now(),
        )
    )


def the_site_key(connection: Connection, fresh: bytes) -> bytes:
    """Give the key that all processes of the site share; `fresh` becomes it if there is none yet."""
    stored = connection.execute(select(site_key.c.key).where(site_key.c.id == THE_KEY)).scalar()
    if stored is None:
        connection.execute(insert(site_key).values(id=THE_KEY, key=fresh))
        stored = fresh
    return bytes(stored)
