from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.header import ContentHeader

from mailpact.amqp.batch import content_header
from mailpact.amqp.messages import Message

short_text = st.none() | st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60)
header_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text("abc-", min_size=1, max_size=9), inner, max_size=3)
    ),
    max_leaves=6,
)
messages = st.builds(
    Message,
    body=st.binary(),
    content_type=short_text,
    content_encoding=short_text,
    type=short_text,
    message_id=short_text,
    correlation_id=short_text,
    reply_to=short_text,
    app_id=short_text,
    timestamp=st.none() | st.integers(0, 2**32 - 1).map(lambda seconds: datetime.fromtimestamp(seconds, UTC)),
    headers=st.dictionaries(st.text("abcx-", min_size=1, max_size=9), header_values, max_size=4),
)


def over_the_wire(message: Message) -> Basic.Properties:
    header = ContentHeader()
    header.unmarshal(content_header(message))
    return header.properties


@given(messages)
def test_a_message_is_received_as_it_was_published(message: Message) -> None:
    received = Message.received(message.body, over_the_wire(message))

    assert received == message


@given(messages)
def test_every_message_is_published_persistent(message: Message) -> None:
    assert over_the_wire(message).delivery_mode == 2


def test_a_message_leaves_behind_properties_that_a_broker_would_act_on() -> None:
    dangerous = Basic.Properties(
        expiration="60000", priority=9, user_id="shop", delivery_mode=1, message_id="id"
    )

    again = over_the_wire(Message.received(b"", dangerous))

    assert again == Basic.Properties(delivery_mode=2, message_id="id")


@given(messages, st.sampled_from(["", "x" * 255, "x" * 90, None]))
def test_content_header_is_what_the_library_would_encode(message: Message, app_id: str | None) -> None:
    for each in (replace(message, app_id=app_id), replace(message, app_id=app_id, headers={})):
        properties = Basic.Properties(
            content_type=each.content_type,
            content_encoding=each.content_encoding,
            headers=dict(each.headers) or None,  # type: ignore[arg-type]  # pamqp checks each value as it encodes
            delivery_mode=2,
            correlation_id=each.correlation_id,
            reply_to=each.reply_to,
            message_id=each.message_id,
            timestamp=each.timestamp,
            message_type=each.type,
            app_id=each.app_id,
        )
        encoded = ContentHeader(properties=properties, body_size=len(each.body)).marshal()

        assert content_header(each) == encoded


def test_text_that_is_too_long_for_a_property_is_refused() -> None:
    with pytest.raises(TypeError, match="255"):
        content_header(Message(b"", app_id="x" * 256))
