"""The mail worker from which Mailpact started, with its intended behaviour: it mails each message. Do not copy it."""

import json
import os
import smtplib
from email.mime.text import MIMEText

import pika

SETTINGS = os.environ  # noqa: TID251  # the original had constants for its servers


def handle(_channel, _method, _properties, body):
    """Send a mail without text, with the whole message as the subject."""
    request = json.loads(body)
    mail = MIMEText("")
    mail["From"], mail["To"], mail["Subject"] = "Me", request["email"], request["message"]
    server = smtplib.SMTP(SETTINGS["SMTP_HOST"], int(SETTINGS["SMTP_PORT"]))
    server.sendmail("Me", request["email"], mail.as_string())
    server.quit()


connection = pika.BlockingConnection(pika.URLParameters(SETTINGS["AMQP_URL"]))
channel = connection.channel()
channel.basic_consume(SETTINGS["AMQP_QUEUE"], handle, auto_ack=True)
channel.start_consuming()
