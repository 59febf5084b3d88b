"""Run Mailpact for the programs of the pages: the whole system, or a broker that does not take their message."""

import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote
from urllib.request import urlopen

import pika
from pika.adapters.blocking_connection import BlockingChannel

from tests.command import MAILPACT, environment

PATIENCE_SECONDS = 30
FULL = {"x-max-length": 1, "x-overflow": "reject-publish"}
TROUBLES = ("no exchange", "no queue", "full queue")


class Service:
    """A running command of Mailpact, with its output in a file."""

    def __init__(self, log: Path, *words: str) -> None:
        self._log = log
        with log.open("w") as output:
            self._process = subprocess.Popen(
                [*MAILPACT, *words],
                cwd=log.parent,
                env=environment(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def said(self, pattern: str) -> str:
        """Wait until the output matches the pattern, and return the pattern's first group."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while (found := re.search(pattern, self._log.read_text(), re.MULTILINE)) is None:
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < deadline, self._log.read_text()
            time.sleep(0.02)
        return found[1]

    def stop(self) -> None:
        """Stop the command."""
        self._process.terminate()
        self._process.wait(PATIENCE_SECONDS)


class RunningSystem:
    """A running `mailpact up`: each published message becomes a mail that can be read over the API."""

    def __init__(self, folder: Path) -> None:
        listening = ("--cms-listen", "--viewer-listen", "--smtp-listen")
        words = [word for option in listening for word in (option, "127.0.0.1:0")]
        self._service = Service(folder / "up.log", "up", *words)
        self.stop = self._service.stop
        self._service.said("(Ctrl-C)")
        self.url = self._service.said(r"^broker +(amqp:\S+)$")
        self._viewer = self._service.said(r"^viewer +(\S+)$")

    @contextmanager
    def copies(self) -> Iterator[list[pika.BasicProperties]]:
        """Yield a list; when the block ends, it holds the properties of all messages published meanwhile.

        The site's own messages are left out: the site sends a canary soon after its start, and then each minute.
        """
        found: list[pika.BasicProperties] = []
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.queue_bind(queue, "email", "")
            yield found
            while (taken := channel.basic_get(queue, auto_ack=True))[0] is not None:
                if taken[1].app_id != "mailpact-producer":
                    found.append(taken[1])

    def mails(self, subject: str) -> list[dict[str, Any]]:
        """Wait until there is a mail with that subject, and return all of them."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        found: list[dict[str, Any]] = []
        asked = quote(f'subject:"{subject}"')
        while not found and time.monotonic() < deadline:
            found = self._get(f"search?query={asked}")["messages"]
            time.sleep(0.05)
        return [self._get(f"message/{mail['ID']}") for mail in found]

    def _get(self, path: str) -> Any:
        with urlopen(f"{self._viewer}api/v1/{path}", timeout=PATIENCE_SECONDS) as answer:
            return json.load(answer)


class Broker:
    """A running `mailpact devbroker`, on which nothing is declared."""

    def __init__(self, folder: Path) -> None:
        self._service = Service(folder / "devbroker.log", "devbroker", "--listen", "127.0.0.1:0")
        self.stop = self._service.stop
        self.url = self._service.said(r"(amqp:\S+)")

    @contextmanager
    def trouble(self, kind: str) -> Iterator[None]:
        """Put the broker in a state in which it does not take a message for the exchange `email`."""
        with pika.BlockingConnection(pika.URLParameters(self.url)) as connection:
            channel = connection.channel()
            if kind != "no exchange":
                channel.exchange_declare("email", "direct", durable=True)
            if kind == "full queue":
                self._fill(channel)
            yield
            channel.queue_delete("full")
            channel.exchange_delete("email")

    def _fill(self, channel: BlockingChannel) -> None:
        channel.queue_declare("full", arguments=FULL)
        channel.queue_bind("full", "email", "")
        channel.confirm_delivery()
        channel.basic_publish("", "full", b"first come, first served", mandatory=True)
