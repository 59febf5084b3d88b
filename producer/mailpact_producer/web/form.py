"""Reads what a browser posts: at most 64 KiB of `application/x-www-form-urlencoded` in UTF-8."""

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from aiohttp import web

CONTENT_TYPE: Final = "application/x-www-form-urlencoded"
MAX_BODY_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 20
READ_SECONDS: Final = 10


async def posted_fields(request: web.Request) -> Mapping[str, str]:
    """Read the form's fields; of a repeated one the last counts.

    Raises the HTTP errors 400, 408, 413 and 415 for what is not a form of the size and kind that our pages have.
    """
    if request.content_type != CONTENT_TYPE:
        raise web.HTTPUnsupportedMediaType
    try:
        async with asyncio.timeout(READ_SECONDS):
            body = await request.read()
    except TimeoutError:
        raise web.HTTPRequestTimeout from None
    try:
        text = body.decode("ascii")
        return dict(parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MAX_FIELDS))
    except ValueError:
        raise web.HTTPBadRequest from None
