"""Links that are mailed: each is for one purpose and one reader, works once, and is stored as its hash."""

from dataclasses import dataclass, field
from typing import Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update

from mailpact.database import clock
from mailpact_producer.store.prepared import Prepared, bound
from mailpact_producer.store.schema import links
from mailpact_producer.tokens import VALID_MINUTES, LinkPurpose

KEPT_SECONDS: Final = 30 * 24 * 3600  # after its end, so that an old link is still told from an invented one

_NOW = select(clock.now())
_ADD = Prepared(insert(links).values(bound("id", "purpose", "user_id", "email", "expires_at")))
_VOID = Prepared(
    update(links)
    .where(
        links.c.user_id == bindparam("reader"),
        links.c.purpose == bindparam("wanted"),
        links.c.used_at.is_(None),
    )
    .values(expires_at=clock.now() - clock.SECOND)
)


@dataclass(frozen=True, slots=True)
class Link:
    """A link that was mailed; `email` is the new address for a change of address."""

    user_id: int
    email: str | None = field(repr=False)
    is_used: bool
    is_expired: bool

    @property
    def works(self) -> bool:
        """Return whether the link can be used now."""
        return not self.is_used and not self.is_expired


def add(
    connection: Connection,
    hashed: str,
    purpose: LinkPurpose,
    user_id: int,
    *,
    email: str | None = None,
    now: int | None = None,
    is_spent: bool = False,
) -> int:
    """Store a link, whose secret is `hashed`, in place of the reader's earlier links for this purpose.

    Return the end of the link. `now` is the time if the caller has read the time in this transaction; both are in
    microseconds since 1970 by the database's clock. A link that `is_spent` never works.
    """
    void(connection, purpose, user_id)
    if now is None:
        now = connection.execute(_NOW).scalar_one()
    expires_at = now if is_spent else now + VALID_MINUTES[purpose] * 60 * clock.SECOND
    new = {"id": hashed, "purpose": purpose, "user_id": user_id, "email": email, "expires_at": expires_at}
    _ADD.write(connection, new)
    return expires_at


def find(connection: Connection, hashed: str, purpose: LinkPurpose) -> Link | None:
    """Return a link and keep other transactions from using it; None if there is none for this purpose."""
    query = (
        select(links.c.user_id, links.c.email, links.c.used_at, links.c.expires_at, clock.now().label("now"))
        .where(links.c.id == hashed, links.c.purpose == purpose)
        .with_for_update()
    )
    row = connection.execute(query).first()
    if row is None:
        return None
    return Link(row.user_id, row.email, row.used_at is not None, row.expires_at <= row.now)


def wanted_address(connection: Connection, user_id: int) -> str | None:
    """Return the address that a link of the reader, which works, would change the account to; None without one."""
    query = select(links.c.email).where(
        links.c.user_id == user_id,
        links.c.purpose == LinkPurpose.CHANGE,
        links.c.used_at.is_(None),
        links.c.expires_at > clock.now(),
    )
    email: str | None = connection.execute(query).scalars().first()
    return email


def use(connection: Connection, hashed: str) -> None:
    """Record that the link was used."""
    connection.execute(update(links).where(links.c.id == hashed).values(used_at=clock.now()))


def void(connection: Connection, purpose: LinkPurpose, user_id: int) -> None:
    """Make the reader's unused links for a purpose invalid."""
    _VOID.write(connection, {"reader": user_id, "wanted": purpose})


def purge(connection: Connection) -> int:
    """Delete links that ended long ago; return how many."""
    return connection.execute(
        delete(links).where(links.c.expires_at < clock.now() - KEPT_SECONDS * clock.SECOND)
    ).rowcount
