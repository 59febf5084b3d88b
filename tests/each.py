"""One test for many values.

pytest and its workers spend about four milliseconds on each test. Most values of a long list need less than that.
"""

import functools
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import pytest


def each(
    argument: str, values: Sequence[Any], *, name: Callable[[Any], object] = str
) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Return a decorator that calls a test with each value; the error names the values that failed.

    The test's fixtures are made once for all values.
    """
    assert values

    def decorate(test: Callable[..., None]) -> Callable[..., None]:
        assert not inspect.iscoroutinefunction(test), "a coroutine would not be awaited, and could not fail"

        @functools.wraps(test)
        def test_all(**fixtures: Any) -> None:
            failures: list[BaseException] = []
            for value in values:
                try:
                    test(**fixtures, **{argument: value})
                except (Exception, pytest.fail.Exception, pytest.skip.Exception) as failure:  # noqa: BLE001  # whatever a test raises
                    failure.add_note(f"{argument}: {name(value)}")
                    failures.append(failure)
            if failures:
                raise BaseExceptionGroup(f"{len(failures)} of {len(values)} values failed", failures)

        signature = inspect.signature(test)
        fixtures = [parameter for parameter in signature.parameters.values() if parameter.name != argument]
        test_all.__signature__ = signature.replace(parameters=fixtures)  # type: ignore[attr-defined]
        return test_all

    return decorate
