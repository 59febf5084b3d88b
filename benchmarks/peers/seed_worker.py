"""The seed's mail worker with manual acks, a prefetch of 100 and a text body: one SMTP connection for each mail.

    python seed_worker.py AMQP_URL QUEUE SMTP_PORT [--reuse]

`--reuse` keeps the SMTP connection open; this is the second peer.
"""

import json
import smtplib
import sys
from email.mime.text import MIMEText
from typing import Any

import pika

SENDER = "Me <me@example.org>"


def main(amqp_url: str, queue: str, smtp_port: str, *options: str) -> None:
    """Consume for ever."""
    kept = smtplib.SMTP("127.0.0.1", int(smtp_port)) if "--reuse" in options else None
    channel = pika.BlockingConnection(pika.URLParameters(amqp_url)).channel()
    channel.basic_qos(prefetch_count=100)

    def handle(channel: Any, method: Any, _properties: Any, body: bytes) -> None:
        asked = json.loads(body)
        mail = MIMEText(asked["message"], "plain", "utf-8")
        mail["From"], mail["To"], mail["Subject"] = SENDER, asked["email"], asked["message"]
        server = kept or smtplib.SMTP("127.0.0.1", int(smtp_port))
        server.sendmail("me@example.org", [asked["email"]], mail.as_string())
        if kept is None:
            server.quit()
        channel.basic_ack(method.delivery_tag)

    channel.basic_consume(queue, handle)
    channel.start_consuming()


if __name__ == "__main__":
    main(*sys.argv[1:])
