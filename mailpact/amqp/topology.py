"""Declares the contracts' exchanges, queues and bindings, and never deletes anything.

Each program declares what it uses, because the programs may start in any order: the consumer its queues, a producer
only the exchange that it publishes to. `declared_by` in `contracts/topology.json` says who declares what; an operator
declares everything. Targets of dead-lettering come first in that file and are declared in its order: a dead letter
whose target does not exist waits three minutes in its queue.
"""

import structlog
from aiormq.abc import AbstractChannel, AbstractConnection
from aiormq.exceptions import ChannelPreconditionFailed

from mailpact.amqp.channels import short_channel
from mailpact.amqp.errors import reason
from mailpact.contracts.catalogue import Exchange, Queue, Topology

log = structlog.get_logger()


async def declare_ingress(connection: AbstractConnection, topology: Topology) -> None:
    """Declare the public exchanges; a fanout or topic exchange that has such a name already is used as it is.

    A program of another team may have declared the exchange before us, and the contract promises to serve that program.
    """
    for exchange in topology.exchanges:
        if exchange.is_public:
            try:
                await declare(connection, exchange)
            except ChannelPreconditionFailed as error:
                await declare(connection, exchange, passive=True)
                log.info(
                    "the exchange exists with another type and is used as it is",
                    exchange=exchange.name,
                    differs=reason(error),
                )


async def declare_all(connection: AbstractConnection, topology: Topology) -> None:
    """Declare everything in `topology`. The supervisor turns a refusal of the arguments (406) into TopologyMismatch."""
    await declare_ingress(connection, topology)
    for exchange in topology.exchanges:
        if not exchange.is_public:
            await declare(connection, exchange)
    async with short_channel(connection) as channel:
        for queue in topology.queues:
            await _declare(channel, queue, passive=False)
            for binding in topology.bindings:
                if binding.queue == queue.name:
                    await channel.queue_bind(binding.queue, binding.exchange, binding.routing_key)


async def declare(connection: AbstractConnection, piece: Exchange | Queue, *, passive: bool = False) -> None:
    """Declare an exchange or a queue within 10 seconds; `passive` only looks whether it exists.

    Raises aiormq's ChannelNotFoundEntity if `passive` finds nothing, and ChannelPreconditionFailed if the arguments
    differ.
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
