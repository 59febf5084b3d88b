"""The consumer is killed before, during and after the delivery of a mail: no mail is lost, and a copy is reported."""

import hashlib
import json
import os
import signal
from typing import Any

import pytest

ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
BODY = json.dumps({"email": "ada@example.org", "message": "Hello\n\nOne mail, please."}).encode()


@pytest.fixture
def published(on_both: Any) -> Any:
    """Yield broker and capture server, with one message that waits in the queue."""
    on_both.consumer().stop()
    on_both.publish(BODY, message_id=ID)
    return on_both


def test_killed_between_the_commit_of_sent_and_the_ack_the_mail_is_not_sent_again(
    published: Any, wait_until: Any
) -> None:
    published.consumer(MAILPACT_FAULT_POINT="sent").wait_until_dead()
    published.let_the_killed_count_as_dead()

    consumer = published.consumer()

    wait_until("the duplicate is dropped", lambda: "duplicate dropped" in consumer.log())
    assert consumer.stop() == 0
    assert published.waiting("email.work") == 0
    assert len(published.mails("ada@example.org")) == 1
    assert published.inbox_row() == ("sent", 1, 0)


def test_killed_between_the_final_dot_and_its_record_the_mail_is_reported_and_sent_again_byte_for_byte(
    published: Any, wait_until: Any
) -> None:
    published.consumer(MAILPACT_FAULT_POINT="handed_to_smtp").wait_until_dead()
    published.let_the_killed_count_as_dead()
    assert len(published.mails("ada@example.org")) == 1

    consumer = published.consumer()

    wait_until("it is sent again", lambda: len(published.mails("ada@example.org")) == 2)
    first, second = (hashlib.sha256(mail).hexdigest() for mail in published.mails("ada@example.org"))
    assert first == second
    log = consumer.log()
    assert log.index('"mail may go out twice"') < log.index('"mail sent"')
    wait_until("it is acked", lambda: published.waiting("email.work") == 0)
    assert published.inbox_row() == ("sent", 2, 1)


def test_killed_before_the_data_the_mail_is_sent_once(published: Any, wait_until: Any) -> None:
    published.consumer(MAILPACT_FAULT_POINT="sending").wait_until_dead()
    assert published.mails("ada@example.org") == []

    published.consumer()

    wait_until("it is sent", lambda: len(published.mails("ada@example.org")) == 1)


def test_workers_share_the_queue_are_started_again_and_stop_with_their_parent(
    on_both: Any, wait_until: Any
) -> None:
    consumer = on_both.start_consumer(MAILPACT_WORKERS="2")
    wait_until("both consume", lambda: on_both.consumers("email.work") == 2)
    children = consumer.children()
    os.kill(children[0], signal.SIGKILL)
    for number in range(10):
        on_both.publish(json.dumps({"email": f"r{number}@example.org", "message": "m"}).encode())

    wait_until("all are mails", lambda: all(on_both.mails(f"r{number}@example.org") for number in range(10)))
    wait_until("it is started again", lambda: on_both.consumers("email.work") == 2)
    assert consumer.stop() == 0
    wait_until("nobody consumes", lambda: on_both.consumers("email.work") == 0)
    assert [len(on_both.mails(f"r{number}@example.org")) for number in range(10)] == [1] * 10
