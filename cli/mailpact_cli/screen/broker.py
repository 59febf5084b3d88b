"""Asks the broker over AMQP, on one connection that is kept from one look to the next."""

import asyncio
from typing import Final

from mailpact.amqp.channels import look_at
from mailpact.amqp.errors import BrokerError, talking
from mailpact.amqp.supervisor import dial, hang_up
from mailpact.amqp.transport import Connection
from mailpact.settings import AmqpUrl
from mailpact_cli.screen.situation import Broker, Unknown

ANSWER_SECONDS: Final = 5.0
WORK_QUEUE: Final = "email.work"
DEAD_QUEUE: Final = "email.dead"


class BrokerWatch:
    """The broker, to be looked at again and again."""

    def __init__(self, url: AmqpUrl) -> None:
        self._url = url
        self._connection: Connection | None = None

    async def look(self) -> Broker | Unknown:
        """Ask the broker within 5 seconds."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                return await self._ask()
        except TimeoutError:
            reason = "no answer in time"
        except BrokerError as error:
            reason = str(error)
        await self.close()
        return Unknown(f"{self._url}: {reason}")

    async def close(self) -> None:
        """Close the connection, if there is one."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await hang_up(connection)

    async def _ask(self) -> Broker:
        if self._connection is None or self._connection.is_closed:
            await self.close()
            self._connection = await dial(self._url, "status")
        connection = self._connection
        with talking():
            work, dead = await look_at(connection, WORK_QUEUE), await look_at(connection, DEAD_QUEUE)
        words = (connection.server_properties.get(name, "") for name in ("product", "version"))
        return Broker(
            server=" ".join(str(word) for word in words if word) or "unknown",
            waiting=None if work is None else work[0],
            consumers=0 if work is None else work[1],
            dead=None if dead is None else dead[0],
        )
