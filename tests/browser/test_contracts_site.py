"""The contracts' documentation in a real Chromium, from any web server, without requests to other servers."""

from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.documentation import SITE_SECONDS, documentation

PAGES = (
    "index",
    "contracts/email-1",
    "contracts/email-1-vectors",
    "errors/schema",
    "commands/mailpact-consumer",
)

pytestmark = [pytest.mark.xdist_group("browser"), pytest.mark.timeout(SITE_SECONDS + 60)]


class Quiet(SimpleHTTPRequestHandler):
    """A web server that writes no log."""

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Yield the address of a web server that serves a folder written by `mailpact contracts docs`."""
    out = documentation(tmp_path_factory)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(out))) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@pytest.fixture(params=["light", "dark"])
def page(request: pytest.FixtureRequest, browser: Any, site: str) -> Iterator[Page]:
    """Yield a page in each colour scheme; an error of a script, or a request to anywhere else, fails the test."""
    context = browser.new_context(color_scheme=request.param)
    opened = context.new_page()
    complaints: list[str] = []
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", lambda sent: None if sent.url.startswith(site) else complaints.append(sent.url))
    yield opened
    context.close()
    assert complaints == []


@pytest.mark.parametrize("width", [1280, 390])
def test_no_page_is_wider_than_the_screen(page: Page, site: str, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    wide = []
    for name in PAGES:
        page.goto(f"{site}/{name}.html")
        if page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            wide.append(name)

    assert wide == []


def test_search_finds_an_error_code(page: Page, site: str) -> None:
    page.goto(f"{site}/search.html?q=duplicate_key")

    expect(page.locator("#search-results li a").first).to_be_visible(timeout=20_000)
    assert "errors/duplicate_key.html" in "".join(
        str(link.get_attribute("href")) for link in page.locator("#search-results li a").all()
    )
