"""Declares the exchanges, queues and bindings of the contracts, and never deletes anything.

Programs may start in any order, so each program declares what it uses: the consumer its queues, a producer only the
exchange that it publishes to. `declared_by` in `contracts/topology.json` lists these programs; an operator declares
everything. The order of that file is kept, with the targets of dead-lettering first: a dead letter whose target does
not exist waits three minutes in its queue.
"""

from collections.abc import Awaitable, Callable

import structlog
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import ChannelPreconditionFailed

from mailpact.amqp.channels import short_channel
from mailpact.amqp.errors import reason
from mailpact.contracts.catalogue import Exchange, Queue, Topology

Declare = Callable[[AbstractConnection], Awaitable[None]]

log = structlog.get_logger()


async def declare_all(connection: AbstractConnection, topology: Topology) -> None:
    """Declare everything in `topology`. A public exchange that exists with another type is used as it is.

    A program of another team may have declared the public exchange before, as a fanout for instance, and the contract
    promises to serve that program. Raises as `declare`.
    """
    for exchange in topology.exchanges:
        try:
            await declare(connection, exchange)
        except ChannelPreconditionFailed as error:
            if not exchange.is_public:
                raise
            await declare(connection, exchange, passive=True)
            log.info(
                "the exchange exists with another type and is used as it is",
                exchange=exchange.name,
                differs=reason(error),
            )
    async with short_channel(connection) as channel:
        for queue in topology.queues:
            await _declare(channel, queue, passive=False)
            for binding in topology.bindings:
                if binding.queue == queue.name:
                    await channel.queue_bind(binding.queue, binding.exchange, binding.routing_key)


async def declare(connection: AbstractConnection, piece: Exchange | Queue, *, passive: bool = False) -> None:
    """Declare an exchange or a queue within 10 seconds; with `passive`, only look whether it exists.

    Raises aiormq's ChannelPreconditionFailed if it exists with other arguments, and ChannelNotFoundEntity if `passive`
    finds nothing.
    """
    async with short_channel(connection) as channel:  # a refusal closes the channel
        await _declare(channel, piece, passive=passive)


async def _declare(channel: AbstractChannel, piece: Exchange | Queue, *, passive: bool) -> None:
    match piece:
        case Exchange():
            await channel.exchange_declare(
                piece.name, exchange_type=piece.type, durable=piece.durable, passive=passive
            )
        case Queue():
            await channel.queue_declare(
                piece.name, durable=piece.durable, arguments=dict(piece.arguments), passive=passive
            )
