"""Answers operators' questions from the inbox: the outcome of a message, or of the mails to an address.

The inbox stores no addresses, only hashes. An address is searched in the given form, and with its domain in lower
case.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Select, func, or_, select

from mailpact_consumer.database_clock import EPOCH
from mailpact_consumer.decide import State
from mailpact_consumer.liveness import is_alive
from mailpact_consumer.schema import inbox, owners

MOST_ROWS = 100


@dataclass(frozen=True, slots=True)
class Mail:
    """One message for one recipient in the inbox. Times have a time zone and come from the database's clock.

    `owner_is_alive` is used only for a mail that is being sent. `uncertain` counts possible additional copies,
    because a consumer ended during the sending. `unanswered` counts the tries in which the mail server got the whole
    mail and never answered.
    """

    message_id: str
    publisher_id: str | None
    recipient_sha256: str
    state: State
    owner_is_alive: bool
    attempts: int
    uncertain: int
    unanswered: int
    first_seen: datetime
    next_try_at: datetime | None
    ended_at: datetime | None
    last_reply: str | None


def mails_of_message(connection: Connection, message_id: str) -> Sequence[Mail]:
    """Return the mails of a message, found by its key or by the publisher's id; at most 100."""
    named = or_(inbox.c.message_id == message_id.lower(), inbox.c.publisher_id == message_id)
    return _read(connection, _query().where(named))


def mails_to_address(connection: Connection, address: str) -> Sequence[Mail]:
    """Return the newest mails to an address, at most 100."""
    return _read(connection, _query().where(inbox.c.recipient_sha256.in_(hashes_of(address))))


def hashes_of(address: str) -> Sequence[str]:
    """Return the hashes under which mail to an address may be recorded."""
    local, at, domain = address.rpartition("@")
    forms = dict.fromkeys((address, f"{local}{at}{domain.lower()}"))
    return [hashlib.sha256(form.encode()).hexdigest() for form in forms]


def states(connection: Connection, message_ids: Sequence[str]) -> dict[tuple[str, str], State]:
    """Return the state of each mail of these messages, by message id and hash of the recipient."""
    query = select(inbox.c.message_id, inbox.c.recipient_sha256, inbox.c.state)
    query = query.where(inbox.c.message_id.in_(set(message_ids)))
    return {(row.message_id, row.recipient_sha256): State(row.state) for row in connection.execute(query)}


def _query() -> Select[Any]:
    alive = func.coalesce(is_alive(), 0).label("owner_is_alive")
    return (
        select(inbox, alive)
        .join_from(inbox, owners, inbox.c.owner == owners.c.owner, isouter=True)
        .order_by(inbox.c.first_seen.desc(), inbox.c.recipient_sha256)
        .limit(MOST_ROWS)
    )


def _read(connection: Connection, query: Select[Any]) -> Sequence[Mail]:
    return [
        Mail(
            message_id=row.message_id,
            publisher_id=row.publisher_id,
            recipient_sha256=row.recipient_sha256,
            state=State(row.state),
            owner_is_alive=bool(row.owner_is_alive),
            attempts=row.attempts,
            uncertain=row.uncertain,
            unanswered=row.unanswered,
            first_seen=_moment(row.first_seen),
            next_try_at=None if row.next_try_at is None else _moment(row.next_try_at),
            ended_at=None if row.ended_at is None else _moment(row.ended_at),
            last_reply=row.last_reply,
        )
        for row in connection.execute(query)
    ]


def _moment(stored: int) -> datetime:
    return EPOCH + timedelta(microseconds=stored)
