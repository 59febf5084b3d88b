"""Registers a reader: hashes the password, then stores reader and message in one transaction.

A known address costs the same work, a hash and a transaction, and the caller learns nothing, so nobody who
registers can find out who is registered. The message is written before the reader, so that the transaction which
fails has done it all.
"""

from collections.abc import Callable

from sqlalchemy import Connection

from mailpact.contracts.errors import Refusal
from mailpact.database.transactions import Database
from mailpact.telemetry import Journey, Point
from mailpact_producer.accounts import Registration
from mailpact_producer.errors import AddressKnown, ContractBroken
from mailpact_producer.events import CONTRACT, Writer, welcome_body
from mailpact_producer.passwords import PasswordHashing
from mailpact_producer.store import outbox, users


class Registrar:
    """Registers readers; `nudge` tells the relay that there is something to publish."""

    def __init__(
        self,
        database: Database,
        passwords: PasswordHashing,
        writer: Writer,
        journey: Journey,
        *,
        nudge: Callable[[], None],
        new_id: Callable[[], str],
        now_seconds: Callable[[], float],
    ) -> None:
        self._database = database
        self._passwords = passwords
        self._writer = writer
        self._journey = journey
        self._nudge = nudge
        self._new_id = new_id
        self._now_seconds = now_seconds

    async def register(self, registration: Registration) -> None:
        """Store reader and message, or, for a known address, neither.

        Raises TooBusy, DatabaseUnavailable; then nothing is stored. Raises CommitUnknown: then perhaps all of it is,
        the relay finds the message by itself, and to register again does no harm.
        """
        password_hash = await self._passwords.hash(registration.password)
        message_id = self._new_id()
        message = self._writer.message(
            welcome_body(registration.email), message_id=message_id, made_at_seconds=int(self._now_seconds())
        )
        if isinstance(message, Refusal):
            raise ContractBroken(f"{CONTRACT} refuses our message: {message.code}, {message.detail}")

        def work(connection: Connection) -> None:
            outbox.enqueue(connection, message, contract=CONTRACT)
            users.add(connection, registration, password_hash=password_hash)

        try:
            await self._database.transact(work)
        except AddressKnown:
            return
        self._journey.reach(Point.COMMITTED, message_id)
        self._nudge()

    async def pretend(self, registration: Registration) -> None:
        """Do the work of a registration and keep nothing of it. Raises TooBusy."""
        await self._passwords.hash(registration.password)
