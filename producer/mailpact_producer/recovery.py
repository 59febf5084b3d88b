"""Lets readers who have forgotten their password choose a new one, by a link to their address.

A person who opens the link has proved that the address is theirs, so the address counts as confirmed, too. All sessions
end, and a mail reports the change.
"""

from dataclasses import replace

from sqlalchemy import Connection

from mailpact_producer import audit
from mailpact_producer.account_work import AccountWork
from mailpact_producer.audit import Act
from mailpact_producer.mail_gate import MailRequest
from mailpact_producer.store import audit_log, links, sessions, users
from mailpact_producer.store.links import Link
from mailpact_producer.tokens import LinkPurpose, at_rest


class Recovery(AccountWork):
    """Mails links for new passwords and takes the passwords."""

    async def ask(self, email: str, form: str, request: MailRequest) -> None:
        """Send a link to a reader, and nothing to an unknown address. Raises NetworkFull."""
        message = self.mailer.new_message(form, "reset", email)
        secret = self.new_secret()

        def work(connection: Connection) -> bool:
            user = users.find(connection, email)
            if user is None or self.mailer.holds(connection, message):
                return False
            expires_at = links.add(connection, at_rest(secret), LinkPurpose.RESET, user.id)
            mail = self.mailer.texts.reset_password(user.email, user.name, secret, expires_at)
            self.mailer.enqueue(connection, mail, message, user_id=user.id)
            return True

        if await self.gate.transact(request, work):
            self.mailer.committed(message)

    async def look(self, secret: str) -> Link | None:
        """Return the link with this secret, changing nothing; None without such a link."""
        return await self.database.transact(
            lambda connection: links.find(connection, at_rest(secret), LinkPurpose.RESET)
        )

    async def choose(self, secret: str, password: str) -> bool:
        """Store the new password; False if the link does not work (any more). Raises TooBusy."""
        password_hash = await self.passwords.hash(password)
        message = self.mailer.new_message()
        who = audit.current.get()

        def work(connection: Connection) -> bool:
            link = links.find(connection, at_rest(secret), LinkPurpose.RESET)
            user = users.by_id(connection, link.user_id) if link is not None and link.works else None
            if user is None:
                return False
            links.use(connection, at_rest(secret))
            links.void(connection, LinkPurpose.CHANGE, user.id)
            users.set_password(connection, user.id, password_hash)
            users.confirm(connection, user.id)
            sessions.end_all(connection, user.id)
            owner = replace(who, account=user.id)
            audit_log.add(connection, owner, Act.PASSWORD_RESET, audit.reader(user.id))
            mail = self.mailer.texts.password_changed(user.email, user.name)
            self.mailer.enqueue(connection, mail, message, user_id=user.id)
            return True

        is_done = await self.database.transact(work)
        if is_done:
            self.mailer.committed(message)
        return is_done
