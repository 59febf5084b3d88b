"""Random schemas with all keywords are checked against documents by brute force: no verdict may be contradicted.

Beside the keywords of `test_siblings` the pairs hold patterns that engines read differently, fractions in multipleOf,
numbers beyond 2^53, formats, references, `$dynamicRef` and keywords of older drafts. The long run is part of `make
test-faults`.
"""

import json
import os
import random
import re
from itertools import product
from typing import Any

import jsonschema
import jsonschema_rs
import pytest

from mailpact_contract_tool.compare.schemas import compare
from mailpact_contract_tool.compare.verdict import NO_WITNESS, Verdict

PAIRS = int(os.environ.get("MAILPACT_TEST_SIBLING_PAIRS", "400")) // 10
PORTIONS = 4  # tests, which several workers run at the same time
NAMES = ("a", "b", "ab", "c", "aa", "x")
PATTERNS = (
    *(
        "^a",
        "b$",
        "^[a-c]+$",
        "a.c",
        "^.$",
        r"\d",
        "^$",
        "^(?:ab)*$",
        "[^a]",
        "^a{2,3}$",
        r"\s",
        r"^\w+$",
        "$",
    ),
    *(r"^[^\n]*$", "^(a|b)c?$", "x|y", r"^\p{L}$", "(?=a)b", r"\bfoo\b", r"^[\s\S]{2}$", "a$|^b", r"\u00e9"),
)
NUMBERS = (0, 1, 2, 3, 4, 6, 7, -1, -2, 0.5, 1.5, 2.0, -0.5, 0.1, 0.3, 1e20, 2**53, 2**53 + 1, 12, 100, 19.99)
TEXTS = (
    *(
        "",
        "a",
        "b",
        "ab",
        "abc",
        "aa",
        "aaa",
        "a\nc",
        "a\n",
        "\n",
        " ",
        "0",
        "foo",
        "é",
        "😀",
        "ac",
        "x",
        "A",
    ),
    *("a.c", "_", "\u2028", "a\u2028c", "2020-01-01", "a@b.c"),
)
VALUES: tuple[Any, ...] = (None, True, False, *NUMBERS, *TEXTS)
TYPES = ("string", "integer", "number", "object", "array", "boolean", "null")


def documents() -> list[Any]:
    """Return small documents: all scalars, and arrays and objects of some of them."""
    choose = random.Random(0)
    few = (0, 1, None, "a", "b", True, 1.0, [], {})
    made = [*VALUES, [], {}, *([*items] for length in (1, 2) for items in product(few, repeat=length))]
    made += [{name: choose.choice((*VALUES, [], {"a": 1}, [1, 1])) for name in choose.sample(NAMES, size)}
             for size in (1, 2, 3, 4) for _ in range(120)]  # fmt: skip  # one table of sizes
    made += [[choose.choice(VALUES) for _ in range(3)] for _ in range(100)]
    made += [[choose.choice(made)] for _ in range(60)] + [{"a": choose.choice(made)} for _ in range(60)]
    return made


class Schemas:
    """Makes random schemas."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def pair(self) -> tuple[Any, Any]:
        """Return two schemas that differ in little, each with definitions."""
        old = self._some(3, 3)
        new = json.loads(json.dumps(old))
        for _ in range(self._random.randint(1, 2)):
            at = self._random.choice(list(_objects(new)))
            if at and self._random.random() < 0.5:
                del at[self._random.choice(sorted(at))]
            else:
                at |= self._keyword(1)
        defined = {"p": self.schema(2), "q": self.schema(1)}
        changed = {**defined, "p": self.schema(2)} if self._random.random() < 0.3 else defined
        return {**old, "$defs": defined}, {**new, "$defs": changed}

    def schema(self, depth: int) -> Any:
        """Return a schema; it may be true or false."""
        return self._random.choice((True, False)) if self._random.random() < 0.05 else self._some(depth, 2)

    def _some(self, depth: int, most: int) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(self._random.randint(1, most)):
            found |= self._keyword(depth)
        return found

    def _keyword(self, depth: int) -> dict[str, Any]:
        if depth == 0 or self._random.random() < 0.4:
            return self._plain()
        below, name = self.schema(depth - 1), self._random.choice(NAMES)
        word = self._random.choice(
            (
                *("not", "oneOf", "anyOf", "allOf", "dependentSchemas", "propertyNames", "contains", "items"),
                *("prefixItems", "properties", "patternProperties", "additionalProperties", "if", "then"),
                *("else", "$ref", "$dynamicRef", "unevaluatedProperties", "unevaluatedItems", "dependencies"),
            )
        )
        match word:
            case "oneOf" | "anyOf" | "allOf" | "prefixItems":
                return {word: [below, *(self.schema(depth - 1) for _ in range(self._random.randint(0, 2)))]}
            case "properties" | "dependentSchemas":
                return {word: {name: below}}
            case "patternProperties":
                return {word: {self._random.choice(PATTERNS): below}}
            case "then" | "else":
                return {word: below, "if": self.schema(depth - 1)}
            case "contains":
                return {word: below, self._random.choice(("minContains", "maxContains")): self._count()}
            case "$ref" | "$dynamicRef":
                return {word: self._random.choice(("#/$defs/p", "#/$defs/q"))}
            case "dependencies":
                return {word: {name: ["b"]}}
            case _:
                return {word: below}

    def _count(self) -> int:
        return self._random.randint(0, 3)

    def _plain(self) -> dict[str, Any]:
        choose = self._random
        words = {
            "type": choose.choice(TYPES) if choose.random() < 0.7 else choose.sample(TYPES, 2),
            "const": choose.choice((*VALUES, [1], {"a": 1}, [])),
            "enum": [choose.choice((*VALUES, [1], {"a": 1}, [1.0])) for _ in range(choose.randint(1, 4))],
            "pattern": choose.choice(PATTERNS),
            "format": choose.choice(("email", "date", "uri", "ipv4")),
            "multipleOf": choose.choice((1, 2, 3, 4, 6, 7, 0.5, 0.1, 0.01, 1.5, 2.0)),
            "uniqueItems": choose.random() < 0.8,
            "required": choose.sample(NAMES, choose.randint(1, 2)),
            "dependentRequired": {choose.choice(NAMES): choose.sample(NAMES, choose.randint(0, 2))},
        }
        limits = ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum")
        words |= {word: choose.choice(NUMBERS) for word in limits}
        sizes = ("Length", "Items", "Properties")
        words |= {f"{bound}{size}": self._count() for bound in ("min", "max") for size in sizes}
        word = choose.choice(sorted(words))
        return {word: words[word]}


def _objects(value: Any) -> list[dict[str, Any]]:
    """Return all objects that may be schemas."""
    if not isinstance(value, dict | list):
        return []
    inner = value.values() if isinstance(value, dict) else value
    own = [value] if isinstance(value, dict) and "required" not in value else []
    return own + [one for child in inner for one in _objects(child)] or [{}]


DOCUMENTS = documents()


class Engines:
    """Both engines for one schema."""

    def __init__(self, schema: Any) -> None:
        self._fast = jsonschema_rs.Draft202012Validator(schema, validate_formats=False)
        self._slow = jsonschema.Draft202012Validator(schema)

    def agree(self, document: Any, *, accepts: bool) -> bool:
        """Return whether both engines give this verdict; an engine that fails does not agree."""
        try:
            return self._fast.is_valid(document) is accepts and self._slow.is_valid(document) is accepts
        except (re.error, RecursionError, ValueError):
            return False


@pytest.mark.timeout(3600)
@pytest.mark.parametrize("portion", range(PORTIONS))
def test_no_document_contradicts_a_verdict_about_any_keywords(portion: int) -> None:
    schemas = Schemas(portion)
    judged, false = 0, []
    for _ in range(PAIRS // PORTIONS):
        old, new = schemas.pair()
        try:
            comparison, engines = compare(old, new), (Engines(old), Engines(new))
        except ValueError:  # not a schema, endless, or with a pattern that an engine does not compile
            continue
        judged += 1
        for way, (accepting, refusing) in (("backward", engines), ("forward", engines[::-1])):

            def breaks(document: Any, accepting: Engines = accepting, refusing: Engines = refusing) -> bool:
                return accepting.agree(document, accepts=True) and refusing.agree(document, accepts=False)

            shown = [getattr(change, f"witness_{way}") for change in comparison.changes]
            false += [
                ("no witness", old, new, one) for one in shown if one is not NO_WITNESS and not breaks(one)
            ]
            if getattr(comparison, way) == Verdict.COMPATIBLE:
                false += [(way, old, new, one) for one in DOCUMENTS if breaks(one)]

    assert false == []
    assert judged > PAIRS // PORTIONS // 3
