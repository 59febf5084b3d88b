"""What can be told from a conversation."""

import pytest

from mailpact_kit import trace
from mailpact_kit.frames import ContentBody, ContentHeader, FrameReader, Method
from mailpact_kit.trace import Event, Settled, Side, Trace, deliveries, is_in_confirm_mode, publishes, settled

ID = "6f1e0c1c-0000-4000-8000-000000000001"


def event(name: str, *, channel: int = 1, sender: Side = Side.PROGRAM, **arguments: object) -> Event:
    """Return one event on a channel."""
    return Event(0.0, 1, channel, sender, name, arguments)


def delivery(tag: int, *, channel: int = 1) -> Event:
    """Return the delivery of the message."""
    return Event(
        0.0, 1, channel, Side.BROKER, "basic.deliver", {"delivery_tag": tag}, {"message_id": ID}, b"x"
    )


def test_recorded_conversation_is_put_together(recorded: dict[str, bytes]) -> None:
    seen = Trace()
    for side in (Side.PROGRAM, Side.BROKER):
        for frame in FrameReader().feed(recorded[side]):
            seen.take(1, side, frame, at=0.0)

    first, lost = publishes(seen.events)
    assert (first.body, lost.body) == (b'{"email": "a@kit.example", "message": "x"}', b"lost")
    assert [returned.body for returned in seen.events if returned.name == "basic.return"] == [b"lost"]
    assert is_in_confirm_mode(seen.events, first)
    assert len(deliveries(seen.events, ID)) == 1


def test_passwords_are_not_kept(recorded: dict[str, bytes]) -> None:
    seen = Trace()
    for frame in FrameReader().feed(recorded["program"]):
        seen.take(1, Side.PROGRAM, frame, at=0.0)

    assert [one.arguments for one in seen.events if one.name == "connection.start-ok"] == [{}]


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
        ([event("basic.ack", delivery_tag=5, multiple=False, sender=Side.BROKER)], None),
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
    assert settled([delivery(5), *replies], ID) == expected


def test_an_ack_before_the_delivery_is_about_another_one() -> None:
    events = [event("basic.ack", delivery_tag=5, multiple=False), delivery(5)]

    assert settled(events, ID) is None


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

    assert is_in_confirm_mode([*map(event, before), publish], publish) is expected


def test_confirm_mode_of_another_channel_does_not_count() -> None:
    publish = event("basic.publish", channel=2)

    assert not is_in_confirm_mode([event("confirm.select", channel=1), publish], publish)


def test_trace_stops_at_its_limit_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MAX_KEPT_BYTES", 10)
    seen = Trace()

    for frame in (Method(1, "basic.publish", {}), ContentHeader(1, 11, {}), ContentBody(1, b"x" * 11)):
        seen.take(1, Side.PROGRAM, frame, at=0.0)

    assert (seen.is_full, list(seen.events)) == (True, [])


def test_content_without_its_method_is_noted_as_undecodable() -> None:
    seen = Trace()

    seen.take(1, Side.PROGRAM, ContentBody(1, b"x"), at=0.0)

    assert [one.name for one in seen.events] == ["undecodable"]


def test_evidence_holds_the_message_its_settling_and_the_channel_but_not_others() -> None:
    other = Event(
        0.0, 1, 1, Side.BROKER, "basic.deliver", {"delivery_tag": 6}, {"message_id": "0" * 32}, b"other"
    )
    events = [
        event("basic.qos"),
        event("basic.qos", channel=2),
        delivery(5),
        other,
        event("basic.ack", delivery_tag=5, multiple=False),
        event("basic.ack", delivery_tag=6, multiple=False),
    ]

    assert trace.about(events, [ID.replace("-", "")[:12]]) == [events[0], events[2], events[4]]
