"""Processes one delivery in rounds over its recipients, until each recipient is settled or put off.

One round has these steps: read the inbox; then for each recipient MAIL, RCPT and DATA, the claim, the mail, and the
record of the outcome. A recipient that was settled in one round is skipped in the next.
"""

import asyncio
from collections.abc import Mapping
from datetime import datetime

import structlog

from mailpact.amqp.messages import Message
from mailpact.amqp.messages import Outcome as Published
from mailpact.amqp.subscriber import Delivery
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact_consumer.decide import Busy, Decision, Drop, Row, Send, Wait, conflicts, decide
from mailpact_consumer.letter import letter_about_refusal
from mailpact_consumer.message import KEY_HEADER, Identity, MailRequest, may_have_been_sent, replay_of
from mailpact_consumer.outcomes import Held, LookAgain, Outcome, PutOff, Settled, Source
from mailpact_consumer.recipient import RecipientTry, Result
from mailpact_consumer.render import Renderer
from mailpact_consumer.services import Services
from mailpact_consumer.slots import Slot
from mailpact_consumer.status import About, Event, status_event

LOOKS = 3  # the most reads of a row that other processes keep changing; then the message is put off

CONFLICT = Refusal(ErrorCode.ID_CONFLICT, detail="this message id was used before for another body")

log = structlog.get_logger()


class Attempt:
    """The rounds for one delivery of one request. The caller must hold the message in `InFlight`."""

    def __init__(self, services: Services, delivery: Delivery, request: MailRequest, slot: Slot) -> None:
        self._services = services
        self._delivery = delivery
        self._request = request
        self._slot = slot
        self._replay = replay_of(delivery.message)
        self._maybe_sent = may_have_been_sent(
            delivery.message, request.identity, redelivered=delivery.redelivered
        )
        settings = services.settings
        renderer = Renderer(request, mail_from=settings.mail_from, domain=settings.mail_domain)
        recipients = request.recipients
        if self._replay is not None:  # a dead letter is about one recipient; the others are skipped
            recipients = tuple(one for one in recipients if one.address == self._replay.recipient)
        self._tries = {
            one.sha256: RecipientTry(services, delivery.message, request, one, slot, renderer)
            for one in recipients
        }
        self._has_looked = False
        self._refused: RefusedMessage | None = None

    @property
    def refused(self) -> "RefusedMessage | None":
        """Return the message as a refused message if it cannot become a mail; otherwise None."""
        return self._refused

    @property
    def is_certain(self) -> bool:
        """Return whether no row can be in a state that only this delivery knows."""
        return not any(one.tokens or one.has_ending for one in self._tries.values())

    async def round(self) -> Outcome:
        """Work on every recipient that is not settled.

        Raises DatabaseUnavailable; then the caller may repeat the round.
        """
        if self._refused is not None:
            return await self._refused.round()
        if isinstance(self._request.content, Refusal):
            return await self._withdraw(self._request.content)
        if self._services.watch.is_open and self.is_certain:
            return PutOff(0)
        results: list[Result] = []
        for _ in range(LOOKS):
            decisions = await self._decide()
            if decisions is None:
                return await self._refuse(CONFLICT)
            results = await self._go_on(decisions)
            if not any(isinstance(result, LookAgain) for result in results):
                break
        return _combined(results)

    async def _refuse(self, refusal: Refusal) -> Outcome:
        """Write one dead letter about the whole message."""
        self._refused = RefusedMessage(
            self._services,
            self._delivery.message,
            refusal,
            self._request.identity,
            contract=self._request.contract,
            slot=self._slot,
        )
        return await self._refused.round()

    async def _withdraw(self, refusal: Refusal) -> Outcome:
        """End every recipient that is not settled; if there are no rows, end the message as a whole.

        A message that was accepted before can be refused now, because its template or its sender's permission was
        removed.
        """
        rows = await self._services.inbox.rows(self._request.message_id)
        if conflicts(rows, self._request.body_sha256):
            return await self._refuse(CONFLICT)
        if not rows:
            return await self._refuse(refusal)
        by_recipient = {row.recipient_sha256: row for row in rows}
        results: list[Result] = []
        for sha256, one in self._tries.items():
            if not one.is_settled:
                row = by_recipient.get(sha256)
                match self._decision(row, one):
                    case Drop():
                        results.append(Settled())
                    case Busy():
                        results.append(PutOff(0))
                    case Wait():
                        results.append(await one.fail(refusal, row, is_uncertain=False))
                    case Send() as send:
                        results.append(await one.fail(refusal, row, is_uncertain=send.is_uncertain))
        return _combined(results)

    async def _go_on(self, decisions: Mapping[str, Decision]) -> list[Result]:
        tries = [(self._tries[sha256], decision) for sha256, decision in decisions.items()]
        if len(tries) == 1:
            ((one, decision),) = tries
            return [await one.go_on(decision)]
        return list(await asyncio.gather(*(one.go_on(decision) for one, decision in tries)))

    async def _decide(self) -> Mapping[str, Decision] | None:
        """Return what to do for each recipient that is not settled; None if the id belongs to another body."""
        waiting = {sha256: one for sha256, one in self._tries.items() if not one.is_settled}
        if self._is_first_delivery() and not self._has_looked:
            self._has_looked = True
            return {sha256: Send(None, is_uncertain=False) for sha256 in waiting}
        rows = await self._services.inbox.rows(self._request.message_id)
        if conflicts(rows, self._request.body_sha256):
            return None
        by_recipient = {row.recipient_sha256: row for row in rows}
        decisions = {sha256: self._decision(by_recipient.get(sha256), one) for sha256, one in waiting.items()}
        if waiting and len(waiting) == len(self._tries):
            self._announce_duplicates(decisions, by_recipient)
        return decisions

    def _decision(self, row: Row | None, one: RecipientTry) -> Decision:
        return decide(
            row,
            owner=self._services.liveness.owner,
            tokens=one.tokens,
            may_have_been_sent=self._maybe_sent,
            failed_token=self._replay.failed_token if self._replay is not None else None,
        )

    def _is_first_delivery(self) -> bool:
        """Return whether probably no row exists.

        Then the claim is made without reading the row first, and its result decides.
        """
        delivery = self._delivery
        came_before = delivery.redelivered or self._maybe_sent or KEY_HEADER in delivery.message.headers
        return not came_before and self._replay is None

    def _announce_duplicates(self, decisions: Mapping[str, Decision], rows: Mapping[str, Row]) -> None:
        if not all(isinstance(decision, Drop) for decision in decisions.values()):
            return  # the message came back because of its other recipients
        log.info("duplicate dropped", message_id=self._request.message_id)
        for sha256 in decisions:
            self._tries[sha256].announce_duplicate(rows[sha256].attempts)


class RefusedMessage:
    """A message that cannot become a mail and becomes one dead letter."""

    def __init__(
        self,
        services: Services,
        message: Message,
        refusal: Refusal,
        identity: Identity,
        *,
        contract: str | None,
        slot: Slot,
    ) -> None:
        self._services = services
        self._message = message
        self.refusal = refusal
        self._identity = identity
        self._contract = contract
        self._slot = slot
        self._written_at: datetime = services.utc_now()

    @property
    def refused(self) -> "RefusedMessage":
        """Return this message, which cannot become a mail."""
        return self

    @property
    def is_certain(self) -> bool:
        """Return True: a refused message has no rows."""
        return True

    async def round(self) -> Outcome:
        """Write the letter."""
        settlement, key = self._services.settlement, self._identity.key
        letter = letter_about_refusal(self._message, self.refusal, key=key, written_at=self._written_at)
        with self._slot.given_back_when_slow():
            outcome = await settlement.buried(letter, key=key)
        if outcome is not Published.CONFIRMED:
            return Held(Source.DEAD_LETTERS, f"a dead letter was {outcome.replace('_', ' ')}")
        log.warning("message dead-lettered", message_id=key, code=str(self.refusal.code))
        self.announce()
        return Settled()

    def announce(self) -> None:
        """Publish the status event."""
        settlement = self._services.settlement
        settlement.announce(
            status_event(
                About(self._identity, self._contract, {}),
                Event.REJECTED,
                recipient=None,
                attempt=0,
                occurred_at=self._written_at,
                failure=self.refusal,
            )
        )


def _combined(results: list[Result]) -> Outcome:
    """Return the outcome of the whole delivery: a service in trouble has priority, then the earliest next try."""
    held = [result for result in results if isinstance(result, Held)]
    if held:
        return held[0]
    waits = [
        result.seconds if isinstance(result, PutOff) else 0.0
        for result in results
        if not isinstance(result, Settled)
    ]
    return PutOff(min(waits)) if waits else Settled()
