"""The state of deliveries and publishes."""

import pytest

from mailpact_kit.ledger import Ledger, Settled
from mailpact_kit.trace import Event, Speaker

ID = "6f1e0c1c-0000-4000-8000-000000000001"


def event(name: str, *, channel: int = 1, speaker: Speaker = Speaker.PROGRAM, **arguments: object) -> Event:
    """Return one event on a channel."""
    return Event(0.0, 1, channel, speaker, name, arguments)


def delivery(tag: int, *, channel: int = 1) -> Event:
    """Return the delivery of the message."""
    return Event(
        0.0, 1, channel, Speaker.BROKER, "basic.deliver", {"delivery_tag": tag}, {"message_id": ID}, b"x"
    )


def after(*events: Event) -> Ledger:
    """Return the ledger after these events."""
    ledger = Ledger()
    for each in events:
        ledger.take(each)
    return ledger


@pytest.mark.parametrize(
    ("replies", "expected"),
    [
        ([], None),
        ([event("basic.ack", delivery_tag=5, multiple=False)], Settled.ACKED),
        ([event("basic.ack", delivery_tag=6, multiple=True)], Settled.ACKED),
        ([event("basic.ack", delivery_tag=0, multiple=True)], Settled.ACKED),
        ([event("basic.ack", delivery_tag=4, multiple=True)], None),
        ([event("basic.ack", delivery_tag=6, multiple=False)], None),
        ([event("basic.ack", delivery_tag=5, multiple=False, channel=2)], None),
        ([event("basic.ack", delivery_tag=5, multiple=False, speaker=Speaker.BROKER)], None),
        ([event("basic.reject", delivery_tag=5, requeue=False)], Settled.REJECTED),
        ([event("basic.nack", delivery_tag=5, multiple=False, requeue=False)], Settled.REJECTED),
        ([event("basic.nack", delivery_tag=5, multiple=False, requeue=True)], None),
        (
            [
                event("basic.reject", delivery_tag=5, requeue=True),
                delivery(6),
                event("basic.ack", delivery_tag=6, multiple=False),
            ],
            Settled.ACKED,
        ),
    ],
)
def test_settling_is_told_from_what_only_looks_like_it(
    replies: list[Event], expected: Settled | None
) -> None:
    assert after(delivery(5), *replies).settled(ID) == expected


def test_an_ack_before_the_delivery_is_about_another_one() -> None:
    events = [event("basic.ack", delivery_tag=5, multiple=False), delivery(5)]

    ledger = after(*events)

    assert ledger.settled(ID) is None
    assert ledger.unknown_settlements == [events[0]]


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (["channel.open", "confirm.select"], True),
        (["channel.open"], False),
        (["channel.open", "confirm.select", "channel.close", "channel.open"], False),
    ],
)
def test_confirm_mode_belongs_to_a_channel_from_its_opening(before: list[str], *, expected: bool) -> None:
    publish = event("basic.publish")

    (published,) = after(*map(event, before), publish).publications

    assert published.is_confirming is expected


def test_confirm_mode_of_another_channel_does_not_count() -> None:
    publish = event("basic.publish", channel=2)

    (published,) = after(event("confirm.select", channel=1), publish).publications

    assert not published.is_confirming


def answered(name: str, tag: int, *, multiple: bool = False, at: float = 2.0) -> Event:
    """Return the broker's answer to publishes."""
    return Event(at, 1, 1, Speaker.BROKER, name, {"delivery_tag": tag, "multiple": multiple})


def test_confirms_are_counted_from_the_selection_of_the_mode() -> None:
    early, first, second = (event("basic.publish") for _ in range(3))
    ledger = after(early, event("confirm.select"), first, second, answered("basic.ack", 2, multiple=True))

    assert [each.confirmed_at for each in ledger.publications] == [None, 2.0, 2.0]


def test_a_refused_or_returned_publish_is_not_confirmed() -> None:
    returned = Event(1.0, 1, 1, Speaker.BROKER, "basic.return", {}, {}, b"")
    ledger = after(
        event("confirm.select"),
        event("basic.publish"),
        event("basic.publish"),
        answered("basic.nack", 1),
        returned,
        answered("basic.ack", 2),
    )

    assert [each.confirmed_at for each in ledger.publications] == [None, None]


def test_a_second_settlement_is_unknown() -> None:
    again = event("basic.ack", delivery_tag=5, multiple=False)
    ledger = after(delivery(5), event("basic.ack", delivery_tag=5, multiple=False), again)

    assert ledger.unknown_settlements == [again]


def test_what_a_method_would_settle_is_known_before_it_does() -> None:
    ledger = after(delivery(5))

    assert ledger.about_to_settle(1, 1, "basic.ack", {"delivery_tag": 5}) == {ID}
    assert ledger.about_to_settle(1, 2, "basic.ack", {"delivery_tag": 5}) == set()


def test_a_subscription_remembers_the_prefetch_count_of_its_channel() -> None:
    ledger = after(
        event("basic.consume"),
        event("basic.qos", prefetch_count=0),
        event("basic.qos", prefetch_count=5),
        event("basic.consume"),
    )

    assert [each.prefetch for each in ledger.subscriptions] == [None, 5]


def test_a_limit_for_the_whole_channel_stands_beside_that_of_each_consumer() -> None:
    ledger = after(
        event("basic.qos", prefetch_count=9, global_=True),
        event("basic.consume"),
        event("basic.qos", prefetch_count=5, global_=False),
        event("basic.qos", prefetch_count=0, global_=True),
        event("basic.consume"),
        event("basic.qos", prefetch_count=0),
        event("basic.consume"),
    )

    assert [each.prefetch for each in ledger.subscriptions] == [9, 5, None]
