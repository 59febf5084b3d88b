"""RabbitMQ is restarted, killed, frozen or out of memory: the site keeps working, each mail is sent exactly once."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.timing import at_most

Act = Callable[[Any, str], object]

TROUBLES: dict[str, tuple[Act, Act]] = {
    "restarted": (lambda node, _: node.stop_application(), lambda node, _: node.start_application()),
    "killed": (lambda node, _: node.kill(), lambda node, _: node.start()),
    "frozen": (lambda node, _: node.freeze(), lambda node, _: node.thaw()),
    "out of memory": (lambda node, _: node.raise_memory_alarm(), lambda node, _: node.clear_memory_alarm()),
    "closing connections": (lambda node, vhost: node.close_connections(vhost), lambda _node, _: None),
}
READERS = [f"reader-{number}@example.org" for number in range(4)]


@pytest.fixture
def on_rabbitmq(rabbitmq_node: Any, rabbitmq_url: str, mailpact_at: Any, tmp_path: Path) -> Any:
    """Yield site, consumer and capture server on RabbitMQ; site and consumer notice a lost RabbitMQ within seconds."""
    started = mailpact_at(f"{rabbitmq_url}?heartbeat=2")
    started.capture()
    started.consumer()
    started.producer()
    return started


@pytest.mark.parametrize("trouble", TROUBLES)
def test_trouble_with_rabbitmq_fails_no_registration_and_loses_no_mail(
    on_rabbitmq: Any, rabbitmq_node: Any, rabbitmq_url: str, wait_until: Any, trouble: str
) -> None:
    vhost = rabbitmq_url.rpartition("/")[2]
    hurt, mend = TROUBLES[trouble]
    on_rabbitmq.register(READERS[0])
    wait_until("the first mail is there", lambda: on_rabbitmq.mails(READERS[0]))

    hurt(rabbitmq_node, vhost)
    began = time.monotonic()
    statuses = [on_rabbitmq.register(reader) for reader in READERS[1:]]
    took = time.monotonic() - began
    mend(rabbitmq_node, vhost)

    assert statuses == [303] * 3
    assert took < at_most(3)
    for reader in READERS:
        wait_until(f"mail to {reader}", lambda reader=reader: on_rabbitmq.mails(reader))
    assert [len(on_rabbitmq.mails(reader)) for reader in READERS] == [1] * 4
    for process in on_rabbitmq.processes:
        wait_until(
            "each loss has its recovery in the log",
            lambda log=process.log: (
                log().count('"connection to the broker lost')
                == log().count('"connection to the broker restored')
            ),
        )


def test_broker_that_is_not_there_yet_is_waited_for(
    rabbitmq_node: Any, rabbitmq_url: str, mailpact_at: Any, wait_until: Any
) -> None:
    rabbitmq_node.stop_application()
    mailpact = mailpact_at(rabbitmq_url)
    mailpact.capture()
    mailpact.start_consumer()
    mailpact.producer()

    status = mailpact.register(READERS[0])
    rabbitmq_node.start_application()

    assert status == 303
    wait_until("the mail is there", lambda: len(mailpact.mails(READERS[0])) == 1)


def test_two_sites_and_three_consumers_share_one_queue_and_send_each_mail_once(
    on_both: Any, wait_until: Any
) -> None:
    sites = [on_both.producer(port="site"), on_both.producer(port="second site")]
    consumers = [on_both.consumer() for _ in range(3)]
    readers = [f"reader-{number}@example.org" for number in range(30)]

    statuses = [
        on_both.register(reader, port="site" if number % 2 else "second site")
        for number, reader in enumerate(readers)
    ]

    assert statuses == [303] * 30
    for reader in readers:
        wait_until(f"mail to {reader}", lambda reader=reader: on_both.mails(reader))
    assert [len(on_both.mails(reader)) for reader in readers] == [1] * 30
    assert sum(consumer.log().count('"mail sent"') for consumer in consumers) == 30
    assert [process.stop() for process in (*sites, *consumers)] == [0] * 5
