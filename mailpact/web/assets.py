"""Stylesheets, icons and scripts, served under addresses that contain their content's hash.

A changed file gets another address, so browsers may keep a file for ever and never show an old one.
"""

import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler

CONTENT_TYPES: Final = {"style.css": "text/css", "favicon.svg": "image/svg+xml"}
KEEP_FOR_EVER: Final = "public, max-age=31536000, immutable"


def add_asset_routes(
    app: web.Application, package: str = "mailpact.web", content_types: Mapping[str, str] = CONTENT_TYPES
) -> dict[str, str]:
    """Serve files of a package's folder `static`, those in `content_types`; return their paths by their names."""
    folder = resources.files(package) / "static"
    paths = {}
    for name, content_type in content_types.items():
        content = (folder / name).read_bytes()
        stem, _, suffix = name.rpartition(".")
        paths[name] = f"/static/{stem}.{hashlib.sha256(content).hexdigest()[:12]}.{suffix}"
        app.router.add_get(paths[name], _asset(content, content_type))
    return paths


def _asset(content: bytes, content_type: str) -> Handler:
    async def answer(_request: web.Request) -> web.Response:
        return web.Response(
            body=content, content_type=content_type, charset="utf-8", headers={"Cache-Control": KEEP_FOR_EVER}
        )

    return answer
