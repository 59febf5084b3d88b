"""Mails are read strictly."""

import pytest

from mailpact_kit.mail import Mail, Unreadable, is_same_text, text_of

MULTIPART = (
    'Content-Type: multipart/alternative; boundary="b"\n\n'
    "--b\nContent-Type: text/html\n\n<p>no\n--b\nContent-Type: text/plain\n\nyes\n--b--\n"
)


def read(content: str) -> str | Unreadable:
    """Read a mail of these bytes."""
    return text_of(Mail(0.0, "", (), content.replace("\n", "\r\n").encode("latin-1")))


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("\nplain", "plain"),
        ("Content-Type: text/plain; charset=iso-8859-1\n\n\xe9", "é"),
        ("Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\nw6k=\n", "é"),
        (
            "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: quoted-printable\n\n=C3=A9",
            "é",
        ),
        (MULTIPART, "yes"),
    ],
)
def test_text_is_decoded_as_the_mail_declares(content: str, expected: str) -> None:
    assert read(content) == expected


@pytest.mark.parametrize(
    "content",
    [
        "\n\xe9",
        "Content-Type: text/plain; charset=utf-8\n\n\xe9",
        "Content-Type: text/plain; charset=no-such\n\nx",
        "Content-Type: text/html\n\n<p>x",
    ],
)
def test_text_is_never_guessed(content: str) -> None:
    assert isinstance(read(content), Unreadable)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ("a\nb", "a\r\nb\r\n", True),
        ("a", "a\n\n", False),
        ("a ", "a", False),
        ("e\u0301", "é", False),
    ],
)
def test_texts_are_compared_as_the_contract_has_it(one: str, other: str, *, expected: bool) -> None:
    assert is_same_text(one, other) is expected
