"""`mailpact topology apply`: declares on a broker what the topology says, and deletes nothing.

First it looks. Should anything of the same name be there with other arguments, nothing is made and the command says
what differs: half a topology is worse than none, since a letter whose target is missing waits three minutes at its
source. Then what is missing is made in the topology's order, in which targets of dead-lettering come first.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mailpact.contracts.catalogue import Exchange, Queue, QueueBinding, Topology
from mailpact.settings import AmqpUrl
from mailpact.telemetry import configure_logging
from mailpact_cli import options
from mailpact_cli.contracts.source import folder_option, read_contracts

if TYPE_CHECKING:
    from aiormq.abc import AbstractConnection

DIAL_SECONDS = 5  # the command ends within ten: starting and giving up take their time on a busy machine


def apply_topology(
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = AmqpUrl("amqp://guest:guest@127.0.0.1:5672/"),
    contracts: Annotated[Path | None, folder_option()] = None,
) -> None:
    """Declare exchanges, queues and bindings on a broker; what is there already stays as it is."""
    configure_logging(verbose=False)
    topology = read_contracts(contracts).topology
    for line in asyncio.run(_apply(amqp_url, topology)):
        print(line)  # noqa: T201  # the result


async def _apply(url: AmqpUrl, topology: Topology) -> list[str]:
    from mailpact.amqp.errors import BrokerLost, BrokerUnreachable, TopologyMismatch, talking
    from mailpact.amqp.supervisor import dial, hang_up

    try:
        async with asyncio.timeout(DIAL_SECONDS):
            connection = await dial(url, "topology apply")
    except TimeoutError as error:
        raise BrokerUnreachable("the broker does not answer in time") from error
    try:
        with talking():
            pieces: list[Exchange | Queue] = [*topology.exchanges, *topology.queues]
            states = [await _look(connection, piece) for piece in pieces]
            differing = [state.difference for state in states if state.difference]
            if differing:
                raise TopologyMismatch(f"nothing was made, since something differs: {'; '.join(differing)}")
            return await _make(connection, topology, states)
    except BrokerLost as error:
        raise BrokerUnreachable(f"the broker went away or refuses: {error}") from error
    finally:
        await hang_up(connection)


@dataclass(frozen=True, slots=True)
class _State:
    """An exchange or queue as the broker has it; `note` and `difference` are words for people."""

    piece: Exchange | Queue
    is_there: bool
    note: str = ""
    difference: str = ""

    @property
    def title(self) -> str:
        return f"{'exchange' if isinstance(self.piece, Exchange) else 'queue'} {self.piece.name}"


async def _look(connection: "AbstractConnection", piece: Exchange | Queue) -> _State:
    """See whether a piece is there, and as it should be; a public exchange of another kind is used as found."""
    from aiormq.exceptions import ChannelLockedResource, ChannelNotFoundEntity, ChannelPreconditionFailed

    from mailpact.amqp.errors import reason
    from mailpact.amqp.topology import INGRESS

    try:
        await _declare(connection, piece, passive=True)
        await _declare(connection, piece)
    except ChannelNotFoundEntity:
        return _State(piece, is_there=False)
    except (ChannelPreconditionFailed, ChannelLockedResource) as error:
        if isinstance(piece, Exchange) and piece.name == INGRESS:
            return _State(piece, is_there=True, note=f", of another kind, used as it is ({reason(error)})")
        return _State(piece, is_there=True, difference=reason(error))
    return _State(piece, is_there=True)


async def _make(connection: "AbstractConnection", topology: Topology, states: list[_State]) -> list[str]:
    """Declare what is missing and bind each queue at once; give a line for each."""
    lines = []
    for state in states:
        if not state.is_there:
            await _declare(connection, state.piece)
        lines.append(f"{'found' if state.is_there else 'made '}  {state.title}{state.note}")
        for route in topology.bindings if isinstance(state.piece, Queue) else ():
            if route.queue == state.piece.name:
                await _bind(connection, route)
                lines.append(f"bound  {state.title} to exchange {route.exchange} by {route.routing_key!r}")
    return lines


async def _declare(
    connection: "AbstractConnection", piece: Exchange | Queue, *, passive: bool = False
) -> None:
    """Declare on a channel of its own, which a refusal closes; within 10 seconds."""
    from mailpact.amqp.channels import RPC_SECONDS, open_channel

    channel = await open_channel(connection)
    async with asyncio.timeout(RPC_SECONDS):
        match piece:
            case Exchange(name, kind, durable):
                await channel.exchange_declare(name, exchange_type=kind, durable=durable, passive=passive)
            case Queue(name, durable, arguments):
                await channel.queue_declare(name, durable=durable, arguments=dict(arguments), passive=passive)
        await channel.close()


async def _bind(connection: "AbstractConnection", route: QueueBinding) -> None:
    from mailpact.amqp.channels import RPC_SECONDS, open_channel

    channel = await open_channel(connection)
    async with asyncio.timeout(RPC_SECONDS):
        await channel.queue_bind(route.queue, route.exchange, route.routing_key)
        await channel.close()
