"""Web addresses and one-time codes are found in a mail; in the page's text, addresses become links."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact_capture import found_in_text
from mailpact_capture.mail import parse
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
        ("HTTPS://X.org/A, Http://y.org", ["HTTPS://X.org/A", "Http://y.org"]),
        ("(see https://x.org/a_(b)) and [https://x.org/c]", ["https://x.org/a_(b)", "https://x.org/c"]),
        ("打开 https://x.org/a。「https://x.org/b」", ["https://x.org/a", "https://x.org/b"]),
    ],
)
def test_only_web_addresses_are_links(text: str, found: list[str]) -> None:
    assert links(text) == found


@pytest.mark.parametrize(
    ("markup", "found"),
    [
        ('<a href="HTTPS://x.org/A">', ("HTTPS://x.org/A",)),
        ('<a href=" https://x.org/a\nb?c=1&amp;d=2 ">', ("https://x.org/ab?c=1&d=2",)),
        ('<a href="JavaScript:alert(1)"><a href="//x.org"><a href="ftp://x.org">', ()),
    ],
)
def test_links_of_html_are_those_that_a_browser_follows(markup: str, found: tuple[str, ...]) -> None:
    assert found_in_text.links(parse(b"Content-Type: text/html\r\n\r\n" + markup.encode())) == found


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Your code is 123456.", ("123456",)),
        ("Code:123456", ("123456",)),
        ("OTP=123-456", ("123456",)),
        ("Your code, valid until 2027:\n\n 123 456 \n", ("2027", "123456")),
        ("您的验证码是123456。请勿泄露", ("123456",)),
        ("認証コードは123456です", ("123456",)),
        ("인증번호는 123456입니다", ("123456",)),
        ("The code is on port:8025 at 12:3456", ()),
        ("code=abc&order=123456", ()),
        ("code https://x.org/123456 123456abc", ()),
        ("Order 123456 is on its way", ()),
    ],
)
def test_codes_are_those_that_the_text_calls_so(text: str, found: tuple[str, ...]) -> None:
    assert found_in_text.codes(parse(b"\r\n" + text.encode())) == found


def test_code_is_found_in_the_html_if_the_text_has_none() -> None:
    html = b"Content-Type: text/html\r\n\r\n<p>Your code</p><b>123456</b>"
    raw = (
        b"Content-Type: multipart/alternative; boundary=b\r\n\r\n--b\r\n\r\nUse HTML.\r\n--b\r\n"
        + html
        + b"\r\n--b--"
    )

    assert found_in_text.codes(parse(raw)) == ("123456",)


@pytest.mark.parametrize(
    "text", ["1234 " * 20_000, "code:1234 " * 10_000, ("https://x.org/" + "(" * 999 + ")" * 999) * 130]
)
def test_long_text_is_read_in_linear_time(text: str) -> None:
    mail = parse(b"\r\n" + text.encode())
    began = time.process_time()

    found_in_text.links(mail)
    found_in_text.codes(mail)

    assert time.process_time() - began < 2
