"""Consumers of two releases share one queue and one inbox; each older release is installed from its own wheel.

An older release is a commit of this repository: the last one before a certain file was added.
"""

import itertools
import json
import subprocess
import sys
import threading
import zipfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pika
import pytest
from sqlalchemy import NullPool, create_engine, text

from tests.command import run

ROOT = Path(__file__).parents[2]
CAME_AFTER_THE_FIRST = "consumer/mailpact_consumer/migrations/0002_deferral.py"
CAME_WITH_EMAIL_2 = "tests/integration/consumer/test_email_2.py"
LEAST_OF_EACH = 20

pytestmark = pytest.mark.long


def release_before(file: str, folder: Path) -> str:
    """Build the wheel of the commit before the file was added; return the folder with the wheel's content."""
    log = ["git", "log", "--diff-filter=A", "--format=%H^", "-1", "--", file]
    commit = subprocess.run(log, cwd=ROOT, check=False, capture_output=True, text=True).stdout.strip()
    if not commit:
        pytest.skip("this copy of the source has no history")
    source, wheels, unpacked = folder / "source", folder / "wheels", folder / "unpacked"
    source.mkdir()
    archive = subprocess.run(["git", "archive", commit], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x"], cwd=source, input=archive, check=True)
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*build, "-w", wheels, source], check=True, timeout=120)
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(unpacked)
    return str(unpacked)


def message(number: int) -> tuple[str, bytes]:
    """Return type and body of a message to a recipient of its own; even numbers give email/2, odd ones email/1."""
    address = f"reader-{number}@example.org"
    if number % 2:
        return "email.v1", json.dumps({"email": address, "message": "Hello"}).encode()
    return "email.v2", json.dumps({"to": [{"address": address}], "subject": "s", "html": "<p>t"}).encode()


class Traffic:
    """Publishes messages one after the other until the test stops it."""

    def __init__(self, amqp_url: str) -> None:
        self._amqp_url = amqp_url
        self.published = 0
        self.enough = threading.Event()

    @contextmanager
    def flowing(self) -> Iterator[None]:
        """Publish until the context ends; each message is confirmed and reaches a queue."""
        thread = threading.Thread(target=self._publish)
        thread.start()
        try:
            yield
        finally:
            self.enough.set()
            thread.join()

    def _publish(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self._amqp_url)) as connection:
            channel = connection.channel()
            channel.confirm_delivery()
            for number in itertools.count():
                kind, body = message(number)
                properties = pika.BasicProperties(
                    message_id=f"5d0f7a3e-2f4b-4c7e-9a51-{number:012d}",
                    content_type="application/json",
                    type=kind,
                )
                channel.basic_publish("email", "", body, properties, mandatory=True)
                self.published = number + 1
                if self.enough.wait(0.02):
                    return


def owners(mailpact: Any) -> Counter[str]:
    """Return how many mails each consumer has sent."""
    engine = create_engine(mailpact._database("inbox.db"), poolclass=NullPool)
    with engine.connect() as connection:
        return Counter(connection.execute(text("SELECT owner FROM inbox WHERE state = 'sent'")).scalars())


@pytest.mark.timeout(300)
def test_consumers_of_the_release_before_and_of_this_one_lose_nothing_together(
    on_both: Any, wait_until: Any, tmp_path: Path
) -> None:
    mailpact = on_both
    (tmp_path / "older").mkdir()
    older = mailpact.start_consumer(PYTHONPATH=release_before(CAME_WITH_EMAIL_2, tmp_path / "older"))
    wait_until("the queue is consumed", lambda: mailpact.consumers("email.work"))
    traffic = Traffic(mailpact.amqp_url)

    with traffic.flowing():
        wait_until("the older one refuses email/2", lambda: mailpact.waiting("email.dead") >= 2)
        newer = mailpact.start_consumer()
        wait_until("both send", lambda: min([*owners(mailpact).values(), 0][:2]) >= LEAST_OF_EACH)
        assert older.stop() == 0
    wait_until("nothing waits", lambda: mailpact.waiting("email.work") == 0)
    letters = mailpact.waiting("email.dead")
    replay = run("dead", "replay", "--code", "unsupported_version", "--amqp-url", mailpact.amqp_url)

    assert replay.stdout == f"{letters} replayed\n"
    expected = {f"reader-{number}@example.org": 1 for number in range(traffic.published)}
    wait_until("every message is a mail", lambda: len(mailpact.recipients()) >= len(expected))
    assert newer.stop() == 0
    assert Counter(mailpact.recipients()) == expected
    assert (mailpact.waiting("email.work"), mailpact.waiting("email.dead")) == (0, 0)


@pytest.mark.timeout(300)
def test_consumer_waits_for_the_end_of_those_of_the_first_release_and_then_goes_on_with_their_queue(
    on_both: Any, wait_until: Any, tmp_path: Path
) -> None:
    mailpact = on_both
    (tmp_path / "first").mkdir()
    first = mailpact.start_first_release(release_before(CAME_AFTER_THE_FIRST, tmp_path / "first"))
    wait_until("the queue is consumed", lambda: mailpact.consumers("email.work"))
    mailpact.publish(message(1)[1], message_id="5d0f7a3e-2f4b-4c7e-9a51-000000000001")
    wait_until("it serves", lambda: mailpact.recipients() == ["reader-1@example.org"])

    refused = mailpact.start_unready("consumer")
    assert refused.process.wait(timeout=60) == 1
    (owner,) = owners(mailpact)
    assert f"consumers of an older release use this inbox: {owner}" in refused.log()

    assert first.stop() == 0
    mailpact.publish(message(3)[1], message_id="5d0f7a3e-2f4b-4c7e-9a51-000000000003")
    mailpact.publish(message(1)[1], message_id="5d0f7a3e-2f4b-4c7e-9a51-000000000001")
    mailpact.consumer()
    wait_until("the new mail is there", lambda: "reader-3@example.org" in mailpact.recipients())
    wait_until("nothing waits", lambda: mailpact.waiting("email.work") == 0)
    assert Counter(mailpact.recipients()) == {"reader-1@example.org": 1, "reader-3@example.org": 1}
