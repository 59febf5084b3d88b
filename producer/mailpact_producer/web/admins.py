"""Restricts the pages of administrators to administrators."""

from typing import Final

from aiohttp import web

from mailpact_producer.web.forms import see_other
from mailpact_producer.web.session import is_admin, reader

_MOST_DIGITS: Final = 18


def require_admin(request: web.Request) -> None:
    """Raise 404 for anybody who is not an administrator."""
    if not is_admin(request):
        raise web.HTTPNotFound


def turned_away(request: web.Request) -> web.Response | None:
    """Return the redirect to the login for a person who is not logged in; None for an administrator.

    Raises 404 for any other reader.
    """
    if reader(request) is None:
        return see_other("/login")
    require_admin(request)
    return None


def number_of(text: str) -> int | None:
    """Return the number of a row from the text; None if the text is no such number."""
    is_number = text.isascii() and text.isdigit() and len(text) <= _MOST_DIGITS
    return int(text) if is_number else None


def required_number(request: web.Request, name: str = "id") -> int:
    """Return the number in the request's path. Raises 404 for any other text."""
    number = number_of(request.match_info[name])
    if number is None:
        raise web.HTTPNotFound
    return number
