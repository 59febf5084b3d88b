"""The forms with which administrators make, change and delete pages.

A form contains the version of the page for which it was opened. If the page has another version when the form is
posted, somebody else has changed the page. Then the form is shown again with the typed text and the page as it is now.
Only the next post of this form replaces the page, so no editor's text is lost unseen.
"""

import asyncio
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Final
from uuid import UUID, uuid4, uuid5

from aiohttp import web
from sqlalchemy import Connection

from mailpact.database.transactions import Database
from mailpact_producer import audit
from mailpact_producer.audit import Act, Who
from mailpact_producer.cache import LISTS, page_key
from mailpact_producer.errors import SlugTaken
from mailpact_producer.invalidation import Changes, Keys
from mailpact_producer.page_text import (
    MAX_BODY,
    MAX_SLUG,
    MAX_TITLE,
    PageField,
    PageText,
    read_page_text,
)
from mailpact_producer.store import audit_log, pages
from mailpact_producer.store.pages import Page
from mailpact_producer.web.admins import require_admin, turned_away
from mailpact_producer.web.asking import FormTools
from mailpact_producer.web.forms import FORM_FIELD, FormRefused, see_other
from mailpact_producer.web.notices import NoticeKind
from mailpact_producer.web.pages import read_guid

_NAMESPACE: Final = UUID("0d0b4b60-64f1-4b9e-9c0c-6a0f5b0c7e55")
"""Of the guids that are made of the names of forms: a form that is posted twice makes one page."""

MAX_FORM_BYTES: Final = 256 * 1024  # a character takes up to 12 bytes in a form
_LIMITS: Final = {"max_title": MAX_TITLE, "max_slug": MAX_SLUG, "max_body": MAX_BODY}
_CORRECT: Final = "Please correct the fields that are marked below."
_CHANGED: Final = (
    "Somebody else has changed this page since you opened it. Your text is kept below. Compare it with the page as it"
    " is now, and save again: your text then replaces the page."
)
_GONE: Final = (
    "Somebody else has deleted this page since you opened it. Your text is kept below."
    " Save it to make a new page."
)
_CHANGED_SINCE: Final = (
    "This page was changed since you opened it. Please look at it again before you delete it."
)


class Editor:
    """Shows and handles the forms. For anybody but an administrator, the pages do not exist."""

    def __init__(self, database: Database, changes: Changes, tools: FormTools) -> None:
        self._database = database
        self._changes = changes
        self._tools = tools

    async def show_new(self, request: web.Request) -> web.StreamResponse:
        """Show the form of a new page."""
        away = turned_away(request)
        if away is not None:
            return away
        return self._tools.forms.show(request, "page-form.html", _form("/edit"))

    async def take_new(self, request: web.Request) -> web.StreamResponse:
        """Store a new page."""
        require_admin(request)

        async def take(fields: Mapping[str, str]) -> web.Response:
            text = await _text(fields)
            form = fields.get(FORM_FIELD, "")
            guid = str(uuid5(_NAMESPACE, form) if form else uuid4())
            who = audit.current.get()
            try:
                page = await self._changes.transact(partial(_add, text=text, guid=guid, who=who), _keys(guid))
            except SlugTaken:
                raise _slug_taken() from None
            return self._saved(page)

        return await self._tools.forms.take(
            request, "page-form.html", _form("/edit"), take, max_bytes=MAX_FORM_BYTES
        )

    async def show(self, request: web.Request) -> web.StreamResponse:
        """Show the form of a page."""
        away = turned_away(request)
        if away is not None:
            return away
        page = await self._page(request)
        return self._tools.forms.show(request, "page-form.html", _form(_path(page)), fields=_fields(page))

    async def take(self, request: web.Request) -> web.StreamResponse:
        """Store another text of a page, unless another person has changed the page meanwhile."""
        require_admin(request)
        guid = _guid(request)
        context = _form(f"/edit/{guid}")

        async def take(fields: Mapping[str, str]) -> web.Response:
            text, version, who = await _text(fields), _version(fields), audit.current.get()
            try:
                page = await self._changes.transact(
                    partial(_change, text=text, guid=guid, version=version, who=who), _keys(guid)
                )
            except SlugTaken:
                raise _slug_taken() from None
            if page is not None:
                return self._saved(page)
            theirs = await self._find(guid)
            if theirs is None:
                context["action"] = "/edit"
                raise FormRefused(_GONE, status=HTTPStatus.CONFLICT)
            context["theirs"] = theirs
            raise FormRefused(_CHANGED, status=HTTPStatus.CONFLICT)

        return await self._tools.forms.take(
            request, "page-form.html", context, take, max_bytes=MAX_FORM_BYTES
        )

    async def show_delete(self, request: web.Request) -> web.StreamResponse:
        """Show the page's title and the button that deletes the page."""
        away = turned_away(request)
        if away is not None:
            return away
        return self._tools.forms.show(request, "page-delete.html", {"page": await self._page(request)})

    async def delete(self, request: web.Request) -> web.StreamResponse:
        """Delete the page, unless another person has changed the page meanwhile."""
        require_admin(request)
        page = await self._page(request)

        async def take(fields: Mapping[str, str]) -> web.Response:
            remove = partial(_remove, guid=page.guid, version=_version(fields), who=audit.current.get())
            if not await self._changes.transact(remove, _keys(page.guid)):
                raise FormRefused(_CHANGED_SINCE, status=HTTPStatus.CONFLICT)
            response = see_other("/")
            self._tools.notices.set(response, NoticeKind.PAGE_DELETED)
            return response

        return await self._tools.forms.take(request, "page-delete.html", {"page": page}, take)

    def _saved(self, page: Page) -> web.Response:
        response = see_other(page.path)
        self._tools.notices.set(response, NoticeKind.PAGE_SAVED)
        return response

    async def _page(self, request: web.Request) -> Page:
        page = await self._find(_guid(request))
        if page is None:
            raise web.HTTPNotFound
        return page

    async def _find(self, guid: str) -> Page | None:
        return await self._database.transact(lambda connection: pages.find(connection, guid))


def _add(connection: Connection, text: PageText, guid: str, who: Who) -> Page:
    is_new = pages.find(connection, guid) is None
    page = pages.add(connection, text, guid)
    if is_new:
        audit_log.add(connection, who, Act.PAGE_CREATED, audit.page(guid))
        if page.is_published:
            audit_log.add(connection, who, Act.PAGE_PUBLISHED, audit.page(guid))
    return page


def _change(connection: Connection, text: PageText, guid: str, version: int, who: Who) -> Page | None:
    before = pages.find(connection, guid)
    page = pages.change(connection, guid, version, text)
    if page is not None:
        audit_log.add(connection, who, Act.PAGE_EDITED, audit.page(guid))
        if page.is_published and before is not None and not before.is_published:
            audit_log.add(connection, who, Act.PAGE_PUBLISHED, audit.page(guid))
    return page


def _remove(connection: Connection, guid: str, version: int, who: Who) -> bool:
    is_done = pages.remove(connection, guid, version)
    if is_done:
        audit_log.add(connection, who, Act.PAGE_DELETED, audit.page(guid))
    return is_done


def _keys(guid: str) -> Keys:
    return lambda _connection: [page_key(guid), LISTS]


def _guid(request: web.Request) -> str:
    guid = read_guid(request.match_info["guid"])
    if guid is None:
        raise web.HTTPNotFound
    return guid


def _version(fields: Mapping[str, str]) -> int:
    text = fields.get(PageField.VERSION, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0  # 32 bits


async def _text(fields: Mapping[str, str]) -> PageText:
    # In a thread, because Markdown of the greatest length takes up to half a second.
    text = await asyncio.to_thread(read_page_text, fields)
    if not isinstance(text, PageText):
        raise FormRefused(_CORRECT, errors=text)
    return text


def _slug_taken() -> FormRefused:
    return FormRefused(_CORRECT, errors={PageField.SLUG: "Another page has this address already."})


def _form(action: str) -> dict[str, object]:
    return {**_LIMITS, "action": action, "theirs": None}


def _path(page: Page) -> str:
    return f"/edit/{page.guid}"


def _fields(page: Page) -> Mapping[str, str]:
    published = {PageField.PUBLISHED.value: "yes"} if page.is_published else {}
    return {
        PageField.TITLE: page.title,
        PageField.SLUG: page.slug,
        PageField.BODY: page.body,
        PageField.VERSION: str(page.version),
        **published,
    }
