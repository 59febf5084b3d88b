"""Decides whether a request may send a mail, before the site checks whether the account exists.

A request is counted in the same transaction as its work, and before the transaction's other statements.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, TypeVar

import structlog
from sqlalchemy import Connection

from mailpact.database.transactions import Database
from mailpact_producer.errors import NetworkFull
from mailpact_producer.limits import (
    ALARM_PER_HOUR,
    HOUR_SECONDS,
    Limit,
    MailLimits,
    folded_mailbox,
    limit_key,
)
from mailpact_producer.store import limits as counts

T = TypeVar("T")

FULL_SECONDS: Final = 60.0
"""How long a process refuses the mails of a network whose limit was reached, without another look."""
MOST_FULL: Final = 10_000

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class MailRequest:
    """A request for a mail, with the limits that it counts towards; None means that the site has no such limit."""

    network: Limit | None
    mailbox: Limit | None

    @property
    def limits(self) -> tuple[Limit, ...]:
        """Return the limits in the order in which every transaction locks their rows."""
        return tuple(limit for limit in (self.network, self.mailbox) if limit is not None)


class MailGate:
    """Counts requests for mail against the limits, which all processes of the site share.

    `granted` and `withheld` count this process's decisions. `now` counts seconds.
    """

    def __init__(
        self, database: Database, limits: MailLimits, secret: bytes, *, now: Callable[[], float]
    ) -> None:
        self._database = database
        self._limits = limits
        self._secret = secret
        self._now = now
        self._hour_began = float("-inf")
        self._in_this_hour = 0
        self._in_work: Counter[str] = Counter()
        self._full_until: dict[str, float] = {}
        self.granted = 0
        self.withheld = 0

    def request(self, email: str, network: str) -> MailRequest:
        """Return the request for a mail to `email` that comes from `network`."""
        most = self._limits
        return MailRequest(
            Limit(limit_key(self._secret, "network", network), most.network) if most.network else None,
            self._mailbox(email),
        )

    @contextmanager
    def working_on(self, request: MailRequest) -> Iterator[None]:
        """Limit the work that this process does for one network before its requests are counted.

        Raises NetworkFull if the network has reached its limit within the last minute, or if as many of its requests
        are being worked on as its limit allows in an hour.
        """
        if request.network is None:
            yield
            return
        key = request.network.key
        if self._in_work[key] >= request.network.most or self._full_until.get(key, 0.0) > self._now():
            self._withhold("network")
            raise NetworkFull
        self._in_work[key] += 1
        try:
            yield
        finally:
            self._in_work[key] -= 1
            if not self._in_work[key]:
                del self._in_work[key]

    async def transact(self, request: MailRequest, work: Callable[[Connection], T]) -> T | None:
        """Count the request and do `work` in one transaction; return what `work` returns.

        Return None, and count the request for the network alone, if the mailbox has reached its limit. The requester
        does not learn this. Raises NetworkFull if the network has, and then nothing is kept; also raises what
        `Database.transact` raises.
        """

        def counted(connection: Connection) -> tuple[bool, T | None]:
            full = counts.take(connection, request.limits)
            if full is not None and full is request.network:
                raise NetworkFull
            return (True, work(connection)) if full is None else (False, None)

        try:
            is_granted, result = await self._database.transact(counted)
        except NetworkFull:
            self._note_full(request)
            self._withhold("network")
            raise
        if is_granted:
            self.granted += 1
            self._watch()
        else:
            self._withhold("mailbox")
        return result

    async def admit_mailbox(self, email: str) -> bool:
        """Count a mail that an administrator sends, for the mailbox only; return False if the mailbox is at its limit.

        Raises DatabaseUnavailable.
        """
        limit = self._mailbox(email)
        return limit is None or await self._database.transact(
            lambda connection: counts.take(connection, [limit]) is None
        )

    def _mailbox(self, email: str) -> Limit | None:
        most = self._limits.mailbox
        return Limit(limit_key(self._secret, "mailbox", folded_mailbox(email)), most) if most else None

    def _note_full(self, request: MailRequest) -> None:
        if request.network is not None:
            while len(self._full_until) >= MOST_FULL:
                del self._full_until[next(iter(self._full_until))]
            self._full_until[request.network.key] = self._now() + FULL_SECONDS

    def _withhold(self, limit: str) -> None:
        self.withheld += 1
        log.info("a mail was not sent because of a limit", limit=limit)

    def _watch(self) -> None:
        now = self._now()
        if now - self._hour_began >= HOUR_SECONDS:
            self._hour_began, self._in_this_hour = now, 0
        self._in_this_hour += 1
        if self._in_this_hour == ALARM_PER_HOUR:
            log.error("unusually much mail was asked for in an hour", mails=ALARM_PER_HOUR)
