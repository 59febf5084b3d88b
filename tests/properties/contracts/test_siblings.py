"""Keywords whose meaning depends on the keywords beside them are checked against documents by brute force.

Every pair of schemas is made of sibling keywords, and the documents are all small ones over the same names and values.
A verdict "compatible" that a document contradicts is unsafe; there must be none. The long run, with 25,000 pairs, is
part of `make test-faults`.
"""

import os
import random
from itertools import product
from typing import Any

import jsonschema
import jsonschema_rs
import pytest

from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import Verdict

PAIRS = int(os.environ.get("MAILPACT_TEST_SIBLING_PAIRS", "240"))
PORTIONS = 8  # tests, which several workers run at the same time
MOST_UNPROVEN = 0.05
NAMES = ("a", "b", "ab", "ba")
PATTERNS = ("^a", "b$", "^a$", "^[ab]{2}$", "a", "^b")
VALUES: tuple[Any, ...] = (0, 1, 1.5, "", "a", None, [], {})
OBJECTS = [
    {name: value for name, value in zip(NAMES, chosen, strict=True) if value != "absent"}
    for chosen in product(("absent", 0, "a", None), repeat=len(NAMES))
]
ARRAYS = [
    list(items)
    for length in range(5)
    for items in product((0, 1, "a", None)[: 5 - length or 2], repeat=length)
]
DOCUMENTS: list[Any] = [
    *VALUES,
    *OBJECTS,
    *ARRAYS,
    {"zz": 0},
    {"a": {"a": 0}},
    {"b": {"zz": "a"}},
    [[0], ["a", 0]],
]


class Schemas:
    """Makes random schemas."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pair(self) -> tuple[Any, Any]:
        """Return two schemas that differ in little."""
        old = self.schema(2)
        new = dict(old) if isinstance(old, dict) else old
        if isinstance(new, dict):
            for _ in range(self._random.randint(1, 2)):
                if new and self._random.random() < 0.4:
                    del new[self._random.choice(sorted(new))]
                else:
                    new |= self._keywords(1, 1)
        return (old, new) if self._random.random() < 0.9 else (old, self.schema(2))

    def schema(self, depth: int) -> Any:
        if depth == 0 or self._random.random() < 0.15:
            return self._random.choice(
                [
                    True,
                    False,
                    {"type": "string"},
                    {"type": "integer"},
                    {"const": 0},
                    {"type": ["null", "string"]},
                ]
            )
        return self._keywords(depth, self._random.randint(1, 4))

    def _keywords(self, depth: int, count: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        groups = [self._of_objects, self._of_arrays]
        group = self._random.choice(groups)
        for _ in range(count):
            make = group if self._random.random() < 0.75 else self._in_place
            found |= make(depth - 1)
        return found

    def _some(self, choices: tuple[str, ...]) -> list[str]:
        return self._random.sample(choices, self._random.randint(1, 2))

    def _of_objects(self, depth: int) -> dict[str, Any]:
        match self._random.randrange(9):
            case 0 | 1:
                return {"properties": {name: self.schema(depth) for name in self._some(NAMES)}}
            case 2 | 3:
                return {"patternProperties": {name: self.schema(depth) for name in self._some(PATTERNS)}}
            case 4:
                return {"additionalProperties": self.schema(depth)}
            case 5:
                return {"unevaluatedProperties": self.schema(depth)}
            case 6:
                return {"required": self._some(NAMES)}
            case 7:
                return {"propertyNames": {"pattern": self._random.choice(PATTERNS)}}
            case _:
                word = self._random.choice(["minProperties", "maxProperties"])
                return {word: self._random.randint(0, 3)}

    def _of_arrays(self, depth: int) -> dict[str, Any]:
        match self._random.randrange(7):
            case 0:
                return {"prefixItems": [self.schema(depth) for _ in range(self._random.randint(1, 2))]}
            case 1:
                return {"items": self.schema(depth)}
            case 2:
                return {"contains": self.schema(depth)}
            case 3:
                return {self._random.choice(["minContains", "maxContains"]): self._random.randint(0, 2)}
            case 4:
                return {"unevaluatedItems": self.schema(depth)}
            case 5:
                return {self._random.choice(["minItems", "maxItems"]): self._random.randint(0, 3)}
            case _:
                return {"uniqueItems": True}

    def _in_place(self, depth: int) -> dict[str, Any]:
        match self._random.randrange(7):
            case 0:
                return {"if": self.schema(depth)}
            case 1:
                return {"then": self.schema(depth), "if": self.schema(depth)}
            case 2:
                return {"else": self.schema(depth)}
            case 3:
                return {"dependentSchemas": {self._random.choice(NAMES): self.schema(depth)}}
            case 4:
                return {"not": self.schema(depth)}
            case _:
                word = self._random.choice(["allOf", "anyOf", "oneOf"])
                return {word: [self.schema(depth) for _ in range(self._random.randint(1, 2))]}


def counterexample(accepting: Any, refusing: Any) -> Any:
    """Return a document that contradicts the verdict by both engines, or None."""
    fast = [
        jsonschema_rs.Draft202012Validator(side, validate_formats=False) for side in (accepting, refusing)
    ]
    slow = [jsonschema.Draft202012Validator(side) for side in (accepting, refusing)]
    return next(
        (
            [one]
            for one in DOCUMENTS
            if fast[0].is_valid(one)
            and not fast[1].is_valid(one)
            and slow[0].is_valid(one)
            and not slow[1].is_valid(one)
        ),
        None,
    )


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("portion", range(PORTIONS))
def test_no_document_contradicts_a_verdict_about_sibling_keywords(portion: int) -> None:
    schemas = Schemas(portion)
    unproven, unsafe = 0, []
    for _ in range(PAIRS // PORTIONS):
        old, new = schemas.pair()
        comparison = compare(old, new)
        for verdict, sides in ((comparison.backward, (old, new)), (comparison.forward, (new, old))):
            unproven += verdict == Verdict.UNPROVEN
            if verdict == Verdict.COMPATIBLE and (shown := counterexample(*sides)) is not None:
                unsafe.append((*sides, shown))

    assert unsafe == []
    assert unproven <= 2 * MOST_UNPROVEN * (PAIRS // PORTIONS)
