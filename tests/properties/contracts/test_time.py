import time

import pytest

from mailpact_contract_tool.compare.schemas import compare


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"pattern": "^(a|b)*a(a|b){25}$"}, {"pattern": "^(a|b)*a(a|b){24}$"}),
        (
            {"type": "string", "pattern": "^(a+)+$", "maxLength": 60},
            {"type": "string", "pattern": "^(a+)+b$"},
        ),
        ({"items": {"multipleOf": 7919}}, {"items": {"multipleOf": 104729}}),
        ({"minItems": 1_000_000}, {"minItems": 1_000_001}),
        ({"maxLength": 10**9}, {"maxLength": 10**9 + 1}),
        (
            {"oneOf": [{"required": [f"m{n}"], "minProperties": n} for n in range(12)]},
            {"oneOf": [{"required": [f"m{n}"], "minProperties": n + 1} for n in range(12)]},
        ),
        (
            {"allOf": [{"anyOf": [{"required": [f"a{n}"]}, {"required": [f"b{n}"]}]} for n in range(12)]},
            {"allOf": [{"anyOf": [{"required": [f"b{n}"]}, {"required": [f"c{n}"]}]} for n in range(12)]},
        ),
    ],
)
def test_what_explodes_ends_in_time(old, new):
    begin = time.process_time()

    compare(old, new)

    assert time.process_time() - begin < 15
