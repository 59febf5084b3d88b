"""A message belongs to the trace of the request that caused the message."""

import pytest

from mailpact_producer.trace import RANDOM_BYTES, continued

RANDOM = bytes(range(1, RANDOM_BYTES + 1))
GIVEN = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
NEW = "00-0102030405060708090a0b0c0d0e0f10-1112131415161718-01"


def test_trace_that_was_begun_goes_on_with_a_span_of_its_own() -> None:
    assert continued(GIVEN, RANDOM) == "00-0af7651916cd43dd8448eb211c80319c-1112131415161718-00"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "x",
        GIVEN.upper(),
        GIVEN + "\n",
        " " + GIVEN,
        GIVEN + "-more",
        "ff" + GIVEN[2:],
        "00-" + "0" * 32 + GIVEN[35:],
        GIVEN[:36] + "0" * 16 + GIVEN[52:],
        GIVEN.replace("a", "\u0661"),
        "0" * 100_000,
    ],
)
def test_any_other_header_begins_a_new_trace(header: str) -> None:
    assert continued(header, RANDOM) == NEW
