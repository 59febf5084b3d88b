"""Renders templates with what stands around every page: the notice, and who is logged in."""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final

from aiohttp import web
from aiohttp_jinja2 import render_template

from mailpact_producer.web.notices import Notices


class Frame:
    """What the layout needs beside a page's own values."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices

    def values(self, request: web.Request) -> Mapping[str, Any]:
        """Return the layout's values for the page that answers this request."""
        return {"notice": self._notices.show(request)}


FRAME: Final = web.AppKey("FRAME", Frame)


def render(
    request: web.Request, template: str, values: Mapping[str, Any], *, status: HTTPStatus = HTTPStatus.OK
) -> web.Response:
    """Return the page that the template makes of the values."""
    return render_template(template, request, {**request.app[FRAME].values(request), **values}, status=status)
