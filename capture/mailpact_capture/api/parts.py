"""Mailpit's URLs of the parts of a mail: attachments, thumbnails, the HTML and the text.

The browser always saves a part as a file, so a file from a mail is never shown as a page of this server (Mailpit
serves a part inline with the type that the mail names).
"""

import base64
from typing import Final
from urllib.parse import quote

from aiohttp import web

from mailpact_capture.asking import id_of, namespace_of, not_found, query_of, stored_mail, there
from mailpact_capture.gate import FOLLOWED_LINK
from mailpact_capture.mime import Part
from mailpact_capture.search import EVERYTHING
from mailpact_capture.shown_html import PICTURE_TYPES, policy, shown_html
from mailpact_capture.store import Store

MAX_NAME_CHARACTERS: Final = 200  # clients refuse an answer with a very long header field
NO_PICTURE: Final = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
)
MAX_THUMBNAIL_BYTES: Final = 10 * 1024 * 1024


class Parts:
    """Answers with parts of mails."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def add_routes(self, router: web.UrlDispatcher, prefix: str) -> None:
        """Add the routes below `prefix`."""
        router.add_get(prefix + "/api/v1/message/{id}/part/{part}", self.part)
        router.add_get(prefix + "/api/v1/message/{id}/part/{part}/thumb", self.thumbnail)
        router.add_get(prefix + "/view/{id}.html", self.html)
        router.add_get(prefix + "/view/{id}.txt", self.text)
        router.add_get(prefix + "/view/{id}", self.page)

    async def part(self, request: web.Request) -> web.Response:
        """Answer with a part's bytes as a download."""
        part, content = await self._content(request)
        name = quote(_short(part.file_name()) or f"part-{part.part_id}", safe="")
        headers = {
            "Content-Type": part.content_type,
            "Content-Disposition": f"attachment; filename*=utf-8''{name}",
            "Content-Security-Policy": "sandbox; default-src 'none'",
        }
        return web.Response(body=content, headers=headers)

    async def thumbnail(self, request: web.Request) -> web.Response:
        """Answer with the whole picture, or with an empty picture if browsers cannot show the part as a picture."""
        part, content = await self._content(request)
        headers = {"Content-Security-Policy": "sandbox; default-src 'none'"}
        if part.content_type not in PICTURE_TYPES or len(content) > MAX_THUMBNAIL_BYTES:
            return web.Response(body=NO_PICTURE, content_type="image/png", headers=headers)
        return web.Response(body=content, content_type=part.content_type, headers=headers)

    async def page(self, request: web.Request) -> web.Response:
        """Redirect to the viewer's page of a mail; `latest` is the newest mail that the query finds."""
        public_id, namespace = id_of(request), namespace_of(request)
        query = query_of(request) if public_id == "latest" else EVERYTHING
        summary = there(await self._store.summary(public_id, namespace=namespace, query=query))
        raise web.HTTPFound(request.path.rpartition("/view/")[0] + f"/mail/{summary.public_id}")

    async def html(self, request: web.Request) -> web.Response:
        """Answer with the HTML in a sandbox; with `remote=1` pictures from other servers are loaded.

        A page of another site cannot choose this by a link, because its own picture would then say that it was seen.
        """
        stored = await stored_mail(self._store, request)
        if not stored.mail.html:
            raise not_found()
        remote = request.query.get("remote") == "1" and not request.get(FOLLOWED_LINK)
        headers = {
            "Content-Security-Policy": policy(remote_pictures=remote),
            "X-Frame-Options": "SAMEORIGIN",
            "Cross-Origin-Opener-Policy": "unsafe-none",
        }
        text = shown_html(stored.mail, stored.raw)
        return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)

    async def text(self, request: web.Request) -> web.Response:
        """Answer with the text."""
        stored = await stored_mail(self._store, request)
        return web.Response(text=stored.mail.text, content_type="text/plain", charset="utf-8")

    async def _content(self, request: web.Request) -> tuple[Part, bytes]:
        id_of(request)
        stored = await stored_mail(self._store, request)
        wanted = request.match_info["part"]
        for _, part in stored.mail.root.tree():
            if part.part_id == wanted and not part.children:
                return part, part.content(stored.raw)
        raise not_found()


def _short(name: str) -> str:
    """Return a file name without its middle if the name is long; its end shows the type of the file."""
    end = MAX_NAME_CHARACTERS // 4
    return name if len(name) <= MAX_NAME_CHARACTERS else name[: MAX_NAME_CHARACTERS - end] + name[-end:]
