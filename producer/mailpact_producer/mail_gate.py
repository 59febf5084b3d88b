"""Decides whether a mail may be asked for, before anybody looks whether there is such an account."""

import structlog
from sqlalchemy import Connection

from mailpact.database.transactions import Database
from mailpact_producer.limits import (
    ALARM_PER_HOUR,
    HOUR_SECONDS,
    Admission,
    MailLimits,
    folded_mailbox,
    limit_key,
)
from mailpact_producer.store import limits as counts

log = structlog.get_logger()


class MailGate:
    """Counts requests for mail against the limits, which all processes of the site share.

    `granted` and `withheld` count this process's decisions.
    """

    def __init__(self, database: Database, limits: MailLimits, secret: bytes) -> None:
        self._database = database
        self._limits = limits
        self._secret = secret
        self._hour_began = float("-inf")
        self._in_this_hour = 0
        self.granted = 0
        self.withheld = 0

    async def admit(self, email: str, network: str, *, now_seconds: float) -> Admission:
        """Count one request for a mail to `email` from `network`. Raises DatabaseUnavailable."""
        admission = await self._counted(email, network)
        if admission is Admission.GRANTED:
            self.granted += 1
            self._watch(now_seconds)
        else:
            self.withheld += 1
            log.info("a mail was not sent because of a limit", limit=admission.name.lower())
        return admission

    async def admit_mailbox(self, email: str) -> bool:
        """Count a mail that an administrator sends, for the mailbox alone; False if the mailbox has had its mails.

        Raises DatabaseUnavailable.
        """
        most = self._limits.mailbox
        key = limit_key(self._secret, "mailbox", folded_mailbox(email))
        return not most or await self._database.transact(
            lambda connection: counts.take(connection, key, most=most)
        )

    async def _counted(self, email: str, network: str) -> Admission:
        mailbox_key = limit_key(self._secret, "mailbox", folded_mailbox(email))
        network_key = limit_key(self._secret, "network", network)
        most = self._limits
        if not most.mailbox and not most.network:
            return Admission.GRANTED

        def count(connection: Connection) -> Admission:
            # Always in this order: two transactions that lock the same rows in two orders would wait for each other.
            if most.network and not counts.take(connection, network_key, most=most.network):
                return Admission.NETWORK_FULL
            if most.mailbox and not counts.take(connection, mailbox_key, most=most.mailbox):
                return Admission.MAILBOX_FULL
            return Admission.GRANTED

        return await self._database.transact(count)

    def _watch(self, now_seconds: float) -> None:
        if now_seconds - self._hour_began >= HOUR_SECONDS:
            self._hour_began, self._in_this_hour = now_seconds, 0
        self._in_this_hour += 1
        if self._in_this_hour == ALARM_PER_HOUR:
            log.error("unusually much mail was asked for in an hour", mails=ALARM_PER_HOUR)
