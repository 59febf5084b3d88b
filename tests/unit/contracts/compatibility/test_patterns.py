"""Patterns as automata give the same results as Python's `re` and interegular where these mean the same."""

import itertools
import re
import time

import interegular
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mailpact_contract_tool.patterns.automaton import Automaton, TooLarge, search
from mailpact_contract_tool.patterns.reader import UnreadPattern, parse

TEXTS = ["".join(letters) for size in range(5) for letters in itertools.product("abcd", repeat=size)]
ATOMS = st.sampled_from(["a", "b", "[ab]", "[^a]", "c", r"\x61", "[a-c]"])
BODIES = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map("".join),
        st.tuples(inner, inner).map("(?:{0[0]}|{0[1]})".format),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{0,2}", "{1,}"])).map(
            "(?:{0[0]}){0[1]}".format
        ),
        inner.map("(?:^|{})".format),
        inner.map("(?:$|{})".format),
    ),
    max_leaves=5,
)
PATTERNS = st.tuples(st.sampled_from(["", "^"]), BODIES, st.sampled_from(["", "$"])).map("".join)


def automaton(pattern):
    return Automaton(parse(pattern))


def found(pattern, text):
    return re.search(pattern.replace("$", r"\Z"), text) is not None


@pytest.mark.heavy
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(PATTERNS, PATTERNS, st.sampled_from([0, 1, 3]), st.sampled_from([None, 3, 4]))
def test_shortest_text_between_two_patterns_is_the_one_that_trying_all_finds(wanted, refused, least, most):
    fitting = [
        text
        for text in TEXTS
        if least <= len(text) <= (4 if most is None else most)
        and found(wanted, text)
        and not found(refused, text)
    ]

    text = search([(automaton(wanted), True), (automaton(refused), False)], least, most)

    if fitting:
        assert (text is not None, len(text or "")) == (True, len(fitting[0]))
    if text is not None:
        assert found(wanted, text)
        assert not found(refused, text)


@pytest.mark.heavy
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    BODIES.filter(lambda body: "^" not in body and "$" not in body),
    BODIES.filter(lambda body: "$" not in body),
)
def test_containment_is_the_one_that_interegular_finds(wanted, refused):
    if "^" in refused:
        return
    fsms = [interegular.parse_pattern(body).to_fsm() for body in (wanted, refused)]
    contained = fsms[0].difference(fsms[1]).empty()

    text = search([(automaton(f"^(?:{wanted})$"), True), (automaton(f"^(?:{refused})$"), False)])

    assert (text is None) == contained


@pytest.mark.parametrize(
    ("pattern", "text", "matches"),
    [
        (r"^\d$", "\u0663", False),  # digits are those of ASCII, as ECMA-262 says
        (r"^\w$", "\u00e9", False),
        (r"^\s$", "\u00a0", True),
        (r"^a$", "a\n", False),  # `$` is only the end of the text
        (r"^.$", "\u2028", False),
        (r"^.$", "\U0001f600", True),  # one code point is one character
        (r"^[^a]$", "\n", True),
        (r"^\x41\u0042$", "AB", True),
        (r"^[\]\-a]+$", "-]a", True),
        (r"a$|^b", "bc", True),
        (r"^(?:a|$)$", "", True),
        (r"$^", "", True),
    ],
)
def test_pattern_means_what_ecma_262_says(pattern, text, matches):
    exactly = automaton("^" + "".join(rf"[\u{ord(c):04x}]" if ord(c) < 0x10000 else c for c in text) + "$")

    assert (search([(automaton(pattern), True), (exactly, True)]) is not None) == matches


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "(?=a)",
            "(?!a)",
            "(?<=a)b",
            "(a)\\1",
            "\\bword",
            "\\p{L}",
            "\\cA",
            "(?i)a",
            "a*+",
            "a{2}{3}",
            "^*",
        ),
        *("[]", "[^]", "[z-a]", "[[a]", "[a&&b]", "a)", "(a", "[a", "\\", "*a", "a{3,2}", "\\ud800", "a{,3}"),
        "(" * 100 + ")" * 100,
        "^(a{1,1000}){1,1000}$",
        "(?:){100000}",
    ],
)
def test_what_engines_read_differently_or_not_at_all_is_not_read(pattern):
    with pytest.raises(UnreadPattern):
        automaton(pattern)


@pytest.mark.heavy
def test_walk_that_needs_too_many_states_is_given_up_in_time():
    begin = time.process_time()

    with pytest.raises(TooLarge):
        search([(automaton("^(a|b)*a(a|b){25}$"), True), (automaton("^(a|b)*a(a|b){24}$"), False)])
    assert time.process_time() - begin < 20


@pytest.mark.heavy
@pytest.mark.parametrize("length", [1_000_001, 999_999])
def test_length_of_a_million_is_reached_by_going_round(length):
    quads = automaton("^(?:[a-z]{4})*(?:[a-z]{3}=)?$")

    text = search([(quads, True)], length)

    assert text is not None
    assert len(text) == (length + 3) // 4 * 4


def test_witness_holds_no_half_of_a_surrogate_pair():
    text = search([(automaton("^[\\ud7ff-\\ue000]$"), True), (automaton("^[\\ud7ff]$"), False)])

    assert text == "\ue000"
