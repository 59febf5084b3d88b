"""`mailpact topology apply`: declares on a broker what the topology says, and deletes nothing.

The command checks first. If an exchange or a queue of the same name exists with other arguments, the command declares
nothing and reports the difference. An incomplete topology is worse than none, because a dead letter without a target
waits three minutes in its queue. Then the command declares the missing parts in the topology's order, in which the
targets of dead letters come first.
"""

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from mailpact.contracts.catalogue import Exchange, Queue, Topology
from mailpact.settings import AmqpUrl
from mailpact_cli import options
from mailpact_cli.contracts.source import folder_option, read_contracts
from mailpact_cli.dialling import connected
from mailpact_cli.log_output import configure_logging

if TYPE_CHECKING:
    from aiormq.abc import AbstractConnection


def apply_topology(
    amqp_url: Annotated[AmqpUrl, options.amqp_url()] = options.DEFAULT_AMQP_URL,
    contracts: Annotated[Path | None, folder_option()] = None,
) -> None:
    """Declare exchanges, queues and bindings on a broker; existing ones are not changed."""
    configure_logging(verbose=False)
    topology = read_contracts(contracts).topology
    for line in asyncio.run(_apply(amqp_url, topology)):
        print(line)  # noqa: T201  # the result


async def _apply(url: AmqpUrl, topology: Topology) -> list[str]:
    from mailpact.amqp.errors import TopologyMismatch, talking

    async with connected(url, "topology apply") as connection:
        with talking():
            pieces: list[Exchange | Queue] = [*topology.exchanges, *topology.queues]
            states = [await look(connection, piece) for piece in pieces]
            differing = [state.difference for state in states if state.difference]
            if differing:
                raise TopologyMismatch(
                    f"nothing was created, because the broker differs from the contracts: {'; '.join(differing)}"
                )
            return await _make(connection, topology, states)


@dataclass(frozen=True, slots=True)
class PieceState:
    """An exchange or queue as the broker has it; `note` and `difference` are texts for people."""

    piece: Exchange | Queue
    is_there: bool
    note: str = ""
    difference: str = ""

    @property
    def title(self) -> str:
        """Return what the piece is, for people: `queue email.work`."""
        return f"{'exchange' if isinstance(self.piece, Exchange) else 'queue'} {self.piece.name}"


async def look(connection: "AbstractConnection", piece: Exchange | Queue) -> PieceState:
    """Return whether a piece exists and has the right arguments; a public exchange of another type is used as it is."""
    from aiormq.exceptions import ChannelLockedResource, ChannelNotFoundEntity, ChannelPreconditionFailed

    from mailpact.amqp.errors import reason
    from mailpact.amqp.topology import declare

    try:
        await declare(connection, piece, passive=True)
        await declare(connection, piece)
    except ChannelNotFoundEntity:
        return PieceState(piece, is_there=False)
    except (ChannelPreconditionFailed, ChannelLockedResource) as error:
        if isinstance(piece, Exchange) and piece.is_public:
            return PieceState(
                piece, is_there=True, note=f", of another type, used as it is ({reason(error)})"
            )
        return PieceState(piece, is_there=True, difference=reason(error))
    return PieceState(piece, is_there=True)


async def _make(connection: "AbstractConnection", topology: Topology, states: list[PieceState]) -> list[str]:
    """Declare what is missing and bind each queue at once; return a line for each."""
    from mailpact.amqp.channels import short_channel
    from mailpact.amqp.topology import declare

    lines = []
    for state in states:
        if not state.is_there:
            await declare(connection, state.piece)
        lines.append(f"{'found' if state.is_there else 'made '}  {state.title}{state.note}")
        for route in topology.bindings if isinstance(state.piece, Queue) else ():
            if route.queue == state.piece.name:
                async with short_channel(connection) as channel:
                    await channel.queue_bind(route.queue, route.exchange, route.routing_key)
                lines.append(f"bound  {state.title} to exchange {route.exchange} by {route.routing_key!r}")
    return lines
