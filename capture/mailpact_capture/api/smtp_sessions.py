"""SMTP sessions in which the server refused something or the connection broke, with their dialogue.

GET, DELETE /api/mailpact/v1/smtp-sessions    lists the sessions, newest first; deletes them
"""

from datetime import UTC, datetime
from typing import Any

from aiohttp import web

from mailpact_capture.asking import namespace_of, number
from mailpact_capture.dialogues import KEPT_DIALOGUES, Dialogue, Dialogues


class SmtpSessions:
    """Answers with the sessions that failed."""

    def __init__(self, dialogues: Dialogues) -> None:
        self._dialogues = dialogues

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the routes below `prefix`."""
        router.add_get(prefix + "/api/mailpact/v1/smtp-sessions", self.sessions)
        router.add_delete(prefix + "/api/mailpact/v1/smtp-sessions", self.forget)

    async def sessions(self, request: web.Request) -> web.Response:
        """Answer with the sessions that are kept.

        In a namespace, answer only with those that have a recipient in the namespace.
        """
        limit = number(request, "limit", KEPT_DIALOGUES)
        found = self._dialogues.newest(namespace_of(request))
        return web.json_response({"sessions": [_json(dialogue) for dialogue in found[:limit]]})

    async def forget(self, request: web.Request) -> web.Response:
        """Delete the sessions."""
        self._dialogues.clear(self._dialogues.newest(namespace_of(request)))
        return web.Response(status=204)


def _json(dialogue: Dialogue) -> dict[str, Any]:
    return {
        "ID": dialogue.number,
        "Reason": dialogue.reason,
        "Began": _time(dialogue.began_us),
        "Ended": _time(dialogue.ended_us),
        "Peer": dialogue.peer,
        "Helo": dialogue.helo,
        "Username": dialogue.username,
        "TLS": dialogue.is_encrypted,
        "From": dialogue.mail_from,
        "To": dialogue.recipients,
        "Dialogue": [f"{who}: {text}" if who else text for who, text in dialogue.lines()],
    }


def _time(time_us: int) -> str:
    return (
        datetime.fromtimestamp(time_us / 1_000_000, UTC)
        .isoformat(timespec="milliseconds")
        .replace("+00:00", "Z")
    )
