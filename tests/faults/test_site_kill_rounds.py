"""The site is killed at every step between registration and broker: each stored reader gets exactly one mail.

Each round kills one site with SIGKILL at one step while a reader registers. `make test-faults` runs 100 rounds and
waits until the leases of the killed sites end; `make test` runs a few rounds, and ends the leases itself.
"""

import http.client
import itertools
import os
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from sqlalchemy import NullPool, create_engine, text

STEPS = ("committed", "claimed", "confirmed")
IS_LONG = "MAILPACT_TEST_SITE_KILL_ROUNDS" in os.environ
ROUNDS = int(os.environ.get("MAILPACT_TEST_SITE_KILL_ROUNDS", "3"))
LEASE_SECONDS = 30  # the lease of a relay that was killed while it held messages


@pytest.mark.timeout(120 + 30 * ROUNDS)
def test_killed_at_every_step_each_stored_reader_has_one_message_and_one_mail(
    on_both: Any, wait_until: Any
) -> None:
    mailpact = on_both
    mailpact.consumer()
    readers = [f"reader-{number}@example.org" for number in range(ROUNDS)]
    for reader, step in zip(readers, itertools.cycle(STEPS)):
        # The site may be killed before the registration, at a message that an earlier round left.
        site = mailpact.producer(MAILPACT_FAULT_POINT=step)
        with suppress(OSError, http.client.HTTPException):  # the site may be killed before it answers
            mailpact.register(reader)
        site.wait_until_dead()
    engine = create_engine(mailpact._database("cms.db"), poolclass=NullPool)
    if not IS_LONG:
        with engine.begin() as connection:
            connection.execute(text("UPDATE outbox SET available_at = 0 WHERE state = 'claimed'"))
    mailpact.producer()

    def unpublished() -> int:
        with engine.connect() as connection:
            query = "SELECT count(*) FROM outbox WHERE state <> 'published'"
            return int(connection.execute(text(query)).scalar_one())

    for _ in range(1 + LEASE_SECONDS // 10):  # one wait is shorter than the lease
        with suppress(AssertionError):
            wait_until("all messages are published", lambda: unpublished() == 0)
    wait_until("all messages are published", lambda: unpublished() == 0)
    with engine.connect() as connection:
        stored = connection.execute(text("SELECT email FROM users")).scalars().all()
        messages = connection.execute(text("SELECT count(*) FROM outbox")).scalar_one()
    assert stored
    assert messages == len(stored) == len(set(stored))
    wait_until("each reader has a mail", lambda: set(mailpact.recipients()) >= set(stored))
    wait_until("nothing is left", lambda: mailpact.waiting("email.work") == 0)
    assert Counter(mailpact.recipients()) == Counter(stored)
