"""The actions of readers and administrators on comments.

A comment is shown at once if an earlier comment of the same reader was approved and the new text has no link. Any other
comment waits until an administrator approves it. The same holds for a comment that is edited. A blocked reader cannot
write any more, and the waiting comments of this reader are deleted.
"""

import hashlib
from collections.abc import Callable, Sequence
from typing import Final
from uuid import uuid4

from sqlalchemy import Connection

from mailpact.database.transactions import Database
from mailpact_producer import audit
from mailpact_producer.audit import Act
from mailpact_producer.cache import page_key
from mailpact_producer.comment_text import links_in
from mailpact_producer.errors import ReaderBlocked, TooManyComments
from mailpact_producer.invalidation import Changes, Keys
from mailpact_producer.limits import Limit, limit_key
from mailpact_producer.store import audit_log, comments, limits, pages, users
from mailpact_producer.store.comments import Comment, CommentState
from mailpact_producer.store.users import User

MOST_IN_AN_HOUR: Final = 10
"""The most comments and changes of comments of one reader in an hour."""


class Commenting:
    """Stores comments and their changes. Each change names the person who makes it."""

    def __init__(self, database: Database, changes: Changes, key: bytes) -> None:
        self._database = database
        self._changes = changes
        self._key = key

    async def write(self, user: User, page_guid: str, text: str, form: str) -> CommentState | None:
        """Store a comment and return who sees it; None if the page does not exist. A form posted twice stores one.

        Raises ReaderBlocked, TooManyComments.
        """
        once = hashlib.sha256(f"{user.id}\0{form or uuid4()}".encode()).hexdigest()
        who = audit.current.get()

        def work(connection: Connection) -> CommentState | None:
            page = pages.find(connection, page_guid)
            if page is None or not (page.is_published or user.is_admin):
                return None
            state = self._admit(connection, user, text)
            number = comments.add(connection, page_guid, user.id, text, state, once=once)
            if number is not None:
                audit_log.add(connection, who, Act.COMMENT_CREATED, audit.comment(number))
            return state

        return await self._changes.transact(work, lambda _connection: [page_key(page_guid)])

    async def change(self, user: User, comment_id: int, text: str) -> CommentState | None:
        """Store another text of the reader's own comment; None if the reader has no such comment.

        Raises ReaderBlocked, TooManyComments.
        """
        who = audit.current.get()

        def work(connection: Connection) -> CommentState | None:
            state = self._admit(connection, user, text)
            if not comments.change(connection, comment_id, user.id, text, state):
                return None
            audit_log.add(connection, who, Act.COMMENT_EDITED, audit.comment(comment_id))
            return state

        return await self._changes.transact(work, _page_of(comment_id))

    async def delete_own(self, user: User, comment_id: int) -> bool:
        """Delete the reader's own comment; False if the reader has no such comment."""
        who = audit.current.get()

        def work(connection: Connection) -> bool:
            is_done = comments.remove(connection, comment_id, user_id=user.id)
            if is_done:
                audit_log.add(connection, who, Act.COMMENT_DELETED, audit.comment(comment_id))
            return is_done

        return await self._changes.transact(work, _page_of(comment_id))

    async def find(self, comment_id: int) -> Comment | None:
        """Return a comment; None if there is no such comment."""
        return await self._database.transact(lambda connection: comments.find(connection, comment_id))

    async def report(self, user: User, comment_id: int) -> None:
        """Record that a reader reports a comment."""
        who = audit.current.get()

        def work(connection: Connection) -> None:
            found = comments.find(connection, comment_id)
            is_shown = found is not None and not found.is_waiting
            if is_shown and comments.report(connection, comment_id, user.id):
                audit_log.add(connection, who, Act.COMMENT_REPORTED, audit.comment(comment_id))

        await self._database.transact(work)

    async def queue(self) -> tuple[Sequence[Comment], Sequence[User]]:
        """Return the comments that an administrator has to check, and the blocked readers."""
        return await self._database.transact(
            lambda connection: (comments.queue(connection), users.blocked(connection))
        )

    async def approve(self, comment_id: int) -> None:
        """Show a comment to everybody."""
        await self._moderate(comment_id, comments.approve, Act.COMMENT_APPROVED)

    async def delete(self, comment_id: int) -> None:
        """Delete anybody's comment."""
        await self._moderate(comment_id, comments.remove, Act.COMMENT_REMOVED)

    async def block_author(self, comment_id: int) -> None:
        """Delete a comment, block its author, and delete the author's waiting comments; never block administrators."""
        who = audit.current.get()

        def work(connection: Connection) -> None:
            found = comments.find(connection, comment_id)
            author = users.by_id(connection, found.user_id) if found is not None else None
            if found is None or author is None or author.is_admin:
                return
            users.set_blocked(connection, author.id, is_blocked=True)
            audit_log.add(connection, who, Act.READER_BLOCKED, audit.reader(author.id))
            for each in comments.of_reader(connection, author.id):
                if each.is_waiting or each.id == comment_id:
                    comments.remove(connection, each.id)
                    audit_log.add(connection, who, Act.COMMENT_REMOVED, audit.comment(each.id))

        await self._changes.transact(work, _page_of(comment_id))

    async def unblock(self, user_id: int) -> None:
        """Let a reader write comments again."""
        who = audit.current.get()

        def work(connection: Connection) -> None:
            user = users.by_id(connection, user_id)
            if user is not None and user.is_blocked:
                users.set_blocked(connection, user_id, is_blocked=False)
                audit_log.add(connection, who, Act.READER_UNBLOCKED, audit.reader(user_id))

        await self._database.transact(work)

    async def _moderate(self, comment_id: int, do: Callable[[Connection, int], bool], act: Act) -> None:
        who = audit.current.get()

        def work(connection: Connection) -> None:
            if do(connection, comment_id):
                audit_log.add(connection, who, act, audit.comment(comment_id))

        await self._changes.transact(work, _page_of(comment_id))

    def _admit(self, connection: Connection, user: User, text: str) -> CommentState:
        current = users.by_id(connection, user.id)
        if current is None or current.is_blocked or not current.is_confirmed:
            raise ReaderBlocked
        limit = Limit(limit_key(self._key, "comment", str(user.id)), MOST_IN_AN_HOUR)
        if limits.take(connection, [limit]) is not None:
            raise TooManyComments
        is_trusted = comments.has_approved(connection, user.id) and not links_in(text)
        return CommentState.SHOWN if current.is_admin or is_trusted else CommentState.WAITING


def _page_of(comment_id: int) -> Keys:
    def keys(connection: Connection) -> Sequence[str]:
        found = comments.find(connection, comment_id)
        return [] if found is None else [page_key(found.page_guid)]

    return keys
