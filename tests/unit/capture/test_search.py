"""What people type into the search box."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact_capture.search import (
    EVERYTHING,
    MAX_QUERY_CHARACTERS,
    MAX_TERMS,
    QueryError,
    fold,
    fold_capped,
    parse_query,
    to_sql,
)

MAIL = {
    "found_text": fold("Welcome to our CMS 100% free_of charge Straße ada@example.org"),
    "found_to": fold("Ada Lovelace <ada@example.org>"),
    "found_subject": fold("You've successfully registered!"),
}


def finds(query: str) -> bool:
    """Ask SQLite whether the query finds the one mail."""
    condition, parameters = to_sql(parse_query(query))
    database = sqlite3.connect(":memory:")
    database.execute("CREATE TABLE mail (found_text, found_to, found_subject)")
    database.execute("INSERT INTO mail VALUES (:found_text, :found_to, :found_subject)", MAIL)
    (count,) = database.execute(f"SELECT count(*) FROM mail WHERE {condition}", parameters).fetchone()
    database.close()
    return bool(count)


@pytest.mark.parametrize(
    "query",
    [
        "welcome", "WELCOME", "elco", "welcome cms", "cms welcome", '"to our"', "100%", "free_of", "strasse",
        "to:ada", "TO:Lovelace", 'to:"ada lovelace"', "subject:registered", "-missing", "!missing",
        "welcome -missing", "-subject:welcome", "to:ada subject:success cms",
    ],
)  # fmt: skip
def test_query_finds_the_mail(query: str) -> None:
    assert finds(query)


@pytest.mark.parametrize(
    "query",
    [
        "missing", "-welcome", "!welcome", '"our to"', "welcome missing", "to:bob", "subject:welcome", "-to:ada",
        "100_", "w%e", "foo:bar", "' OR 1=1 --",
    ],
)  # fmt: skip
def test_query_does_not_find_the_mail(query: str) -> None:
    assert not finds(query)


@pytest.mark.parametrize("query", ["", "   ", '""', "-", 'to:""'])
def test_empty_query_finds_everything(query: str) -> None:
    assert parse_query(query) == EVERYTHING


@pytest.mark.parametrize("query", ["x" * (MAX_QUERY_CHARACTERS + 1), "x " * (MAX_TERMS + 1)])
def test_endless_query_is_refused(query: str) -> None:
    with pytest.raises(QueryError):
        parse_query(query)


@given(st.text(max_size=200))
def test_no_query_is_an_error_to_the_database(query: str) -> None:
    assert finds(query) in (True, False)


def test_searched_text_is_capped_in_bytes() -> None:
    assert len(fold_capped("ж" * 100_000).encode()) <= 32 * 1024
