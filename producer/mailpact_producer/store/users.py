"""The readers who have registered."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    and_,
    bindparam,
    case,
    delete,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import mysql, sqlite
from sqlalchemy.exc import IntegrityError
from sqlalchemy.sql.base import ReadOnlyColumnCollection
from sqlalchemy.sql.dml import Insert

from mailpact.database import clock
from mailpact_producer.accounts import Registration, address_key
from mailpact_producer.errors import AddressKnown
from mailpact_producer.store import comments, mails
from mailpact_producer.store.prepared import Prepared, bound
from mailpact_producer.store.schema import links, outbox, sessions, users

UNCONFIRMED_DAYS: Final = 7
_UNCONFIRMED = UNCONFIRMED_DAYS * 24 * 3600 * clock.SECOND


@dataclass(frozen=True, slots=True)
class User:
    """A reader; times are microseconds since 1970."""

    id: int
    name: str = field(repr=False)
    email: str = field(repr=False)
    password_hash: str = field(repr=False)
    created_at: int
    confirmed_at: int | None
    is_admin: bool
    is_blocked: bool = False

    @property
    def is_confirmed(self) -> bool:
        """Return whether the reader has proved that the address is theirs."""
        return self.confirmed_at is not None

    @property
    def registered_at(self) -> datetime:
        """Return when the reader registered."""
        return clock.moment(self.created_at)

    @property
    def has_confirmed_at(self) -> datetime | None:
        """Return when the reader confirmed the address; None for an address that is not confirmed."""
        return None if self.confirmed_at is None else clock.moment(self.confirmed_at)


def add(connection: Connection, registration: Registration, *, password_hash: str) -> None:
    """Store a new unconfirmed reader, who is deleted after 7 days without a confirmation.

    Raises AddressKnown: only the unique key can detect this without a race.
    """
    new = insert(users).values(
        name=registration.name,
        email=registration.email,
        email_key=registration.email_key,
        password_hash=password_hash,
        created_at=clock.now(),
        delete_at=clock.now() + _UNCONFIRMED,
        is_admin=0,
    )
    try:
        connection.execute(new)
    except IntegrityError:
        raise AddressKnown from None


@dataclass(frozen=True, slots=True)
class Registered:
    """The reader of a registration, the time, and whether the outbox holds the message of the registration already."""

    user: User
    now: int
    is_repeated: bool


def put(
    connection: Connection, registration: Registration, *, password_hash: str, message_id: str
) -> Registered:
    """Store a new unconfirmed reader, who is deleted after 7 days, or find the reader with this address.

    A reader who is not confirmed gets the name, the spelling of the address and the password of the registration. The
    statements are the same in all cases. The reader's row is locked from here on.
    """
    new = {
        "name": registration.name,
        "email": registration.email,
        "email_key": registration.email_key,
        "password_hash": password_hash,
    }
    _PUT.write(connection, new)
    query = {"key": registration.email_key, "message": message_id}
    row = _REGISTERED.rows(connection, query).one()
    return Registered(_made(row), row.now, bool(row.is_repeated))


def find(connection: Connection, email: str) -> User | None:
    """Return the reader with this address, and keep other transactions from changing the row; None without one."""
    return _user(
        connection.execute(_query().where(users.c.email_key == address_key(email)).with_for_update()).first()
    )


def by_id(connection: Connection, user_id: int) -> User | None:
    """Return a reader, and keep other transactions from changing the row; None without one."""
    return _user(connection.execute(_query().where(users.c.id == user_id).with_for_update()).first())


def of_session(connection: Connection, session: str) -> tuple[User, int, int, int] | None:
    """Return the reader of a session, when it was begun and last seen, and the time now; None without a session."""
    query = (
        _query()
        .add_columns(sessions.c.created_at.label("begun"), sessions.c.seen_at, clock.now().label("now"))
        .join(sessions, sessions.c.user_id == users.c.id)
        .where(sessions.c.id == session)
    )
    row = connection.execute(query).first()
    user = _user(row)
    return None if row is None or user is None else (user, row.begun, row.seen_at, row.now)


def confirm(connection: Connection, user_id: int) -> None:
    """Record that the address belongs to the reader; the account is then never deleted automatically."""
    connection.execute(
        update(users).where(users.c.id == user_id).values(confirmed_at=clock.now(), delete_at=None)
    )


def make_administrator(connection: Connection, user_id: int) -> None:
    """Let a reader write and delete pages."""
    connection.execute(update(users).where(users.c.id == user_id).values(is_admin=1))


def set_password(connection: Connection, user_id: int, password_hash: str) -> None:
    """Store another password."""
    connection.execute(update(users).where(users.c.id == user_id).values(password_hash=password_hash))


def set_email(connection: Connection, user_id: int, email: str) -> None:
    """Store another address. Raises AddressKnown."""
    try:
        connection.execute(
            update(users).where(users.c.id == user_id).values(email=email, email_key=address_key(email))
        )
    except IntegrityError:
        raise AddressKnown from None


def set_blocked(connection: Connection, user_id: int, *, is_blocked: bool) -> None:
    """Allow or forbid a reader to write comments."""
    connection.execute(update(users).where(users.c.id == user_id).values(is_blocked=int(is_blocked)))


def blocked(connection: Connection) -> Sequence[User]:
    """Return the readers who may not write comments."""
    rows = connection.execute(_query().where(users.c.is_blocked == 1).order_by(users.c.id))
    return [user for user in map(_user, rows) if user is not None]


def listed(connection: Connection, *, before: int | None, limit: int) -> Sequence[User]:
    """Return readers, the latest first; `before` is an id."""
    query = _query() if before is None else _query().where(users.c.id < before)
    rows = connection.execute(query.order_by(users.c.id.desc()).limit(limit))
    return [user for user in map(_user, rows) if user is not None]


def search(connection: Connection, text: str, *, limit: int) -> Sequence[User]:
    """Return readers whose address holds the text, in any case, the latest first."""
    query = _query().where(users.c.email_key.contains(text.casefold(), autoescape=True))
    rows = connection.execute(query.order_by(users.c.id.desc()).limit(limit))
    return [user for user in map(_user, rows) if user is not None]


def remove(connection: Connection, user_id: int) -> None:
    """Delete a reader, and the reader's sessions, links, mails, comments and reports."""
    comments.remove_of_reader(connection, user_id)
    mails.remove_of_reader(connection, user_id)
    connection.execute(delete(sessions).where(sessions.c.user_id == user_id))
    connection.execute(delete(links).where(links.c.user_id == user_id))
    connection.execute(delete(users).where(users.c.id == user_id))


def remove_overdue(connection: Connection, *, limit: int) -> int:
    """Delete readers who have not confirmed their address in time; return how many."""
    query = select(users.c.id).where(users.c.delete_at < clock.now()).limit(limit)
    ids = connection.execute(query).scalars().all()
    for user_id in ids:
        remove(connection, user_id)
    return len(ids)


def _query() -> Select[*tuple[Any, ...]]:
    names = ("id", "name", "email", "password_hash", "created_at", "confirmed_at", "is_admin", "is_blocked")
    return select(*(users.c[name] for name in names))


def _user(row: Row[*tuple[Any, ...]] | None) -> User | None:
    return None if row is None else _made(row)


def _made(row: Row[*tuple[Any, ...]]) -> User:
    return User(
        id=row.id,
        name=row.name,
        email=row.email,
        password_hash=row.password_hash,
        created_at=row.created_at,
        confirmed_at=row.confirmed_at,
        is_admin=bool(row.is_admin),
        is_blocked=bool(row.is_blocked),
    )


_NEW: Final = {
    "created_at": clock.now(),
    "delete_at": clock.now() + _UNCONFIRMED,
    "is_admin": 0,
} | bound("name", "email", "email_key", "password_hash")


def _put(dialect: str) -> Insert:
    if dialect == "sqlite":
        into_sqlite = sqlite.insert(users).values(_NEW)
        changed = _replaced(into_sqlite.excluded)
        return into_sqlite.on_conflict_do_update(index_elements=["email_key"], set_=changed)
    into_mysql = mysql.insert(users).values(_NEW)
    return into_mysql.on_duplicate_key_update(**_replaced(into_mysql.inserted))


def _replaced(new: ReadOnlyColumnCollection[str, Any]) -> dict[str, ColumnElement[Any]]:
    """Return the columns that a registration changes in an existing account: none after the address was confirmed."""
    is_free = users.c.confirmed_at.is_(None)
    changed: dict[str, ColumnElement[Any]] = {
        name: case((is_free, new[name]), else_=users.c[name]) for name in ("name", "email", "password_hash")
    }
    ends = and_(is_free, users.c.delete_at.is_not(None))
    return changed | {"delete_at": case((ends, new["delete_at"]), else_=users.c.delete_at)}


_PUT: Final = Prepared({dialect: _put(dialect) for dialect in ("sqlite", "mysql")})
_REGISTERED: Final = Prepared(
    _query()
    .add_columns(
        clock.now().label("now"),
        exists().where(outbox.c.message_id == bindparam("message")).label("is_repeated"),
    )
    .where(users.c.email_key == bindparam("key"))
)
