"""The loop around the rounds: works on one delivery until it is settled, put off or returned to the queue.

A message is held unacknowledged only while a required service cannot be used, and only for a limited time. A held
message counts towards the prefetch limit, and RabbitMQ closes the channel of a consumer that holds a message for 30
minutes.

    a retry copy cannot be confirmed     held for 10 minutes, then given back to the queue
    a dead letter cannot be confirmed    held for 10 minutes in a slot for letters, then given back; without such a
                                         slot the message is put off
    the same, for an invalid message,    rejected to the broker's own dead-lettering
    while the broker blocks publishing
    the inbox cannot be used             held for a minute, then put off
"""

import asyncio
import random
import time
from contextlib import suppress

import structlog

from mailpact.amqp.backoff import backoff_seconds
from mailpact.amqp.messages import Outcome as Published
from mailpact.amqp.subscriber import Delivery
from mailpact.database.transactions import DatabaseUnavailable
from mailpact_consumer.attempt import Attempt, RefusedMessage
from mailpact_consumer.intake import IsOurs
from mailpact_consumer.letter import retry_copy
from mailpact_consumer.outcomes import Held, Outcome, PutOff, Settled, Source
from mailpact_consumer.services import Services
from mailpact_consumer.slots import Slot, Slots

WAIT_IN_PROCESS_SECONDS = 1.0
HOLD_SECONDS = 600.0
HOLD_FOR_INBOX_SECONDS = 60.0
NAMED_AFTER_SECONDS = 30.0

log = structlog.get_logger()


class Rounds:
    """The loop for every delivery of one process."""

    def __init__(self, services: Services, slots: Slots, stopping: asyncio.Event) -> None:
        self._services = services
        self._slots = slots
        self._stopping = stopping
        self._in_trouble: set[Source] = set()

    async def settle(
        self, delivery: Delivery, work: Attempt | RefusedMessage, slot: Slot, is_ours: IsOurs, *, key: str
    ) -> None:
        """Settle one delivery, or leave it unsettled if the consumer stops or the delivery is no longer ours."""
        await _Settling(self, delivery, work, slot, is_ours, key).run()

    def report_trouble(self, held: Held) -> None:
        """Log once that a service is in trouble."""
        if held.source not in self._in_trouble:
            log.warning("mail cannot be sent now, trying again", trouble_with=held.source, reason=held.reason)
            self._in_trouble.add(held.source)

    def report_recovery(self, sources: set[Source]) -> None:
        """Log once that a service works again."""
        for source in sources & self._in_trouble:
            log.warning("mail can be sent again", trouble_was_with=source)
            self._in_trouble.discard(source)

    def forget(self, sources: set[Source]) -> None:
        """Forget the reported trouble, so that the next message in trouble is reported again."""
        self._in_trouble -= sources


class _Settling:
    """One delivery in the loop."""

    def __init__(
        self,
        rounds: Rounds,
        delivery: Delivery,
        work: Attempt | RefusedMessage,
        slot: Slot,
        is_ours: IsOurs,
        key: str,
    ) -> None:
        self._rounds = rounds
        self._services = rounds._services  # noqa: SLF001  # one loop in two classes
        self._slots = rounds._slots  # noqa: SLF001  # as above
        self._stopping = rounds._stopping  # noqa: SLF001  # as above
        self._delivery = delivery
        self._work = work
        self._slot = slot
        self._is_ours = is_ours
        self._key = key
        self._held_by: set[Source] = set()
        self._failures = 0
        self._held_since: float | None = None
        self._is_named = False
        self._has_letter_slot = False

    async def run(self) -> None:
        try:
            while self._is_ours() and not self._stopping.is_set():
                if await self._is_over(await self._round()):
                    self._rounds.report_recovery(self._held_by)
                    return
            self._rounds.forget(self._held_by)
        finally:
            if self._has_letter_slot:
                self._slots.give_letter_slot_back()

    async def _round(self) -> Outcome:
        try:
            return await self._work.round()
        except DatabaseUnavailable as error:
            return Held(Source.INBOX, str(error))

    async def _is_over(self, outcome: Outcome) -> bool:
        match outcome:
            case Settled():
                await self._services.settlement.done(self._delivery, key=self._key)
                return True
            case PutOff(seconds):
                return await self._put_off(seconds)
            case Held(Source.DEAD_LETTERS):
                return await self._hold_for_letters(outcome)
            case Held():
                return await self._hold_for_inbox(outcome)

    async def _put_off(self, seconds: float) -> bool:
        """Put the message off until it is delivered again; return False if its next try is due at once."""
        if 0 < seconds <= WAIT_IN_PROCESS_SECONDS:
            with self._slots.waiting() as may_wait:
                if may_wait:
                    await self._pause(seconds)
                    return False
        schedule = self._services.settings.retry_schedule
        step = schedule.step_for(seconds)
        copy = retry_copy(self._delivery.message, key=self._key)
        due = time.monotonic() + max(seconds, step.seconds)
        while self._is_ours() and not self._stopping.is_set():
            outcome = await self._services.settlement.put_off(copy, step, key=self._key)
            if outcome is Published.CONFIRMED:
                await self._services.settlement.done(self._delivery, key=self._key)
                return True
            if time.monotonic() >= due:
                return False
            if await self._held(Held(Source.BROKER, f"a retry copy was {outcome.replace('_', ' ')}")):
                return True
        return False

    async def _hold_for_letters(self, held: Held) -> bool:
        refused = self._work.refused
        self._slot.give_back()
        if not self._has_letter_slot:
            self._has_letter_slot = self._slots.take_letter_slot()
        if refused is not None and await self._services.settlement.letters_are_blocked():
            log.warning(
                "message rejected to the broker's dead letters",
                message_id=self._key,
                code=str(refused.refusal.code),
                detail=refused.refusal.detail,
                reason=held.reason,
            )
            await self._delivery.reject()
            refused.announce()
            return True
        if not self._has_letter_slot:
            return await self._put_off(0)
        return await self._held(held)

    async def _hold_for_inbox(self, held: Held) -> bool:
        if self._held_seconds() > HOLD_FOR_INBOX_SECONDS and self._work.is_certain:
            return await self._put_off(0)
        return await self._held(held)

    async def _held(self, held: Held) -> bool:
        """Wait a while; return True if the message has been held for too long and was returned to the queue."""
        self._held_by.add(held.source)
        self._rounds.report_trouble(held)
        self._failures += 1
        seconds = self._held_seconds()
        if seconds > NAMED_AFTER_SECONDS and not self._is_named:
            self._is_named = True
            log.warning(
                "a message is held", message_id=self._key, trouble_with=held.source, reason=held.reason
            )
        if seconds > HOLD_SECONDS:
            await self._delivery.requeue()
            return True
        await self._pause(backoff_seconds(self._failures, random.uniform))
        return False

    def _held_seconds(self) -> float:
        now = time.monotonic()
        if self._held_since is None:
            self._held_since = now
        return now - self._held_since

    async def _pause(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
