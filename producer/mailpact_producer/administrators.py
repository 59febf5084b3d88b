"""Makes administrators of the site. The operator's command writes to the database; the running site sends the mail.

The account has no password until its owner chooses one by the mailed link. If the account's address was never
confirmed, somebody else may have made the account, so its password and its sessions become invalid.
"""

import time
from collections.abc import Callable
from contextlib import suppress

from sqlalchemy import Connection

from mailpact.contracts import catalogue
from mailpact.database.transactions import Database
from mailpact.settings import SettingsError
from mailpact.telemetry import Journey
from mailpact_producer import audit
from mailpact_producer.accounts import Registration, Wrong, read_email
from mailpact_producer.audit import OPERATOR, Act
from mailpact_producer.errors import AddressKnown, ContractBroken
from mailpact_producer.events import CONTRACT, Writer
from mailpact_producer.mailer import Mailer
from mailpact_producer.mails import MailTexts
from mailpact_producer.passwords import PasswordHashing
from mailpact_producer.store import audit_log, links, pages, schema, sessions, users
from mailpact_producer.store.users import User
from mailpact_producer.tokens import LinkPurpose, at_rest

NAME = "Administrator"


async def make_administrator(
    database: Database, typed: str, *, base_url: str, site_name: str, new_secret: Callable[[], str]
) -> str:
    """Make an administrator of the account with this address, or of a new one, and enqueue the mail with the link.

    Return the address as it is stored. Raises SettingsError for an address or a base URL that is not allowed in a mail,
    DatabaseUnavailable and SchemaUnknown.
    """
    await schema.prepare(database)
    writer = Writer(catalogue.load(), CONTRACT)
    try:
        email = read_email(typed, writer.is_mailable)
    except Wrong as wrong:
        raise SettingsError(str(wrong)) from None
    mailer = Mailer(
        writer,
        MailTexts(base_url, site_name),
        Journey(),
        await database.transact(pages.signing_key),
        claim_ahead=lambda: None,  # the relay of a site looks for the message
        hand_over=lambda row: None,
        now_seconds=time.time,
    )
    hashing = PasswordHashing(1)
    try:
        unknown = await hashing.hash(new_secret())
    finally:
        await hashing.close()
    secret, message = new_secret(), mailer.new_message()

    def work(connection: Connection) -> None:
        user = _account(connection, email, unknown)
        users.make_administrator(connection, user.id)
        audit_log.add(connection, OPERATOR, Act.ADMIN_CREATED, audit.reader(user.id))
        expires_at = links.add(connection, at_rest(secret), LinkPurpose.RESET, user.id)
        mail = mailer.texts.reset_password(user.email, user.name, secret, expires_at)
        mailer.enqueue(connection, mail, message, user_id=user.id)

    try:
        await database.transact(work)
    except ContractBroken:
        raise SettingsError(f"{base_url!r} is not allowed in a mail; give the site's --base-url") from None
    return email


def _account(connection: Connection, email: str, unknown: str) -> User:
    """Return the account of the address, with a password that its owner chose or that nobody knows."""
    with suppress(AddressKnown):
        users.add(connection, Registration(NAME, email, ""), password_hash=unknown)
    user = users.find(connection, email)
    if user is None:  # deleted between two statements; the transaction is undone
        raise AddressKnown
    if not user.is_confirmed:
        users.set_password(connection, user.id, unknown)
        sessions.end_all(connection, user.id)
    return user
