"""The viewer's own stylesheet and script, under addresses that contain their content's hash."""

import hashlib
from importlib import resources
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

from mailpact.web.assets import KEEP_FOR_EVER

CONTENT_TYPES: Final = {"viewer.css": "text/css", "viewer.js": "text/javascript"}


def add_own_assets(app: web.Application) -> dict[str, str]:
    """Serve the files and return the path of each by its name."""
    folder = resources.files("mailpact_capture.viewer") / "static"
    paths = {}
    for name, content_type in CONTENT_TYPES.items():
        content = (folder / name).read_bytes()
        stem, _, suffix = name.rpartition(".")
        paths[name] = f"/static/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
        app.router.add_get(paths[name], _asset(content, content_type))
    return paths


def _asset(content: bytes, content_type: str) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        headers = {"Cache-Control": KEEP_FOR_EVER}
        return web.Response(body=content, content_type=content_type, charset="utf-8", headers=headers)

    return answer
