"""A mail's HTML in a real Chromium: the text is shown; no script runs, no request leaves, no form is sent."""

import http.server
import smtplib
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from typing import Any

import pytest

HOSTILE = """<!doctype html><html><head><meta http-equiv="refresh" content="0;url={there}/refresh">
<style>
@import "{there}/import.css"; body {{ background: url({there}/css.png) }}
@font-face {{ font-family: f; src: url({there}/font) }}
p {{ font-family: f }}</style><link rel="stylesheet" href="{there}/link.css"><base href="{there}/"></head>
<body onload="parent.document.title='owned'"><p id="seen">Seen</p>
<script>top.document.title = "owned"; fetch("{there}/fetch")</script>
<img src="{there}/tracker.png"><img src=x onerror="top.document.title='owned'">
<svg onload="top.document.title='owned'"></svg>
<iframe src="{there}/frame"></iframe><object data="{there}/object"></object>
<embed src="{there}/embed"><video src="{there}/video"></video>
<form action="{there}/form" method="post"><input name="a">
<button id="send">Send</button></form>
<iframe srcdoc="
<script>top.document.title='owned'</script>"></iframe></body></html>"""


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """Yield the URL of another web server, and the list of the paths that are requested from it."""
    paths: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    server.server_close()


def test_hostile_html_is_seen_and_does_nothing(browser: Any, places: Any, mail_port: int, asked: Any) -> None:
    there, paths = asked
    message = EmailMessage()
    message["Subject"], message["From"], message["To"] = "Hostile HTML", "a@x.org", "b@x.org"
    message.set_content(HOSTILE.format(there=there), subtype="html")
    with smtplib.SMTP("127.0.0.1", mail_port, timeout=10) as client:
        client.send_message(message)
    page = browser.new_page()

    page.goto(f"{places.viewer}?query=subject:hostile")
    page.locator(".mails a").first.click()
    frame = page.frame_locator("article iframe")
    frame.locator("#seen").wait_for()
    frame.locator("#send").click()
    page.wait_for_load_state("networkidle")

    assert (page.title(), paths) == ("Hostile HTML", [])
    page.close()
