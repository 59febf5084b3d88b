"""Live events: server-sent events that a client can resume, and a WebSocket in Mailpit's format."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any, Final, cast

from aiohttp import web

from mailpact_capture import reads
from mailpact_capture.api.shapes import summary_json
from mailpact_capture.asking import namespace_of
from mailpact_capture.connections import Connection
from mailpact_capture.feed import Event, Feed, TooManySubscribers
from mailpact_capture.records import summary_of
from mailpact_capture.store import Store

ALIVE_SECONDS: Final = 15
MAX_DIGITS: Final = 18  # of an event's number
STATS_SECONDS: Final = 0.25  # as Mailpit: at most one `stats` event in this time


class Events:
    """Sends events to clients."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the routes below `prefix`."""
        router.add_get(prefix + "/api/mailpact/v1/events", self.server_sent)
        router.add_get(prefix + "/api/events", self.websocket)

    async def server_sent(self, request: web.Request) -> web.StreamResponse:
        """Send events until the client leaves.

        With `Last-Event-ID`, or `last` in the query string, the events after that event are sent; if that event is no
        longer kept, `reset` is sent first.
        """
        namespace, feed = namespace_of(request), self._store.feed
        # A browser sends the header only when it connects again.
        last = request.headers.get("Last-Event-ID") or request.query.get("last", "")
        after = _number_of(last, feed)
        is_known = after is not None and feed.knows(after)
        answer = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        try:
            connection = cast(Connection, request.protocol)
            with (
                feed.following(after if is_known else None) as subscription,
                connection.telling(subscription.end),
            ):
                await answer.prepare(request)
                if last and not is_known:
                    await answer.write(self._block(feed.number, "reset", None))
                else:
                    await answer.write(
                        f"id: {feed.id_of(feed.number if after is None else after)}\n\n".encode()
                    )
                while True:
                    try:
                        async with asyncio.timeout(ALIVE_SECONDS):
                            event = await subscription.next()
                    except TimeoutError:
                        await answer.write(b": still here\n\n")
                        continue
                    if event is None:
                        return answer
                    if event.is_in(namespace):
                        await answer.write(self._block(event.number, event.kind, data_of(event)))
        except TooManySubscribers:
            raise web.HTTPServiceUnavailable(text="Error: too many clients follow the events\n") from None
        except ConnectionError:
            return answer

    def _block(self, number: int, kind: str, data: Mapping[str, Any] | None) -> bytes:
        return f"id: {self._store.feed.id_of(number)}\nevent: {kind}\ndata: {json.dumps(data)}\n\n".encode()

    async def websocket(self, request: web.Request) -> web.WebSocketResponse:
        """Send events in Mailpit's format. Messages from the client are ignored."""
        namespace = namespace_of(request)
        socket = web.WebSocketResponse(heartbeat=30, max_msg_size=4096)
        if not socket.can_prepare(request):
            raise web.HTTPBadRequest(text="Error: this address is for WebSockets")
        try:
            with self._store.feed.following() as subscription:
                await socket.prepare(request)
                listening = asyncio.ensure_future(_until_closed(socket))
                listening.add_done_callback(lambda _task: subscription.end())
                try:
                    told_at = await self._send_stats(socket, namespace, float("-inf"))
                    while (event := await subscription.next()) is not None:
                        if event.is_in(namespace):
                            await socket.send_json({"Type": event.kind, "Data": data_of(event)})
                            told_at = await self._send_stats(socket, namespace, told_at)
                finally:
                    listening.cancel()
        except TooManySubscribers:
            raise web.HTTPServiceUnavailable(text="Error: too many clients follow the events\n") from None
        except ConnectionError:
            pass
        return socket

    async def _send_stats(
        self, socket: web.WebSocketResponse, namespace: str | None, told_at: float
    ) -> float:
        now = asyncio.get_running_loop().time()
        if now - told_at < STATS_SECONDS:
            return told_at
        total, unread = await self._store.ask(reads.counts, namespace)
        await socket.send_json(
            {"Type": "stats", "Data": {"Total": total, "Unread": unread, "Version": "mailpact"}}
        )
        return now


def _number_of(event_id: str, feed: Feed) -> int | None:
    """Return the number in an event's id; None if this feed did not give the id."""
    name, _, number = event_id.rpartition(".")
    is_number = number.isascii() and number.isdigit() and len(number) < MAX_DIGITS
    return int(number) if name == feed.name and is_number else None


async def _until_closed(socket: web.WebSocketResponse) -> None:
    async for _message in socket:
        pass


def data_of(event: Event) -> Mapping[str, Any] | None:
    """Return the JSON that Mailpit sends for an event; None if Mailpit sends nothing."""
    return summary_json(summary_of(event.data)) if event.kind == "new" and event.data else event.data
