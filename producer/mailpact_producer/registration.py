"""Registers readers and confirms their addresses.

A registration stores an unconfirmed reader, the hash of a link, and the message with that link, in one transaction. A
known address costs the same work, a hash and a transaction with the same statements, and the caller gets the same
result, so that nobody can find out who is registered. Before an address is confirmed, a new registration replaces the
earlier registration and its link, so that nobody can prepare an account for somebody else.
"""

from sqlalchemy import Connection

from mailpact_producer.account_work import AccountWork
from mailpact_producer.accounts import Registration
from mailpact_producer.mail_gate import MailRequest
from mailpact_producer.mailer import NewMessage
from mailpact_producer.store import links, users
from mailpact_producer.store.links import Link
from mailpact_producer.store.users import User
from mailpact_producer.tokens import LinkPurpose, at_rest

_WHAT = "register"


class Registrar(AccountWork):
    """Registers readers."""

    async def register(self, registration: Registration, form: str, request: MailRequest) -> None:
        """Store reader, link and message; for a confirmed reader store only the message that the account exists.

        Nothing is stored if the mailbox has reached its limit. Raises NetworkFull, TooBusy, DatabaseUnavailable; then
        nothing is stored. Raises CommitUnknown: then all may be stored, the relay finds the message by itself, and
        registering again does no harm.
        """
        with self.gate.working_on(request):
            password_hash = await self.passwords.hash(registration.password)
            message = self.mailer.new_message(form, _WHAT, registration.email)
            secret = self.new_secret()

            def work(connection: Connection) -> bool:
                found = users.put(
                    connection, registration, password_hash=password_hash, message_id=message.id
                )
                if not found.is_repeated:
                    self._write(connection, found.user, message, secret, now=found.now)
                return not found.is_repeated

            if await self.gate.transact(request, work):
                self.mailer.committed(message)

    async def send_again(self, email: str, form: str, request: MailRequest) -> None:
        """Send a reader the mail of a registration once more, and nothing to an unknown address.

        Raises NetworkFull.
        """
        message = self.mailer.new_message(form, _WHAT, email)
        secret = self.new_secret()

        def work(connection: Connection) -> bool:
            user = users.find(
                connection, email
            )  # its row is locked from here on, so one form cannot enqueue twice
            if user is None or self.mailer.holds(connection, message):
                return False
            self._write(connection, user, message, secret)
            return True

        if await self.gate.transact(request, work):
            self.mailer.committed(message)

    async def look(self, secret: str) -> tuple[Link, User] | None:
        """Return the link with this secret and its reader, changing nothing; None without such a link."""
        return await self.database.transact(lambda connection: _link(connection, secret))

    async def confirm(self, secret: str) -> bool:
        """Confirm the address that the link was mailed to; False if the link does not work (any more)."""

        def work(connection: Connection) -> bool:
            found = _link(connection, secret)
            if found is None or not found[0].works:
                return False
            links.use(connection, at_rest(secret))
            users.confirm(connection, found[0].user_id)
            return True

        return await self.database.transact(work)

    async def disown(self, secret: str) -> bool:
        """Delete the unconfirmed reader whose link this is; False if the link does not work (any more)."""

        def work(connection: Connection) -> bool:
            found = _link(connection, secret)
            if found is None or not found[0].works or found[1].is_confirmed:
                return False
            users.remove(connection, found[0].user_id)
            return True

        return await self.database.transact(work)

    def _write(
        self, connection: Connection, user: User, message: NewMessage, secret: str, *, now: int | None = None
    ) -> None:
        texts, hashed = self.mailer.texts, at_rest(secret)
        # A confirmed reader gets no link. A link that never works is stored, so that the work is the same.
        expires_at = links.add(
            connection, hashed, LinkPurpose.CONFIRM, user.id, now=now, is_spent=user.is_confirmed
        )
        if user.is_confirmed:
            mail = texts.account_exists(user.email, user.name)
        else:
            mail = texts.confirm_address(user.email, user.name, secret, expires_at)
        self.mailer.enqueue(connection, mail, message, user_id=user.id)


def _link(connection: Connection, secret: str) -> tuple[Link, User] | None:
    link = links.find(connection, at_rest(secret), LinkPurpose.CONFIRM)
    user = users.by_id(connection, link.user_id) if link is not None else None
    return None if link is None or user is None else (link, user)
