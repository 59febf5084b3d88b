"""Reads forms from browsers, shows forms, and shows forms again with the typed text and the errors.

A form that cannot be accepted is shown again with its text, except for passwords. This holds for every reason: a wrong
field, a limit, a form of another site, a database that does not answer.
"""

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import hdrs, web

from mailpact.database.transactions import DatabaseUnavailable
from mailpact_producer.errors import NetworkFull, TooBusy
from mailpact_producer.limits import HOUR_SECONDS
from mailpact_producer.web.csrf import Csrf
from mailpact_producer.web.failures import NOT_NOW, NOT_OUR_FORM, RETRY_SECONDS, TOO_MANY, note_unavailable
from mailpact_producer.web.render import render

CONTENT_TYPE: Final = "application/x-www-form-urlencoded"
MAX_BODY_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 20
READ_SECONDS: Final = 10
HIDDEN_SECONDS: Final = 0.2

FORM_FIELD: Final = "form"
"""A random name of the form: what is posted twice is done once."""


async def posted_fields(request: web.Request, *, max_bytes: int = MAX_BODY_BYTES) -> Mapping[str, str]:
    """Return the form's fields; of a repeated field the last one counts.

    Raises the HTTP errors 400, 408, 413 and 415 for what is not a form of the size and kind that our pages have.
    """
    if request.content_type != CONTENT_TYPE:
        raise web.HTTPUnsupportedMediaType
    try:
        async with asyncio.timeout(READ_SECONDS):
            body = await _read(request, max_bytes)
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    try:
        text = body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except ValueError:
        raise web.HTTPBadRequest from None


async def _read(request: web.Request, max_bytes: int) -> bytes:
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > max_bytes:
            raise web.HTTPRequestEntityTooLarge(max_size=max_bytes, actual_size=len(body))
    return bytes(body)


class FormRefused(Exception):
    """A form cannot be accepted; the message is a sentence for the person, `errors` has one for each wrong field."""

    def __init__(
        self,
        sentence: str = "",
        *,
        status: HTTPStatus = HTTPStatus.UNPROCESSABLE_ENTITY,
        errors: Mapping[str, str] | None = None,
        retry_seconds: int | None = None,
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.errors = errors or {}
        self.retry_seconds = retry_seconds


Take = Callable[[Mapping[str, str]], Awaitable[web.Response]]


class Forms:
    """Shows and handles the site's forms."""

    def __init__(self, csrf: Csrf) -> None:
        self._csrf = csrf

    def show(
        self,
        request: web.Request,
        template: str,
        context: Mapping[str, object],
        *,
        fields: Mapping[str, str] | None = None,
        status: HTTPStatus = HTTPStatus.OK,
        errors: Mapping[str, str] | None = None,
        trouble: str = "",
    ) -> web.Response:
        """Return a page with a form that contains `fields`; `trouble` is the sentence above the form."""
        token = self._csrf.token(request)
        form = (fields or {}).get(FORM_FIELD) or secrets.token_urlsafe(16)
        kept = {name: text for name, text in (fields or {}).items() if "password" not in name}
        values = {
            "csrf": token,
            "form": form,
            "fields": kept,
            "errors": errors or {},
            "trouble": trouble,
            **context,
        }
        response = render(request, template, values, status=status)
        self._csrf.keep(request, response, token)
        response.headers[hdrs.CACHE_CONTROL] = "no-store"
        return response

    async def take(
        self,
        request: web.Request,
        template: str,
        context: Mapping[str, object],
        take: Take,
        *,
        hides_its_work: bool = False,
        max_bytes: int = MAX_BODY_BYTES,
    ) -> web.Response:
        """Return the result of `take` for the posted fields, or the form again if it cannot be accepted now.

        If the form `hides_its_work`, the answer is given at a fixed time after the request, so that the time does not
        reveal whether there was work to do.
        """
        fields = await posted_fields(request, max_bytes=max_bytes)
        began = time.monotonic()
        try:
            self._require_ours(request, fields)
            response = await take(fields)
            if hides_its_work:
                # Slow work ends at the next multiple, so that the time does not reveal how slow it was.
                await asyncio.sleep(HIDDEN_SECONDS - (time.monotonic() - began) % HIDDEN_SECONDS)
            return response
        except FormRefused as refused:
            answer = refused
        except NetworkFull:
            answer = FormRefused(TOO_MANY, status=HTTPStatus.TOO_MANY_REQUESTS, retry_seconds=HOUR_SECONDS)
        except (TooBusy, DatabaseUnavailable) as error:
            note_unavailable(request, error)
            answer = FormRefused(NOT_NOW, status=HTTPStatus.SERVICE_UNAVAILABLE, retry_seconds=RETRY_SECONDS)
        response = self.show(
            request,
            template,
            context,
            fields=fields,
            status=answer.status,
            errors=answer.errors,
            trouble=str(answer),
        )
        if answer.retry_seconds is not None:
            response.headers[hdrs.RETRY_AFTER] = str(answer.retry_seconds)
        return response

    def _require_ours(self, request: web.Request, fields: Mapping[str, str]) -> None:
        if not self._csrf.is_ours(request, fields):
            raise FormRefused(NOT_OUR_FORM, status=HTTPStatus.FORBIDDEN)


def see_other(path: str) -> web.Response:
    """Return the answer to an accepted form: a redirect to a page of this site, by GET (RFC 9110 15.4.4)."""
    return web.Response(status=HTTPStatus.SEE_OTHER, headers={hdrs.LOCATION: path})
