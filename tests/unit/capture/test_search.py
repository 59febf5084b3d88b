"""The search box's syntax."""

import contextlib
import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact_capture.records import tag_columns
from mailpact_capture.search import (
    EVERYTHING,
    MAX_QUERY_CHARACTERS,
    MAX_TERMS,
    QueryError,
    can_change,
    fold,
    fold_capped,
    parse_query,
    to_sql,
    zone_of,
)

RECEIVED_US = 1_714_564_800_000_000  # 2024-05-01T12:00:00Z
MAIL = {
    "found_text": fold("Welcome to our CMS 100% free_of charge Straße ada@example.org https://x.org/?a:b"),
    "found_to": fold("Ada Lovelace <ada@example.org>"),
    "found_from": fold("Shop <shop@example.org>"),
    "found_cc": fold("c@x.org"),
    "found_bcc": fold("hidden@x.org"),
    "found_reply_to": fold("r@x.org"),
    "found_rcpt": fold("ada@example.org, secret@x.org"),
    "found_message_id": fold("m@x.org"),
    "found_subject": fold("You've successfully registered!"),
    "found_tags": tag_columns(("Green", "blue sky"))["found_tags"],
    "tags": '["Green", "blue sky"]',
    "read": 0,
    "attachments": 1,
    "inlines": 0,
    "size": 2000,
    "received_us": RECEIVED_US,
}


def finds(query: str) -> bool:
    """Return whether SQLite finds the one mail by the query."""
    condition, parameters = to_sql(parse_query(query))
    columns = ", ".join(MAIL)
    database = sqlite3.connect(":memory:")
    database.execute(f"CREATE TABLE mail ({columns})")
    database.execute(f"INSERT INTO mail VALUES ({', '.join(':' + name for name in MAIL)})", MAIL)
    (count,) = database.execute(f"SELECT count(*) FROM mail WHERE {condition}", parameters).fetchone()
    database.close()
    return bool(count)


@pytest.mark.parametrize(
    "query",
    [
        "welcome", "WELCOME", "elco", "welcome cms", "cms welcome", '"to our"', "100%", "free_of", "strasse",
        "to:ada", "TO:Lovelace", 'to:"ada lovelace"', "subject:registered", "-missing", "!missing",
        "welcome -missing", "-subject:welcome", "to:ada subject:success cms", "from:shop", "cc:c@x", "bcc:hidden",
        "reply-to:r@x", "addressed:hidden", "tag:green", "tag:GREEN", "is:unread", "is:tagged", "has:attachment",
        "has:attachments", "larger:1k", "smaller:1mb", "after:2024-05-01", "before:2024-05-02", "rcpt:secret",
        "message-id:m@x", 'after:"1 May 2024"', "https://x.org/?a:b", "before:2024-05-01T13:00:00Z",
        "message-id:<m@x.org>", 'to:"<ada@example.org>"', "rcpt:<secret@x.org>", 'to:"Lovelace <ada@example.org>"',
        "after:2024-5-1", "after:2024.05.01", "after:2024-05", "after:2024", "before:2025-1",
        "after:1714564799", "before:1714564800999",
    ],
)  # fmt: skip
def test_query_finds_the_mail(query: str) -> None:
    assert finds(query)


@pytest.mark.parametrize(
    "query",
    [
        "missing", "-welcome", "!welcome", '"our to"', "welcome missing", "to:bob", "subject:welcome", "-to:ada",
        "100_", "w%e", '"foo:bar"', "' OR 1=1 --", "from:bob", "addressed:bob", "tag:gree", "tag:red", "is:read",
        "has:inline", "larger:1m", "smaller:999", "after:2024-05-02", "before:2024-05-01", "rcpt:bob", "message-id:<x",
        "message-id:<x@m>", "before:2024-5-1", "before:2024", "after:1714564801", "before:1714564799999",
    ],
)  # fmt: skip
def test_query_does_not_find_the_mail(query: str) -> None:
    assert not finds(query)


@pytest.mark.parametrize("query", ["", "   ", '""', "-"])
def test_empty_query_finds_everything(query: str) -> None:
    assert parse_query(query) == EVERYTHING


@pytest.mark.parametrize("query", ["x" * (MAX_QUERY_CHARACTERS + 1), "x " * (MAX_TERMS + 1)])
def test_endless_query_is_refused(query: str) -> None:
    with pytest.raises(QueryError):
        parse_query(query)


@given(st.text(max_size=200))
def test_no_query_is_an_error_to_the_database(query: str) -> None:
    with contextlib.suppress(QueryError):
        assert finds(query) in (True, False)


@pytest.mark.parametrize(
    "query",
    [
        "foo:bar",
        "-foo:bar",
        "x_foo:bar",
        "X-Foo2:bar",
        "größe:1",
        "тема:x",
        "rcpt:<>",
        "\ud800",
        "to:",
        'subject:"" ada',
        "Re: hello",
        "is:blue",
        "has:teeth",
        "larger:much",
        "after:yesterdays",
        "before:32",
    ],
)
def test_what_cannot_be_answered_is_refused_and_never_not_found(query: str) -> None:
    with pytest.raises(QueryError):
        parse_query(query)


def test_dates_without_a_zone_are_in_the_zone_of_who_asks() -> None:
    noon_in_tokyo = to_sql(parse_query("after:2024-05-01", zone_of("Asia/Tokyo")))[1]

    assert noon_in_tokyo == (1_714_489_200_000_000,)
    with pytest.raises(QueryError):
        zone_of("No/Where")


@pytest.mark.parametrize(
    ("query", "changes"),
    [
        ("welcome", False), ("-to:ada larger:1 after:2024-01-01 has:attachment", False), ("", False),
        ("is:read", True), ("welcome -is:unread", True), ("-tag:red", True), ("is:tagged", True),
    ],
)  # fmt: skip
def test_query_about_tags_and_reading_may_find_a_mail_later(query: str, changes: bool) -> None:
    assert can_change(parse_query(query)) is changes


def test_searched_text_is_capped_in_bytes() -> None:
    assert len(fold_capped("ж" * 100_000).encode()) <= 32 * 1024
