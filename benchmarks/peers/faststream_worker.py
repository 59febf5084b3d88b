"""FastStream with aiosmtplib, as their documentation shows: a subscriber that sends each mail with `aiosmtplib.send`.

python faststream_worker.py AMQP_URL QUEUE SMTP_PORT
"""

import asyncio
import sys
from email.message import EmailMessage

import aiosmtplib
import uvloop
from faststream import FastStream
from faststream.rabbit import Channel, RabbitBroker, RabbitQueue
from pydantic import BaseModel


class Asked(BaseModel):
    """The message of `email/1`."""

    email: str
    message: str


async def main(amqp_url: str, queue: str, smtp_port: str) -> None:
    """Consume for ever."""
    broker = RabbitBroker(amqp_url, default_channel=Channel(prefetch_count=100), logger=None)

    @broker.subscriber(RabbitQueue(queue, declare=False))
    async def send(asked: Asked) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"], mail["Subject"] = "me@example.org", asked.email, asked.message
        mail.set_content(asked.message)
        await aiosmtplib.send(mail, hostname="127.0.0.1", port=int(smtp_port))

    await FastStream(broker, logger=None).run()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(*sys.argv[1:]))
