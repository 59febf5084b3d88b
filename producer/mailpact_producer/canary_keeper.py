"""Begins canaries, asks the viewer for them, ends them, and calls the push URL when one has arrived.

    begin (a transaction with the outbox) ─▶ relay … ─▶ mail_status records events ─▶ ask the viewer ─▶ end ─▶ push

Every process of the site does this. The process that changes the row in the database first carries out the rest of the
step, and the others find the row changed. No other part of the site waits for this: a call to another server has a
limit of five seconds, and a failed call only causes a log line and increases a counter.
"""

import asyncio
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial
from typing import Final, NoReturn
from uuid import uuid4

import structlog
from aiohttp import ClientError, ClientSession, ClientTimeout
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from sqlalchemy.exc import IntegrityError

from mailpact.amqp.messages import Message
from mailpact.contracts.errors import Refusal
from mailpact.database import clock
from mailpact.database.transactions import Database, DatabaseUnavailable
from mailpact_producer.canary import (
    LATE_INTERVALS,
    LIFE_SECONDS,
    Ask,
    Begin,
    End,
    Stage,
    Wait,
    next_step,
    trouble,
)
from mailpact_producer.errors import ContractBroken
from mailpact_producer.events import CONTRACT, Writer, canary_body
from mailpact_producer.reports import Reports
from mailpact_producer.settings import CanarySettings
from mailpact_producer.store import canary as row
from mailpact_producer.store.canary import Sighting

CALL_SECONDS: Final = 5.0
RETRY_SECONDS: Final = 1.0
_BUCKETS: Final = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600)

log = structlog.get_logger()


class CanaryKeeper:
    """Runs the canary; call `run` in a task."""

    def __init__(
        self,
        settings: CanarySettings,
        site_name: str,
        writer: Writer,
        database: Database,
        *,
        nudge: Callable[[], None],
        now_seconds: Callable[[], float],
    ) -> None:
        self._settings = settings
        self._site_name = site_name
        self._writer = writer
        self._database = database
        self._nudge = nudge
        self._now_seconds = now_seconds
        self._reports = Reports()
        self._woken = asyncio.Event()
        self._push: asyncio.Task[None] | None = None
        self._watched_since: int | None = None
        self._round_trip = Histogram(
            "mail_canary_rtt_seconds",
            "From the commit until a canary had arrived.",
            registry=None,
            buckets=_BUCKETS,
        )
        self._failed = Counter(
            "mail_canary_failures",
            "Canaries that never arrived, by the last stage that they reached.",
            ["stage"],
            registry=None,
        )
        self._unpushed = Counter(
            "mail_canary_push_failures", "Calls of the push URL that failed.", registry=None
        )
        self._age = Gauge(
            "mail_canary_last_success_age_seconds", "Since the last canary arrived.", registry=None
        )
        self._arrived = Gauge(
            "mail_canary_last_success_timestamp_seconds", "When the last canary arrived.", registry=None
        )
        for stage in Stage:
            if stage is not Stage.SEEN:
                self._failed.labels(stage)

    def register(self, registry: CollectorRegistry) -> None:
        """Add the canary's numbers to a registry."""
        for metric in (self._round_trip, self._failed, self._unpushed, self._age, self._arrived):
            registry.register(metric)

    def wake(self) -> None:
        """Signal that the canary's row has changed."""
        self._woken.set()

    async def run(self) -> NoReturn:
        """Run the canary until cancelled."""
        async with ClientSession(timeout=ClientTimeout(total=CALL_SECONDS)) as http:
            try:
                while True:
                    await self._turn(http)
            finally:
                if self._push is not None:
                    self._push.cancel()
                    await asyncio.wait({self._push})

    async def _turn(self, http: ClientSession) -> None:
        self._woken.clear()
        try:
            seconds = await self._step(http)
        except DatabaseUnavailable:
            seconds = RETRY_SECONDS  # the relay reports it
        except IntegrityError:
            seconds = RETRY_SECONDS  # another process has begun the first canary at the same moment
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._woken.wait()

    async def _step(self, http: ClientSession) -> float:
        """Carry out the step that is due; return after how many seconds to check again."""
        sighting = await self._database.transact(row.look)
        if self._watched_since is None:
            self._watched_since = sighting.now
        canary, settings = sighting.canary, self._settings
        step = next_step(
            canary, sighting.now, interval_seconds=settings.interval_seconds, has_viewer=settings.has_viewer
        )
        match step:
            case Wait(seconds):
                return seconds
            case Begin():
                await self._begin(canary.message_id)
            case Ask(is_last):
                is_seen = await self._is_seen(http, str(canary.message_id))
                if not (is_seen or is_last):
                    return min(RETRY_SECONDS, settings.interval_seconds / 10)
                await self._end(http, sighting, has_arrived=is_seen)
            case End(has_arrived):
                await self._end(http, sighting, has_arrived=has_arrived)
        return 0.0

    async def _begin(self, after: str | None) -> None:
        message = self._message()
        if isinstance(message, Refusal):
            raise ContractBroken(f"{CONTRACT} refuses the canary: {message.code}, {message.detail}")
        if await self._database.transact(partial(row.begin, message=message, after=after)):
            self._nudge()

    def _message(self) -> Message | Refusal:
        now = self._now_seconds()
        expires_at = int((now + LIFE_SECONDS) * clock.SECOND)
        body = canary_body(self._settings.address, self._site_name, expires_at)
        return self._writer.message(body, message_id=str(uuid4()), made_at_seconds=int(now))

    async def _end(self, http: ClientSession, sighting: Sighting, *, has_arrived: bool) -> None:
        canary = sighting.canary
        end = partial(row.end, message_id=str(canary.message_id), has_arrived=has_arrived)
        if not await self._database.transact(end):
            return
        if has_arrived:
            self._round_trip.observe((sighting.now - canary.started_at) / clock.SECOND)
            if self._settings.push_url and (self._push is None or self._push.done()):
                self._push = asyncio.create_task(self._tell(http))
        else:
            stage = canary.stage(has_viewer=self._settings.has_viewer)
            self._failed.labels(stage).inc()
            log.warning("a canary has not arrived", message_id=canary.message_id, stage=str(stage))

    async def _is_seen(self, http: ClientSession, message_id: str) -> bool:
        """Return whether the viewer has the mail; delete the mail there, so that canaries do not accumulate."""
        url = self._settings.viewer_url
        query = {"query": f"message-id:{message_id}", "limit": "1"}
        try:
            async with http.get(f"{url}/api/v1/search", params=query) as answer:
                answer.raise_for_status()
                found = [mail["ID"] for mail in (await answer.json())["messages"] or ()]
            if found:
                async with http.delete(f"{url}/api/v1/messages", json={"IDs": found}) as answer:
                    answer.raise_for_status()
        except (ClientError, TimeoutError, ValueError, TypeError, LookupError) as error:
            self._report("the viewer cannot be asked for the canary", error)
            return False
        return bool(found)

    async def _tell(self, http: ClientSession) -> None:
        try:
            async with http.get(self._settings.push_url) as answer:
                answer.raise_for_status()
        except (ClientError, TimeoutError, ValueError) as error:
            self._unpushed.inc()
            self._report("the push URL cannot be called", error)

    def _report(self, what: str, error: Exception) -> None:
        more = self._reports.due(what, time.monotonic())
        if more is not None:
            # The error's text is not logged, because it may contain the URL, which may be secret.
            status = getattr(error, "status", None)
            log.warning(what, kind=type(error).__name__, status=status, unlogged_before=more)

    def trouble(self, sighting: Sighting) -> str:
        """Return why mail does not flow, in words for an operator; empty if it flows."""
        since = sighting.now if self._watched_since is None else self._watched_since
        return trouble(
            sighting.canary,
            sighting.now,
            since,
            interval_seconds=self._settings.interval_seconds,
            has_viewer=self._settings.has_viewer,
        )

    def described(self, sighting: Sighting) -> Mapping[str, object]:
        """Return the canary's part of `/health/mail`."""
        canary, now = sighting.canary, sighting.now
        return {
            "message_id": canary.message_id,
            "stage": str(canary.stage(has_viewer=self._settings.has_viewer)) if canary.message_id else None,
            "is_under_way": canary.is_under_way,
            "age_seconds": _seconds(canary.started_at, now) if canary.message_id else None,
            "arrived_seconds_ago": _seconds(canary.arrived_at, now),
            "waiting_seconds": _seconds(canary.waiting_since, now),
            "late_after_seconds": LATE_INTERVALS * self._settings.interval_seconds,
            "interval_seconds": self._settings.interval_seconds,
        }

    def refresh(self, sighting: Sighting | None) -> None:
        """Update the gauges; their values are NaN if the database does not answer."""
        unknown = float("nan")
        arrived_at = None if sighting is None else sighting.canary.arrived_at
        self._arrived.set(unknown if arrived_at is None else arrived_at / clock.SECOND)
        self._age.set(
            unknown
            if sighting is None or arrived_at is None
            else max(0, sighting.now - arrived_at) / clock.SECOND
        )


def _seconds(moment: int | None, now: int) -> float | None:
    return None if moment is None else round((now - moment) / clock.SECOND, 1)
