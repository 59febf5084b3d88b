"""A mail's bytes: exactly what was asked for, nothing else, and the same each time."""

import email.parser
import email.policy
from datetime import UTC, datetime

from hypothesis import example, given
from hypothesis import strategies as st

from mailpact_consumer.message import MailRequest
from mailpact_consumer.render import render, subject_of

DATE = datetime(2026, 11, 24, 9, 30, 5, tzinfo=UTC)
ID = "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11"
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=1500)
PARSER = email.parser.BytesParser(policy=email.policy.default)


def mail_with(text: str) -> bytes:
    request = MailRequest(ID, True, "email/1", "ada@example.org", text, "0" * 64, None)
    return render(request, mail_from="cms@mail.example", domain="mail.example", date=DATE)


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
