"""Fixtures of the comparison's tests: the pairs with their known results, and two engines that check documents."""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import jsonschema_rs
import pytest

from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import Comparison

PAIRS = json.loads(Path(__file__).with_name("pairs.json").read_text(encoding="utf-8"))


@pytest.fixture
def pairs() -> list[dict[str, Any]]:
    return PAIRS


@cache
def _compared(name: str) -> Comparison:
    pair = next(pair for pair in PAIRS if pair["name"] == name)
    return compare(pair["old"], pair["new"], clock=lambda: 0.0)  # a busy machine changes no verdict


@pytest.fixture
def compared() -> Callable[[Any], Comparison]:
    """Return a function that compares a pair of the corpus and keeps the result."""
    return lambda pair: _compared(pair["name"])


@pytest.fixture
def accepts() -> Callable[[Any, Any], bool]:
    """Return a function that asks both engines, which must agree."""

    def ask(schema: Any, value: Any) -> bool:
        fast = jsonschema_rs.Draft202012Validator(schema, validate_formats=False).is_valid(value)
        assert jsonschema.Draft202012Validator(schema).is_valid(value) == fast
        return fast

    return ask
