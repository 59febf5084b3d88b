import datetime as dt
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pamqp import commands, header

from mailpact_devbroker import properties
from mailpact_devbroker.errors import AmqpError
from tests.each import each

SENT = dt.datetime(2026, 11, 24, tzinfo=dt.UTC)
ALL = commands.Basic.Properties(
    content_type="text/plain",
    content_encoding="utf-8",
    headers={"a": 1, "list": ["x", {"y": True}], "when": SENT},
    delivery_mode=2,
    priority=3,
    correlation_id="c",
    reply_to="r",
    expiration="60000",
    message_id="m",
    timestamp=SENT,
    message_type="email.v1",
    user_id="guest",
    app_id="app",
)


def content_header(sent: commands.Basic.Properties) -> bytes:
    return header.ContentHeader(0, 7, sent).marshal()


def test_a_header_taken_apart_and_put_together_is_the_same_bytes():
    raw = content_header(ALL)

    assert properties.join(properties.split(raw), 7) == raw


@given(
    st.dictionaries(
        st.sampled_from(["content_type", "message_id", "app_id", "expiration"]), st.text(max_size=60)
    )
)
def test_any_text_properties_come_back(texts: dict[str, str]):
    found = properties.split(content_header(commands.Basic.Properties(**texts)))

    assert {name: properties.text(found, name) for name in found} == {k: v for k, v in texts.items() if v}


def test_writing_one_header_leaves_the_bytes_of_its_neighbours():
    double = b"\x01dd" + struct.pack(">d", 1.1)
    milliseconds = b"\x01tT" + struct.pack(">Q", 1_764_000_000_123)
    table = double + milliseconds
    sent = {"headers": struct.pack(">I", len(table)) + table}

    written = properties.with_headers(sent, {"n": 3})["headers"]

    assert written[4:] == table + b"\x01nl" + struct.pack(">q", 3)


def test_writing_a_header_replaces_the_one_of_the_same_name():
    found = properties.split(content_header(commands.Basic.Properties(headers={"n": "old", "o": "kept"})))

    written = properties.with_headers(found, {"n": "new"})

    assert properties.headers(properties.join(written, 0)) == {"n": "new", "o": "kept"}


@each("cut", range(14, len(content_header(ALL))))
def test_a_header_that_is_cut_short_is_a_502(cut: int):
    with pytest.raises(AmqpError) as refused:
        properties.split(content_header(ALL)[:cut])

    assert refused.value.code == 502


def test_a_table_with_an_unknown_type_of_value_is_a_502():
    with pytest.raises(AmqpError, match="unknown type"):
        properties.header_names({"headers": b"\0\0\0\x03\x01aZ"})
