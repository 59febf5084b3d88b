"""A consumer of email/1 in Python: `pip install pika jsonschema`, then `python consumer.py`. Meant to be copied.

The settings are environment variables: AMQP_URL, AMQP_QUEUE, AMQP_DEAD_EXCHANGE, SMTP_HOST, SMTP_PORT, MAIL_FROM, and
CONTRACT_DIR, the folder of the published contracts. The ids of mailed messages are kept in memory only, so a message
may be mailed twice after a crash. A database table of message ids, with a row written before the ack, makes such
duplicates rare.
"""

import base64
import logging
import os
import signal
import smtplib
import time
from collections import OrderedDict
from email.mime.text import MIMEText
from email.utils import formatdate, make_msgid

import pika
from contract import Contract, Refused
from pika.exceptions import AMQPError

SETTINGS = os.environ  # noqa: TID251  # an independent program
PREFETCH = 10
WORD_BYTES = 42  # an encoded word has at most 75 characters, and base64 makes 4 of 3 bytes
REMEMBERED = 100_000
FIRST_DELAY_SECONDS, LONGEST_DELAY_SECONDS = 1, 300

log = logging.getLogger("consumer")


def encoded(text):
    """Return a header's text as encoded words that never split a character (RFC 2047)."""
    words, word = [], b""
    for character in text:
        if len(word) + len(character.encode()) > WORD_BYTES:
            words.append(word)
            word = b""
        word += character.encode()
    return "\n ".join(f"=?utf-8?b?{base64.b64encode(each).decode()}?=" for each in [*words, word])


def mime(mail):
    """Return the mail as MIME. The text is encoded in base64, so that it arrives unchanged."""
    message = MIMEText(mail.text, "plain", "utf-8")
    message["From"], message["To"] = SETTINGS["MAIL_FROM"], mail.to
    is_plain = mail.subject.isascii() and mail.subject.isprintable() and "=?" not in mail.subject
    message["Subject"] = mail.subject if is_plain and len(mail.subject) < 60 else encoded(mail.subject)
    message["Date"], message["Message-ID"] = (
        formatdate(),
        make_msgid(domain=SETTINGS["MAIL_FROM"].partition("@")[2]),
    )
    return message


def send(mail):
    """Send one mail; raise Refused for a permanent refusal, OSError for everything that may be tried again."""
    try:
        with smtplib.SMTP(SETTINGS["SMTP_HOST"], int(SETTINGS["SMTP_PORT"]), timeout=60) as server:
            server.sendmail(SETTINGS["MAIL_FROM"], [mail.to], mime(mail).as_bytes())
    except smtplib.SMTPRecipientsRefused as error:
        code = max(code for code, _ in error.recipients.values())
        if code >= 500:
            raise Refused("smtp_permanent") from error
        raise
    except smtplib.SMTPResponseException as error:
        if error.smtp_code >= 500:
            raise Refused("smtp_permanent") from error
        raise


class Consumer:
    """One connection to the broker. `mailed` is kept when the connection is replaced."""

    def __init__(self, connection, contract, mailed):
        self.connection = connection
        self.contract = contract
        self.mailed = mailed
        self.channel = connection.channel()
        self.channel.confirm_delivery()
        self.channel.basic_qos(prefetch_count=PREFETCH)
        self.channel.basic_consume(SETTINGS["AMQP_QUEUE"], self.handle)

    def handle(self, _channel, method, properties, body, delay=FIRST_DELAY_SECONDS):
        """Mail a message and acknowledge it, publish it as a dead letter, or try again later."""
        message_id = properties.message_id
        if message_id is None or message_id not in self.mailed:
            try:
                encoding = properties.content_encoding
                mail = self.contract.read(body, properties.type, properties.content_type, encoding)
                send(mail)
                self.remember(message_id)
            except Refused as refused:
                self.bury(properties, body, refused)
            except OSError as error:  # all errors of smtplib are OSErrors
                log.warning(
                    "the mail server does not take a mail; next try in %s s: %s", delay, type(error).__name__
                )
                again = min(2 * delay, LONGEST_DELAY_SECONDS)
                self.connection.call_later(delay, lambda: self.handle(None, method, properties, body, again))
                return
        self.channel.basic_ack(method.delivery_tag)

    def remember(self, message_id):
        """Remember the id of a mailed message, and forget the oldest id if there are too many."""
        self.mailed[message_id] = None
        while len(self.mailed) > REMEMBERED:
            self.mailed.popitem(last=False)

    def bury(self, properties, body, refused):
        """Publish a dead letter with the message's properties, and wait for the confirm."""
        properties.headers = {**(properties.headers or {}), **refused.headers}
        self.channel.basic_publish(SETTINGS["AMQP_DEAD_EXCHANGE"], "", body, properties, mandatory=True)


def main():
    """Consume until SIGTERM; connect again whenever the connection breaks."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    logging.getLogger("pika").setLevel(logging.CRITICAL)
    contract, mailed = Contract(SETTINGS["CONTRACT_DIR"]), OrderedDict()
    consumer, is_stopping = None, False

    def stop(_number, _frame):
        nonlocal is_stopping
        is_stopping = True
        if consumer is not None and consumer.connection.is_open:
            consumer.connection.add_callback_threadsafe(consumer.channel.stop_consuming)

    signal.signal(signal.SIGTERM, stop)
    while not is_stopping:
        try:
            with pika.BlockingConnection(pika.URLParameters(SETTINGS["AMQP_URL"])) as connection:
                consumer = Consumer(connection, contract, mailed)
                if not is_stopping:
                    consumer.channel.start_consuming()
        except (AMQPError, OSError) as error:
            log.warning("no connection to the broker; next try in 1 s: %s", type(error).__name__)
            time.sleep(1)


if __name__ == "__main__":
    main()
