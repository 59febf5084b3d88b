"""The metrics of one consumer for Prometheus, and the conditions for its `/readyz`."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy import Connection, case, func, select

from mailpact.contracts.errors import ErrorCode
from mailpact.database import clock
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact.health import Condition
from mailpact_consumer.decide import State
from mailpact_consumer.schema import inbox
from mailpact_consumer.status import Event

CRITICAL_TIME_BUCKETS = (0.1, 0.5, 1, 2, 5, 10, 30, 60, 120, 300, 900, 3600, 14_400, 86_400)
LOST_SECONDS = 600
"""If a deferred message is so long overdue, its copy is lost, for example because the retry queue was purged."""


class Metrics:
    """One process's metrics. The gauges of the inbox are read at each request."""

    def __init__(self, *, utc_now: Callable[[], datetime]) -> None:
        self.registry = CollectorRegistry()
        self._utc_now = utc_now
        registry = self.registry
        self.deliveries = Counter(
            "mail_delivery", "Outcomes of mails, as in status events.", ["result"], registry=registry
        )
        self.critical_time = Histogram(
            "mail_critical_time_seconds",
            "From the message's timestamp to the mail server's 250.",
            buckets=CRITICAL_TIME_BUCKETS,
            registry=registry,
        )
        self._last_success = 0.0
        last_success = Gauge(
            "mail_last_success_timestamp_seconds", "When the mail server last took a mail.", registry=registry
        )
        last_success.set_function(lambda: self._last_success)
        self.dead_letters = Counter("mail_dead_letters", "Dead letters by code.", ["code"], registry=registry)
        # Prometheus sees no increase in a counter that appears with the value 1, so all begin at 0.
        self._outcomes = {str(event): self.deliveries.labels(event) for event in Event}
        for code in ErrorCode:
            self.dead_letters.labels(code)
        self.without_id = Counter(
            "mail_without_id",
            "Messages without an id, whose duplicates cannot be recognised.",
            registry=registry,
        )
        self.breaker = Gauge(
            "smtp_breaker_state", "1 while the mail server as a whole is in trouble.", registry=registry
        )
        self.connections = Gauge(
            "amqp_connection_state", "1 while a connection can be used.", ["role"], registry=registry
        )
        self.blocked = Gauge("amqp_blocked", "1 while the broker accepts no publishes.", registry=registry)
        self.bridged = Gauge(
            "legacy_bridge_messages", "Messages of the legacy queue so far.", ["action"], registry=registry
        )
        self.oldest = Gauge(
            "mail_oldest_undelivered_age_seconds", "Age of the oldest unfinished row.", registry=registry
        )
        self.deferred = Gauge("mail_deferred", "Messages that wait for their next try.", registry=registry)
        self.overdue = Gauge(
            "mail_deferred_overdue", "Deferred messages long past their next try.", registry=registry
        )
        self.events_due = Gauge(
            "mail_status_events_due", "Rows with status events that are not confirmed.", registry=registry
        )

    def sent(self, timestamp: datetime | None) -> None:
        """Count a mail that the server accepted; `timestamp` is the message's own."""
        now = self._utc_now()
        self._last_success = now.timestamp()
        if timestamp is not None:
            aware = timestamp if timestamp.tzinfo is not None else timestamp.replace(tzinfo=UTC)
            self.critical_time.observe(max(0.0, (now - aware).total_seconds()))

    def told(self, event: str) -> None:
        """Count a status event, which is an outcome of a mail."""
        self._outcomes[event].inc()

    async def read_inbox(self, database: Database) -> Condition:
        """Set the gauges of the inbox; return whether the inbox can be used."""
        try:
            oldest, deferred, overdue, due = await database.transact(counts)
        except DatabaseUnavailable as error:
            return Condition("inbox", ok=False, detail=str(error))
        self.oldest.set(oldest)
        self.deferred.set(deferred)
        self.overdue.set(overdue)
        self.events_due.set(due)
        return Condition("inbox", ok=True)


def conditions(
    inbox: Condition, *, is_consuming: bool, breaker_reason: str, is_blocked: bool
) -> Iterator[Condition]:
    """Yield the conditions that `/readyz` shows."""
    yield inbox
    yield Condition("mail server", ok=not breaker_reason, detail=breaker_reason)
    consuming_detail = "" if is_consuming else "no messages are taken from the broker now"
    yield Condition("consuming", ok=is_consuming, detail=consuming_detail)
    blocked_detail = "the broker accepts no publishes: an alarm" if is_blocked else ""
    yield Condition("publishing", ok=not is_blocked, detail=blocked_detail, required=False)


def counts(connection: Connection) -> tuple[float, int, int, int]:
    """Return the age of the oldest unfinished row in seconds, and the counts of deferred, overdue and due rows."""
    now = clock.now()
    unfinished = select(func.min(inbox.c.first_seen), now).where(inbox.c.ended_at.is_(None))
    first_seen, at = connection.execute(unfinished).one()
    late = inbox.c.next_try_at < now - LOST_SECONDS * clock.SECOND
    waiting = select(func.count(), func.coalesce(func.sum(case((late, 1), else_=0)), 0)).where(
        inbox.c.state == State.DEFERRED, inbox.c.next_try_at.is_not(None)
    )
    deferred, overdue = connection.execute(waiting).one()
    due = connection.execute(select(func.count()).where(inbox.c.due_since.is_not(None))).scalar_one()
    return (0.0 if first_seen is None else (at - first_seen) / clock.SECOND), deferred, int(overdue), due
