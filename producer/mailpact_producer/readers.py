"""What administrators see and do about readers: list readers, show the states of their mails, and send a mail again.

A mail that is sent again is a new message with a new link, and the earlier link does not work any more, because the
site has kept neither the text nor the secret of the first mail. A mail whose content is no longer true is not sent
again: a confirmed address needs no confirmation, and a change of address that the reader has given up stays given up.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from sqlalchemy import Connection

from mailpact.database.transactions import Database
from mailpact_producer import audit, mails
from mailpact_producer.audit import Act
from mailpact_producer.mail_gate import MailGate
from mailpact_producer.mailer import Mailer
from mailpact_producer.mails import Mail
from mailpact_producer.store import audit_log, links, users
from mailpact_producer.store import mails as mail_rows
from mailpact_producer.store.mails import SentMail
from mailpact_producer.store.users import User
from mailpact_producer.tokens import LinkPurpose, at_rest

MOST_LISTED: Final = 50
"""Readers on one page of the list, and readers that a search finds at most."""


@dataclass(frozen=True, slots=True)
class Record:
    """A reader and the reader's mails, the latest first; `sendable` are the ids of the mails that can be sent again.

    Of the mails of one template only the latest can be sent again, because its link has replaced the earlier links.
    """

    user: User
    mails: Sequence[SentMail]
    sendable: frozenset[str]


class Again(Enum):
    """The result of the request to send a mail again."""

    SENT = auto()
    NO_USE = auto()  # the content of the mail is no longer true
    OVER_LIMIT = auto()
    UNKNOWN = auto()  # the reader has no such mail


class Readers:
    """Lists readers and sends their mails again; `new_secret` returns 256 random bits as text."""

    def __init__(
        self, database: Database, mailer: Mailer, gate: MailGate, *, new_secret: Callable[[], str]
    ) -> None:
        self._database = database
        self._mailer = mailer
        self._gate = gate
        self._new_secret = new_secret

    async def listed(self, *, before: int | None) -> tuple[Sequence[User], bool]:
        """Return readers, the latest first, and whether there are more; `before` is an id."""
        found = await self._database.transact(
            lambda connection: users.listed(connection, before=before, limit=MOST_LISTED + 1)
        )
        return found[:MOST_LISTED], len(found) > MOST_LISTED

    async def search(self, text: str) -> tuple[Sequence[User], bool]:
        """Return readers whose address holds the text, and whether there are more."""
        found = await self._database.transact(
            lambda connection: users.search(connection, text, limit=MOST_LISTED + 1)
        )
        return found[:MOST_LISTED], len(found) > MOST_LISTED

    async def find(self, user_id: int) -> Record | None:
        """Return a reader; None if there is none."""

        def work(connection: Connection) -> Record | None:
            user = users.by_id(connection, user_id)
            if user is None:
                return None
            sent = mail_rows.of_reader(connection, user_id)
            wanted = links.wanted_address(connection, user_id)
            latest = {mail.template: mail for mail in reversed(sent)}.values()
            sendable = frozenset(
                mail.message_id
                for mail in latest
                if mail.state != "waiting" and is_of_use(user, mail, wanted=wanted)
            )
            return Record(user, sent, sendable)

        return await self._database.transact(work)

    async def send_again(self, user_id: int, message_id: str, form: str, *, overrides_limit: bool) -> Again:
        """Send a reader's mail again, with a new link, and note it in the audit log.

        The mail counts for its mailbox as any other mail, unless the administrator `overrides_limit`.
        """
        known = await self._database.transact(
            lambda connection: mail_rows.find(connection, message_id, user_id=user_id)
        )
        if known is None:
            return Again.UNKNOWN
        if not (overrides_limit or await self._gate.admit_mailbox(known.email)):
            return Again.OVER_LIMIT
        message = self._mailer.new_message(form, "again", message_id)
        secret, who = self._new_secret(), audit.current.get()

        def work(connection: Connection) -> Again:
            user = users.by_id(connection, user_id)  # its row is locked from here on
            if user is None:
                return Again.UNKNOWN
            if self._mailer.holds(connection, message):
                return Again.SENT
            if not is_of_use(user, known, wanted=links.wanted_address(connection, user_id)):
                return Again.NO_USE
            mail = self._mail(connection, user, known, secret)
            self._mailer.enqueue(connection, mail, message, user_id=user.id)
            on = audit.mail(user.id, message.id)
            audit_log.add(connection, who, Act.MAIL_SENT_AGAIN, on)
            if overrides_limit:
                audit_log.add(connection, who, Act.LIMIT_OVERRIDDEN, on)
            return Again.SENT

        result = await self._database.transact(work)
        if result is Again.SENT:
            self._mailer.committed(message)
        return result

    def _mail(self, connection: Connection, user: User, known: SentMail, secret: str) -> Mail:
        texts, hashed = self._mailer.texts, at_rest(secret)
        match known.template:
            case mails.CONFIRM_ADDRESS:
                end = links.add(connection, hashed, LinkPurpose.CONFIRM, user.id)
                return texts.confirm_address(user.email, user.name, secret, end)
            case mails.RESET_PASSWORD:
                end = links.add(connection, hashed, LinkPurpose.RESET, user.id)
                return texts.reset_password(user.email, user.name, secret, end)
            case mails.CHANGE_ADDRESS:
                end = links.add(connection, hashed, LinkPurpose.CHANGE, user.id, email=known.email)
                return texts.change_address(known.email, user.name, secret, end)
            case mails.ACCOUNT_EXISTS:
                return texts.account_exists(known.email, user.name)
            case mails.PASSWORD_CHANGED:
                return texts.password_changed(known.email, user.name)
            case _:
                return texts.address_changed(known.email, user.name)


def is_of_use(user: User, mail: SentMail, *, wanted: str | None) -> bool:
    """Return whether a mail's content is still true; `wanted` is the address that the reader wants to change to."""
    match mail.template:
        case mails.CONFIRM_ADDRESS:
            return not user.is_confirmed
        case mails.CHANGE_ADDRESS:
            return wanted is not None and wanted == mail.email
        case mails.ACCOUNT_EXISTS | mails.RESET_PASSWORD:
            return mail.email == user.email
        case _:
            return mail.template in (mails.PASSWORD_CHANGED, mails.ADDRESS_CHANGED)
