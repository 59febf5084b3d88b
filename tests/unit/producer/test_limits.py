"""How the limits group addresses by mailbox, and which past requests still count."""

import pytest

from mailpact_producer.limits import delay_seconds, folded_mailbox, limit_key, recent


@pytest.mark.parametrize(
    "typed",
    ["ada@example.org", "ADA@Example.ORG", "ada+1@example.org", "Ada+x+y@example.org", "ada+@example.org"],
)
def test_spellings_of_one_mailbox_are_folded(typed: str) -> None:
    assert folded_mailbox(typed) == "ada@example.org"


@pytest.mark.parametrize(
    "other", ["a.da@example.org", "ada1@example.org", "ada@example.com", "+tag@example.org"]
)
def test_other_mailboxes_are_not_folded_into_it(other: str) -> None:
    assert folded_mailbox(other) != "ada@example.org"


def test_address_that_begins_with_a_plus_keeps_its_name() -> None:
    assert folded_mailbox("+a@example.org") != folded_mailbox("+b@example.org")


def test_name_of_a_count_says_nothing_and_differs_by_scope_and_site() -> None:
    keys = {
        limit_key(secret, scope, "ada@example.org")
        for secret in (b"1", b"2")
        for scope in ("mailbox", "network")
    }

    assert len(keys) == 4
    assert all(len(key) == 64 and "ada" not in key for key in keys)


def test_request_counts_for_less_than_its_span_and_when_the_clock_was_set_back() -> None:
    assert recent([0, 1, 50, 100, 150], 100, span=100) == [1, 50, 100, 150]


def test_delay_grows_after_the_free_failures_up_to_a_bound() -> None:
    delays = [delay_seconds(failures, free_failures=3) for failures in (0, 2, 3, 4, 5, 6, 7, 8, 10_000)]

    assert delays == [0, 0, 0.5, 1, 2, 4, 8, 8, 8]
