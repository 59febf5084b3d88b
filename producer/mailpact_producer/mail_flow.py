"""Decides whether mail flows, from the database: the waiting messages of the outbox, and the canary."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from sqlalchemy import Connection

from mailpact.database.transactions import Database
from mailpact_producer.canary_keeper import CanaryKeeper
from mailpact_producer.store import canary, outbox
from mailpact_producer.store.canary import Sighting
from mailpact_producer.store.outbox import Backlog

LONGEST_WAIT_SECONDS: Final = 120.0


@dataclass(frozen=True, slots=True)
class Flow:
    """The state of the mail according to the database; `trouble` is empty if mail flows, otherwise a sentence."""

    backlog: Backlog
    sighting: Sighting | None
    trouble: str


class MailFlow:
    """Checks whether mail flows. Without a canary only the outbox is checked."""

    def __init__(self, database: Database, keeper: CanaryKeeper | None) -> None:
        self._database = database
        self.keeper = keeper

    async def look(self) -> Flow:
        """Return the present state. Raises DatabaseUnavailable."""
        return await self._database.transact(self._look)

    def described(self, flow: Flow) -> Mapping[str, object] | None:
        """Return the canary's part of `/health/mail`; None without a canary."""
        if self.keeper is None or flow.sighting is None:
            return None
        return self.keeper.described(flow.sighting)

    def _look(self, connection: Connection) -> Flow:
        backlog = outbox.backlog(connection)
        sighting = None if self.keeper is None else canary.look(connection)
        if backlog.oldest_seconds > LONGEST_WAIT_SECONDS:
            trouble = f"a message has waited in the outbox for {backlog.oldest_seconds:.0f} seconds"
        elif self.keeper is not None and sighting is not None:
            trouble = self.keeper.trouble(sighting)
        else:
            trouble = ""
        return Flow(backlog, sighting, trouble)
