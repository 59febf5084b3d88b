"""Outages of consumer, broker and capture server delay mail; no confirmed message is lost."""

from typing import Any

import pytest


def test_registrations_go_on_without_a_consumer_and_the_mails_come_when_it_is_back(
    mailpact: Any, wait_until: Any
) -> None:
    mailpact.broker()
    mailpact.capture()
    mailpact.consumer().stop()
    mailpact.producer()
    readers = [f"reader-{number}@example.org" for number in range(5)]

    statuses = [mailpact.register(reader) for reader in readers]

    assert statuses == [303] * 5
    wait_until("the messages wait", lambda: mailpact.waiting("email.work") == 5)
    mailpact.consumer()
    for reader in readers:
        wait_until(f"mail to {reader}", lambda reader=reader: len(mailpact.mails(reader)) == 1)


def test_nothing_confirmed_is_lost_when_the_broker_is_killed(mailpact: Any, wait_until: Any) -> None:
    broker = mailpact.broker()
    mailpact.capture()
    mailpact.consumer().stop()
    bodies = [b'{"email": "ada@example.org", "message": "number %d"}' % number for number in range(50)]
    for body in bodies:
        mailpact.publish(body)

    broker.kill()
    broker.start()

    assert mailpact.waiting("email.work") == 50
    mailpact.consumer()
    wait_until("all are mailed", lambda: len(mailpact.mails("ada@example.org")) == 50)


def test_broker_killed_under_consumer_and_cms_both_go_on_by_themselves(
    mailpact: Any, wait_until: Any
) -> None:
    broker = mailpact.broker()
    mailpact.capture()
    consumer = mailpact.consumer()
    producer = mailpact.producer()

    broker.kill()
    status = mailpact.register("ada@example.org")
    broker.start()

    assert status == 303
    wait_until("the mail is there", lambda: len(mailpact.mails("ada@example.org")) == 1)
    for process in (consumer, producer):
        wait_until(
            "each loss has its recovery in the log",
            lambda log=process.log: (
                0
                < log().count('"connection to the broker lost')
                == log().count('"connection to the broker restored')
            ),
        )
        assert process.stop() == 0


def test_capture_server_away_the_mail_waits_and_arrives_once(mailpact: Any, wait_until: Any) -> None:
    mailpact.broker()
    consumer = mailpact.consumer()

    mailpact.publish(b'{"email": "ada@example.org", "message": "hello"}')
    wait_until("the trouble is reported", lambda: "consuming pauses" in consumer.log())
    mailpact.capture()

    wait_until("the mail is there", lambda: len(mailpact.mails("ada@example.org")) == 1)
    wait_until("the recovery is reported", lambda: "consuming resumes" in consumer.log())
    assert consumer.log().count("consuming pauses") == 1


@pytest.mark.long  # the lease takes half a minute; the producer's test_promises kills the site at the same step
def test_registration_survives_a_crash_between_its_commit_and_the_publish(
    mailpact: Any, wait_until: Any
) -> None:
    mailpact.broker()
    mailpact.capture()
    mailpact.consumer()
    producer = mailpact.producer(MAILPACT_FAULT_POINT="claimed")

    mailpact.register("ada@example.org")
    producer.wait_until_dead()
    producer.start()

    wait_until("the mail is there", lambda: len(mailpact.mails("ada@example.org")) == 1)
