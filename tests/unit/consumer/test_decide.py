"""What to do with a message, from every state that the inbox can be in."""

import itertools

import pytest

from mailpact_consumer.decide import Conflict, Decision, Drop, PutOff, Row, Send, State, decide

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


def decided(*rows: Row, tokens: frozenset[str] = frozenset(), may_have_been_sent: bool = False) -> Decision:
    return decide(
        rows,
        recipient_sha256=ADA,
        body_sha256=BODY,
        owner=ME,
        tokens=tokens,
        may_have_been_sent=may_have_been_sent,
    )


@pytest.mark.parametrize("may_have_been_sent", [False, True])
def test_new_message_is_sent_and_one_that_may_be_out_is_reported_first(may_have_been_sent: bool) -> None:
    assert decided(may_have_been_sent=may_have_been_sent) == Send(None, is_uncertain=may_have_been_sent)


@pytest.mark.parametrize("state", [State.SENT, State.FAILED])
@pytest.mark.parametrize(("owner", "is_alive"), list(itertools.product([ME, SOMEBODY], [True, False])))
def test_only_a_finished_row_drops_a_message_whoever_finished_it(
    state: State, owner: str, is_alive: bool
) -> None:
    assert decided(row(state=state, owner=owner, owner_is_alive=is_alive)) == Drop()


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
        "put off": PutOff(),
        "uncertain": Send(seen, is_uncertain=True),
        "certain": Send(seen, is_uncertain=False),
    }
    assert decided(seen, tokens=tokens) == expected[decision]


@pytest.mark.parametrize("state", State)
@pytest.mark.parametrize("recipient", [ADA, BOB])
def test_same_id_with_another_body_is_a_conflict_whatever_became_of_the_first(
    state: State, recipient: str
) -> None:
    assert decided(row(state=state, recipient_sha256=recipient, body_sha256=OTHER_BODY)) == Conflict()


def test_row_of_another_recipient_says_nothing_of_this_one() -> None:
    assert decided(row(recipient_sha256=BOB, state=State.SENT)) == Send(None, is_uncertain=False)
