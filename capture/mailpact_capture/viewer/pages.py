"""The viewer's pages: the list of mails, and one mail in five views. All pages can be read without JavaScript."""

import shlex
from collections.abc import Awaitable, Callable, Iterator, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import wraps
from typing import Final
from urllib.parse import quote, urlencode

import aiohttp_jinja2
import jinja2
from aiohttp import web

from mailpact.web.assets import add_asset_routes
from mailpact_capture import found_in_text
from mailpact_capture.addresses import Address
from mailpact_capture.asking import namespace_of, number, query_of, stored_mail
from mailpact_capture.dialogues import KEPT_DIALOGUES, Dialogues
from mailpact_capture.gate import FOLLOWED_LINK
from mailpact_capture.headers import decode_words
from mailpact_capture.history import History
from mailpact_capture.journeys import attempts, text_at
from mailpact_capture.records import StoredMail
from mailpact_capture.search import EVERYTHING, Condition
from mailpact_capture.shown_html import PICTURE_TYPES, has_remote_pictures
from mailpact_capture.store import Store
from mailpact_capture.viewer.links import pieces

PAGE_MAILS: Final = 50
SHOWN_SOURCE_BYTES: Final = 512 * 1024
# the event loop renders it: a text of 16 MiB of links blocked the loop for 12 s
SHOWN_TEXT_CHARACTERS: Final = 256 * 1024
ASSETS: Final = {"viewer.css": "text/css", "viewer.js": "text/javascript"}
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

Handler = Callable[["Viewer", web.Request], Awaitable[web.StreamResponse]]


class View(StrEnum):
    """The views of one mail."""

    HTML = "html"
    TEXT = "text"
    HEADERS = "headers"
    SOURCE = "source"
    ENVELOPE = "envelope"

    @property
    def label(self) -> str:
        """Return the name of the view for people."""
        return {"html": "HTML", "envelope": "Sent and received"}.get(self.value, self.value.capitalize())


def _page(handler: Handler) -> Handler:
    """Add the security policy to the handler's page, and show an error page if the handler raises 400 or 404."""

    @wraps(handler)
    async def answer(viewer: "Viewer", request: web.Request) -> web.StreamResponse:
        try:
            response = await handler(viewer, request)
        except (web.HTTPBadRequest, web.HTTPNotFound) as error:
            is_missing = isinstance(error, web.HTTPNotFound)
            shown = {
                "heading": "There is no such mail" if is_missing else "This cannot be searched for",
                "reason": "It was deleted, or it never was here."
                if is_missing
                else str(error.text).removeprefix("Error: "),
                "base": _base(request) if "/ns/" not in request.path or not is_missing else "",
                "query": request.query.get("query", "")[:1000],
            }
            response = aiohttp_jinja2.render_template("error.html", request, shown, status=error.status)
        response.headers["Content-Security-Policy"] = POLICY
        # With `no-referrer`, browsers send the page's own forms with `Origin: null`, which the gate refuses
        # (https://fetch.spec.whatwg.org/#append-a-request-origin-header). Other sites get no referrer from this value.
        response.headers["Referrer-Policy"] = "same-origin"
        return response

    return answer


class Viewer:
    """Shows the mails of the store. `smtp` is the server's SMTP address, which the empty list shows."""

    def __init__(
        self, store: Store, dialogues: Dialogues, app: web.Application, history: History, *, smtp: str
    ) -> None:
        self._store = store
        self._history = history
        self._dialogues = dialogues
        self._smtp = smtp
        environment = aiohttp_jinja2.setup(
            app,
            loader=jinja2.PackageLoader("mailpact_capture.viewer"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        environment.globals |= {
            "assets": {**add_asset_routes(app), **add_asset_routes(app, "mailpact_capture.viewer", ASSETS)},
            "step": PAGE_MAILS,
        }
        environment.filters |= {
            "moment": moment,
            "clock": clock,
            "iso": iso,
            "size": size,
            "words": decode_words,
            "at": text_at,
        }

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the pages' routes below `prefix`."""
        router.add_get(prefix + "/", self.list)
        router.add_post(prefix + "/", self.change_all)
        router.add_get(prefix + "/mail/{id}", self.mail)
        router.add_post(prefix + "/mail/{id}", self.change)
        router.add_get(prefix + "/refused", self.refused)
        router.add_get(prefix + "/journey/{message_id}", self.journey)

    def add_missing(self, router: web.UrlDispatcher) -> None:
        """Add the page for all addresses that no route knows. The API answers such an address without a page."""
        router.add_route("*", "/{path:(?!api/|ns/[^/]*/api/).*}", self.missing)

    @_page
    async def missing(self, request: web.Request) -> web.StreamResponse:
        """Answer that there is no page at this address."""
        shown = {"heading": "There is no such page", "reason": "Check the address.", "base": "", "query": ""}
        return aiohttp_jinja2.render_template("error.html", request, shown, status=404)

    @_page
    async def list(self, request: web.Request) -> web.StreamResponse:
        """Show the list of mails, newest first, or the mails that a search finds."""
        return aiohttp_jinja2.render_template(
            "list.html", request, await self._listed(request) | {"smtp": self._smtp}
        )

    @_page
    async def mail(self, request: web.Request) -> web.StreamResponse:
        """Show one mail next to the list. The query string names the view."""
        listed = await self._listed(request)
        is_latest = request.match_info["id"] == "latest"
        stored = await stored_mail(self._store, request, mark_read=True)
        default = View.HTML if stored.mail.html else View.TEXT
        try:
            view = View(request.query.get("view", default))
        except ValueError:
            raise web.HTTPNotFound(text="there is no such view") from None
        position = (
            {"query": listed["query"], "start": listed["start"]}
            if not is_latest
            else {"query": "", "start": 0}
        )
        base, public_id = _base(request), stored.summary.public_id
        shown = {
            "mail": stored.mail,
            "summary": stored.summary,
            "view": view,
            "views": [each for each in View if each is not View.HTML or stored.mail.html],
            "own": f"{base}/mail/{public_id}?{urlencode(position)}",
            "links": found_in_text.links(stored.mail),
            "codes": found_in_text.codes(stored.mail),
            "pictures": PICTURE_TYPES,
            "as_test": as_test(str(request.url.origin()) + base, stored),
            "origin": self._history.origin(stored),
        }
        return aiohttp_jinja2.render_template(
            "mail.html", request, listed | shown | _of_view(stored, view, request)
        )

    @_page
    async def refused(self, request: web.Request) -> web.StreamResponse:
        """Show the SMTP sessions that failed."""
        dialogues = self._dialogues.newest(namespace_of(request))
        shown = {"dialogues": dialogues, "most": KEPT_DIALOGUES, "base": _base(request), "query": ""}
        return aiohttp_jinja2.render_template("refused.html", request, shown)

    @_page
    async def journey(self, request: web.Request) -> web.StreamResponse:
        """Show everything known about a message, from its body to its mails. An unknown message has a page, too."""
        told = await self._history.told(request.match_info["message_id"], namespace_of(request))
        shown = {"told": told, "attempts": list(attempts(told.events)), "base": _base(request), "query": ""}
        return aiohttp_jinja2.render_template(
            "journey.html", request, shown, status=200 if told.is_known else 404
        )

    async def change_all(self, request: web.Request) -> web.StreamResponse:
        """Delete all mails or mark them read, and show the list; for browsers without JavaScript."""
        action, namespace = request.query.get("action"), namespace_of(request)
        if action == "delete":
            await self._store.delete(EVERYTHING, namespace=namespace)
        elif action == "read":
            await self._store.mark(EVERYTHING, read=True, namespace=namespace)
        else:
            raise web.HTTPBadRequest(text="Error: action is `delete` or `read`")
        raise web.HTTPSeeOther(_base(request) + "/")

    async def change(self, request: web.Request) -> web.StreamResponse:
        """Delete a mail or mark it unread, and go back to the same part of the list."""
        action, namespace = request.query.get("action"), namespace_of(request)
        query = Condition("public_id = ?", (request.match_info["id"],))
        if action == "delete":
            await self._store.delete(query, namespace=namespace)
        elif action == "unread":
            await self._store.mark(query, read=False, namespace=namespace)
        else:
            raise web.HTTPBadRequest(text="Error: action is `delete` or `unread`")
        position = {"query": request.query.get("query", ""), "start": number(request, "start", 0)}
        raise web.HTTPSeeOther(f"{_base(request)}/?{urlencode(position)}")

    async def _listed(self, request: web.Request) -> dict[str, object]:
        start, namespace = number(request, "start", 0), namespace_of(request)
        query, feed = query_of(request), self._store.feed
        last_event = feed.id_of(feed.number)  # before the query, so that the page misses no event
        page = await self._store.page(query, start=start, limit=PAGE_MAILS, namespace=namespace)
        if start >= page.found > 0:  # the last mail of the last page was deleted
            start = (page.found - 1) // PAGE_MAILS * PAGE_MAILS
            page = await self._store.page(query, start=start, limit=PAGE_MAILS, namespace=namespace)
        return {
            "page": page,
            "last_event": last_event,
            "query": request.query.get("query", ""),
            "start": start,
            "base": _base(request),
            "refused": len(self._dialogues.newest(namespace)),
        }


def _base(request: web.Request) -> str:
    namespace = namespace_of(request)
    return "" if namespace is None else f"/ns/{quote(namespace)}"


def _of_view(stored: StoredMail, view: View, request: web.Request) -> dict[str, object]:
    match view:
        case View.HTML:
            remote = request.query.get("remote") == "1" and not request.get(FOLLOWED_LINK)
            return {"remote": remote, "remote_pictures": has_remote_pictures(stored.mail.html)}
        case View.TEXT:
            # a mail with HTML only shows the words of the HTML
            text = stored.mail.text or " ".join(stored.mail.readable_text().split())
            is_cut = len(text) > SHOWN_TEXT_CHARACTERS
            return {"text": list(pieces(text[:SHOWN_TEXT_CHARACTERS])), "is_cut": is_cut}
        case View.SOURCE:
            source = stored.raw[:SHOWN_SOURCE_BYTES].decode(errors="replace")
            return {"source": source, "is_cut": len(stored.raw) > SHOWN_SOURCE_BYTES}
        case View.ENVELOPE:
            return {"recipients": list(recipients(stored))}
        case View.HEADERS:
            return {}


def recipients(stored: StoredMail) -> Iterator[tuple[str, str]]:
    """Yield each recipient of the envelope with the header field that names the recipient; empty if no field does."""
    fields = {"To": stored.mail.to, "Cc": stored.mail.cc, "Bcc": stored.mail.bcc}
    for recipient in stored.summary.envelope.rcpt_tos:
        named = (name for name, of in fields.items() if _is_in(recipient, of))
        yield recipient, next(named, "")


def _is_in(address: str, addresses: Sequence[Address]) -> bool:
    return any(each.address.casefold() == address.casefold() for each in addresses)


def as_test(base: str, stored: StoredMail) -> str:
    """Return a shell command that waits for a mail like this mail."""
    recipient = next(iter(stored.summary.envelope.rcpt_tos), "")
    # The search syntax cannot express a quotation mark, so the subject is split into terms at each quotation mark.
    pieces = (piece.strip() for piece in stored.mail.subject[:200].split('"'))
    query = " ".join([f'rcpt:"{recipient}"', *(f'subject:"{piece}"' for piece in pieces if piece)])
    return f"curl -sS --fail {shlex.quote(f'{base}/api/mailpact/v1/wait?timeout=10&query={quote(query)}')}"


def moment(received_us: int) -> str:
    """Return a time in full."""
    return f"{_time(received_us):%-d %B %Y, %H:%M:%S} UTC"


def clock(received_us: int) -> str:
    """Return a day and a time of day."""
    return f"{_time(received_us):%-d %b %H:%M}"


def iso(received_us: int) -> str:
    """Return a time in ISO 8601 form."""
    return f"{_time(received_us):%Y-%m-%dT%H:%M:%SZ}"


def size(octets: int) -> str:
    """Return a number of bytes in readable form, such as `1.5 KB`."""
    if octets < 1024:
        return f"{octets} B"
    return f"{octets / 1024:.1f} KB" if octets < 1024 * 1024 else f"{octets / 1024 / 1024:.1f} MB"


def _time(received_us: int) -> datetime:
    return datetime.fromtimestamp(received_us / 1_000_000, UTC)
