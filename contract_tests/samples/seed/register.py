"""The CMS from which Mailpact started, with its intended behaviour: it stores and publishes registrations.

Do not copy it.
"""

import json
import os
import sqlite3
import sys

import pika

SETTINGS = os.environ  # noqa: TID251  # the original had constants for its servers
email = sys.argv[1]

with sqlite3.connect(SETTINGS["DATABASE_URL"].removeprefix("sqlite:///")) as database:
    database.execute("CREATE TABLE IF NOT EXISTS users (user_email TEXT UNIQUE)")
    database.execute("INSERT INTO users VALUES (?)", (email,))
message = {"email": email, "message": f"Welcome to our CMS, {email}!  We're glad you could join us."}
connection = pika.BlockingConnection(pika.URLParameters(SETTINGS["AMQP_URL"]))
connection.channel().basic_publish(
    SETTINGS["AMQP_EXCHANGE"], "", json.dumps(message), pika.BasicProperties(content_type="text/plain")
)
connection.close()
