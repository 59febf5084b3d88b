"""The search syntax: Mailpit's grammar, and `rcpt:` for any recipient of the envelope.

    query  = term*            all terms must match
    term   = ["-" | "!"] [key ":"] words
    words  = anything without spaces; "double quotes" allow spaces and are removed

Words match as substrings without regard to case; a tag must be equal. A term that begins with a quotation mark is
plain text. An unknown key raises QueryError, because "no mail found" would be a wrong answer. The words are never
used as a pattern: SQLite's instr() has no wildcards, so no escaping is needed.
"""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from email.utils import parsedate_to_datetime
from typing import Final, assert_never
from zoneinfo import ZoneInfo

from mailpact_capture.charsets import encodable

MAX_QUERY_CHARACTERS: Final = 1000
MAX_TERMS: Final = 50
MAX_SEARCHED_BYTES: Final = 32 * 1024
_MAX_FOLDED_CHARACTERS: Final = 8 * MAX_SEARCHED_BYTES
TAG_MARK: Final = "\x1f"

_TERM: Final = re.compile(r'(?:"[^"]*(?:"|\Z)|[^\s"])+')
# The time of a normalization is quadratic in the number of combining marks that follow each other.
_PIECE: Final = re.compile(r"\S{1,100}\s*|\s+")
_KEY: Final = re.compile(r"([^\W\d_][\w-]*):(?!//)")
_SIZE: Final = re.compile(r"(\d{1,12})\s*(|b|k|kb|m|mb)")
_UNITS: Final = {"": 1, "b": 1, "k": 1024, "kb": 1024, "m": 1024**2, "mb": 1024**2}
_UNIX_TIME: Final = re.compile(r"[0-9]{10}(?:[0-9]{3})?")
_DATE_FORMS: Final = (
    "%d %b %Y",
    "%d %B %Y",
    "%b %d %Y",
    "%B %d %Y",
    "%Y/%m/%d",
    "%m/%d/%Y",
    "%Y/%m/%d %H:%M",
    "%Y-%m-%d",  # the ISO form needs two digits
    "%Y.%m.%d",
    "%Y-%m",
    "%Y",
)

COLUMNS: Final = {
    "": "found_text",
    "to": "found_to",
    "from": "found_from",
    "cc": "found_cc",
    "bcc": "found_bcc",
    "reply-to": "found_reply_to",
    "subject": "found_subject",
    "message-id": "found_message_id",
    "rcpt": "found_rcpt",
}
_ADDRESSED: Final = ("to", "from", "cc", "bcc", "reply-to")
_BRACKETED: Final = (
    *_ADDRESSED,
    "addressed",
    "rcpt",
    "message-id",
)  # headers write <these> in angle brackets
_STATES: Final = {
    ("is", "read"): "read = 1",
    ("is", "unread"): "read = 0",
    ("is", "tagged"): "tags <> '[]'",
    ("has", "attachment"): "attachments > 0",
    ("has", "attachments"): "attachments > 0",
    ("has", "inline"): "inlines > 0",
    ("has", "inlines"): "inlines > 0",
}
_HAS_TAG: Final = "instr(found_tags, ?) > 0"
_CHANGING: Final = (_HAS_TAG, *(sql for (key, _), sql in _STATES.items() if key == "is"))
KEYS: Final = (
    *filter(None, COLUMNS),
    "addressed",
    "tag",
    "is",
    "has",
    "after",
    "before",
    "larger",
    "smaller",
)


@dataclass(frozen=True, slots=True)
class Condition:
    """One SQL condition made of constants, and the values for its placeholders (`?`)."""

    sql: str
    values: tuple[str | int, ...] = ()


@dataclass(frozen=True, slots=True)
class Not:
    """The negation of a query."""

    query: "Query"


@dataclass(frozen=True, slots=True)
class All:
    """The conjunction of queries. Without queries all mails match."""

    queries: tuple["Query", ...]


Query = Condition | Not | All

EVERYTHING: Final = All(())


class QueryError(ValueError):
    """The query cannot be answered; the message says why."""


def fold(text: str) -> str:
    """Return the text in a form for comparison: Unicode-normalized, without case, single spaces between words."""
    if not text.isascii():
        text = "".join(unicodedata.normalize("NFC", piece) for piece in _PIECE.findall(text))
    return " ".join(text.replace("\0", " ").casefold().split())


def fold_capped(text: str) -> str:
    """Return the beginning of the folded text, up to the length that the search covers.

    Blanks that are left out of the folded text do not count, within a bound.
    """
    folded = fold(text[:_MAX_FOLDED_CHARACTERS])
    if folded.isascii():
        return folded[:MAX_SEARCHED_BYTES]
    return folded.encode()[:MAX_SEARCHED_BYTES].decode(errors="ignore")


def parse_query(text: str, zone: tzinfo = UTC) -> Query:
    """Parse a query; dates without a zone are in `zone`. Raises QueryError."""
    if encodable(text) != text:
        raise QueryError("the query has characters that are not Unicode")
    if len(text) > MAX_QUERY_CHARACTERS:
        raise QueryError(f"the query is longer than {MAX_QUERY_CHARACTERS} characters; search for less")
    terms = tuple(query for query in (_parse_term(term, zone) for term in _TERM.findall(text)) if query)
    if len(terms) > MAX_TERMS:
        raise QueryError(f"the query has more than {MAX_TERMS} terms; search for less")
    return terms[0] if len(terms) == 1 else All(terms)


def zone_of(name: str) -> tzinfo:
    """Return the time zone of this name, UTC for an empty one; raise QueryError for an unknown one."""
    try:
        return ZoneInfo(name[:100]) if name else UTC
    except (KeyError, ValueError, OSError) as error:
        raise QueryError(f"{name[:100]!r} is not a time zone") from error


def _parse_term(term: str, zone: tzinfo) -> Query | None:
    negated = term[0] in "-!"
    written = term[1:] if negated else term
    match = None if written.startswith('"') else _KEY.match(written)
    key = match[1].lower() if match else ""
    words = fold((written[match.end() :] if match else written).replace('"', ""))
    if match and key not in KEYS:
        raise QueryError(
            f"{key}: is not a key of the search; the keys are {', '.join(KEYS)}. "
            f'To search for the words, put them into quotes: "{written[:60]}"'
        )
    if key in _BRACKETED and words.startswith("<") and words.endswith(">"):
        words = words[1:-1]
    if match and not words:
        raise QueryError(f"the search has no value after {key}:")
    if not words:
        return None
    condition = _condition(key, words, zone)
    return Not(condition) if negated else condition


def _condition(key: str, words: str, zone: tzinfo) -> Condition:
    if key in COLUMNS:
        return Condition(f"instr({COLUMNS[key]}, ?) > 0", (words,))
    if key == "addressed":
        conditions = " OR ".join(f"instr({COLUMNS[each]}, ?) > 0" for each in _ADDRESSED)
        return Condition(f"({conditions})", (words,) * len(_ADDRESSED))
    if key == "tag":
        return Condition(_HAS_TAG, (f"{TAG_MARK}{words}{TAG_MARK}",))
    if key in ("is", "has"):
        if (key, words) not in _STATES:
            values = ", ".join(value for of, value in _STATES if of == key)
            raise QueryError(f"{key}:{words[:60]} is not a known value; {key}: can be {values}")
        return Condition(_STATES[key, words])
    if key in ("larger", "smaller"):
        return Condition(f"size {'>' if key == 'larger' else '<'} ?", (_parse_size(key, words),))
    return received(key, words, zone)


def received(key: str, words: str, zone: tzinfo) -> Condition:
    """Return the condition for `after:` or `before:` a time; the time itself is included."""
    moment_us = int(_parse_moment(key, words, zone).timestamp() * 1_000_000)
    return Condition(f"received_us {'>=' if key == 'after' else '<='} ?", (moment_us,))


def _parse_size(key: str, words: str) -> int:
    match = _SIZE.fullmatch(words)
    if not match:
        raise QueryError(f"{key}:{words[:60]} is not a size; write bytes, or for example 500k or 2mb")
    return int(match[1]) * _UNITS[match[2]]


def _parse_moment(key: str, words: str, zone: tzinfo) -> datetime:
    text = words.upper().replace(",", " ")
    readers: tuple[Callable[[str], datetime], ...] = (
        datetime.fromisoformat,
        *(lambda text, form=form: datetime.strptime(text, form) for form in _DATE_FORMS),  # noqa: DTZ007 (the zone is added below)
        _parse_unix_time,
        parsedate_to_datetime,
    )
    for read in readers:
        try:
            moment = read(" ".join(text.split()))
            moment = moment if moment.tzinfo else moment.replace(tzinfo=zone)
            moment.timestamp()
        except (ValueError, TypeError, IndexError, OverflowError):
            continue
        return moment
    raise QueryError(f"{key}:{words[:60]} is not a date; write for example 2026-01-31 or 2026-01-31T12:30")


def _parse_unix_time(text: str) -> datetime:
    """Return the time of a number of seconds or milliseconds after the epoch; raise ValueError for other texts."""
    if not _UNIX_TIME.fullmatch(text):
        raise ValueError
    return datetime.fromtimestamp(int(text[:10]), UTC)


def can_change(query: Query) -> bool:
    """Return whether a stored mail that the query does not find now may be found later: its tags and `read` change."""
    match query:
        case Condition(sql, _):
            return sql in _CHANGING
        case Not(inner):
            return can_change(inner)
        case All(queries):
            return any(map(can_change, queries))
    assert_never(query)


def to_sql(query: Query) -> tuple[str, tuple[str | int, ...]]:
    """Return the condition for WHERE and its parameters, in the order of the placeholders."""
    match query:
        case Condition(sql, values):
            return sql, values
        case Not(inner):
            sql, values = to_sql(inner)
            return f"NOT ({sql})", values
        case All(queries):
            compiled = [to_sql(each) for each in queries]
            sql = " AND ".join(f"({condition})" for condition, _ in compiled) or "TRUE"
            return sql, tuple(value for _, values in compiled for value in values)
    assert_never(query)
