"""One message's journey as JSON: the message, its status events, and the mails made from the message."""

from typing import Any

from aiohttp import web

from mailpact_capture.asking import namespace_of
from mailpact_capture.history import History, Told


class Journeying:
    """Answers with journeys."""

    def __init__(self, history: History) -> None:
        self._history = history

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the route below `prefix`."""
        router.add_get(prefix + "/api/mailpact/v1/journey/{message_id}", self.journey)

    async def journey(self, request: web.Request) -> web.Response:
        """Answer with a journey, or with 404 if nothing is known of the message."""
        told = await self._history.told(request.match_info["message_id"], namespace_of(request))
        return web.json_response(journey_json(told), status=200 if told.is_known else 404)


def journey_json(told: Told) -> dict[str, Any]:
    """Return the journey in the API's JSON form."""
    return {
        "message_id": told.message_id,
        "listening_since": told.since,
        "hears_logs": told.hears_logs,
        "copies": told.copies,
        "publisher_message_id": told.publisher_id or None,
        "known_as": list(told.keys),
        "asked": [
            {
                "contract": each.asked.contract or None,
                "type": each.asked.type,
                "content_type": each.asked.content_type,
                "producer": each.asked.app_id,
                "made_at": each.made_at,
                "seen_at": each.seen_at,
                "exchange": each.asked.exchange,
                "routing_key": each.asked.routing_key,
                "bytes": each.asked.size,
                "body": each.body,
                "defect": each.defect or None,
                "compared": [
                    {"what": row.what, "asked": row.asked, "sent": row.sent, "verdict": row.agreement}
                    for row in each.compared
                ],
            }
            for each in told.asked
        ],
        "events": told.events,
        "records": told.records,
        "left_out": told.left_out,
        "mails": [
            {
                "recipient": group.recipient,
                "same_bytes": group.same_bytes,
                "copies": [{"id": mail.public_id, "received_at": mail.received_at} for mail in group.copies],
            }
            for group in told.mails
        ],
    }
