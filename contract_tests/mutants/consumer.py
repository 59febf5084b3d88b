"""A small consumer that keeps the contract, or breaks it in exactly one way: `python consumer.py MUTATION`.

The kit is tested with it: without a mutation every case passes, and with one exactly the cases fail that are about it.
It stands alone, as another team's program would: pika, smtplib, jsonschema, and the settings from the environment.
"""

import json
import os
import smtplib
import sys
from email.message import EmailMessage
from pathlib import Path

import jsonschema
import pika

MUTATIONS = {
    "sends_nothing": "acknowledges everything and does nothing",
    "drops_invalid": "acknowledges an invalid message without writing a dead letter",
    "rejects_invalid": "leaves the dead letter to the broker, which knows no reason",
    "needs_content_type": "drops a message that has no content type",
    "ascii_only": "puts a question mark where a character is not ASCII",
    "lists_recipients": "sends to whatever is left of a list of addresses",
    "sends_twice": "sends every mail twice",
}
SETTINGS = os.environ  # noqa: TID251  # a program on its own, which the kit configures in this way


class Refused(Exception):
    """The message breaks its contract."""

    def __init__(self, code, pointer="", keyword=""):
        super().__init__(code)
        self.headers = {"x-error-code": code}
        if keyword:
            self.headers |= {"x-error-pointer": pointer, "x-error-keyword": keyword}


def read(body, validator, mutation):
    """Return the object that the body holds; raise Refused."""
    try:
        value = json.loads(body.decode())
    except ValueError as error:
        raise Refused("invalid_json") from error
    if mutation == "lists_recipients" and isinstance(value, dict) and "," in str(value.get("email")):
        value["email"] = value["email"].partition(",")[0]
    error = next(validator.iter_errors(value), None)
    if error is not None:
        pointer = "".join(f"/{step}" for step in error.absolute_path)
        raise Refused("schema", pointer, error.validator)
    return value


def send(request, mutation):
    """Send one mail."""
    mail = EmailMessage()
    mail["From"], mail["To"], mail["Subject"] = SETTINGS["MAIL_FROM"], request["email"], "A mail"
    text = request["message"]
    mail.set_content(text.encode("ascii", "replace").decode() if mutation == "ascii_only" else text)
    with smtplib.SMTP(SETTINGS["SMTP_HOST"], int(SETTINGS["SMTP_PORT"])) as server:
        for _ in range(2 if mutation == "sends_twice" else 1):
            server.send_message(mail)


def main():
    """Consume until the end."""
    mutation = sys.argv[1] if len(sys.argv) > 1 else None
    if mutation is not None and mutation not in MUTATIONS:
        sys.exit(f"no such mutation; there are: {', '.join(MUTATIONS)}")
    schema = json.loads((Path(SETTINGS["CONTRACT_DIR"]) / "email" / "1" / "schema.json").read_text())
    validator = jsonschema.Draft202012Validator(schema)

    def handle(channel, method, properties, body):
        tag = method.delivery_tag
        is_dropped = mutation == "needs_content_type" and not properties.content_type
        if mutation == "sends_nothing" or is_dropped:
            channel.basic_ack(tag)
            return
        try:
            send(read(body, validator, mutation), mutation)
        except Refused as refused:
            if mutation == "rejects_invalid":
                channel.basic_reject(tag, requeue=False)
                return
            if mutation != "drops_invalid":
                properties.headers = {**(properties.headers or {}), **refused.headers}
                channel.basic_publish(SETTINGS["AMQP_DEAD_EXCHANGE"], "", body, properties)
        channel.basic_ack(tag)

    with pika.BlockingConnection(pika.URLParameters(SETTINGS["AMQP_URL"])) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.basic_qos(prefetch_count=10)
        channel.basic_consume(SETTINGS["AMQP_QUEUE"], handle)
        channel.start_consuming()


if __name__ == "__main__":
    main()
