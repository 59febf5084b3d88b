"""Web addresses in a text become links; the text stays what it is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact_capture.viewer.links import pieces


def links(text: str) -> list[str]:
    return [piece.text for piece in pieces(text) if piece.is_link]


@given(st.text() | st.from_regex(r"(?s).*https?://.*"))
def test_pieces_together_are_the_text(text: str) -> None:
    assert "".join(piece.text for piece in pieces(text)) == text


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("see https://x.org/a?b=1&c=2.", ["https://x.org/a?b=1&c=2"]),
        ("(http://x.org)", ["http://x.org"]),
        ("<https://x.org/>", ["https://x.org/"]),
        ("javascript:alert(1) data:text/html,x", []),
        ('https://x.org/"onmouseover=alert(1)', ["https://x.org/"]),
        ("two https://a.org https://b.org", ["https://a.org", "https://b.org"]),
    ],
)
def test_only_web_addresses_are_links(text: str, found: list[str]) -> None:
    assert links(text) == found
