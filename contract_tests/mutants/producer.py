"""A small web form that obeys the contract. Each mutant (`mutants.json`) breaks the contract in exactly one way.

The program uses nothing of Mailpact, like another team's program: only pika, http.server, and settings from the
environment. An address is stored once. If a confirm is lost, the message is published again with the same id. If the
broker refuses or returns a message, the request fails: pika raises, and the browser gets no answer.
"""

import html
import json
import os
import sqlite3
import time
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pika
from pika.exceptions import AMQPConnectionError

SETTINGS = os.environ  # noqa: TID251  # an independent program, which the kit configures by the environment
TRIES = 20
TOKEN = str(uuid.uuid4())
PAGE = f"""<!doctype html><title>Send</title><form method="post" action="/send">
<input type="hidden" name="token" value="{html.escape(TOKEN)}"><input name="email"><textarea name="message"></textarea>
<button>Send</button></form>"""
STORE = sqlite3.connect(SETTINGS["DATABASE_URL"].removeprefix("sqlite:///"))
STORE.execute("CREATE TABLE IF NOT EXISTS readers (email TEXT PRIMARY KEY)")


def properties():
    """Return the AMQP properties of a new message."""
    return pika.BasicProperties(
        type="email.v1",
        content_type="application/json",
        delivery_mode=2,
        message_id=str(uuid.uuid4()),
        timestamp=int(time.time()),
        app_id="mutants",
    )


def publish(email, message):
    """Publish one message on a new connection, and repeat this until the broker confirms the message."""
    body = json.dumps({"email": email, "message": message}, ensure_ascii=False)
    about = properties()
    for _ in range(TRIES):
        try:
            with pika.BlockingConnection(pika.URLParameters(SETTINGS["AMQP_URL"])) as connection:
                channel = connection.channel()
                channel.confirm_delivery()
                channel.basic_publish(SETTINGS["AMQP_EXCHANGE"], "", body.encode(), about, mandatory=True)
            return
        except AMQPConnectionError:
            time.sleep(0.1)
    raise OSError("the broker is away")


def register(email, message):
    """Store an address, and publish a message to this address."""
    with STORE:
        STORE.execute("INSERT INTO readers VALUES (?)", (email,))
    publish(email, message)


class Site(BaseHTTPRequestHandler):
    """One page with a form. The browser must send the form's token back in a hidden field and in a cookie."""

    def do_GET(self):
        """Show the form."""
        self._answer(200, PAGE, ("Set-Cookie", f"token={TOKEN}; HttpOnly"))

    def do_POST(self):
        """Process the posted form."""
        fields = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if fields.get("token") != [TOKEN] or TOKEN not in self.headers.get("Cookie", ""):
            self._answer(403, "no token")
            return
        try:
            register(fields["email"][0], fields["message"][0].replace("\r\n", "\n"))
        except sqlite3.IntegrityError:
            self._answer(409, "this address is stored already")
            return
        self._answer(303, "", ("Location", "/"))

    def _answer(self, status, page, *headers):
        body = page.encode()
        self.send_response(status)
        for name, value in (*headers, ("Content-Type", "text/html"), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def main():
    """Serve until the process ends."""
    HTTPServer(("127.0.0.1", int(SETTINGS["HTTP_PORT"])), Site).serve_forever()


if __name__ == "__main__":
    main()
