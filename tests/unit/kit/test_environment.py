"""Placeholders in command lines."""

import pytest

from mailpact_kit.environment import NAMES, filled, refuse_unknown
from mailpact_kit.errors import UsageProblem


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{HTTP_PORT}", "80"),
        ("127.0.0.1:{HTTP_PORT}/{HTTP_PORT}", "127.0.0.1:80/80"),
        ("${HTTP_PORT}", "${HTTP_PORT}"),
        ('{"a": {}}', '{"a": {}}'),
        ("{{HTTP_PORT}}", "{80}"),
    ],
)
def test_names_in_braces_are_replaced_and_a_shells_are_not(text: str, expected: str) -> None:
    refuse_unknown([text], NAMES)

    assert filled(text, {"HTTP_PORT": "80"}) == expected


def test_values_are_not_read_again() -> None:
    assert filled("{email}", {"email": "{message}", "message": "x"}) == "{message}"


def test_unknown_name_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UsageProblem, match=r"\{AMQP\} is not a name that the kit replaces: AMQP_URL, "):
        refuse_unknown(["run", "--amqp={AMQP}"], NAMES)
