"""The grammar of portable patterns agrees with the engines that read such patterns, and takes little time."""

import json
import re
import shutil
import subprocess
import time

import jsonschema_rs
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mailpact_contract_tool.patterns.backtracking import backtracking_fault
from mailpact_contract_tool.patterns.portable import PatternError, least_length, parse_pattern

JAVASCRIPT = """
const lines = require('fs').readFileSync(0, 'utf8').trim().split('\\n').map(line => JSON.parse(line));
for (const [pattern, texts] of lines) {
    let answer;
    try { const compiled = new RegExp(pattern, 'u'); answer = texts.map(text => compiled.test(text)); }
    catch (error) { answer = String(error); }
    console.log(JSON.stringify(answer));
}
"""
SYNTAX = "^$\\.*+?()[]{}|/"
PLAIN = st.sampled_from("abz09 !#%&'\",:;<=>@_`~-éß中\u2028😀")
ESCAPED = st.sampled_from([f"\\{character}" for character in SYNTAX]) | st.sampled_from(
    ["\\x00", "\\x0a", "\\x7f", "\\xFf"]
)
MEMBER = st.sampled_from("abz09 !#%'\",:;<=>@_`é中😀.*+?(){}$") | ESCAPED | st.just("\\-")
RANGE = st.sampled_from(["a-z", "0-9", "\\x00-\\x1f", " -~", "!-/", "\\[-\\]", "é-中", "\\x00-\U0010ffff"])
CLASS = st.builds(
    lambda start, members, end: f"[{start}{''.join(members)}{end}]",
    st.sampled_from(["", "^", "-", "^-"]),
    st.lists(MEMBER | RANGE, min_size=1, max_size=5),
    st.sampled_from(["", "-"]),
)
QUANTIFIER = st.sampled_from(["", "", "", "*", "+", "?", "{2}", "{0,3}", "{1,}", "{1,1000}"])


def _extended(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    group = st.builds(
        lambda opening, branches: f"{opening}{'|'.join(branches)})",
        st.sampled_from(["(", "(?:"]),
        st.lists(inner, min_size=1, max_size=3),
    )
    item = st.builds(lambda one, quantifier: one + quantifier, group | inner.filter(_is_one), QUANTIFIER)
    return st.lists(item, min_size=1, max_size=3).map("".join)


def _is_one(text: str) -> bool:
    """Return whether a quantifier behind the text applies to the whole text."""
    return len(text) == 1 or (text[0] == "[" and "]" not in text[1:-1])


WRITTEN = st.builds(
    lambda start, body, end: f"{start}{body}{end}",
    st.sampled_from(["^", ""]),
    st.recursive(PLAIN | ESCAPED | CLASS, _extended, max_leaves=8),
    st.sampled_from(["$", ""]),
)
ANYTHING = st.text(st.sampled_from("ab-^$\\.*+?()[]{}|/,&~:0129xdws=!<>\né"), max_size=14)


def accepted(pattern: str) -> bool:
    """Return whether the grammar accepts the pattern."""
    try:
        parse_pattern(pattern)
    except PatternError:
        return False
    return True


def compiles_in_rust(pattern: str) -> bool:
    """Return whether jsonschema-rs compiles the pattern with its engine that needs linear time."""
    try:
        jsonschema_rs.Draft202012Validator({"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions())
    except ValueError:
        return False
    return True


@given(WRITTEN | ANYTHING)
@settings(max_examples=400)
@example("[^\\x00-\\x1f]{1000}")
@example("^(?:[a-z]{30}){30}$")
@example("[-a]")
@example("[a^]")
@example("a{1000}")
def test_what_the_grammar_accepts_compiles_in_python_and_rust(pattern):
    if accepted(pattern):
        re.compile(pattern)
        assert compiles_in_rust(pattern)


@given(WRITTEN)
@settings(max_examples=300)
def test_much_of_what_is_written_by_the_grammar_is_accepted(pattern):
    bare_choice = not accepted(pattern) and accepted(f"(?:{pattern.removeprefix('^').removesuffix('$')})")

    assert accepted(pattern) or bare_choice or "--" in pattern or "{" in pattern or not pattern


@given(WRITTEN, st.text(st.sampled_from("ab09 -\né中😀!"), max_size=8))
@settings(max_examples=300)
def test_python_and_rust_find_the_same_but_for_a_last_line_end(pattern, text):
    if not accepted(pattern) or text.endswith("\n"):
        return

    found = re.search(pattern, text) is not None

    rust = jsonschema_rs.Draft202012Validator(
        {"pattern": pattern}, pattern_options=jsonschema_rs.RegexOptions()
    )
    assert rust.is_valid(text) == found


@given(WRITTEN, st.text(st.sampled_from("ab09 -é中😀!"), max_size=8))
def test_nothing_shorter_than_the_least_length_matches(pattern, text):
    if accepted(pattern) and re.fullmatch(pattern, text):
        assert least_length(parse_pattern(pattern).root) <= len(text)


@pytest.fixture(scope="module")
def node() -> str:
    """Return the program `node`; without it the test is skipped, and the polyglot tests cover JavaScript."""
    path = shutil.which("node")
    if path is None:
        pytest.skip("node is not installed")
    return path


def test_javascript_reads_what_the_grammar_accepts_as_python_does(node):
    cases: list[tuple[str, list[str]]] = []

    @given(WRITTEN, st.lists(st.text(st.sampled_from("ab09 -é中😀!"), max_size=8), max_size=3))
    @settings(max_examples=500, database=None)
    def collect(pattern, texts):
        if accepted(pattern):
            cases.append((pattern, texts))

    collect()
    done = subprocess.run(
        [node, "-e", JAVASCRIPT],
        input="\n".join(json.dumps(case) for case in cases) + "\n",
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )

    expected = [[re.search(pattern, text) is not None for text in texts] for pattern, texts in cases]
    assert len(cases) > 100
    assert [json.loads(line) for line in done.stdout.splitlines()] == expected


@pytest.mark.parametrize(
    "pattern",
    [
        *(
            "",
            "^$",
            "^|a$",
            "a|",
            "(|a)",
            "()",
            "(?:)",
            "*",
            "a**",
            "a*?",
            "a++",
            "a{2}{3}",
            "a{",
            "a{}",
            "a{,3}",
        ),
        *(
            "a{3,2}",
            "a{0}",
            "a{1001}",
            "(?:a{40}){40}",
            "a{99999999999}",
            ".",
            "a.b",
            "^a|b$",
            "a$b",
            "a^b",
            "^^a",
        ),
        *(
            "a$$",
            "(^a)",
            "(a$)",
            "[",
            "[]",
            "[^]",
            "[]a]",
            "[z-a]",
            "[a",
            "(a",
            "a)",
            "(?=a)",
            "(?!a)",
            "(?<=a)",
        ),
        *(
            "(?P<n>a)",
            "(?<n>a)",
            "(?i)a",
            "(?i:a)",
            "\\",
            "\\d",
            "\\D",
            "\\w",
            "\\s",
            "\\S",
            "\\b",
            "\\B",
            "\\A",
            "\\Z",
        ),
        *(
            "\\1",
            "\\0",
            "\\n",
            "\\t",
            "\\u0041",
            "\\u{41}",
            "\\p{L}",
            "\\x1",
            "\\xg1",
            "\\-",
            "\\@",
            "\\ ",
            "[\\d]",
        ),
        *(
            "[a&&b]",
            "[a--b]",
            "[a~~b]",
            "[a||b]",
            "[[a]]",
            "[a[:alpha:]]",
            "[a-z-9]",
            "]",
            "}",
            "{",
            "a\nb",
            "a\x85b",
        ),
        *("(" * 30 + "a" + ")" * 30, "a" * 3000),
    ],
)
def test_what_engines_read_differently_is_refused(pattern):
    assert not accepted(pattern)


@pytest.mark.parametrize(
    "pattern",
    [
        "^(?:a*)*$",
        "^(?:a|a)*$",
        "^(a+)+$",
        "^(?:a*b*)*$",
        "^(?:a?){1,30}$",
        "^(?:a?){9}$",
        "^(?:b|a*){3}$",
        "^(?:a|b|ab)*$",
        "^(?:[a-z]+,?)*$",
        "^a*a*$",
        "^[a-z]*[a-z0-9]*$",
        "^(?:a{1,9}){1,9}$",
        "^" + "a?" * 30 + "$",
        "a*b",
        "(?:ab)+",
        "^" + "a?" * 500 + "$",
    ],
)
def test_pattern_that_explodes_is_found(pattern):
    assert backtracking_fault(parse_pattern(pattern)) is not None


@pytest.mark.parametrize(
    "pattern",
    [
        "^[a-z]+(?:,[a-z]+)*$",
        "^[0-9]{4}-[0-9]{2}$",
        "[\\x00-\\x1f]",
        "^(?:a|ab)*$",
        "^(?:ab?c)*$",
        "^a?b?c?$",
        "^(?:[a-z]{2}){1,5}$",
        "^[^@]{65,}@",
        "^(?:sent|deferred|failed)$",
        "^a+b+a+$",
        "^ *[^ ][^\\x00]*$",
    ],
)
def test_pattern_that_takes_linear_time_is_left_alone(pattern):
    assert backtracking_fault(parse_pattern(pattern)) is None


@given(WRITTEN)
@settings(max_examples=200)
def test_python_is_fast_with_every_pattern_that_passes(pattern):
    if not accepted(pattern) or backtracking_fault(parse_pattern(pattern)) is not None:
        return
    compiled = re.compile(pattern)
    texts = ["a" * 3000 + "\n!", "ab" * 1500 + "\n!", "0" * 3000 + "é\n", "a-" * 1500 + "\n"]
    began = time.process_time()

    for text in texts:
        compiled.search(text)

    assert time.process_time() - began < 1


@given(ANYTHING | st.text(max_size=50) | st.text("a?*|()", max_size=300))
@settings(max_examples=200)
def test_any_text_is_judged_in_bounded_time(pattern):
    began = time.process_time()
    if accepted(pattern):
        backtracking_fault(parse_pattern(pattern))

    assert time.process_time() - began < 5
