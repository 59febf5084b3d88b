"""Declares the contract's exchanges, queues and bindings, and never deletes anything.

A room declares what it uses, since either side may come up first: the consumer its queues, a producer only the exchange
it publishes to. `declared_by` in `contracts/topology.json` says who declares what; an operator declares all. Targets of
dead-lettering stand first there and are declared in that order: a letter whose target is missing waits three minutes at
its source.
"""

import asyncio

import structlog
from aiormq.abc import AbstractConnection
from aiormq.exceptions import ChannelPreconditionFailed

from mailpact.amqp.channels import RPC_SECONDS, open_channel
from mailpact.amqp.errors import reason
from mailpact.contracts.catalogue import Exchange, Topology

INGRESS = "email"

log = structlog.get_logger()


async def declare_ingress(connection: AbstractConnection, topology: Topology) -> None:
    """Make sure that the public exchange exists; a fanout or topic exchange of that name is used as found.

    A program of somebody else's may have declared it before us, and the contract promises to serve it.
    """
    exchange = next(exchange for exchange in topology.exchanges if exchange.name == INGRESS)
    try:
        await _declare_exchange(connection, exchange)
    except ChannelPreconditionFailed as error:
        await _declare_exchange(connection, exchange, passive=True)
        log.info(
            "an exchange of this name exists and is used as found", exchange=INGRESS, differs=reason(error)
        )


async def declare_all(connection: AbstractConnection, topology: Topology) -> None:
    """Declare all of `topology`. A 406 on a name of ours becomes TopologyMismatch in the supervisor's session."""
    await declare_ingress(connection, topology)
    for exchange in topology.exchanges:
        if exchange.name != INGRESS:
            await _declare_exchange(connection, exchange)
    channel = await open_channel(connection)
    async with asyncio.timeout(RPC_SECONDS):
        for queue in topology.queues:
            await channel.queue_declare(queue.name, durable=queue.durable, arguments=dict(queue.arguments))
            for binding in topology.bindings:
                if binding.queue == queue.name:
                    await channel.queue_bind(binding.queue, binding.exchange, binding.routing_key)
        await channel.close()


async def _declare_exchange(
    connection: AbstractConnection, exchange: Exchange, *, passive: bool = False
) -> None:
    # A channel of its own: a refusal (406) closes the channel that it came on.
    channel = await open_channel(connection)
    async with asyncio.timeout(RPC_SECONDS):
        await channel.exchange_declare(
            exchange.name, exchange_type=exchange.type, durable=exchange.durable, passive=passive
        )
        await channel.close()
