"""Everything that stands around a program under test while the cases run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import uuid4

from mailpact.contracts.catalogue import Catalogue, Contract
from mailpact_kit.bell import Bell
from mailpact_kit.broker import Broker
from mailpact_kit.judge import shown
from mailpact_kit.mailbox import Mailbox
from mailpact_kit.messages import Sent
from mailpact_kit.process import Process
from mailpact_kit.tap import Tap
from mailpact_kit.trace import Event, about
from mailpact_kit.trigger import Trigger
from mailpact_kit.verdict import Evidence

SHOWN_LINES = 40


@dataclass(frozen=True, slots=True)
class Stage:
    """What a case needs to be carried out; `values` are the kit's names, `variables` the whole environment."""

    catalogue: Catalogue
    broker: Broker
    tap: Tap
    mailbox: Mailbox
    program: Process
    trigger: Trigger | None
    values: Mapping[str, str]
    variables: Mapping[str, str]
    bell: Bell
    seconds: float

    def contract(self, name: str) -> Contract:
        """Return a contract by its name."""
        return self.catalogue.contract(name)

    @property
    def has_program_exited(self) -> bool:
        """Whether the program is gone, so that nothing more will come of it."""
        return self.program.exit_code is not None

    @property
    def is_overflown(self) -> bool:
        """Whether something could not be kept, so that a verdict would be a guess."""
        return self.tap.is_full or self.mailbox.is_full

    def evidence(self, nonces: Sequence[str], sent: Sequence[str]) -> Evidence:
        """Collect what helps to find a fault."""
        return Evidence(
            sent=list(sent),
            smtp=[line for nonce in nonces for line in self.mailbox.transcript(nonce)][:SHOWN_LINES],
            amqp=[line_of(event) for event in about(self.tap.events, nonces)][:SHOWN_LINES],
            output=self.program.tail(SHOWN_LINES // 2),
        )


def new_id() -> str:
    """Return a message id that nobody has used."""
    return str(uuid4())


def now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)  # noqa: TID251  # this is where it comes in


def line_of_sent(sent: Sent) -> str:
    """Write a message for people; the body's bytes are escaped, nothing is left out."""
    properties = " ".join(f"{name}={value}" for name, value in sent.properties.items() if name != "headers")
    return f"{ascii(sent.body)[1:]} with {properties}"


def line_of(event: Event) -> str:
    """Write an event for people."""
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
    return f"{place}  {event.sender:<7}  {event.name} {arguments}{about_content}{body}".rstrip()
