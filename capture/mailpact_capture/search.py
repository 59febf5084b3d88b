"""What people type into the search box: Mailpit's grammar, as far as it is built.

    query  = term*            all terms must hold
    term   = ["-" | "!"] [("to:" | "subject:")] words
    words  = anything without spaces; "double quotes" hold spaces together and are dropped

Each term is looked for as a part of the text, whatever its case. An operator that is not known is plain text, as
in Mailpit. The words never become a pattern: SQLite's instr() knows no wildcards, so there is nothing to escape.
"""

import re
import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import Final, assert_never

MAX_QUERY_CHARACTERS: Final = 1000
MAX_TERMS: Final = 50
MAX_SEARCHED_BYTES: Final = 32 * 1024

_TERM: Final = re.compile(r'(?:"[^"]*(?:"|\Z)|[^\s"])+')


class Column(Enum):
    """Where a term is looked for; the value is the column of the store's table."""

    TEXT = "found_text"
    TO = "found_to"
    SUBJECT = "found_subject"


@dataclass(frozen=True, slots=True)
class Contains:
    """The column has these words in it."""

    column: Column
    words: str


@dataclass(frozen=True, slots=True)
class Not:
    """The other does not hold."""

    query: "Query"


@dataclass(frozen=True, slots=True)
class All:
    """Each of them holds; all mails, if there is none."""

    queries: tuple["Query", ...]


Query = Contains | Not | All

EVERYTHING: Final = All(())
_OPERATORS: Final = {"to:": Column.TO, "subject:": Column.SUBJECT}


class QueryError(ValueError):
    """The query is longer than anybody would type."""


def fold(text: str) -> str:
    """Make texts comparable: one form of each letter, no case, single spaces between words."""
    composed = unicodedata.normalize("NFC", text.replace("\0", " ").casefold())
    return " ".join(composed.split())


def fold_capped(text: str) -> str:
    """Fold a text and keep as much of it as is searched."""
    folded = fold(text[:MAX_SEARCHED_BYTES]).encode()[:MAX_SEARCHED_BYTES]
    return folded.decode(errors="ignore")


def parse_query(text: str) -> Query:
    """Read a query; raise QueryError when it is too long."""
    if len(text) > MAX_QUERY_CHARACTERS:
        raise QueryError(f"the query is longer than {MAX_QUERY_CHARACTERS} characters; search for less")
    terms = tuple(term for term in map(_parse_term, _TERM.findall(text)) if term)
    if len(terms) > MAX_TERMS:
        raise QueryError(f"the query has more than {MAX_TERMS} terms; search for less")
    return terms[0] if len(terms) == 1 else All(terms)


def _parse_term(term: str) -> Query | None:
    negated = term[0] in "-!"
    words = term[1:] if negated else term
    column = Column.TEXT
    for operator, searched in _OPERATORS.items():
        if words.lower().startswith(operator):
            column, words = searched, words[len(operator) :]
    folded = fold(words.replace('"', ""))
    if not folded:
        return None
    return Not(Contains(column, folded)) if negated else Contains(column, folded)


def to_sql(query: Query) -> tuple[str, tuple[str, ...]]:
    """Return the condition for WHERE and its parameters, in the order of their question marks."""
    match query:
        case Contains(column, words):
            return f"instr({column.value}, ?) > 0", (words,)
        case Not(inner):
            condition, parameters = to_sql(inner)
            return f"NOT ({condition})", parameters
        case All(queries):
            compiled = [to_sql(each) for each in queries]
            conditions = " AND ".join(f"({condition})" for condition, _ in compiled) or "TRUE"
            return conditions, tuple(parameter for _, parameters in compiled for parameter in parameters)
    assert_never(query)
