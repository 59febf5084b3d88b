"""Carries one request out: try after try, until it is settled.

One try is the journey in order: what the inbox knows, MAIL and RCPT, the claim, DATA, the settling. It ends settled
or held; held, the message stays unacked with us and is tried again, never nacked: 21 nacks would kill it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog

from mailpact.amqp.subscriber import Delivery
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.telemetry import Journey, Point
from mailpact_consumer.decide import Conflict, Drop, PutOff, Send, decide
from mailpact_consumer.deliver import MailServer, Transaction
from mailpact_consumer.inbox import Claim, Inbox, Key
from mailpact_consumer.letter import letter_about_refusal, letter_about_reply
from mailpact_consumer.liveness import Liveness
from mailpact_consumer.message import MailRequest
from mailpact_consumer.render import recipient_sha256, render
from mailpact_consumer.reply import Accepted, Permanent, Trouble
from mailpact_consumer.settings import ConsumerSettings
from mailpact_consumer.settle import Held, Settlement, Source

MAYBE_SENT_HEADER = "x-maybe-sent"
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Doors:
    """What a try needs of the world outside."""

    inbox: Inbox
    liveness: Liveness
    mail_server: MailServer
    settlement: Settlement
    journey: Journey
    settings: ConsumerSettings
    new_id: Callable[[], str]


class Attempt:
    """The tries for one delivery of one request. The caller holds the message's place among those in flight."""

    def __init__(self, doors: Doors, delivery: Delivery, request: MailRequest) -> None:
        self._doors = doors
        self._delivery = delivery
        self._request = request
        self._key = Key(request.message_id, recipient_sha256(request.recipient))
        self._token: str | None = None
        self._attempts = 0

    async def try_once(self) -> Held | None:
        """Make one try; None when the delivery is settled. Raises DatabaseUnavailable, and is then tried again."""
        doors, request = self._doors, self._request
        decision = decide(
            await doors.inbox.rows(request.message_id),
            recipient_sha256=self._key.recipient_sha256,
            body_sha256=request.body_sha256,
            owner=doors.liveness.owner,
            token=self._token,
            may_have_been_sent=self._may_have_been_sent(),
        )
        match decision:
            case Send():
                return await self._send(decision)
            case Drop():
                log.info("duplicate dropped", message_id=request.message_id)
                await doors.settlement.done(self._delivery, request.message_id)
                return None
            case PutOff():
                return Held(Source.OTHER_CONSUMER, "it is sending this message")
            case Conflict():
                return await self._refuse_conflict()

    async def _send(self, decision: Send) -> Held | None:
        doors = self._doors
        async with doors.mail_server.transaction() as transaction:
            if isinstance(transaction, Trouble):
                return Held(Source.MAIL_SERVER, transaction.reason)
            reply = await transaction.envelope(doors.settings.mail_from, self._request.recipient)
            match reply:
                case Trouble():
                    return Held(Source.MAIL_SERVER, reply.reason)
                case Permanent():
                    return await self._fail(reply)
                case None:
                    return await self._claim_and_hand_over(transaction, decision)

    async def _claim_and_hand_over(self, transaction: Transaction, decision: Send) -> Held | None:
        self._token = self._doors.new_id()
        claim = await self._doors.inbox.claim(
            self._key, decision, token=self._token, body_sha256=self._request.body_sha256
        )
        if claim is None:
            return Held(Source.OTHER_CONSUMER, "it has just taken this message")
        return await self._hand_over(transaction, claim, is_uncertain=decision.is_uncertain)

    async def _hand_over(self, transaction: Transaction, claim: Claim, *, is_uncertain: bool) -> Held | None:
        doors, message_id = self._doors, self._request.message_id
        self._attempts = claim.attempts
        if is_uncertain:
            log.warning("mail may go out twice", message_id=message_id, uncertain=claim.uncertain)
        doors.journey.reach(Point.SENDING, message_id)
        mail = self._render(claim)
        if not doors.liveness.is_trusted():
            return Held(Source.INBOX, "no sign of life could be left there for 8 seconds")
        reply = await transaction.data(mail)
        match reply:
            case Accepted():
                doors.journey.reach(Point.HANDED_TO_SMTP, message_id)
                await doors.settlement.sent(self._delivery, self._key, reply)
                return None
            case Permanent():
                return await self._fail(reply)
            case Trouble():
                if reply.may_be_sent:
                    await doors.inbox.count_uncertain(self._key, self._token or "")
                    log.warning("mail may go out twice", message_id=message_id, uncertain=claim.uncertain + 1)
                return Held(Source.MAIL_SERVER, reply.reason)

    async def _fail(self, reply: Permanent) -> Held | None:
        letter = letter_about_reply(
            self._delivery.message,
            reply,
            message_id=self._request.message_id,
            recipient=self._request.recipient,
            attempts=max(self._attempts, 1),
        )
        return await self._doors.settlement.failed(
            self._delivery,
            self._key,
            reply,
            letter,
            token=self._token or self._doors.new_id(),
            body_sha256=self._request.body_sha256,
        )

    async def _refuse_conflict(self) -> Held | None:
        refusal = Refusal(ErrorCode.ID_CONFLICT, detail="this message id was used before for another body")
        letter = letter_about_refusal(self._delivery.message, refusal, message_id=self._request.message_id)
        return await self._doors.settlement.refused(self._delivery, letter, code=refusal.code)

    def _render(self, claim: Claim) -> bytes:
        settings = self._doors.settings
        return render(
            self._request,
            mail_from=settings.mail_from,
            domain=settings.mail_domain,
            date=self._request.timestamp or EPOCH + timedelta(microseconds=claim.first_seen),
        )

    def _may_have_been_sent(self) -> bool:
        delivery = self._delivery
        was_here_before = delivery.redelivered or MAYBE_SENT_HEADER in delivery.message.headers
        return not self._request.has_own_id and was_here_before
