"""The state of the whole system at one time: values for the screen and for scripts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

MOST_SECONDS = 1e12


@dataclass(frozen=True, slots=True)
class Unknown:
    """A part that could not be asked, and why."""

    reason: str


@dataclass(frozen=True, slots=True)
class Broker:
    """What the broker tells. `waiting` and `dead` count messages in queues; None if the queue does not exist.

    `consumers` is the number of consumers of `email.work` now; it is 0 while the mail server is in trouble.
    """

    server: str
    waiting: int | None
    consumers: int
    dead: int | None


@dataclass(frozen=True, slots=True)
class Inbox:
    """What the consumers' database tells.

    `oldest_seconds` is the age of the oldest mail that is not finished, 0 without one. `overdue` counts deferred mails
    long past their next try. The three numbers at the end are mails that ended within the last 60 seconds.
    """

    server: str
    revision: str
    consumers: Sequence[str]
    oldest_seconds: float
    deferred: int
    overdue: int
    sent: int
    failed: int
    expired: int


@dataclass(frozen=True, slots=True)
class ConsumerHealth:
    """What a consumer tells at its `--health` address."""

    address: str
    release: str
    trouble: Sequence[str]
    breaker_is_open: bool
    lost_log_records: int


@dataclass(frozen=True, slots=True)
class SiteHealth:
    """What a site tells at its `--health` address. `canary` is a member of `/health/mail`, empty without one."""

    address: str
    release: str
    trouble: Sequence[str]
    mail_flows: bool
    mail_detail: str
    canary: dict[str, Any]
    outbox_pending: int
    outbox_oldest_seconds: float
    lost_log_records: int

    @property
    def canary_arrived_seconds_ago(self) -> float | None:
        """Return how long ago the last canary arrived; None if the site does not tell."""
        seconds = self.canary.get("arrived_seconds_ago")
        is_possible = isinstance(seconds, int | float) and abs(seconds) < MOST_SECONDS  # NaN is not
        return seconds if is_possible else None


@dataclass(frozen=True, slots=True)
class Silent:
    """A service that does not answer as a service of Mailpact does."""

    address: str
    reason: str


Service = ConsumerHealth | SiteHealth | Silent


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything that was found. `release` is that of this command, `at` the time in UTC."""

    at: str
    release: str
    broker: Broker | Unknown
    inbox: Inbox | Unknown
    services: Sequence[Service]

    @property
    def is_all_unknown(self) -> bool:
        """Return whether nothing could be reached."""
        asked = (self.broker, self.inbox, *self.services)
        return all(isinstance(part, Unknown | Silent) for part in asked)

    @property
    def consumers(self) -> list[ConsumerHealth]:
        """Return the consumers that answer."""
        return [service for service in self.services if isinstance(service, ConsumerHealth)]

    @property
    def sites(self) -> list[SiteHealth]:
        """Return the sites that answer."""
        return [service for service in self.services if isinstance(service, SiteHealth)]


_KINDS = {ConsumerHealth: "consumer", SiteHealth: "site", Silent: "unknown"}


def as_json(situation: Situation) -> dict[str, Any]:
    """Return the situation for scripts. Each part has the member `ok`, which is false where nothing could be asked."""
    return {
        "at": situation.at,
        "release": situation.release,
        "broker": _part(situation.broker),
        "inbox": _part(situation.inbox),
        "services": [{"kind": _KINDS[type(service)], **_part(service)} for service in situation.services],
    }


def _part(part: Broker | Inbox | Service | Unknown) -> dict[str, Any]:
    return {"ok": not isinstance(part, Unknown | Silent), **asdict(part)}
