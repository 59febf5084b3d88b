"""The JSON API: published pages and approved comments, for reading only. `openapi.json` describes each answer.

A login makes no difference, so no answer contains a draft or a waiting comment. A list is answered in parts: `next` is
the address of the next part, which begins after the last item of this part, also if pages or comments were added or
deleted meanwhile. A parameter that the API does not know is an error: a client that misspells `cursor` would otherwise
read the first part for ever.
"""

import json
import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from hashlib import sha256
from http import HTTPStatus
from importlib import resources
from typing import Final, NoReturn
from urllib.parse import urlencode

from aiohttp import ETag, web

from mailpact.database.transactions import Database
from mailpact_producer.page_text import is_slug
from mailpact_producer.store import comments, pages
from mailpact_producer.web.problems import API_PATH, WrongParameter
from mailpact_producer.web.rendering import Rendering

PAGES_PATH: Final = f"{API_PATH}/pages"
DESCRIPTION_PATH: Final = f"{API_PATH}/openapi.json"
DEFAULT_LIMIT: Final = 20
MAX_LIMIT: Final = 100

_LIMIT: Final = re.compile(r"[1-9][0-9]{0,2}")
_PAGE_CURSOR: Final = re.compile(r"([0-9]{1,18})\.([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})")
_COMMENT_CURSOR: Final = re.compile(r"[0-9]{1,18}")

Json = Mapping[str, object]


class Api:
    """Answers requests of programs; `base_url` has no slash at its end."""

    def __init__(self, database: Database, rendering: Rendering, base_url: str) -> None:
        self._database = database
        self._rendering = rendering
        self._base_url = base_url
        self._description = (resources.files(__package__) / "openapi.json").read_bytes()

    def routes(self) -> list[web.RouteDef]:
        """Return the routes of the API."""
        return [
            web.get(PAGES_PATH, self.list_pages),
            web.get(f"{PAGES_PATH}/{{slug}}", self.read_page),
            web.get(f"{PAGES_PATH}/{{slug}}/comments", self.list_comments),
            web.get(DESCRIPTION_PATH, self.read_description),
        ]

    async def list_pages(self, request: web.Request) -> web.StreamResponse:
        """Answer with a part of the list of pages, the newest first."""
        limit, cursor = _part(request)
        after = None
        if cursor is not None:
            found = _PAGE_CURSOR.fullmatch(cursor) or _raise_wrong_cursor()
            after = int(found[1]), found[2]
        some = await self._database.transact(
            lambda connection: pages.published_after(connection, after, limit + 1)
        )
        shown = [
            self._head(page) | {"excerpt": await self._rendering.excerpt(page.body)} for page in some[:limit]
        ]
        cursors = ["{}.{}".format(*page.position) for page in some[:limit]]
        return _answer(request, {"pages": shown, "next": self._next(PAGES_PATH, limit, cursors, some)})

    async def read_page(self, request: web.Request) -> web.StreamResponse:
        """Answer with one page."""
        _require_known(request, ())
        page = await self._page(request)
        html = await self._rendering.html(page.body)
        return _answer(request, self._head(page) | {"markdown": page.body, "html": html})

    async def list_comments(self, request: web.Request) -> web.StreamResponse:
        """Answer with a part of the comments on a page, the oldest first."""
        limit, cursor = _part(request)
        if cursor is not None and not _COMMENT_CURSOR.fullmatch(cursor):
            _raise_wrong_cursor()
        page = await self._page(request)
        some = await self._database.transact(
            lambda connection: comments.shown_after(connection, page.guid, int(cursor or 0), limit + 1)
        )
        cursors = [str(comment.id) for comment in some[:limit]]
        next_part = self._next(_comments_path(page), limit, cursors, some)
        return _answer(request, {"comments": [_comment(each) for each in some[:limit]], "next": next_part})

    async def read_description(self, request: web.Request) -> web.StreamResponse:
        """Answer with the description of the API (OpenAPI 3.1)."""
        _require_known(request, ())
        return _answer_bytes(request, self._description)

    async def _page(self, request: web.Request) -> pages.Page:
        slug = request.match_info["slug"]
        if not is_slug(slug):
            raise web.HTTPNotFound
        page = await self._database.transact(lambda connection: pages.find_slug(connection, slug))
        if page is None or not page.is_published:
            raise web.HTTPNotFound
        return page

    def _head(self, page: pages.Page) -> dict[str, object]:
        return {
            "guid": page.guid,
            "slug": page.slug,
            "title": page.title,
            "url": self._base_url + page.path,
            "comments": self._base_url + _comments_path(page),
            "published_at": _moment(page.published_at),
            "updated_at": _moment(page.updated_at),
        }

    def _next(self, path: str, limit: int, cursors: Sequence[str], found: Sequence[object]) -> str | None:
        """Return the address of the next part; None if this part is the last."""
        if len(found) <= len(cursors):
            return None
        return f"{self._base_url}{path}?{urlencode({'limit': limit, 'cursor': cursors[-1]})}"


def _part(request: web.Request) -> tuple[int, str | None]:
    """Return how many items are requested, and the cursor. Raises WrongParameter."""
    _require_known(request, ("limit", "cursor"))
    limit = request.query.get("limit", str(DEFAULT_LIMIT))
    if not (_LIMIT.fullmatch(limit) and int(limit) <= MAX_LIMIT):
        raise WrongParameter("limit", f"`limit` is a whole number from 1 to {MAX_LIMIT}.")
    return int(limit), request.query.get("cursor")


def _require_known(request: web.Request, known: Collection[str]) -> None:
    names = [name for name, _ in request.query.items()]
    if any(name not in known for name in names):
        allowed = f"only {' and '.join(known)}" if known else "no parameters"
        raise WrongParameter(None, f"This address takes {allowed}.")
    if len(names) > len(set(names)):
        raise WrongParameter(None, "A parameter is given more than once.")


def _raise_wrong_cursor() -> NoReturn:
    raise WrongParameter("cursor", "`cursor` is not from the address `next` of this list.")


def _comment(comment: comments.Comment) -> Json:
    return {
        "id": comment.id,
        "author": comment.name,
        "text": comment.body,
        "created_at": _moment(comment.created_at),
        "is_edited": comment.is_edited,
    }


def _comments_path(page: pages.Page) -> str:
    return f"{PAGES_PATH}/{page.slug}/comments"


def _moment(moment: datetime) -> str:
    """Return the time in RFC 3339's form, to the second."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _answer(request: web.Request, members: Json) -> web.StreamResponse:
    return _answer_bytes(request, json.dumps(members, ensure_ascii=False).encode())


def _answer_bytes(request: web.Request, body: bytes) -> web.StreamResponse:
    """Return the body with a strong ETag; 304 without a body if the client has the same body already."""
    tag = ETag(sha256(body).hexdigest()[:32])
    known = request.if_none_match or ()
    if any(each.value in (tag.value, "*") for each in known):
        response = web.Response(status=HTTPStatus.NOT_MODIFIED)
    else:
        response = web.Response(body=body, content_type="application/json")
    response.etag = tag
    return response
