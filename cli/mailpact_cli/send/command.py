"""`mailpact send`: validates one message, publishes it with a confirm, and waits for its outcome with `--wait`."""

import asyncio
import json
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated
from uuid import uuid4

import typer

from mailpact.contracts import catalogue
from mailpact.settings import AmqpUrl, SettingsError
from mailpact_cli import options
from mailpact_cli.errors import WRONG, ServiceUnreachable
from mailpact_cli.log_output import configure_logging
from mailpact_cli.send.compose import Composed, Parts, Refused, compose
from mailpact_cli.serving import say

if TYPE_CHECKING:
    from aiormq.abc import AbstractConnection

    from mailpact.amqp.messages import Outcome
    from mailpact_cli.send.events import Listener, StatusEvent

APP_ID = "mailpact-send"
CONFIRM_SECONDS = 4  # after at most 5 for the connection: the command ends within ten
LONGEST_WAIT_SECONDS = 86_400
DEFAULT_LOCALE = "en"


def send(
    file: Annotated[
        Path | None,
        typer.Argument(
            metavar="[FILE]", help="A file with a message of email/2 or email/1; - means standard input."
        ),
    ] = None,
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
    to: Annotated[
        list[str] | None,
        options.argument("--to", "MAILBOX", "A recipient instead of those in FILE; may be repeated."),
    ] = None,
    template: Annotated[
        str | None, options.argument("--template", "NAME[/VERSION]", "The template that makes the mail.")
    ] = None,
    data: Annotated[
        Path | None,
        options.argument("--data", "FILE", "A JSON file with the template's data; - means standard input."),
    ] = None,
    locale: Annotated[
        str, options.argument("--locale", "LOCALE", "The language of the template.")
    ] = DEFAULT_LOCALE,
    attach: Annotated[
        list[Path] | None, options.argument("--attach", "FILE", "A file to attach; may be repeated.")
    ] = None,
    wait: Annotated[
        float | None,
        options.seconds(
            "--wait", "Wait at most this long until the mail is sent.", most=LONGEST_WAIT_SECONDS
        ),
    ] = None,
    as_json: Annotated[bool, options.flag("--json", "Print one JSON object and nothing else.")] = False,
) -> None:
    """Publish one message and print its id. Exit code 1 if the message is invalid, or if its mail failed (--wait)."""
    configure_logging(verbose=False)
    parts = Parts(to or (), template, locale, data, attach or ())
    _refuse_what_makes_no_message(file, parts)
    composed = compose(catalogue.load(), file, parts)
    if isinstance(composed, Refused):
        refusal = composed.refusal
        place = f" at {refusal.pointer or 'the whole body'}, {refusal.keyword}" if refusal.keyword else ""
        say(f"the message breaks {composed.contract}: {refusal.code}{place}: {refusal.detail}")
        raise typer.Exit(WRONG)
    is_good = asyncio.run(_Sending(amqp_url, composed, wait, as_json=as_json).run())
    if not is_good:
        raise typer.Exit(WRONG)


def _refuse_what_makes_no_message(file: Path | None, parts: Parts) -> None:
    if file is None and parts.is_empty:
        raise SettingsError("name a FILE with the message, - for standard input, or --template and --to")
    if parts.data is not None and parts.template is None:
        raise SettingsError("--data contains the data of a template; give --template too")
    if str(file) == "-" and str(parts.data) == "-":
        raise SettingsError("standard input can be the message or the data, not both")


class _Sending:
    """Publishes one message and follows it."""

    def __init__(self, url: AmqpUrl, composed: Composed, wait: float | None, *, as_json: bool) -> None:
        self._url = url
        self._composed = composed
        self._wait = wait
        self._as_json = as_json
        self._message_id = str(uuid4())
        self._events: list[StatusEvent] = []

    async def run(self) -> bool:
        """Publish and wait; return whether no failure was reported. Raises BrokerUnreachable, ServiceUnreachable."""
        from mailpact_cli.dialling import connected
        from mailpact_cli.send.events import listening

        try:
            async with connected(self._url, "send") as connection:
                if self._wait is None:
                    await self._publish(connection)
                    return True
                async with listening(connection, catalogue.load(), self._message_id) as listener:
                    await self._publish(connection)
                    return await self._follow(listener, self._wait)
        finally:
            if self._as_json:
                events = [asdict(event) for event in self._events]
                print(json.dumps({"message_id": self._message_id, "events": events}))  # noqa: T201  # the result

    async def _publish(self, connection: "AbstractConnection") -> None:
        from mailpact.amqp.messages import Outcome

        outcome = await _published(connection, self._composed, self._message_id)
        if outcome is Outcome.UNROUTABLE:
            raise ServiceUnreachable(
                "no queue receives the message; start a consumer once, or run mailpact topology apply"
            )
        if outcome is Outcome.NACKED:
            raise ServiceUnreachable("the broker refuses the message: its queue is full")
        if outcome is Outcome.UNKNOWN:
            raise ServiceUnreachable(
                f"the broker did not confirm within {CONFIRM_SECONDS} seconds, and may be blocked by an alarm; "
                f"message {self._message_id} may be in the queue anyway"
            )
        if not self._as_json:
            print(self._message_id, flush=True)  # noqa: T201  # the result

    async def _follow(self, listener: "Listener", seconds: float) -> bool:
        from mailpact_cli.send.events import Progress

        progress = Progress(self._composed.recipients)
        try:
            async with asyncio.timeout(seconds):
                while not progress.is_over:
                    event = await listener.arrived.get()
                    progress.take(event)
                    self._events.append(event)
                    if not self._as_json:
                        line = "  ".join(filter(None, (event.event, event.recipient, event.words)))
                        print(line, flush=True)  # noqa: T201  # the result
        except TimeoutError:
            raise ServiceUnreachable(
                f"the mail has no final status after {seconds:g} seconds; is a consumer running?"
            ) from None
        return progress.is_good


async def _published(connection: "AbstractConnection", composed: Composed, message_id: str) -> "Outcome":
    from mailpact.amqp.channels import open_channel, publish
    from mailpact.amqp.errors import talking
    from mailpact.amqp.messages import Message, Routed
    from mailpact.amqp.topology import declare_all

    wire = composed.contract.wire
    message = Message(
        composed.body,
        content_type=wire.content_type,
        type=wire.type,
        message_id=message_id,
        app_id=APP_ID,
        timestamp=datetime.fromtimestamp(int(time.time()), UTC),
    )
    with talking():
        await declare_all(connection, catalogue.load().topology.declared_by("producer"))
        channel = await open_channel(connection, confirms=True)
    return await publish(channel, Routed(message, wire.exchange, wire.routing_key), CONFIRM_SECONDS)
