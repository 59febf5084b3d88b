"""The page where administrators read the audit log."""

from typing import Final

from aiohttp import web

from mailpact.database.transactions import Database
from mailpact_producer.audit import Act
from mailpact_producer.store import audit_log
from mailpact_producer.web.admins import number_of, turned_away
from mailpact_producer.web.render import render

MOST_LISTED: Final = 50
_WORDS: Final = {act: act.value.replace("-", " ").capitalize() for act in Act}


class AuditPage:
    """Shows the audit log. For anybody but an administrator, the page does not exist."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def show(self, request: web.Request) -> web.Response:
        """Show entries, the latest first; those of one kind, if the query names a kind."""
        away = turned_away(request)
        if away is not None:
            return away
        act = _act(request.query.get("kind", ""))
        before = number_of(request.query.get("before", ""))
        entries = await self._database.transact(
            lambda connection: audit_log.listed(connection, act=act, before=before, limit=MOST_LISTED + 1)
        )
        context = {
            "entries": entries[:MOST_LISTED],
            "has_more": len(entries) > MOST_LISTED,
            "before": before,
            "kind": act or "",
            "words": _WORDS,
        }
        return render(request, "audit.html", context)


def _act(text: str) -> Act | None:
    try:
        return Act(text)
    except ValueError:
        return None
