"""The readers who have registered."""

from sqlalchemy import Connection, insert
from sqlalchemy.exc import IntegrityError

from mailpact.database import clock
from mailpact_producer.accounts import Registration
from mailpact_producer.errors import AddressKnown
from mailpact_producer.store.schema import users


def add(connection: Connection, registration: Registration, *, password_hash: str) -> None:
    """Store a new reader. Raises AddressKnown: only the unique key can say so without a race."""
    new = insert(users).values(
        name=registration.name,
        email=registration.email,
        email_key=registration.email_key,
        password_hash=password_hash,
        created_at=clock.now(),
    )
    try:
        connection.execute(new)
    except IntegrityError:
        raise AddressKnown from None
