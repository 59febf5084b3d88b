"""`wait`: answers as soon as the mails have arrived that a test waits for, so that no test must poll or sleep.

    GET /api/mailpact/v1/wait?query=&count=1&after=CURSOR&timeout=SECONDS
        200: full mails and a new cursor; 204: timeout
    … &expect=none
        204: no mail came in this time; 409: these mails came

A cursor is a number; each later mail has a higher number. Each list of mails and each answer of `wait` has a cursor.
Without `after`, the mails that are in the store already count, too.
"""

import asyncio
from typing import Final

from aiohttp import web

from mailpact_capture.api.routes import CURSOR_HEADER
from mailpact_capture.api.shapes import waited_json
from mailpact_capture.asking import bad_request, namespace_of, number, query_of
from mailpact_capture.records import StoredMail
from mailpact_capture.search import can_change
from mailpact_capture.store import Store

DEFAULT_SECONDS: Final = 10
MAX_SECONDS: Final = 300
MAX_COUNT: Final = 100
PARAMETERS: Final = ("query", "count", "after", "timeout", "expect", "tz", "before")
MAX_WAITING: Final = 1000
LOOK_AGAIN_SECONDS: Final = 1.0  # to find mails that another process stored in the same file


class Waiting:
    """Answers when mail arrives."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._waiting = 0

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the route below `prefix`."""
        router.add_get(prefix + "/api/mailpact/v1/wait", self.wait)

    async def wait(self, request: web.Request) -> web.Response:
        """Answer with the oldest `count` mails after the cursor that the query finds, as soon as they have arrived."""
        _only_known(request)
        count, after = number(request, "count", 1, MAX_COUNT), number(request, "after", 0)
        seconds, expect = _seconds(request), request.query.get("expect", "mail")
        if expect not in ("mail", "none") or count < 1:
            raise bad_request("expect is `mail` or `none`, and count is at least 1")
        if self._waiting >= MAX_WAITING:
            raise web.HTTPServiceUnavailable(text=f"Error: {MAX_WAITING} clients wait already\n")
        self._waiting += 1
        try:
            mails, cursor = await self._found(request, after, 1 if expect == "none" else count, seconds)
        finally:
            self._waiting -= 1
        if not mails:
            return web.Response(status=204, headers={CURSOR_HEADER: str(cursor)})
        cursor = max([after, *(stored.summary.row_id for stored in mails)])
        answer = {"cursor": cursor, "messages": [waited_json(stored) for stored in mails]}
        status = 409 if expect == "none" else 200
        return web.json_response(answer, status=status, headers={CURSOR_HEADER: str(cursor)})

    async def _found(
        self, request: web.Request, after: int, count: int, seconds: float
    ) -> tuple[list[StoredMail], int]:
        query, namespace, feed = query_of(request), namespace_of(request), self._store.feed
        changes = can_change(query)  # otherwise a mail that was looked at needs no second look
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        found: list[str] = []
        searched, updates = after, feed.updates  # only mails above the cursor `searched` are looked at again
        while True:
            change = feed.next_change()
            if changes and updates != feed.updates:  # a mail that was looked at may be found now
                found, searched, updates = [], after, feed.updates
            more, cursor = await self._store.arrived(
                query, after=searched, limit=count - len(found), namespace=namespace
            )
            found += more
            if len(found) >= count:
                mails = [await self._store.mail(public_id, namespace=namespace) for public_id in found]
                there = [stored for stored in mails if stored]
                if len(there) == len(found):
                    return there, cursor
                found, searched = [], after
                continue  # a mail was deleted in the meantime
            searched = max(searched, cursor)
            left = deadline - loop.time()
            if left <= 0 or feed.is_closed:
                return [], cursor
            try:
                async with asyncio.timeout(min(left, LOOK_AGAIN_SECONDS)):
                    await change.wait()
            except TimeoutError:
                if changes:  # another process may have changed a mail that was looked at
                    found, searched = [], after


def _only_known(request: web.Request) -> None:
    """Raise 400 if a parameter is unknown or given twice: without this parameter the wait could find a wrong mail."""
    for name in request.query:
        if name not in PARAMETERS:
            raise bad_request(f"{name[:60]!r} is not known here; known are {', '.join(PARAMETERS)}")
        if len(request.query.getall(name)) > 1:
            raise bad_request(f"{name} is given twice")


def _seconds(request: web.Request) -> float:
    text = request.query.get("timeout") or str(DEFAULT_SECONDS)
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_SECONDS:
        raise bad_request(f"timeout is not a number of seconds from 0 to {MAX_SECONDS}")
    return seconds
