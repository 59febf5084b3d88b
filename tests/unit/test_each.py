"""A test for many values fails when one value fails, and names the value."""

import pytest

from tests.each import each


def test_each_failure_names_its_value_and_no_value_is_left_out() -> None:
    seen = []

    @each("number", range(4), name=lambda number: f"number {number}")
    def test(number: int, limit: int) -> None:
        seen.append(number)
        assert number not in (1, limit)

    with pytest.raises(ExceptionGroup, match="2 of 4 values failed") as failed:
        test(limit=3)

    assert seen == [0, 1, 2, 3]
    assert [failure.__notes__ for failure in failed.value.exceptions] == [
        ["number: number 1"],
        ["number: number 3"],
    ]


@each("number", [1, 2])
def test_fixtures_reach_each_call(number: int, request: pytest.FixtureRequest) -> None:
    assert request.node.name == "test_fixtures_reach_each_call"
    assert number in (1, 2)
