"""The consumer is killed at every step of settling: nothing is lost, and every second mail is reported.

Each round kills one consumer at one step with SIGKILL. After all steps, a consumer that is not killed finishes the
remaining messages, because a message that is returned more than 20 times would become a dead letter. `make test-faults`
runs 50 rounds and waits until the killed consumers count as dead; `make test` runs a few rounds and does not wait.
"""

import itertools
import json
import os
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import NullPool, create_engine, text

SENT = ("handed_to_smtp", "sending", "sent", "validated", "acked", "received")
PUT_OFF = ("deferred", "put_off")
DEAD = ("buried", "ended")
IS_LONG = "MAILPACT_TEST_KILL_ROUNDS" in os.environ
ROUNDS = int(os.environ.get("MAILPACT_TEST_KILL_ROUNDS", "4"))
STEPS = list(itertools.islice(itertools.cycle(SENT), ROUNDS))


def body(number: int) -> bytes:
    return json.dumps({"email": f"reader-{number}@example.org", "message": f"Mail {number}"}).encode()


def message_id(number: int) -> str:
    return f"5d0f7a3e-2f4b-4c7e-9a51-{number:012d}"


def rows(mailpact: Any) -> dict[str, tuple[str, int]]:
    """Return state and number of uncertain sends by message."""
    engine = create_engine(mailpact._database("inbox.db"), poolclass=NullPool)
    with engine.connect() as connection:
        found = connection.execute(text("SELECT message_id, state, uncertain FROM inbox")).all()
    return {row.message_id: (row.state, row.uncertain) for row in found}


def finish(mailpact: Any, wait_until: Any, *, has_id: bool) -> None:
    """Run consumers that are not killed until the queue is empty."""

    def is_finished(consumer: Any, left: int) -> bool:
        if has_id:
            return {state for state, _ in rows(mailpact).values()} == {"sent"}
        return consumer.log().count('"mail sent"') >= left  # a row may be left from an earlier message

    is_left = True
    while is_left:
        left, consumer = mailpact.waiting("email.work"), mailpact.consumer()
        wait_until(
            "what waits is mailed",
            lambda consumer=consumer, left=left: is_finished(consumer, left),
        )
        wait_until("nothing is left", lambda: mailpact.waiting("email.work") == 0)
        work_on_all_that_was_delivered(mailpact, wait_until)
        assert consumer.stop() == 0
        is_left = mailpact.waiting("email.work") > 0


def work_on_all_that_was_delivered(mailpact: Any, wait_until: Any) -> None:
    """Publish a message and wait for its mail: the consumer handles messages in order, so it has handled all before.

    Otherwise the consumer could be stopped before it has acknowledged messages that it knows as sent. The broker would
    deliver them again and again, and after 20 times make them dead letters.
    """
    last = f"last-{uuid4().hex}@example.org"
    mailpact.publish(json.dumps({"email": last, "message": "Last"}).encode(), message_id=str(uuid4()))
    wait_until("the last message is a mail", lambda: mailpact.mails(last))


@pytest.mark.timeout(60 + 60 * ROUNDS)
@pytest.mark.parametrize("has_id", [True, False], ids=["with ids", "without ids"])
def test_killed_at_every_step_nothing_is_lost_and_no_second_mail_comes_unreported(
    on_both: Any, wait_until: Any, has_id: bool
) -> None:
    mailpact = on_both
    mailpact.consumer().stop()
    numbers = list(range(len(STEPS)))
    for first in range(0, len(STEPS), len(SENT)):
        some = numbers[first : first + len(SENT)]
        for number in some:
            mailpact.publish(body(number), message_id=message_id(number) if has_id else None)
            mailpact.consumer(MAILPACT_FAULT_POINT=STEPS[number]).wait_until_dead()
        if not IS_LONG:
            mailpact.let_the_killed_count_as_dead()
        finish(mailpact, wait_until, has_id=has_id)
        for number in some:
            assert mailpact.mails(f"reader-{number}@example.org"), number

    assert mailpact.waiting("email.dead") == 0
    reported = rows(mailpact)
    for number in numbers:
        mails = mailpact.mails(f"reader-{number}@example.org")
        if has_id:
            state, uncertain = reported[message_id(number)]
            assert (state, len(set(mails))) == ("sent", 1), "each copy is the same to the byte"
            assert len(mails) <= 1 + uncertain, "every second copy was reported"
    copies = sum(len(mailpact.mails(f"reader-{number}@example.org")) for number in numbers)
    assert copies <= len(numbers) + sum(uncertain for _, uncertain in reported.values())


@pytest.mark.parametrize("step", PUT_OFF)
def test_killed_while_a_message_is_put_off_it_is_one_mail_in_the_end(
    on_both: Any, scripted_smtp: Any, wait_until: Any, step: str
) -> None:
    scripted_smtp.rcpt_replies = ["451 4.7.1 greylisted"]
    on_both.consumer().stop()
    on_both.publish(body(1), message_id=message_id(1))

    on_both.start_consumer_at(scripted_smtp.url, MAILPACT_FAULT_POINT=step).wait_until_dead()
    on_both.start_consumer_at(scripted_smtp.url)

    wait_until("it is a mail", lambda: scripted_smtp.mails)
    wait_until("nothing is left", lambda: on_both.waiting("email.work") == 0)
    assert len(scripted_smtp.mails) == 1


@pytest.mark.parametrize("step", DEAD)
def test_killed_while_a_letter_is_written_there_is_a_letter_and_no_mail(
    on_both: Any, scripted_smtp: Any, wait_until: Any, step: str
) -> None:
    scripted_smtp.rcpt_replies = ["550 5.1.1 no such user"] * 10
    on_both.consumer().stop()
    on_both.publish(body(1), message_id=message_id(1))

    on_both.start_consumer_at(scripted_smtp.url, MAILPACT_FAULT_POINT=step).wait_until_dead()
    on_both.start_consumer_at(scripted_smtp.url)

    wait_until("it has ended", lambda: rows(on_both).get(message_id(1), ("", 0))[0] == "failed")
    wait_until("nothing is left", lambda: on_both.waiting("email.work") == 0)
    assert scripted_smtp.mails == []
    assert {code for code, _ in on_both.letters()} == {"smtp_permanent"}
