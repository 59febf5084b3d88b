"""The entries of the audit log: who did what, on which object, and from which network.

Each entry is also logged once it is committed, so that it goes to the exchange `logs` like any log record.

An entry names accounts, pages, comments and mails by their ids. It holds no address, name, password, token or text.
"""

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final


class Act(StrEnum):
    """The action of an entry."""

    LOGGED_IN = "logged-in"
    LOGIN_FAILED = "login-failed"
    LOGGED_OUT = "logged-out"
    PASSWORD_CHANGED = "password-changed"  # noqa: S105  # an act's name
    PASSWORD_RESET = "password-reset"  # noqa: S105  # an act's name
    ADDRESS_CHANGED = "address-changed"
    ACCOUNT_EXPORTED = "account-exported"
    ACCOUNT_DELETED = "account-deleted"
    ADMIN_CREATED = "admin-created"
    READER_BLOCKED = "reader-blocked"
    READER_UNBLOCKED = "reader-unblocked"
    MAIL_SENT_AGAIN = "mail-sent-again"
    LIMIT_OVERRIDDEN = "limit-overridden"  # a mail sent again to a mailbox that has had its mails of the hour
    PAGE_CREATED = "page-created"
    PAGE_EDITED = "page-edited"
    PAGE_PUBLISHED = "page-published"
    PAGE_DELETED = "page-deleted"
    COMMENT_CREATED = "comment-created"
    COMMENT_EDITED = "comment-edited"
    COMMENT_DELETED = "comment-deleted"
    COMMENT_REPORTED = "comment-reported"
    COMMENT_APPROVED = "comment-approved"
    COMMENT_REMOVED = "comment-removed"  # by an administrator


def _at_once(act: Callable[[], object]) -> object:
    return act()


@dataclass(frozen=True, slots=True)
class Who:
    """The actor: the id of an account, or None; and the /24 or /64 network of the request.

    `soon` runs a function that logs an entry, in the thread in which the program logs.
    """

    account: int | None
    network: str
    soon: Callable[[Callable[[], object]], object] = field(default=_at_once, repr=False, compare=False)


OPERATOR: Final = Who(None, "command line")

current: Final[ContextVar[Who]] = ContextVar("who", default=OPERATOR)
"""Who sent the request that is served now."""


def reader(user_id: int) -> str:
    """Return the name of an account in the audit log."""
    return f"reader/{user_id}"


def page(guid: str) -> str:
    """Return the name of a page in the audit log."""
    return f"page/{guid}"


def comment(comment_id: int) -> str:
    """Return the name of a comment in the audit log."""
    return f"comment/{comment_id}"


def mail(user_id: int, message_id: str) -> str:
    """Return the name of a reader's mail in the audit log."""
    return f"reader/{user_id}/mail/{message_id}"
