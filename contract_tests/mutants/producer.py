"""A small web form that keeps the contract, or breaks it in exactly one way: `python producer.py MUTATION`.

The kit is tested with it: without a mutation every case passes, and with one exactly the cases fail that are about it.
It stands alone, as another team's program would: pika and http.server, and the settings from the environment.
"""

import html
import json
import os
import sys
import uuid
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qs

import pika

MUTATIONS = {
    "no_confirms": "publishes without asking for confirms",
    "bare_string": "publishes a line of text instead of a JSON object",
    "publishes_twice": "publishes every message twice",
    "trims_message": "publishes only the first line of the text",
}
SETTINGS = os.environ  # noqa: TID251  # a program on its own, which the kit configures in this way
TOKEN = str(uuid.uuid4())
PAGE = f"""<!doctype html><title>Send</title><form method="post" action="/send">
<input type="hidden" name="token" value="{html.escape(TOKEN)}"><input name="email"><textarea name="message"></textarea>
<button>Send</button></form>"""


def publish(email, message, mutation):
    """Publish one message on a connection of its own."""
    text = message.partition("\n")[0] if mutation == "trims_message" else message
    body = json.dumps({"email": email, "message": text}, ensure_ascii=False)
    if mutation == "bare_string":
        body = f"{email}: {text}"
    properties = pika.BasicProperties(
        type="email.v1", content_type="application/json", delivery_mode=2, message_id=str(uuid.uuid4())
    )
    with pika.BlockingConnection(pika.URLParameters(SETTINGS["AMQP_URL"])) as connection:
        channel = connection.channel()
        if mutation != "no_confirms":
            channel.confirm_delivery()
        for _ in range(2 if mutation == "publishes_twice" else 1):
            channel.basic_publish(SETTINGS["AMQP_EXCHANGE"], "", body.encode(), properties, mandatory=True)


class Site(BaseHTTPRequestHandler):
    """One page with a form. The form's token must come back, in a hidden field and in a cookie."""

    mutation = None

    def do_GET(self):
        """Show the form."""
        self._answer(200, PAGE, ("Set-Cookie", f"token={TOKEN}; HttpOnly"))

    def do_POST(self):
        """Take the form."""
        fields = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        if fields.get("token") != [TOKEN] or TOKEN not in self.headers.get("Cookie", ""):
            self._answer(403, "no token")
            return
        publish(fields["email"][0], fields["message"][0].replace("\r\n", "\n"), self.mutation)
        self._answer(303, "", ("Location", "/"))

    def _answer(self, status, page, *headers):
        body = page.encode()
        self.send_response(status)
        for name, value in (*headers, ("Content-Type", "text/html"), ("Content-Length", str(len(body)))):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)


def main():
    """Serve until the end."""
    mutation = sys.argv[1] if len(sys.argv) > 1 else None
    if mutation is not None and mutation not in MUTATIONS:
        sys.exit(f"no such mutation; there are: {', '.join(MUTATIONS)}")
    Site.mutation = mutation
    HTTPServer(("127.0.0.1", int(SETTINGS["HTTP_PORT"])), Site).serve_forever()


if __name__ == "__main__":
    main()
