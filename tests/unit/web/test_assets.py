"""The stylesheet and the headers that site and viewer share."""

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from mailpact.web.assets import add_asset_routes
from mailpact.web.security import add_security_headers


async def hello(_request: web.Request) -> web.Response:
    return web.Response(text="<p>hello</p>", content_type="text/html")


async def test_every_answer_carries_the_headers_and_assets_may_be_kept() -> None:
    app = web.Application()
    add_security_headers(app)
    assets = add_asset_routes(app)
    app.router.add_get("/", hello)

    async with TestClient(TestServer(app)) as client:
        page = await client.get("/")
        style = await client.get(assets["style.css"])
        missing = await client.get("/missing")

    for answer in (page, style, missing):
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert "aiohttp" not in answer.headers["Server"]
    assert page.headers["Cache-Control"] == "no-store"
    assert "immutable" in style.headers["Cache-Control"]
    assert style.content_type == "text/css"
