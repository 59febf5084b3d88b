"""Read what a request asks for from its URL, query string and body.

The functions raise 400 or 404 if the server cannot answer the request.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from aiohttp import web

from mailpact_capture import limits
from mailpact_capture.envelope import is_namespace
from mailpact_capture.gate import FOLLOWED_LINK
from mailpact_capture.ids import PUBLIC_ID
from mailpact_capture.limits import MAX_JSON_BYTES
from mailpact_capture.records import StoredMail
from mailpact_capture.search import EVERYTHING, All, Query, QueryError, parse_query, received, zone_of
from mailpact_capture.store import Store

T = TypeVar("T")

MAX_NUMBER: Final = 2**53
MAX_JSON_DEPTH: Final = 50
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def bad_request(reason: str) -> web.HTTPBadRequest:
    """Return an answer 400 that says what is wrong with the request."""
    return web.HTTPBadRequest(text=f"Error: {reason}")


def not_found() -> web.HTTPNotFound:
    """Return the answer 404 that Mailpit gives if the mail or page does not exist."""
    return web.HTTPNotFound(text="404 page not found")


def number(request: web.Request, name: str, default: int, most: int = MAX_NUMBER) -> int:
    """Return a number of the query string."""
    text = request.query.get(name) or str(default)
    if not (text.isascii() and text.isdigit() and len(text) < 17 and int(text) <= most):
        raise bad_request(f"{name} is not a whole number from 0 to {most}")
    return int(text)


def query_of(request: web.Request, *, required: bool = False) -> Query:
    """Return what the query string searches for: `query`, with dates in the zone `tz`, and `before`."""
    text, before = request.query.get("query", ""), request.query.get("before", "")
    if required and not text.strip():
        raise bad_request("no search query")
    return parsed(text, request.query.get("tz", ""), before)


def narrowing(query: Query) -> Query:
    """Return a query that may select mails for a change; raise 400 for a query such as `""`, which finds every mail."""
    if query == EVERYTHING:
        raise bad_request("the search has no words, so it would find every mail; nothing was changed")
    return query


def parsed(text: str, zone_name: str = "", before: str = "") -> Query:
    """Parse a query; raise 400 if the query is invalid."""
    try:
        zone = zone_of(zone_name)
        query = parse_query(text, zone)
        return All((query, received("before", before, zone))) if before else query
    except QueryError as error:
        raise bad_request(str(error)) from error


def namespace_of(request: web.Request) -> str | None:
    """Return the namespace of a URL below `/ns/NAME`; None for all mail."""
    name = request.match_info.get("namespace")
    if name is not None and not is_namespace(name):
        raise not_found()
    return name.lower() if name is not None else None


def id_of(request: web.Request) -> str:
    """Return the public ID, or `latest`, in the URL."""
    public_id = request.match_info["id"]
    if public_id != "latest" and not PUBLIC_ID.fullmatch(public_id):
        raise not_found()
    return public_id


def there(found: T | None) -> T:
    """Return `found`; raise 404 if `found` is None."""
    if found is None:
        raise not_found()
    return found


async def stored_mail(store: Store, request: web.Request, *, mark_read: bool = False) -> StoredMail:
    """Return the mail that the URL names, parsed; `latest` is the newest mail that the query string's `query` finds.

    If somebody followed a link on a page of another site, the mail is not marked as read.
    """
    public_id = id_of(request)
    query = query_of(request) if public_id == "latest" else EVERYTHING
    stored = there(await store.mail(public_id, namespace=namespace_of(request), query=query))
    if mark_read and not request.get(FOLLOWED_LINK):
        await store.see(stored.summary)
    return stored


def _uncounted(_size: int) -> bool:
    return True


async def body_of(
    request: web.Request, most: int = MAX_JSON_BYTES, hold: Callable[[int], bool] = _uncounted
) -> bytes:
    """Return the request's body; raise 413 if the body is too large, and 408 if it does not come in time.

    `hold` is called with the size of each chunk. If `hold` returns False, 503 is raised.
    """
    content = bytearray()
    try:
        async with asyncio.timeout(limits.BODY_SECONDS):
            async for chunk in request.content.iter_any():
                if not hold(len(chunk)):
                    raise web.HTTPServiceUnavailable(text="Error: too much mail at once, try again later\n")
                content += chunk
                if len(content) > most:
                    raise web.HTTPRequestEntityTooLarge(max_size=most, actual_size=len(content))
    except TimeoutError:
        raise web.HTTPRequestTimeout(text="Error: the body did not come in time\n") from None
    return bytes(content)


class _TwiceError(Exception):
    """A JSON object has the same member twice."""


def _once_each(members: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(members)
    if len(found) < len(members):
        raise _TwiceError
    return found


async def json_of(
    request: web.Request, most: int = MAX_JSON_BYTES, hold: Callable[[int], bool] = _uncounted
) -> dict[str, Any]:
    """Return the body's JSON object with its keys in lower case (Mailpit reads them in any case).

    Return an empty object if there is no body. `hold` is the one of `body_of`.
    """
    content = await body_of(request, most, hold)
    if not content:
        return {}
    try:
        value = json.loads(content, object_pairs_hook=_once_each)
    except _TwiceError as error:
        raise bad_request("the body has the same member twice; nothing was changed") from error
    except (ValueError, RecursionError) as error:
        raise bad_request("the body is not JSON; nothing was changed") from error
    if not isinstance(value, dict):
        raise bad_request("the body is not a JSON object; nothing was changed")
    _check_json(value)
    members = {key.lower(): each for key, each in value.items()}
    if len(members) < len(value):
        raise bad_request("the body has the same member twice, in different case; nothing was changed")
    return members


def _check_json(value: object, depth: int = 0) -> None:
    """Raise 400 for values within values without end, and for texts with a lone surrogate.

    Neither SQLite nor UTF-8 can hold a lone surrogate.
    """
    if depth > MAX_JSON_DEPTH:
        raise bad_request(
            f"the body has values within values, over {MAX_JSON_DEPTH} levels; nothing was changed"
        )
    if isinstance(value, dict):
        _check_json([*value, *value.values()], depth)
    elif isinstance(value, list):
        for each in value:
            _check_json(each, depth + 1)
    elif isinstance(value, str) and not value.isascii() and _SURROGATE.search(value):
        raise bad_request("a text in the body is not Unicode; nothing was changed")


def only(names: Iterable[str], *known: str) -> None:
    """Raise 400 if a name is unknown or there twice: a request that is not understood in full changes nothing."""
    seen = set()
    for name in names:
        if name not in known:
            raise bad_request(f"{name[:60]!r} is not known here; nothing was changed")
        if name in seen:
            raise bad_request(f"{name} is given twice; nothing was changed")
        seen.add(name)


def only_parameters(request: web.Request, *known: str) -> None:
    """Raise 400 if the query string has an unknown parameter, or a parameter twice."""
    only((name for name, _ in request.query.items()), *known)


def texts(body: dict[str, Any], name: str) -> tuple[str, ...]:
    """Return a list of strings from a JSON body; empty if the member is absent."""
    value = body.get(name.lower())
    if value is None:
        return ()
    if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
        raise bad_request(f"{name} is not a list of texts; nothing was changed")
    return tuple(value)
