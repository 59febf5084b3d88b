"""Makes one try for one recipient: MAIL, RCPT and DATA, the claim, the mail, and the record of the outcome.

A try ends in one of four ways. It is settled for good; it is put off, and the row says until when; it is held, because
the inbox or the dead letters cannot be written now; or the row has changed since it was read, and the caller reads it
again. A try that ends without a 250 takes its row out of `sending` before it ends, so only a killed process leaves a
row in `sending`.
"""

from dataclasses import replace
from datetime import timedelta

import structlog

from mailpact.amqp.messages import Message
from mailpact.amqp.messages import Outcome as Published
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.telemetry import Point
from mailpact_consumer.database_clock import EPOCH
from mailpact_consumer.decide import Busy, Decision, Drop, Row, Send, State, Wait
from mailpact_consumer.deliver import Transaction
from mailpact_consumer.inbox import Claim, ClaimRequest, Reported, Seen, Sent, Subject, Transition
from mailpact_consumer.inbox_sql import Key
from mailpact_consumer.letter import RecipientFailure, letter_about_recipient
from mailpact_consumer.message import MailRequest, Recipient
from mailpact_consumer.outcomes import Held, LookAgain, PutOff, Settled, Source
from mailpact_consumer.render import Renderer
from mailpact_consumer.reply import Accepted, DomainBusy, Permanent, Scope, Trouble
from mailpact_consumer.schedule import wait_seconds
from mailpact_consumer.services import Services
from mailpact_consumer.slots import Slot
from mailpact_consumer.standing import Ending, Standing, Tried, failed_token
from mailpact_consumer.status import About, Event, Failure, SmtpReply, StatusEvent, status_event

MOST_UNANSWERED = 3  # copies that a reader may get if a server accepts mails and never answers
UNRECORDED = "an earlier try ended without a record of its outcome"

log = structlog.get_logger()

Result = Settled | PutOff | Held | LookAgain


class RecipientTry:
    """The tries for one recipient of one delivery. The caller holds the message in `InFlight`."""

    def __init__(
        self,
        services: Services,
        message: Message,
        request: MailRequest,
        recipient: Recipient,
        slot: Slot,
        renderer: Renderer,
    ) -> None:
        self._services = services
        self._message = message
        self._request = request
        self._recipient = recipient
        self._slot = slot
        self._renderer = renderer
        identity = request.identity
        key = Key(identity.key, recipient.sha256)
        self._subject = Subject(key, request.body_sha256, identity.publisher_id, request.template_digest)
        self._about = About(identity, request.contract, request.metadata)
        self.tokens: set[str] = set()
        """Tokens of tries that certainly sent no mail, although a row may have such a token."""
        self._ending: Ending | None = None
        self.is_settled = False

    async def go_on(self, decision: Decision) -> Result:
        """Execute the decision, or write the dead letter that is not confirmed yet. Raises DatabaseUnavailable."""
        result = await (self._end(self._ending) if self._ending is not None else self._do(decision))
        self.is_settled = isinstance(result, Settled)
        return result

    @property
    def has_ending(self) -> bool:
        """Return whether only the dead letter is still to be written."""
        return self._ending is not None

    def announce_duplicate(self, attempts: int) -> None:
        """Publish the event that this recipient was settled before."""
        self._services.settlement.announce(self._event(Event.DUPLICATE, attempts))

    async def _do(self, decision: Decision) -> Result:
        match decision:
            case Send():
                return await self._send(decision)
            case Drop():
                return Settled()
            case Busy():
                return PutOff(0)
            case Wait(seconds):
                return PutOff(seconds)

    async def _send(self, send: Send) -> Result:
        standing = Standing.of_row(send.seen, is_uncertain=send.is_uncertain)
        if send.reopens:
            standing = replace(standing, unanswered=0, tried_seconds=0.0)
        period, now = self._request.period, self._services.utc_now()
        if period.is_over(now):
            return await self._expire(standing)
        too_early = period.early_seconds(now)
        if too_early > 0:
            return await self._defer(standing, wait=too_early, attempts=standing.attempts)
        tried = await self._hand_over(send, standing)
        if not isinstance(tried, Tried):
            return tried
        return await self._record(tried)

    async def _hand_over(self, send: Send, standing: Standing) -> Tried | Result:
        """Make the try until the server's answer. Afterwards the connection is free again."""
        services = self._services
        async with services.mail_server.transaction(self._recipient.address) as transaction:
            if isinstance(transaction, DomainBusy):
                return PutOff(0)
            if isinstance(transaction, Trouble):
                return Tried(standing, transaction)
            with self._slot.given_back_when_slow():
                refusal = await transaction.envelope(services.settings.sender, self._recipient.address)
                if refusal is not None:
                    return Tried(standing, refusal)
                trusted_since = services.liveness.trusted_since()
                claim = await self._claim(send)
                if claim is None:
                    return LookAgain()
                claimed = Standing.of_claim(claim)
                if self._request.period.is_over(services.utc_now()):
                    return await self._expire(claimed)
                first_seen = EPOCH + timedelta(microseconds=claim.first_seen)
                mail = self._renderer.mail(self._recipient, first_seen=first_seen)
                if trusted_since is None or services.liveness.trusted_since() != trusted_since:
                    await self._defer(claimed, wait=0.0, attempts=claim.attempts - 1, event=None)
                    return Held(Source.INBOX, "this process could not write its heartbeat for 8 seconds")
                return Tried(claimed, await self._data(transaction, mail))

    async def _claim(self, send: Send) -> Claim | None:
        services = self._services
        token = services.new_id()
        self.tokens.add(token)  # before the commit, whose answer may be lost
        attempts = (send.seen.attempts if send.seen is not None else 0) + 1
        changed = send.differs(self._request.template_digest)
        event = None
        if send.is_uncertain or changed:
            event = self._event(Event.UNCERTAIN, attempts, template_changed=changed)
        claim = await services.inbox.claim(
            ClaimRequest(self._subject, send, token, event.line if event else None)
        )
        if claim is None:
            return None
        if event is not None:
            log.warning(
                "mail may go out twice",
                message_id=self._request.message_id,
                uncertain=claim.uncertain,
                template_changed=changed,
            )
            services.settlement.recorded(Reported(self._subject.key, claim.events, claim.written_at), event)
        services.journey.reach(Point.SENDING, self._request.message_id)
        return claim

    async def _data(self, transaction: Transaction, mail: bytes) -> Accepted | Permanent | Trouble:
        self.tokens.clear()  # from here on a mail may exist, unless the server clearly refuses
        self._services.in_data.add(transaction)
        try:
            return await transaction.data(mail)
        finally:
            self._services.in_data.discard(transaction)

    async def _record(self, tried: Tried) -> Result:
        services, standing = self._services, tried.standing
        match tried.answer:
            case Accepted() as accepted:
                services.watch.succeeded()
                services.journey.reach(Point.HANDED_TO_SMTP, self._request.message_id)
                await self._record_sent(standing, accepted)
                return Settled()
            case Permanent(code, text):
                attempts = standing.attempts + (not standing.is_claimed)
                detail = f"{code} {text}"
                reply = SmtpReply(code, text)
                return await self._end(
                    Ending(standing, State.FAILED, ErrorCode.SMTP_PERMANENT, detail, attempts, reply)
                )
            case Trouble() as trouble:
                services.watch.report(trouble, self._recipient.sha256)
                return await self._put_off(standing, trouble)

    async def _record_sent(self, standing: Standing, accepted: Accepted) -> None:
        reply = SmtpReply(accepted.code, accepted.text)
        event = self._event(Event.SENT, standing.attempts, reply=reply)
        sent = Sent(
            self._subject,
            standing.seen.token if standing.seen is not None else self._services.new_id(),
            standing.attempts,
            accepted.code,
            reply.words,
            event.line,
        )
        await self._services.settlement.sent(
            sent, event, events=standing.events + 1, timestamp=self._request.timestamp
        )

    async def _put_off(self, standing: Standing, trouble: Trouble) -> Result:
        reply = SmtpReply(trouble.code, trouble.text) if trouble.code is not None else None
        if trouble.scope is Scope.SERVER and not trouble.may_be_sent:
            if not standing.is_claimed:
                return PutOff(0)  # not an attempt of this message; the row stays unchanged
            return await self._defer(standing, wait=0.0, attempts=standing.attempts - 1, event=None)
        attempts = standing.attempts + (not standing.is_claimed)
        standing = replace(standing, unanswered=standing.unanswered + trouble.may_be_sent)
        if standing.unanswered >= MOST_UNANSWERED and trouble.may_be_sent:
            detail = (
                f"the mail server took the mail {MOST_UNANSWERED} times without saying whether it keeps it"
            )
            return await self._end(
                Ending(standing, State.FAILED, ErrorCode.OUTCOME_UNKNOWN, detail, attempts, reply, True)  # noqa: FBT003  # the dataclass's last field, is_uncertain
            )
        settings = self._services.settings
        wait = wait_seconds(
            settings.retry_schedule,
            attempts,
            self._request.period.deadlines(
                self._services.utc_now(),
                tried_seconds=standing.tried_seconds,
                retry_seconds=settings.retry_seconds,
            ),
            at_least=settings.unanswered_pause_seconds if trouble.may_be_sent else 0.0,
        )
        if wait is None:
            detail = f"put off for the whole time for trying; last: {trouble.reason}"
            return await self._end(
                Ending(standing, State.FAILED, ErrorCode.RETRIES_EXHAUSTED, detail, attempts, reply)
            )
        what = Event.UNCERTAIN if trouble.may_be_sent else Event.DEFERRED
        if trouble.may_be_sent:
            log.warning(
                "mail may go out twice",
                message_id=self._request.message_id,
                reason=trouble.reason,
                unanswered=standing.unanswered,
            )
        else:
            log.info(
                "mail put off",
                message_id=self._request.message_id,
                reason=trouble.reason,
                attempt=attempts,
                wait_seconds=round(wait),
            )
        return await self._defer(standing, wait=wait, attempts=attempts, event=what, reply=reply)

    async def _defer(
        self,
        standing: Standing,
        *,
        wait: float,
        attempts: int,
        event: Event | None = Event.DEFERRED,
        reply: SmtpReply | None = None,
    ) -> Result:
        """Write the row `deferred`; the caller writes the retry copy."""
        if standing.is_uncertain:
            self._warn_of_earlier_try()
            event = Event.UNCERTAIN
        written = self._event(event, attempts, reply=reply) if event is not None else None
        transition = Transition(
            self._subject,
            standing.seen,
            State.DEFERRED,
            self._services.new_id(),
            attempts=max(attempts, 0),
            unanswered=standing.unanswered,
            is_uncertain=event is Event.UNCERTAIN,
            wait_seconds=wait,
            smtp_code=reply.code if reply is not None else None,
            last_reply=reply.words if reply is not None else None,
            event=written.line if written is not None else None,
        )
        is_moved = await self._services.settlement.moved(transition, written, events=standing.events + 1)
        return PutOff(wait) if is_moved else LookAgain()

    async def _expire(self, standing: Standing) -> Result:
        detail = "the message's expires_at has passed"
        attempts = standing.attempts - standing.is_claimed
        return await self._end(
            Ending(standing, State.EXPIRED, ErrorCode.EXPIRED, detail, attempts, reply=None)
        )

    async def fail(self, refusal: Refusal, row: Row | None, *, is_uncertain: bool) -> Result:
        """End this recipient's mail without a try, because the message cannot become a mail any more.

        `is_uncertain` says that an earlier try may have sent a mail.
        """
        seen = Standing.of_row(row, is_uncertain=is_uncertain)
        ending = Ending(seen, State.FAILED, refusal.code, refusal.detail, seen.attempts, None)
        result = await self._end(self._ending or ending)
        self.is_settled = isinstance(result, Settled)
        return result

    async def _end(self, ending: Ending) -> Result:
        """Publish the dead letter, then write the row."""
        services, standing, request = self._services, ending.standing, self._request
        if standing.seen is None and await self._has_row():
            self._ending = None
            return LookAgain()  # a first delivery was tried without reading its row, and the row exists
        self._ending = ending
        token = failed_token(self._subject.key, ending)
        failure = RecipientFailure(
            ending.code, ending.detail, self._recipient.address, ending.attempts, token
        )
        letter = letter_about_recipient(
            self._message, failure, key=request.message_id, written_at=services.utc_now()
        )
        with self._slot.given_back_when_slow():
            outcome = await services.settlement.buried(letter, key=request.message_id)
        if outcome is not Published.CONFIRMED:
            await self._let_go(ending)
            return Held(Source.DEAD_LETTERS, f"a dead letter was {outcome.replace('_', ' ')}")
        event = self._event(
            Event.EXPIRED if ending.state is State.EXPIRED else Event.FAILED,
            ending.attempts,
            reply=ending.reply,
            failure=Failure(ending.code, ending.detail),
        )
        transition = Transition(
            self._subject,
            standing.seen,
            ending.state,
            token,
            attempts=ending.attempts,
            unanswered=standing.unanswered,
            is_uncertain=ending.is_uncertain or standing.is_uncertain,
            smtp_code=ending.reply.code if ending.reply is not None else None,
            last_reply=ending.reply.words if ending.reply is not None else None,
            event=event.line,
        )
        self._ending = None
        if not await services.settlement.moved(transition, event, events=standing.events + 1):
            return LookAgain()
        if standing.is_uncertain:
            self._warn_of_earlier_try()
            services.settlement.announce(self._event(Event.UNCERTAIN, ending.attempts))
        log.warning(
            "mail cannot be delivered",
            message_id=request.message_id,
            code=str(ending.code),
            smtp_code=transition.smtp_code,
        )
        return Settled()

    async def _let_go(self, ending: Ending) -> None:
        """Leave the state `sending` while the letter waits. Otherwise a clear refusal would later look uncertain."""
        standing = ending.standing
        if not standing.is_claimed:
            return
        token = self._services.new_id()
        transition = Transition(
            self._subject,
            standing.seen,
            State.DEFERRED,
            token,
            attempts=ending.attempts,
            unanswered=standing.unanswered,
            wait_seconds=0.0,
        )
        if await self._services.settlement.moved(transition, None, events=standing.events):
            let_go = replace(standing, seen=Seen(State.DEFERRED, token), is_claimed=False)
            self._ending = replace(ending, standing=let_go)
        else:
            self._ending = None

    async def _has_row(self) -> bool:
        rows = await self._services.inbox.rows(self._request.message_id)
        return any(row.recipient_sha256 == self._recipient.sha256 for row in rows)

    def _warn_of_earlier_try(self) -> None:
        log.warning("mail may go out twice", message_id=self._request.message_id, reason=UNRECORDED)

    def _event(
        self,
        event: Event,
        attempt: int,
        *,
        reply: SmtpReply | None = None,
        failure: Failure | None = None,
        template_changed: bool = False,
    ) -> StatusEvent:
        return status_event(
            self._about,
            event,
            recipient=self._recipient.address,
            attempt=max(attempt, 0),
            occurred_at=self._services.utc_now(),
            reply=reply,
            failure=failure,
            template_changed=template_changed,
        )
