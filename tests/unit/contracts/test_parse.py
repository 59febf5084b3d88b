"""Properties of `parse` that no list of vectors can show: they hold for all bytes, and parsing takes limited time."""

import json
import math
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import parse

PARSE_CODES = list(ErrorCode)[: list(ErrorCode).index(ErrorCode.SCHEMA)]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=20,
)
brackets_and_quotes = ['"', "\\", "\\\\", '\\"', "[", "]", "{", "}", ":", ","]
numbers = ["NaN", "-Infinity", "1e999", "1", "-", "0", ".", "e5"]
words = ['"a"', '"a":1', "\\ud800", "\\udc00", "\\u00e9", "null", "true", " ", "\n", "\u2028", "é", "\ufeff"]
tokens = st.sampled_from(brackets_and_quotes + numbers + words)
near_json = st.lists(tokens, max_size=60).map("".join).map(str.encode)


def parsed(body, *, max_bytes=65536, max_depth=32):
    return parse(body, max_bytes=max_bytes, max_depth=max_depth)


def code_of(body, **limits):
    refusal = parsed(body, **limits)
    return refusal.code if isinstance(refusal, Refusal) else None


def depth_by_the_rule(body: bytes) -> int:
    depth = deepest = 0
    in_string = escaped = False
    for character in body.decode("latin-1"):
        if in_string:
            in_string = escaped or character != '"'
            escaped = character == "\\" and not escaped
        elif character == '"':
            in_string = True
        elif character in "[{":
            depth += 1
            deepest = max(deepest, depth)
        elif character in "]}":
            depth = max(0, depth - 1)
    return deepest


@given(st.binary(max_size=200) | near_json)
@example(b'{"a":' + b"9" * 5000 + b"}")
def test_parse_never_raises_and_its_codes_are_those_of_parsing(body):
    result = parsed(body)

    assert not isinstance(result, Refusal) or result.code in PARSE_CODES


@given(values)
def test_parse_returns_what_json_wrote(value):
    for ascii_only in (True, False):
        assert parsed(json.dumps(value, ensure_ascii=ascii_only).encode(), max_depth=100) == value


@given(near_json | values.map(json.dumps).map(str.encode))
def test_parse_accepts_nothing_that_the_standard_library_refuses(body):
    result = parsed(body)

    if not isinstance(result, Refusal):
        assert result == json.loads(body)


@given(near_json)
def test_what_the_standard_library_reads_is_refused_only_for_a_reason_it_does_not_know(body):
    try:
        json.loads(body.decode())
    except ValueError:
        return
    assert code_of(body) != ErrorCode.INVALID_JSON
    assert code_of(body) != ErrorCode.INVALID_ENCODING


@given(near_json | st.binary(max_size=60), st.integers(0, 6))
@example(b'"[\\', 0)
@example(b'"\\"[', 0)
@example(b"]]][[", 1)
def test_depth_is_counted_as_the_rule_is_worded(body, allowed):
    too_deep = code_of(body, max_depth=allowed) == ErrorCode.TOO_DEEP

    assert too_deep == (depth_by_the_rule(body) > allowed)


@given(values.filter(lambda value: isinstance(value, dict) and value))
def test_member_written_twice_is_found_wherever_it_stands(value):
    once = json.dumps(value)
    twice = once[:-1] + "," + once[1:]

    assert code_of(f'{{"a":[[{{"b":{twice}}}]]}}'.encode(), max_depth=100) == ErrorCode.DUPLICATE_KEY


@given(st.text(st.characters(categories=["Cs"]) | st.sampled_from('ab\\"'), min_size=1))
def test_lone_surrogate_is_found_exactly_when_the_text_is_no_unicode(text):
    body = json.dumps(text).encode()  # a high and a low surrogate side by side become a pair, as in Python

    lone = any("\ud800" <= character <= "\udfff" for character in json.loads(body))
    assert (code_of(body) == ErrorCode.LONE_SURROGATE) == lone


@pytest.mark.parametrize(
    "literal", ["9" * 308, "1" + "0" * 308, "-1" + "0" * 308, "17976931348623157" + "0" * 292]
)
def test_finite_integer_is_kept_to_the_last_digit(literal):
    assert parsed(literal.encode()) == int(literal)
    assert math.isfinite(float(literal))


@pytest.mark.parametrize(
    "literal", ["9" * 309, "-" + "9" * 309, "1" + "0" * 309, "9" * 5000, "2e308", "-2e308"]
)
def test_number_beyond_a_double_is_refused(literal):
    assert code_of(literal.encode()) == ErrorCode.INVALID_NUMBER


MEBIBYTE = 1024 * 1024
HOSTILE = {
    "opening brackets": b"[" * MEBIBYTE,
    "pairs of brackets": b"[]" * (MEBIBYTE // 2),
    "quotation marks": b"[]" * 40 + b'"' * MEBIBYTE,
    "backslashes in a string": b"[]" * 40 + b'"' + b"\\" * MEBIBYTE,
    "backslashes outside": b"[]" * 40 + b"\\" * MEBIBYTE,
    "a long tail": b"[]" * 40 + b"a" * MEBIBYTE,
    "digits": b"9" * MEBIBYTE,
    "decimals": b"0." + b"9" * MEBIBYTE,
    "exponent": b"1e" + b"9" * MEBIBYTE,
    "surrogates": b'"' + b"\\ud83d\\ude00" * (MEBIBYTE // 12) + b'"',
    "arrays": b"[" + b"[]," * (MEBIBYTE // 3) + b"[]]",
    "white space": b" " * MEBIBYTE,
    "line ends": b"\n" * MEBIBYTE,
}


@pytest.mark.heavy
@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_mebibyte_takes_less_than_two_seconds(kind):
    started = time.process_time()
    parsed(HOSTILE[kind], max_bytes=2 * MEBIBYTE)

    assert time.process_time() - started < 2  # about 0.2 s at most here; anything quadratic takes minutes
