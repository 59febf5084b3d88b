"""A mail has exactly the requested content, and the same bytes each time."""

import email.parser
import email.policy
import email.utils
from datetime import UTC, datetime
from email.header import decode_header, make_header

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.message import Identity, MailRequest, recipient_of
from mailpact_consumer.render import Renderer, subject_of

DATE = datetime(2026, 11, 24, 9, 30, 5, tzinfo=UTC)
ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=1500)
CMS = Mailbox("cms@mail.example")
PARSER = email.parser.BytesParser(policy=email.policy.default)


def mail_with(text: str, mail_from: Mailbox = CMS) -> bytes:
    identity, recipient = Identity(ID, None, is_known=True), recipient_of("ada@example.org")
    request = MailRequest(identity, "email/1", (recipient,), text, "0" * 64, None)
    return Renderer(request, mail_from=mail_from, domain="mail.example").mail(recipient, first_seen=DATE)


def test_mail_is_these_bytes() -> None:
    assert mail_with("Hello\n\nada") == (
        b"From: cms@mail.example\r\n"
        b"To: ada@example.org\r\n"
        b"Subject: Hello\r\n"
        b"Date: Tue, 24 Nov 2026 09:30:05 +0000\r\n"
        b"Message-ID: <5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11.cfe00dde@mail.example>\r\n"
        b"Auto-Submitted: auto-generated\r\n"
        b"MIME-Version: 1.0\r\n"
        b'Content-Type: text/plain; charset="us-ascii"\r\n'
        b"Content-Transfer-Encoding: 7bit\r\n"
        b"\r\n"
        b"Hello\r\n\r\nada"
    )


@given(TEXT)
@example("x\r\nBcc: evil@example.org")
@example("=?utf-8?q?evil?=")
@example("a" * 3000)
@example("ж" * 3000)
@example("\r")
@example(".\n..\n")
def test_any_text_arrives_as_it_is_in_a_mail_that_smtp_can_carry(text: str) -> None:
    raw = mail_with(text)

    mail = PARSER.parsebytes(raw)
    payload = mail.get_payload(decode=True)
    assert isinstance(payload, bytes)
    assert payload.decode().replace("\r\n", "\n") == text.replace("\r\n", "\n")
    assert str(mail["Subject"]) == subject_of(text)
    assert raw.isascii()
    assert raw.replace(b"\r\n", b"").count(b"\n") == raw.replace(b"\r\n", b"").count(b"\r") == 0
    assert max(map(len, raw.split(b"\r\n"))) <= 998


@given(TEXT)
def test_no_text_adds_a_header_and_the_same_request_gives_the_same_bytes(text: str) -> None:
    raw = mail_with(text)

    assert raw == mail_with(text)
    assert PARSER.parsebytes(raw).keys() == [
        *("From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted"),
        *("MIME-Version", "Content-Type", "Content-Transfer-Encoding"),
    ]


@given(TEXT)
def test_subject_is_one_clean_line_of_at_most_200_code_points(text: str) -> None:
    subject = subject_of(text)

    assert 1 <= len(subject) <= 200
    assert subject == subject.strip(" ")
    assert not any(ord(character) < 0x20 or 0x7F <= ord(character) <= 0x9F for character in subject)


@pytest.mark.parametrize(
    ("text", "field"),
    [
        ("shop@example.org", b"From: shop@example.org"),
        ("Shop <shop@example.org>", b"From: Shop <shop@example.org>"),
        ("The Old Shop <shop@example.org>", b"From: The Old Shop <shop@example.org>"),
        ('"Shop, Inc." <shop@example.org>', b'From: "Shop, Inc." <shop@example.org>'),
        ('"a \\"b\\" \\\\" <shop@example.org>', b'From: "a \\"b\\" \\\\" <shop@example.org>'),
        ("Grüße <shop@example.org>", b"From: =?utf-8?b?R3LDvMOfZQ==?= <shop@example.org>"),
        ("<shop@example.org>", b"From: shop@example.org"),
    ],
)
def test_display_name_stands_in_from_as_a_header_may_carry_it(text: str, field: bytes) -> None:
    assert mail_with("Hello", mail_from=Mailbox.parse(text)).startswith(field + b"\r\nTo: ")


@given(st.text(st.characters(codec="utf-8", exclude_categories=["C", "Zl", "Zp"]), max_size=200))
@example("=?utf-8?q?x?=")
@example("a" * 200)
def test_reader_sees_the_display_name_as_it_was_set(name: str) -> None:
    mail = mail_with("Hello", mail_from=Mailbox("shop@example.org", name.strip()))

    # The header parser of Python 3.11 puts spaces between encoded words of a phrase; RFC 2047 6.2 joins them.
    shown, address = email.utils.parseaddr(email.message_from_bytes(mail)["From"])
    assert str(make_header(decode_header(shown))).split() == name.split()
    assert address == "shop@example.org"


@pytest.mark.parametrize(
    "text",
    ["a\r\nBcc: x <shop@example.org>", "a\x00 <b@c.example>", "x" * 201 + " <b@c.example>"],
)
def test_display_name_that_no_header_may_carry_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="the name in"):
        Mailbox.parse(text)
