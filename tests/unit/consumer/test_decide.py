"""The decision about a message, for every state of its rows in the inbox."""

import itertools

import pytest

from mailpact_consumer.decide import Busy, Decision, Drop, Row, Send, State, Wait, conflicts, decide

BODY, OTHER_BODY = "b" * 64, "c" * 64
ADA, BOB = "a" * 64, "d" * 64
ME, SOMEBODY = "me", "somebody"


def row(**values: object) -> Row:
    known: dict[str, object] = {
        "recipient_sha256": ADA,
        "state": State.SENDING,
        "owner": SOMEBODY,
        "owner_is_alive": True,
        "token": "theirs",
        "body_sha256": BODY,
    }
    return Row(**{**known, **values})  # type: ignore[arg-type]  # a test's shorthand


def decided(
    seen: Row | None = None,
    *,
    tokens: frozenset[str] = frozenset(),
    may_have_been_sent: bool = False,
    failed_token: str | None = None,
) -> Decision:
    return decide(
        seen, owner=ME, tokens=tokens, may_have_been_sent=may_have_been_sent, failed_token=failed_token
    )


@pytest.mark.parametrize("may_have_been_sent", [False, True])
def test_new_message_is_sent_and_one_that_may_be_out_is_reported_first(may_have_been_sent: bool) -> None:
    assert decided(may_have_been_sent=may_have_been_sent) == Send(None, is_uncertain=may_have_been_sent)


@pytest.mark.parametrize("state", [State.SENT, State.FAILED, State.EXPIRED])
@pytest.mark.parametrize(("owner", "is_alive"), list(itertools.product([ME, SOMEBODY], [True, False])))
def test_only_a_terminal_row_drops_a_message_whoever_ended_it(
    state: State, owner: str, is_alive: bool
) -> None:
    assert decided(row(state=state, owner=owner, owner_is_alive=is_alive)) == Drop()


@pytest.mark.parametrize("state", [State.FAILED, State.EXPIRED])
def test_replay_reopens_the_failure_that_its_letter_is_about_and_no_later_one(state: State) -> None:
    seen = row(state=state)

    assert decided(seen, failed_token="theirs") == Send(seen, is_uncertain=False, reopens=True)
    assert decided(seen, failed_token="older") == Drop()


def test_replay_never_reopens_what_was_sent() -> None:
    assert decided(row(state=State.SENT), failed_token="theirs") == Drop()


@pytest.mark.parametrize("failed_token", [None, "theirs"])
@pytest.mark.parametrize("owner", [ME, SOMEBODY])
def test_deferred_message_waits_until_its_time_and_is_then_tried(
    owner: str, failed_token: str | None
) -> None:
    early = row(state=State.DEFERRED, owner=owner, rest_seconds=7.5)
    due = row(state=State.DEFERRED, owner=owner, rest_seconds=-0.1)

    assert decided(early, failed_token=failed_token) == Wait(7.5)
    assert decided(due, failed_token=failed_token) == Send(due, is_uncertain=False)


@pytest.mark.parametrize(
    ("send", "differs"),
    [
        (Send(None, is_uncertain=True), False),
        (Send(row(template_digest="new"), is_uncertain=True), False),
        (Send(row(template_digest="old"), is_uncertain=True), True),
        (Send(row(template_digest="old", state=State.DEFERRED), is_uncertain=False), False),
        (Send(row(template_digest="old", state=State.DEFERRED, uncertain=1), is_uncertain=False), True),
        (Send(row(template_digest=None, uncertain=1), is_uncertain=True), False),
    ],
    ids=["no row", "not edited", "edited", "no copy before", "copy before", "row of an older release"],
)
def test_copy_differs_if_the_template_was_edited_since_a_try_that_may_be_a_mail(
    send: Send, differs: bool
) -> None:
    assert send.differs("new") == differs


def test_state_of_a_newer_release_is_put_off() -> None:
    assert decided(row(state=State("quarantined"))) == Busy()


@pytest.mark.parametrize(
    ("owner", "is_alive", "tokens", "decision"),
    [
        (SOMEBODY, True, frozenset(), "put off"),
        (SOMEBODY, False, frozenset(), "uncertain"),
        (ME, True, frozenset(), "uncertain"),
        (ME, False, frozenset(), "uncertain"),
        (ME, True, frozenset({"theirs"}), "certain"),
        (ME, True, frozenset({"older"}), "uncertain"),
    ],
)
def test_row_that_says_sending_is_left_to_the_living_and_taken_from_the_dead(
    owner: str, is_alive: bool, tokens: frozenset[str], decision: str
) -> None:
    seen = row(owner=owner, owner_is_alive=is_alive)

    expected = {
        "put off": Busy(),
        "uncertain": Send(seen, is_uncertain=True),
        "certain": Send(seen, is_uncertain=False),
    }
    assert decided(seen, tokens=tokens) == expected[decision]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("recipient", [ADA, BOB])
def test_same_id_with_another_body_is_a_conflict_whatever_became_of_the_first(
    state: State, recipient: str
) -> None:
    rows = [row(state=state, recipient_sha256=recipient)]

    assert (conflicts(rows, BODY), conflicts(rows, OTHER_BODY)) == (False, True)
