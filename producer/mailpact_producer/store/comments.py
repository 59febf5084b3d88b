"""The comments on pages, and the reports about comments.

A change of a reader's own comment names the reader and the comment, so that a reader cannot change another reader's
comment by its number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Final

from sqlalchemy import Connection, Row, Select, delete, exists, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from mailpact.database import clock
from mailpact_producer.store.schema import comments, reports, users

QUEUE_LENGTH: Final = 100
"""Most comments that are shown to an administrator at once."""


class CommentState(StrEnum):
    """The people who see a comment."""

    SHOWN = "shown"  # everybody
    WAITING = "waiting"  # its author and administrators, until an administrator approves the comment


@dataclass(frozen=True, slots=True)
class Comment:
    """A comment with its author's name."""

    id: int
    page_guid: str
    user_id: int
    name: str = field(repr=False)
    body: str
    state: CommentState
    created_at: datetime
    is_edited: bool
    is_reported: bool

    @property
    def is_waiting(self) -> bool:
        """Return whether an administrator has yet to approve the comment."""
        return self.state is CommentState.WAITING


def listed(
    connection: Connection, page_guid: str, *, viewer: int | None, is_admin: bool, offset: int, limit: int
) -> Sequence[Comment]:
    """Return the comments on a page that the viewer may see, the oldest first; `viewer` is a reader's id."""
    query = _query().where(comments.c.page_guid == page_guid)
    if not is_admin:
        query = query.where(or_(comments.c.state == CommentState.SHOWN, comments.c.user_id == viewer))
    rows = connection.execute(query.order_by(comments.c.id).offset(offset).limit(limit))
    return [_comment(row) for row in rows]


def shown_after(connection: Connection, page_guid: str, after: int, limit: int) -> Sequence[Comment]:
    """Return the comments on a page that everybody may see, the oldest first, from the first id above `after` on."""
    query = _query().where(
        comments.c.page_guid == page_guid, comments.c.state == CommentState.SHOWN, comments.c.id > after
    )
    return [_comment(row) for row in connection.execute(query.order_by(comments.c.id).limit(limit))]


def queue(connection: Connection) -> Sequence[Comment]:
    """Return the comments that wait for approval or are reported, the oldest first."""
    query = _query().where(or_(comments.c.state == CommentState.WAITING, _is_reported()))
    return [_comment(row) for row in connection.execute(query.order_by(comments.c.id).limit(QUEUE_LENGTH))]


def of_reader(connection: Connection, user_id: int) -> Sequence[Comment]:
    """Return all comments of a reader, the oldest first."""
    query = _query().where(comments.c.user_id == user_id).order_by(comments.c.id)
    return [_comment(row) for row in connection.execute(query)]


def find(connection: Connection, comment_id: int) -> Comment | None:
    """Return one comment; None if there is no such comment."""
    row = connection.execute(_query().where(comments.c.id == comment_id)).first()
    return None if row is None else _comment(row)


def has_approved(connection: Connection, user_id: int) -> bool:
    """Return whether a comment of the reader is shown to everybody."""
    query = select(comments.c.id).where(comments.c.user_id == user_id, comments.c.state == CommentState.SHOWN)
    return connection.execute(query.limit(1)).first() is not None


def add(
    connection: Connection, page_guid: str, user_id: int, body: str, state: CommentState, *, once: str
) -> int | None:
    """Store a comment and return its id; None if a comment was stored under `once` before."""
    new = insert(comments).values(
        page_guid=page_guid, user_id=user_id, body=body, state=state, created_at=clock.now(), once=once
    )
    try:
        key = connection.execute(new).inserted_primary_key
    except IntegrityError:
        return None
    return None if key is None else int(key[0])


def change(connection: Connection, comment_id: int, user_id: int, body: str, state: CommentState) -> bool:
    """Store another text of a reader's own comment; False if the reader has no such comment."""
    own = update(comments).where(comments.c.id == comment_id, comments.c.user_id == user_id)
    return connection.execute(own.values(body=body, state=state, edited_at=clock.now())).rowcount > 0


def remove(connection: Connection, comment_id: int, *, user_id: int | None = None) -> bool:
    """Delete a comment; with `user_id` only if it is that reader's own. False if there is no such comment."""
    found = delete(comments).where(comments.c.id == comment_id)
    if user_id is not None:
        found = found.where(comments.c.user_id == user_id)
    if not connection.execute(found).rowcount:
        return False
    connection.execute(delete(reports).where(reports.c.comment_id == comment_id))
    return True


def remove_of_page(connection: Connection, page_guid: str) -> None:
    """Delete the comments on a page."""
    of_page = select(comments.c.id).where(comments.c.page_guid == page_guid)
    connection.execute(delete(reports).where(reports.c.comment_id.in_(of_page)))
    connection.execute(delete(comments).where(comments.c.page_guid == page_guid))


def remove_of_reader(connection: Connection, user_id: int) -> None:
    """Delete the comments and the reports of a reader."""
    of_reader_ = select(comments.c.id).where(comments.c.user_id == user_id)
    connection.execute(
        delete(reports).where(or_(reports.c.comment_id.in_(of_reader_), reports.c.user_id == user_id))
    )
    connection.execute(delete(comments).where(comments.c.user_id == user_id))


def report(connection: Connection, comment_id: int, user_id: int) -> bool:
    """Record that a reader reports a comment; return False if the reader has reported the comment before."""
    known = select(reports.c.user_id).where(reports.c.comment_id == comment_id, reports.c.user_id == user_id)
    if connection.execute(known).first() is not None:
        return False
    connection.execute(insert(reports).values(comment_id=comment_id, user_id=user_id, created_at=clock.now()))
    return True


def approve(connection: Connection, comment_id: int) -> bool:
    """Show a comment to everybody and forget the reports; False if there is no such comment."""
    shown = update(comments).where(comments.c.id == comment_id).values(state=CommentState.SHOWN)
    connection.execute(delete(reports).where(reports.c.comment_id == comment_id))
    return connection.execute(shown).rowcount > 0


def _is_reported() -> Any:
    return exists(select(reports.c.comment_id).where(reports.c.comment_id == comments.c.id))


def _query() -> Select[*tuple[Any, ...]]:
    return select(comments, users.c.name, _is_reported().label("is_reported")).join(
        users, users.c.id == comments.c.user_id
    )


def _comment(row: Row[*tuple[Any, ...]]) -> Comment:
    return Comment(
        id=row.id,
        page_guid=row.page_guid,
        user_id=row.user_id,
        name=row.name,
        body=row.body,
        state=CommentState(row.state),
        created_at=datetime.fromtimestamp(row.created_at / clock.SECOND, UTC),
        is_edited=row.edited_at is not None,
        is_reported=bool(row.is_reported),
    )
