"""The facts that the trace of a conversation contains."""

import pytest

from mailpact_kit import trace
from mailpact_kit.frames import ContentBody, ContentHeader, FrameReader, Method
from mailpact_kit.ledger import Ledger
from mailpact_kit.trace import Event, Speaker, Trace, publishes

ID = "6f1e0c1c-0000-4000-8000-000000000001"


def event(name: str, *, channel: int = 1, speaker: Speaker = Speaker.PROGRAM, **arguments: object) -> Event:
    """Return one event on a channel."""
    return Event(0.0, 1, channel, speaker, name, arguments)


def delivery(tag: int, *, channel: int = 1) -> Event:
    """Return the delivery of the message."""
    return Event(
        0.0, 1, channel, Speaker.BROKER, "basic.deliver", {"delivery_tag": tag}, {"message_id": ID}, b"x"
    )


def test_recorded_conversation_is_put_together(recorded: dict[str, bytes]) -> None:
    ledger = Ledger()
    seen = Trace(ledger.take)
    for side in (Speaker.PROGRAM, Speaker.BROKER):
        for frame in FrameReader().feed(recorded[side]):
            seen.take(1, side, frame, at=0.0)

    first, lost = publishes(seen.events)
    assert (first.body, lost.body) == (b'{"email": "a@kit.example", "message": "x"}', b"lost")
    assert [returned.body for returned in seen.events if returned.name == "basic.return"] == [b"lost"]
    assert [each.is_confirming for each in ledger.publications] == [True, True]
    assert len(ledger.deliveries[ID]) == 1


def test_passwords_are_not_kept(recorded: dict[str, bytes]) -> None:
    seen = Trace()
    for frame in FrameReader().feed(recorded["program"]):
        seen.take(1, Speaker.PROGRAM, frame, at=0.0)

    assert [one.arguments for one in seen.events if one.name == "connection.start-ok"] == [{}]


def test_trace_stops_at_its_limit_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trace, "MAX_KEPT_BYTES", 10)
    seen = Trace()

    for frame in (Method(1, "basic.publish", {}), ContentHeader(1, 11, {}), ContentBody(1, b"x" * 11)):
        seen.take(1, Speaker.PROGRAM, frame, at=0.0)

    assert (seen.is_full, list(seen.events)) == (True, [])


def test_content_without_its_method_is_noted_as_undecodable() -> None:
    seen = Trace()

    seen.take(1, Speaker.PROGRAM, ContentBody(1, b"x"), at=0.0)

    assert [one.name for one in seen.events] == ["undecodable"]


def test_evidence_holds_the_message_its_settling_and_the_channel_but_not_others() -> None:
    other = Event(
        0.0, 1, 1, Speaker.BROKER, "basic.deliver", {"delivery_tag": 6}, {"message_id": "0" * 32}, b"other"
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
