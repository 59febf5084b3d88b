"""Carries one request out: try after try, until it is settled.

One try is the journey in order: what the inbox knows, MAIL and RCPT, the claim, DATA, the settling. It ends settled
or held; held, the message stays unacked with us and is tried again, never nacked: 21 nacks would kill it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

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
from mailpact_consumer.reply import Accepted, DomainBusy, Permanent, Trouble
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


@dataclass(frozen=True, slots=True)
class Verdict:
    """The mail server's last word, and the token of the inbox's row when it came; None when there was no row."""

    reply: Permanent
    seen_token: str | None


class Attempt:
    """The tries for one delivery of one request. The caller holds the message's place among those in flight."""

    def __init__(self, doors: Doors, delivery: Delivery, request: MailRequest) -> None:
        self._doors = doors
        self._delivery = delivery
        self._request = request
        self._key = Key(request.message_id, recipient_sha256(request.recipient))
        self._tokens: set[str] = set()
        """The tries that certainly made no mail."""
        self._tries = 0
        self._verdict: Verdict | None = None

    async def try_once(self) -> Held | None:
        """Make one try; None when the delivery is settled. Raises DatabaseUnavailable, and is then tried again."""
        if self._verdict is not None:
            return await self._fail(self._verdict)
        doors, request = self._doors, self._request
        decision = decide(
            await doors.inbox.rows(request.message_id),
            recipient_sha256=self._key.recipient_sha256,
            body_sha256=request.body_sha256,
            owner=doors.liveness.owner,
            tokens=self._tokens,
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

    async def _send(self, send: Send) -> Held | None:
        outcome = await self._hand_over(send)
        match outcome:
            case Accepted():
                self._doors.journey.reach(Point.HANDED_TO_SMTP, self._request.message_id)
                await self._doors.settlement.sent(self._delivery, self._key, outcome)
                return None
            case Verdict():
                self._verdict = outcome
                return await self._fail(outcome)
            case Trouble():
                return Held(Source.MAIL_SERVER, outcome.reason)
            case Held():
                return outcome

    async def _hand_over(self, send: Send) -> Accepted | Verdict | Trouble | Held:
        async with self._doors.mail_server.transaction(self._request.recipient) as transaction:
            if isinstance(transaction, Trouble):
                return transaction
            if isinstance(transaction, DomainBusy):
                return Held(Source.MAIL_SERVER, "it is slow to answer about the recipient's domain")
            self._tries += 1
            refusal = await transaction.envelope(self._doors.settings.sender, self._request.recipient)
            match refusal:
                case Permanent():
                    return Verdict(refusal, send.seen.token if send.seen else None)
                case Trouble():
                    return refusal
                case None:
                    return await self._claim_and_send(transaction, send)

    async def _claim_and_send(
        self, transaction: Transaction, send: Send
    ) -> Accepted | Verdict | Trouble | Held:
        doors, message_id = self._doors, self._request.message_id
        trusted_since = doors.liveness.trusted_since()
        token = doors.new_id()
        self._tokens.add(token)  # before the commit, whose answer may be lost
        claim = await doors.inbox.claim(self._key, send, token=token, body_sha256=self._request.body_sha256)
        if claim is None:
            return Held(Source.OTHER_CONSUMER, "it has just taken this message")
        if send.is_uncertain:
            log.warning("mail may go out twice", message_id=message_id, uncertain=claim.uncertain)
        doors.journey.reach(Point.SENDING, message_id)
        mail = self._render(claim)
        if trusted_since is None or doors.liveness.trusted_since() != trusted_since:
            return Held(Source.INBOX, "no sign of life could be left there for 8 seconds")
        self._tokens.clear()  # from here on a mail may exist, until the server clearly says no
        reply = await transaction.data(mail)
        if isinstance(reply, Permanent):
            return Verdict(reply, token)
        if isinstance(reply, Trouble) and not reply.may_be_sent:
            self._tokens.add(token)
        return reply

    async def _fail(self, verdict: Verdict) -> Held | None:
        doors, request = self._doors, self._request
        letter = letter_about_reply(
            self._delivery.message,
            verdict.reply,
            message_id=request.message_id,
            recipient=request.recipient,
            attempts=self._tries,
        )
        held = await doors.settlement.failed(
            self._delivery,
            letter,
            verdict.reply,
            record=partial(
                doors.inbox.finish_failed,
                self._key,
                verdict.reply.code,
                seen_token=verdict.seen_token,
                token=doors.new_id(),
                body_sha256=request.body_sha256,
            ),
        )
        if held is not None and held.source is Source.OTHER_CONSUMER:
            self._verdict = None
        return held

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
