from collections.abc import Iterable
from typing import Any

import pytest

from mailpact.amqp.watchdog import LARGEST_PATIENCE, WITHOUT_CONSUMER, WITHOUT_DELIVERY, Watchdog

Look = dict[str, Any]


NO_CONSUMER = Look(ready=0, consumers=0, delivered=0, has_room=True)
STARVED = Look(ready=7, consumers=2, delivered=0, has_room=True)


def looks_until_lost(watchdog: Watchdog, seen: Look) -> int:
    """Return how many times the same look is needed until the subscription counts as lost."""
    return next(number for number in range(1, 10_000) if watchdog.why_lost(**seen))


def judged(watchdog: Watchdog, looks: Iterable[Look]) -> set[str | None]:
    return {watchdog.why_lost(**seen) for seen in looks}


def test_a_queue_without_consumers_has_lost_this_one() -> None:
    watchdog = Watchdog()
    early = judged(watchdog, [NO_CONSUMER] * (WITHOUT_CONSUMER - 1))

    assert early == {None}
    assert watchdog.why_lost(**NO_CONSUMER) == "the queue has no consumer any more"


def test_messages_that_wait_while_there_is_room_mean_a_loss_although_others_consume() -> None:
    watchdog = Watchdog()
    early = judged(watchdog, [STARVED] * (WITHOUT_DELIVERY - 1))

    assert early == {None}
    assert watchdog.why_lost(**STARVED) == "7 messages wait and none is delivered"


@pytest.mark.parametrize(
    "looks",
    [
        [Look(ready=9, consumers=1, delivered=number, has_room=True) for number in range(99)],
        [Look(ready=9, consumers=1, delivered=0, has_room=False)] * 99,
        [Look(ready=0, consumers=1, delivered=0, has_room=True)] * 99,
        [*[NO_CONSUMER] * (WITHOUT_CONSUMER - 1), Look(ready=0, consumers=1, delivered=0, has_room=True)] * 9,
    ],
    ids=["messages come", "the prefetch is used up", "nothing waits", "no leader for a moment"],
)
def test_a_living_subscription_is_left_alone(looks: list[Look]) -> None:
    assert judged(Watchdog(), looks) == {None}


def test_what_was_seen_before_a_pause_does_not_count_after_it() -> None:
    watchdog = Watchdog()
    judged(watchdog, [NO_CONSUMER] * (WITHOUT_CONSUMER - 1))
    watchdog.forget()

    assert looks_until_lost(watchdog, NO_CONSUMER) == WITHOUT_CONSUMER


def test_subscribing_anew_in_vain_grows_rare_until_a_message_comes() -> None:
    watchdog = Watchdog()
    needed = []
    for _ in range(8):
        needed.append(looks_until_lost(watchdog, NO_CONSUMER))
        watchdog.forget()
    watchdog.why_lost(**Look(ready=0, consumers=1, delivered=1, has_room=True))
    watchdog.forget()

    assert needed == [WITHOUT_CONSUMER * min(2**number, LARGEST_PATIENCE) for number in range(8)]
    assert (
        looks_until_lost(watchdog, Look(ready=0, consumers=0, delivered=1, has_room=True)) == WITHOUT_CONSUMER
    )
