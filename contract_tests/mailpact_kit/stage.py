"""The environment of the program under test while the cases run: broker, tap, mail server, trigger."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import uuid4

from mailpact.contracts.catalogue import Catalogue, Contract
from mailpact_kit.broker import Broker
from mailpact_kit.changes import Changes
from mailpact_kit.habits import Course
from mailpact_kit.judge import Seen, shown
from mailpact_kit.ledger import Ledger
from mailpact_kit.mail import Mail
from mailpact_kit.mailbox import Mailbox, MailServer
from mailpact_kit.messages import Sent
from mailpact_kit.subject import Subject
from mailpact_kit.tap import Tap
from mailpact_kit.trace import Event, about
from mailpact_kit.trigger import Trigger
from mailpact_kit.verdict import Evidence

SHOWN_LINES = 40
PATIENCE = 4  # multiplies the seconds of a wait if a consumer may wait before its next try


@dataclass(slots=True)
class Stage:
    """Everything that a case needs to run. `values` are the kit's own names, `variables` the whole environment.

    A case holds the lock `disturbance` during its fault. `is_back` is set after the program was killed and started
    again. The lock `vectors` prevents that vectors of two contracts run at the same time, because they share
    recipients.
    """

    catalogue: Catalogue
    broker: Broker
    tap: Tap
    mail_server: MailServer
    program: Subject
    trigger: Trigger | None
    values: Mapping[str, str]
    variables: Mapping[str, str]
    changes: Changes
    seconds: float
    disturbance: asyncio.Lock = field(default_factory=asyncio.Lock)
    is_back: asyncio.Event = field(default_factory=asyncio.Event)
    vectors: asyncio.Lock = field(default_factory=asyncio.Lock)
    sent: list[Sent] = field(default_factory=list)

    def contract(self, name: str) -> Contract:
        """Return a contract by its name."""
        return self.catalogue.contract(name)

    @property
    def mailbox(self) -> Mailbox:
        """Return the received mails."""
        return self.mail_server.mailbox

    @property
    def ledger(self) -> Ledger:
        """Return the record of each delivery and publish."""
        return self.tap.ledger

    @property
    def has_program_exited(self) -> bool:
        """Return whether the program has ended."""
        return self.program.exit_code is not None

    @property
    def is_overflown(self) -> bool:
        """Return whether a limit was reached and events are missing, so that no verdict can be given."""
        return self.tap.is_full or self.mailbox.is_full

    async def publish(self, sent: Sent) -> None:
        """Publish a message to the program, with the answers that the mail server has for its recipient."""
        if sent.answers:
            self.mailbox.scripts[sent.nonce].extend(sent.answers)
        self.sent.append(sent)
        await self.broker.publish(sent)

    def seen(self, sent: Sent) -> Seen:
        """Return everything observed about a message so far."""
        delivered = self.ledger.deliveries.get(sent.message_id, ())
        return Seen(
            mails=self.mailbox.mails_to(sent.nonce),
            letters=self.broker.letters_about(sent),
            deliveries=len(delivered),
            settled=self.ledger.settled(sent.message_id),
            put_off=sum(
                each.event.body == sent.body and each.confirmed_at is not None
                for each in self.ledger.publications
                if each.event.arguments.get("exchange") != self.broker.dead_exchange
            ),
        )

    def course(self) -> Course:
        """Return everything that the program did so far. The mails have times of the trace."""
        mails = {
            sent.message_id: [
                Mail(mail.at - self.tap.began, mail.sender, mail.recipients, mail.content)
                for mail in self.mailbox.mails_to(sent.nonce)
            ]
            for sent in self.sent
        }
        return Course(
            self.ledger, self.tap.events, mails, self.broker.dead_exchange, self.values["MAIL_FROM"]
        )

    def evidence(self, nonces: Sequence[str], sent: Sequence[str]) -> Evidence:
        """Return evidence that helps to find the cause of a failure."""
        return Evidence(
            sent=list(sent),
            smtp=[line for nonce in nonces for line in self.mailbox.transcript(nonce)][:SHOWN_LINES],
            amqp=[line_of(event) for event in about(self.tap.events, nonces)][:SHOWN_LINES],
            output=self.program.tail(SHOWN_LINES // 2),
        )


def new_id() -> str:
    """Return a new message id."""
    return str(uuid4())


def now() -> datetime:
    """Return the time with its time zone (UTC)."""
    return datetime.now(UTC)  # noqa: TID251  # the only place that reads the clock


def line_of_sent(sent: Sent) -> str:
    """Return a message as text, with all bytes of the body escaped."""
    properties = " ".join(f"{name}={value}" for name, value in sent.properties.items() if name != "headers")
    return f"{ascii(sent.body)[1:]} with {properties}"


def line_of(event: Event) -> str:
    """Return an event as text."""
    arguments = " ".join(
        f"{name}={shown(value)}" for name, value in event.arguments.items() if value not in ("", None)
    )
    body = f" body={shown(event.body)}" if event.body else ""
    content_type = event.properties.get("content_type")
    message_id = event.properties.get("message_id")
    about_content = "".join(
        f" {name}={value}"
        for name, value in (("content_type", content_type), ("message_id", message_id))
        if value
    )
    place = f"{event.at:8.3f} s  connection {event.connection} channel {event.channel}"
    return f"{place}  {event.speaker:<7}  {event.name} {arguments}{about_content}{body}".rstrip()
