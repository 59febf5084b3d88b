"""The pages: the list of mails, and one mail in four views. No script runs in them; every view has an address."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Final

import aiohttp_jinja2
import jinja2
from aiohttp import web

from mailpact.web.assets import add_asset_routes
from mailpact_capture.addresses import Address
from mailpact_capture.asking import number, query_of, stored_mail
from mailpact_capture.headers import decode_words
from mailpact_capture.records import StoredMail, Summary
from mailpact_capture.store import Store
from mailpact_capture.viewer.links import pieces

PAGE_MAILS: Final = 50
SHOWN_SOURCE_BYTES: Final = 512 * 1024
SHOWN_TEXT_CHARACTERS: Final = 256 * 1024  # made on the event loop: 16 MiB of links held it for 12 s


class View(StrEnum):
    """The views of one mail."""

    TEXT = "text"
    SOURCE = "source"
    HEADERS = "headers"
    ENVELOPE = "envelope"


@dataclass(frozen=True, slots=True)
class Day:
    """The mails of one day, newest first."""

    name: str
    mails: Sequence[Summary]


class Viewer:
    """Shows what the store has. `smtp` is where mail is taken, for the page that has none to show."""

    def __init__(self, store: Store, app: web.Application, *, smtp: str) -> None:
        self._store = store
        self._smtp = smtp
        environment = aiohttp_jinja2.setup(
            app,
            loader=jinja2.PackageLoader("mailpact_capture.viewer"),
            autoescape=True,
            trim_blocks=True,
            lstrip_blocks=True,
            undefined=jinja2.StrictUndefined,
        )
        environment.globals["assets"] = add_asset_routes(app)
        environment.filters |= {
            "moment": moment,
            "clock": clock,
            "size": size,
            "people": people,
            "words": decode_words,
        }

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Put the pages below `prefix`."""
        router.add_get(prefix + "/", self.list)
        router.add_get(prefix + "/mail/{id}", self.mail)

    async def list(self, request: web.Request) -> web.StreamResponse:
        """Show the list, newest first, or what a search finds."""
        start = number(request, "start", 0)
        page = await self._store.page(query_of(request), start=start, limit=PAGE_MAILS)
        shown = {
            "days": list(by_day(page.summaries)),
            "page": page,
            "query": request.query.get("query", ""),
            "start": start,
            "step": PAGE_MAILS,
            "smtp": self._smtp,
        }
        return aiohttp_jinja2.render_template("list.html", request, shown)

    async def mail(self, request: web.Request) -> web.StreamResponse:
        """Show one mail; the query string says which view of it."""
        stored = await stored_mail(self._store, request, mark_read=True)
        try:
            view = View(request.query.get("view", View.TEXT))
        except ValueError:
            raise web.HTTPNotFound(text="there is no such view") from None
        shown = {"mail": stored.mail, "summary": stored.summary, "view": view, "views": list(View)}
        return aiohttp_jinja2.render_template("mail.html", request, shown | _of_view(stored, view))


def _of_view(stored: StoredMail, view: View) -> dict[str, object]:
    match view:
        case View.TEXT:
            text = stored.mail.text or stored.mail.readable_text()  # of a mail that has HTML only, its words
            is_cut = len(text) > SHOWN_TEXT_CHARACTERS
            return {"text": list(pieces(text[:SHOWN_TEXT_CHARACTERS])), "is_cut": is_cut}
        case View.SOURCE:
            source = stored.raw[:SHOWN_SOURCE_BYTES].decode(errors="replace")
            return {"source": source, "is_cut": len(stored.raw) > SHOWN_SOURCE_BYTES}
        case View.HEADERS | View.ENVELOPE:
            return {}


def by_day(summaries: Sequence[Summary]) -> Iterator[Day]:
    """Put mails of the same day (UTC) together."""
    names = [f"{_time(summary.envelope.received_us):%A, %-d %B %Y}" for summary in summaries]
    for name in dict.fromkeys(names):
        yield Day(name, [summary for summary, of in zip(summaries, names, strict=True) if of == name])


def moment(received_us: int) -> str:
    """Write a time in full."""
    return f"{_time(received_us):%-d %B %Y, %H:%M:%S} UTC"


def clock(received_us: int) -> str:
    """Write a time of day."""
    return f"{_time(received_us):%H:%M:%S}"


def size(octets: int) -> str:
    """Write a number of bytes as people do."""
    if octets < 1024:
        return f"{octets} B"
    return f"{octets / 1024:.1f} KB" if octets < 1024 * 1024 else f"{octets / 1024 / 1024:.1f} MB"


def people(addresses: Sequence[Address]) -> str:
    """Write addresses one after another, by their names where they have one."""
    return ", ".join(address.name or address.address for address in addresses)


def _time(received_us: int) -> datetime:
    return datetime.fromtimestamp(received_us / 1_000_000, UTC)
