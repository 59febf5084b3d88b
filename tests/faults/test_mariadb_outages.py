"""MariaDB is stopped or killed, or its connections are closed: each confirmed registration is mailed exactly once."""

import time
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import pytest

Act = Callable[[Any, str], object]

TROUBLES: dict[str, tuple[Act, Act]] = {
    "stopped": (lambda server, _: server.stop(), lambda server, _: server.start()),
    "killed": (lambda server, _: server.kill(), lambda server, _: server.start()),
    "frozen": (lambda server, _: server.freeze(), lambda server, _: server.thaw()),
}
LOSSES = ("database in trouble", "inbox database in trouble")
RETURNS = ("database is back", "inbox database is back")


@pytest.fixture
def on_mariadb(mariadb_server: Any, mariadb_url: str, rabbitmq_url: str, mailpact_at: Any) -> Any:
    """Yield site, consumer and capture server on RabbitMQ and MariaDB."""
    started = mailpact_at(rabbitmq_url, mariadb_url)
    started.capture()
    started.consumer()
    started.producer()
    return started


@pytest.mark.parametrize(
    "trouble",
    [pytest.param(name, marks=[pytest.mark.long] if name != "killed" else []) for name in TROUBLES],
)
def test_database_that_goes_and_comes_back_costs_no_registration_that_was_accepted(
    on_mariadb: Any, mariadb_server: Any, mariadb_url: str, wait_until: Any, trouble: str
) -> None:
    hurt, mend = TROUBLES[trouble]
    services = on_mariadb.processes[-2:]
    accepted = ["early@example.org"]
    assert on_mariadb.register(accepted[0]) == HTTPStatus.SEE_OTHER

    hurt(mariadb_server, mariadb_url)
    began = time.monotonic()
    refused = on_mariadb.page_status("/")
    took = time.monotonic() - began
    for process in services:
        wait_until(
            "the loss is in the log", lambda log=process.log: any(f'"{loss}' in log() for loss in LOSSES)
        )
    mend(mariadb_server, mariadb_url)

    wait_until("the site is back", lambda: on_mariadb.page_status("/") == HTTPStatus.OK)
    assert on_mariadb.register("late@example.org") == HTTPStatus.SEE_OTHER
    accepted.append("late@example.org")
    assert (refused, took < 12) == (HTTPStatus.SERVICE_UNAVAILABLE, True)
    for reader in accepted:
        wait_until(f"mail to {reader}", lambda reader=reader: on_mariadb.mails(reader))
    assert [len(on_mariadb.mails(reader)) for reader in accepted] == [1, 1]
    for process in services:
        wait_until(
            "each loss has its recovery in the log, one line each",
            lambda log=process.log: (
                [sum(log().count(f'"{word}') for word in words) for words in (LOSSES, RETURNS)] == [1, 1]
            ),
        )


def test_registrations_while_all_connections_are_ended_again_and_again_are_kept_or_refused(
    on_mariadb: Any, mariadb: Any, mariadb_url: str, wait_until: Any
) -> None:
    readers = [f"reader-{number}@example.org" for number in range(12)]
    name = mariadb_url.rpartition("/")[2]

    answers = {}
    for reader in readers:
        mariadb.kill_connections(name)
        answers[reader] = on_mariadb.register(reader)

    assert set(answers.values()) <= {HTTPStatus.SEE_OTHER, HTTPStatus.SERVICE_UNAVAILABLE}
    accepted = [reader for reader, answer in answers.items() if answer == HTTPStatus.SEE_OTHER]
    assert accepted
    for reader in accepted:
        wait_until(f"mail to {reader}", lambda reader=reader: on_mariadb.mails(reader))
    assert [len(on_mariadb.mails(reader)) for reader in accepted] == [1] * len(accepted)


def test_services_started_before_their_database_begin_when_it_is_there(
    mariadb_server: Any, mariadb_url: str, rabbitmq_url: str, mailpact_at: Any, wait_until: Any
) -> None:
    mariadb_server.stop()
    mailpact = mailpact_at(rabbitmq_url, mariadb_url)
    mailpact.capture()
    services = [mailpact.start_unready("consumer"), mailpact.start_unready("producer")]
    for process in services:
        wait_until("it waits", lambda log=process.log: "cannot connect to the database" in log())

    mariadb_server.start()

    for process in services:
        wait_until("it is up", process.is_up)
    assert mailpact.register("ada@example.org") == HTTPStatus.SEE_OTHER
    wait_until("the mail is there", lambda: len(mailpact.mails("ada@example.org")) == 1)
