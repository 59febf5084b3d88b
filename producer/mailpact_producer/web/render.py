"""Renders templates with the parts that every page has: the notice, and the reader who is logged in."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp_jinja2 import render_template

from mailpact_producer.web.csrf import Csrf
from mailpact_producer.web.notices import Notices
from mailpact_producer.web.session import MAIL_TROUBLE, reader


class Frame:
    """The values for the layout beside the page's own values."""

    def __init__(self, notices: Notices, csrf: Csrf, site_name: str) -> None:
        self._notices = notices
        self._csrf = csrf
        self._site_name = site_name

    def is_plain(self, request: web.Request) -> bool:
        """Return whether the page looks the same for this request as for any visitor who is not logged in."""
        return reader(request) is None and not self._notices.has(request)

    def values(self, request: web.Request) -> Mapping[str, Any]:
        """Return the layout's values for the page that answers this request."""
        notice = self._notices.show(request)
        has_form = reader(request) is not None or (notice is not None and notice.signed_address != "")
        return {
            "notice": notice,
            "reader": reader(request),
            "frame_csrf": self._csrf.token(request) if has_form else "",
            "site_name": self._site_name,
            "mail_trouble": request.get(MAIL_TROUBLE),
        }


FRAME: Final = web.AppKey("FRAME", Frame)


def render(
    request: web.Request, template: str, values: Mapping[str, Any], *, status: HTTPStatus = HTTPStatus.OK
) -> web.Response:
    """Return the page that the template makes from the values."""
    return render_template(template, request, {**request.app[FRAME].values(request), **values}, status=status)
