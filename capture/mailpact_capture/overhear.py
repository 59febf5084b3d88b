"""Listen to the broker's messages on a private queue, which the broker deletes with the connection.

    exchanges email, email.status, logs ─▶ private queue ─▶ check ─▶ journeys

The RabbitMQ user can be `mailpact-observer`, which may declare only such a queue.

The private queue gets copies, so no consumer loses a message. The queue holds at most 1,000 messages and drops the
oldest, so this server never slows down the broker. Without the broker, or without the permission to listen, the
server still receives and shows mail, and the pages say that no messages are known.
"""

import asyncio
import hashlib
from collections.abc import Callable
from typing import Any, Final, NoReturn

import structlog
from aiormq.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ChannelNotFoundEntity, ChannelPreconditionFailed

from mailpact.amqp.channels import short_channel
from mailpact.amqp.errors import BrokerLost, talking
from mailpact.amqp.messages import Message
from mailpact.amqp.subscriber import Delivery, Subscriber
from mailpact.amqp.topology import declare
from mailpact.contracts.catalogue import Catalogue, Contract, Exchange
from mailpact.contracts.errors import Refusal
from mailpact.contracts.parse import parse
from mailpact.contracts.validate import Validator
from mailpact.settings import AmqpUrl
from mailpact_capture.journeys import MAX_ID_CHARACTERS, UUID_FORM, Asked, Journeys

PREFETCH: Final = 200
MOST_WAITING: Final = 1_000
KEY_HEADER: Final = "x-mailpact-id"
INGRESS, STATUS, LOGS = "email", "email.status", "logs"
_INGRESS_KEYS: Final = ("", "email", "#")  # for every type of the exchange `email`

log = structlog.get_logger()


class Overhearing:
    """Listens to the broker. Call `run` in a task."""

    def __init__(
        self, url: AmqpUrl, catalogue: Catalogue, journeys: Journeys, *, now_us: Callable[[], int]
    ) -> None:
        self._catalogue = catalogue
        self._journeys = journeys
        self._now_us = now_us
        self._status = _Reader(catalogue.contract("email-status/1"))
        self._logs = _Reader(catalogue.contract("log/1"))
        self._most_bytes = catalogue.contract("email/2").wire.limits.max_body_bytes  # no contract allows more
        self._acks: set[asyncio.Task[bool]] = set()
        self._subscriber = Subscriber(
            url,
            "capture",
            queue="",
            prefetch=PREFETCH,
            declare=self._declare,
            receive=self._receive,
        )

    async def run(self) -> NoReturn:
        """Listen until cancelled."""
        await self._subscriber.run()

    async def _declare(self, connection: AbstractConnection) -> None:
        exchanges = {exchange.name: exchange for exchange in self._catalogue.topology.exchanges}
        with talking():
            for name in (INGRESS, STATUS):
                if not await _is_there(connection, exchanges[name], may_declare=True):
                    raise BrokerLost(f"there is no exchange {name} yet")
            has_logs = await _is_there(connection, exchanges[LOGS], may_declare=False)
            async with short_channel(connection) as channel:
                declared = await channel.queue_declare(
                    "", exclusive=True, auto_delete=True, arguments={"x-max-length": MOST_WAITING}
                )
                queue = self._subscriber.queue = str(declared.queue)
                for key in _INGRESS_KEYS:
                    await channel.queue_bind(queue, INGRESS, key)
                for name in (STATUS, LOGS) if has_logs else (STATUS,):
                    await channel.queue_bind(queue, name, "#")
        self._journeys.hears_logs = has_logs
        if self._journeys.since_us is None:
            self._journeys.since_us = self._now_us()

    def _receive(self, delivery: Delivery) -> None:
        try:
            self._note(delivery)
        except Exception as error:  # noqa: BLE001  # no message may stop the server
            self._journeys.invalid += 1
            kind = type(error).__name__
            log.error("a message could not be noted, which is a bug", kind=kind)  # noqa: TRY400  # never the message's text
        ack = asyncio.create_task(delivery.ack())
        self._acks.add(ack)
        ack.add_done_callback(self._acks.discard)

    def _note(self, delivery: Delivery) -> None:
        message, journeys = delivery.message, self._journeys
        if delivery.exchange == STATUS:
            event = self._status.read(message)
            if event is None:
                journeys.invalid += 1
            else:
                journeys.note_event(event, len(message.body))
        elif delivery.exchange == LOGS:
            # Most log records name no message.
            record = self._logs.read(message) if b'"message_id"' in message.body else None
            if record is not None:
                journeys.note_record(record, len(message.body))
        else:
            journeys.note_asked(self._asked(delivery))

    def _asked(self, delivery: Delivery) -> Asked:
        message = delivery.message
        key = message.headers.get(KEY_HEADER)
        message_id = key if isinstance(key, str) and UUID_FORM.fullmatch(key) else _text(message.message_id)
        size = len(message.body)
        return Asked(
            message_id=(message_id or "")[:MAX_ID_CHARACTERS],
            type=_text(message.type),
            content_type=_text(message.content_type),
            app_id=_text(message.app_id),
            made_at=message.timestamp,
            exchange=delivery.exchange,
            routing_key=delivery.routing_key,
            size=size,
            sha256=hashlib.sha256(message.body).hexdigest(),
            body=message.body if size <= self._most_bytes else None,
            seen_us=self._now_us(),
        )


def _text(value: str | bytes | None) -> str | None:
    """Return a property as text. The AMQP library returns bytes if a property is not UTF-8."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value


async def _is_there(connection: AbstractConnection, exchange: Exchange, *, may_declare: bool) -> bool:
    """Return whether an exchange exists, of any type.

    Declare the exchange first if the RabbitMQ user has the permission.
    """
    if may_declare:
        try:
            await declare(connection, exchange)
        except ChannelPreconditionFailed:
            return True
        except ChannelAccessRefused:
            pass
        else:
            return True
    try:
        await declare(connection, exchange, passive=True)
    except ChannelNotFoundEntity:
        return False
    return True


class _Reader:
    """Parses the messages of one contract."""

    def __init__(self, contract: Contract) -> None:
        self._binding = contract.wire
        self._validator = Validator(contract.schema)

    def read(self, message: Message) -> Any:
        """Return the members of the message; None if the message violates its contract."""
        limits = self._binding.limits
        value = parse(message.body, max_bytes=limits.max_body_bytes, max_depth=limits.max_depth)
        if isinstance(value, Refusal) or self._validator.check(value) is not None:
            return None
        return value
