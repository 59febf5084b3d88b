"""The actions of readers on their own account: change the password or the address, export their data, delete it.

Each change asks for the password once more, so that an open session alone is not enough to take an account over.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from sqlalchemy import Connection

from mailpact.database import clock
from mailpact_producer import audit
from mailpact_producer.account_work import AccountWork
from mailpact_producer.audit import Act
from mailpact_producer.cache import ALL_PAGES
from mailpact_producer.errors import AddressKnown
from mailpact_producer.invalidation import Changes
from mailpact_producer.mail_gate import MailRequest
from mailpact_producer.mails import CHANGE_ADDRESS
from mailpact_producer.store import audit_log, comments, links, mails, sessions, users
from mailpact_producer.store.comments import Comment
from mailpact_producer.store.links import Link
from mailpact_producer.store.mails import SentMail
from mailpact_producer.store.users import User
from mailpact_producer.tokens import LinkPurpose, at_rest


@dataclass(frozen=True, slots=True)
class Profile(AccountWork):
    """Changes accounts of readers who are logged in."""

    changes: Changes

    async def knows_password(self, user: User, password: str) -> bool:
        """Return whether this is the reader's password. Raises TooBusy."""
        return await self.passwords.matches(user.password_hash, password)

    async def change_password(self, user: User, password: str, form: str, *, session: str) -> None:
        """Store another password, end all other sessions, and tell the reader."""
        password_hash = await self.passwords.hash(password)
        message = self.mailer.new_message(form, "password", user.email)
        who = audit.current.get()

        def work(connection: Connection) -> bool:
            # The reader's row is locked, so that a form that is posted twice sends one mail.
            if users.by_id(connection, user.id) is None or self.mailer.holds(connection, message):
                return False
            users.set_password(connection, user.id, password_hash)
            sessions.end_all(connection, user.id, but=at_rest(session))
            links.void(connection, LinkPurpose.RESET, user.id)
            links.void(connection, LinkPurpose.CHANGE, user.id)
            audit_log.add(connection, who, Act.PASSWORD_CHANGED, audit.reader(user.id))
            mail = self.mailer.texts.password_changed(user.email, user.name)
            self.mailer.enqueue(connection, mail, message, user_id=user.id)
            return True

        if await self.database.transact(work):
            self.mailer.committed(message)

    async def ask_for_address(self, user: User, email: str, form: str, request: MailRequest) -> None:
        """Send a link to the new address; if that address has an account, send the mail that says so.

        Raises NetworkFull.
        """
        message = self.mailer.new_message(form, "change", email)
        secret = self.new_secret()
        texts = self.mailer.texts

        def work(connection: Connection) -> bool:
            if users.by_id(connection, user.id) is None or self.mailer.holds(connection, message):
                return False
            owner = users.find(connection, email)
            if owner is not None and owner.id != user.id:
                whose, mail = owner.id, texts.account_exists(owner.email, owner.name)
            else:
                whose, hashed = user.id, at_rest(secret)
                expires_at = links.add(connection, hashed, LinkPurpose.CHANGE, user.id, email=email)
                mail = texts.change_address(email, user.name, secret, expires_at)
            self.mailer.enqueue(connection, mail, message, user_id=whose)
            return True

        if await self.gate.transact(request, work):
            self.mailer.committed(message)

    async def look(self, secret: str) -> Link | None:
        """Return the link for a change of address, changing nothing; None without such a link."""
        return await self.database.transact(
            lambda connection: links.find(connection, at_rest(secret), LinkPurpose.CHANGE)
        )

    async def change_address(self, secret: str) -> bool:
        """Store the new address and tell the old one; False if the link does not work (any more)."""
        message = self.mailer.new_message()
        who = audit.current.get()

        def work(connection: Connection) -> bool:
            link = links.find(connection, at_rest(secret), LinkPurpose.CHANGE)
            user = users.by_id(connection, link.user_id) if link is not None and link.works else None
            if user is None or link is None or link.email is None:
                return False
            users.set_email(connection, user.id, link.email)
            links.use(connection, at_rest(secret))
            links.void(connection, LinkPurpose.RESET, user.id)
            owner = replace(who, account=user.id)  # the person who opens the link, perhaps without a session
            audit_log.add(connection, owner, Act.ADDRESS_CHANGED, audit.reader(user.id))
            mail = self.mailer.texts.address_changed(user.email, user.name)
            self.mailer.enqueue(connection, mail, message, user_id=user.id)
            return True

        try:
            is_done = await self.database.transact(work)
        except AddressKnown:
            return False  # another person has registered the address since
        if is_done:
            self.mailer.committed(message)
        return is_done

    async def disown_change(self, secret: str) -> bool:
        """End the link for a change of address; False if it does not work (any more)."""

        def work(connection: Connection) -> bool:
            link = links.find(connection, at_rest(secret), LinkPurpose.CHANGE)
            if link is None or not link.works:
                return False
            links.void(connection, LinkPurpose.CHANGE, link.user_id)
            return True

        return await self.database.transact(work)

    async def export(self, user: User) -> Mapping[str, object]:
        """Return what is stored about a reader, as names and values for people."""
        who = audit.current.get()

        def work(connection: Connection) -> tuple[Sequence[Comment], Sequence[SentMail]]:
            audit_log.add(connection, who, Act.ACCOUNT_EXPORTED, audit.reader(user.id))
            return comments.of_reader(connection, user.id), mails.of_reader(connection, user.id)

        return exported(user, *await self.database.transact(work))

    async def delete(self, user: User) -> None:
        """Delete the account and all that belongs to it, and tell the reader."""
        message = self.mailer.new_message()
        who = audit.current.get()

        def work(connection: Connection) -> bool:
            if users.by_id(connection, user.id) is None:
                return False
            users.remove(connection, user.id)
            audit_log.add(connection, who, Act.ACCOUNT_DELETED, audit.reader(user.id))
            mail = self.mailer.texts.account_deleted(user.email, user.name)
            self.mailer.enqueue(connection, mail, message)
            return True

        def keys(connection: Connection) -> Sequence[str]:
            written = comments.of_reader(connection, user.id)
            return [ALL_PAGES] if written else []

        if await self.changes.transact(work, keys):
            self.mailer.committed(message)


def exported(user: User, written: Sequence[Comment], mailed: Sequence[SentMail]) -> Mapping[str, object]:
    """Return the stored data about a reader, as names and values for people.

    Mails that asked to confirm another address are left out; otherwise the file would reveal whether an address that
    the reader wanted belongs to an account.
    """
    return {
        "name": user.name,
        "email": user.email,
        "registered_at": _iso(user.created_at),
        "confirmed_at": _iso(user.confirmed_at),
        "comments": [
            {"page": comment.page_guid, "written_at": comment.created_at.isoformat(), "text": comment.body}
            for comment in written
        ],
        "mails": [
            {"mail": mail.template, "to": mail.email, "at": _iso(mail.made_at), "state": mail.state}
            for mail in mailed
            if mail.template != CHANGE_ADDRESS
        ],
    }


def _iso(moment: int | None) -> str | None:
    return None if moment is None else datetime.fromtimestamp(moment // clock.SECOND, UTC).isoformat()
