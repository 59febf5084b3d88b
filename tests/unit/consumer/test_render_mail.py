"""The bytes of a mail of email/2: RFC 5322, 2045, 2047 and 2231, for any Unicode."""

import base64
import email.policy
import re
import time
from binascii import b2a_qp
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from typing import Any

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mailpact_consumer.mail import Attachment, Content, ListUnsubscribe, Mail
from mailpact_consumer.mailbox import Mailbox
from mailpact_consumer.parts import quoted_printable
from mailpact_consumer.render_mail import render_mail
from tests.unit.consumer.mails import PARSER, comparable, shown_by

DATE = datetime(2026, 11, 24, 9, 30, 5, tzinfo=UTC)
MESSAGE_ID = "<5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11.cfe00dde@mail.example>"
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=1500)
CONTROLS = "".join(map(chr, [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029]))
ONE_LINE = st.characters(codec="utf-8", exclude_characters=CONTROLS)
TURNING = "".join(map(chr, [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]))
NAME = st.text(ONE_LINE, max_size=128).map(lambda name: name.strip(" "))
SUBJECT = st.text(ONE_LINE, min_size=1, max_size=200).map(lambda text: text.strip(" ")).filter(bool)
FILENAME = st.text(
    st.characters(codec="utf-8", exclude_characters=CONTROLS + TURNING + "/\\"), min_size=1, max_size=128
).filter(lambda name: name[0] not in ". " and name[-1] not in ". ")
ADA, BEN = Mailbox("ada@example.org"), Mailbox("ben@example.org")
LONG_ADDRESS = f"{'a' * 64}@{'.'.join(['b' * 63] * 2)}.{'c' * 58}"


def mail(
    subject: str = "Hello",
    *,
    text: str | None = "Hello, reader.",
    html: str | None = None,
    sender: Mailbox = ADA,
    to: tuple[Mailbox, ...] = (BEN,),
    attachments: tuple[Attachment, ...] = (),
    list_unsubscribe: ListUnsubscribe | None = None,
) -> Mail:
    return Mail(sender, to, (), None, Content(subject, text, html), attachments, list_unsubscribe)


def rendered(value: Mail) -> bytes:
    return render_mail(value, date=DATE, boundary="0123456789abcdef").with_message_id(MESSAGE_ID)


def header_of(raw: bytes) -> bytes:
    return raw.partition(b"\r\n\r\n")[0]


def check_lines(raw: bytes) -> None:
    """Check a mail against RFC 5322 2.1.1 and 2.3: ASCII, CRLF as the only line end, no line over 998 bytes."""
    assert raw.isascii()
    assert raw.replace(b"\r\n", b"").count(b"\n") == raw.replace(b"\r\n", b"").count(b"\r") == 0
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert b"\0" not in raw


def test_mail_with_everything_is_these_bytes() -> None:
    value = Mail(
        Mailbox("shop@mail.example", "Der Läden"),
        (Mailbox("ann@example.org", "Ann, Reader"), BEN),
        (Mailbox("c@example.org", "Cee"),),
        Mailbox("help@mail.example"),
        Content("Grüße", "Hello\n=_.", "<p>grün</p>"),
        (
            Attachment("a.pdf", "application/pdf", "YQ=="),
            Attachment("ö.png", "image/png", "Yg==", content_id="logo"),
        ),
        ListUnsubscribe("https://mail.example/u", "leave+x=1@mail.example", one_click=True),
    )

    assert rendered(value).decode() == "\r\n".join(
        [
            f"Message-ID: {MESSAGE_ID}",
            "From: =?utf-8?b?RGVyIEzDpGRlbg==?= <shop@mail.example>",
            'To: "Ann, Reader" <ann@example.org>,',
            " ben@example.org",
            "Cc: Cee <c@example.org>",
            "Reply-To: help@mail.example",
            "Subject: =?utf-8?b?R3LDvMOfZQ==?=",
            "Date: Tue, 24 Nov 2026 09:30:05 +0000",
            "Auto-Submitted: auto-generated",
            "List-Unsubscribe: <https://mail.example/u>, <mailto:leave+x%3D1@mail.example>",
            "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
            "MIME-Version: 1.0",
            "Content-Type: multipart/mixed;",
            ' boundary="=_m0123456789abcdef"',
            "",
            "--=_m0123456789abcdef",
            "Content-Type: multipart/alternative;",
            ' boundary="=_a0123456789abcdef"',
            "",
            "--=_a0123456789abcdef",
            'Content-Type: text/plain; charset="utf-8"',
            "Content-Transfer-Encoding: quoted-printable",
            "",
            "Hello",
            "=3D_.",
            "--=_a0123456789abcdef",
            'Content-Type: multipart/related; type="text/html";',
            ' boundary="=_r0123456789abcdef"',
            "",
            "--=_r0123456789abcdef",
            'Content-Type: text/html; charset="utf-8"',
            "Content-Transfer-Encoding: quoted-printable",
            "",
            "<p>gr=C3=BCn</p>",
            "--=_r0123456789abcdef",
            "Content-Type: image/png",
            "Content-Transfer-Encoding: base64",
            "Content-Disposition: inline;",
            " filename*=utf-8''%C3%B6.png",
            "Content-ID: <logo>",
            "",
            "Yg==",
            "--=_r0123456789abcdef--",
            "",
            "--=_a0123456789abcdef--",
            "",
            "--=_m0123456789abcdef",
            "Content-Type: application/pdf",
            "Content-Transfer-Encoding: base64",
            'Content-Disposition: attachment; filename="a.pdf"',
            "",
            "YQ==",
            "--=_m0123456789abcdef--",
            "",
        ]
    )


@given(TEXT, TEXT)
@example("x\r\nBcc: evil@example.org", "--=_a0123456789abcdef--\r\n")
@example("a" * 3000, "ж" * 3000)
@example("\r", "a\r\nb\rc\n")
@example(".\n..\n", "From here\n\n")
@example(" \n\t\n ", "trailing \nspace\t\n=\n=20")
@example("\x0c\x0b\x85\u2028\x1c", "\x00")
@example("é \n", "é\t")
def test_any_text_and_html_arrive_as_they_are(text: str, html: str) -> None:
    raw = rendered(mail(text=text, html=html))

    check_lines(raw)
    shown = shown_by(raw)
    assert shown["structure"] == {"multipart/alternative": ["text/plain", "text/html"]}
    parts = [part.get_payload(decode=True) for part in PARSER.parsebytes(raw).iter_parts()]
    assert [part.decode().replace("\r\n", "\n") for part in parts] == [
        each.replace("\r\n", "\n") for each in (text, html)
    ]


@given(TEXT)
@example("\r")
@example("é\r\n\r\n")
def test_one_part_alone_arrives_as_it_is(text: str) -> None:
    raw = rendered(mail(text=text))

    check_lines(raw)
    payload = PARSER.parsebytes(raw).get_payload(decode=True)
    assert comparable(payload.decode()) == comparable(text)


@given(
    st.lists(
        st.tuples(
            st.text("aaaa=. \t\x0cé", max_size=4), st.sampled_from([0, 1, 70, 71, 72, 73, 74, 75, 76, 77])
        ).flatmap(
            lambda end: st.sampled_from(["a", "=", "a=", "aa=", "=="]).map(
                lambda fill: (fill * 77)[: end[1]] + end[0]
            )
        ),
        max_size=4,
    ).map("\n".join)
)
@example("a" * 76)
@example("a" * 77 + "\n" + "a" * 73 + "=")
def test_quoted_printable_is_what_the_library_makes_of_it(text: str) -> None:
    assert quoted_printable(text) == b2a_qp(text.encode(), istext=True).decode("ascii")


@given(SUBJECT, NAME, NAME, FILENAME)
@example("=?utf-8?q?evil?=", "=?utf-8?q?evil?=", "Bcc: evil@example.org", "=?utf-8?q?evil?=.txt")
@example("a" * 200, "a" * 128, '"' * 128, "a" * 128)
@example("🦉" * 200, "🦉" * 128, "狐" * 128, "狐" * 128)
@example("x  y", "x  y", "x, <y@z.example>", 'a"; filename="b.exe')
@example("%41", "a\\", '\\"', "a%20b.txt")
@example("'", "'", "(comment)", "utf-8''a.txt")
@example("\ufeff", "\u00a0", "\u3000x", "\u00a0.txt")
def test_any_subject_name_and_file_name_arrive_and_add_no_field(
    subject: str, sender_name: str, name: str, filename: str
) -> None:
    sender, reader = Mailbox("ada@example.org", sender_name), Mailbox(LONG_ADDRESS, name)
    file = Attachment(filename, "application/octet-stream", "")
    raw = rendered(mail(subject, sender=sender, to=(reader, BEN), attachments=(file,)))

    check_lines(raw)
    shown = shown_by(raw)
    assert shown["subject"] == subject
    assert shown["from"].get("name", "") == sender_name
    assert [(box.get("name", ""), box["address"]) for box in shown["to"]] == [
        (name, LONG_ADDRESS),
        ("", BEN.address),
    ]
    assert shown["attachments"][0]["filename"] == filename
    assert PARSER.parsebytes(raw).keys() == [
        *("Message-ID", "From", "To", "Subject", "Date", "Auto-Submitted", "MIME-Version", "Content-Type")
    ]
    words = re.findall(rb"=\?utf-8\?b\?[^?]*\?=", header_of(raw))
    assert all(len(word) <= 75 for word in words)
    assert all(len(line) <= 78 for line in header_of(raw).split(b"\r\n") if LONG_ADDRESS.encode() not in line)


LOST_BY_THE_LIBRARY = "\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"  # it takes them for line ends


def library_text(size: int, **kinds: Any) -> st.SearchStrategy[str]:
    kinds = {"codec": "utf-8", **kinds}
    kinds["exclude_characters"] = kinds.get("exclude_characters", "") + LOST_BY_THE_LIBRARY
    return st.text(st.characters(**kinds), min_size=1, max_size=size)


@given(
    library_text(800),
    library_text(800),
    library_text(60, exclude_characters=CONTROLS),
    st.binary(max_size=300),
)
def test_mail_is_what_the_library_makes_of_it(text: str, html: str, subject: str, content: bytes) -> None:
    subject = f"x{subject}x"
    assume("=?" not in subject)  # the library leaves it as it is, and readers take it for an encoded word
    theirs = EmailMessage(policy=email.policy.SMTP)
    theirs["From"], theirs["To"] = str(ADA.address), Address(subject, addr_spec=BEN.address)
    theirs["Subject"] = subject
    theirs.set_content(text)
    theirs.add_alternative(html, subtype="html")
    theirs.add_attachment(content, maintype="application", subtype="pdf", filename=subject)
    file = Attachment(subject, "application/pdf", base64.b64encode(content).decode())
    ours = mail(subject, text=text, html=html, to=(Mailbox(BEN.address, subject),), attachments=(file,))

    shown, by_the_library = shown_by(rendered(ours)), shown_by(theirs.as_bytes())
    for part in ("text", "html"):  # the library ends each with a line end
        shown[part] = comparable(shown[part] + "\n")
    assert shown == by_the_library


@given(st.binary(max_size=400))
def test_any_file_arrives_byte_for_byte(content: bytes) -> None:
    file = Attachment("a.bin", "application/octet-stream", base64.b64encode(content).decode())
    raw = rendered(mail(attachments=(file,)))

    _, part = PARSER.parsebytes(raw).iter_parts()
    assert part.get_payload(decode=True) == content
    assert max(map(len, raw.split(b"\r\n"))) <= 78


def test_text_that_holds_the_boundary_is_encoded() -> None:
    raw = rendered(mail(text="--=_a0123456789abcdef", html="--=_a0123456789abcdef--"))

    assert len(list(PARSER.parsebytes(raw).iter_parts())) == 2


def test_hundred_recipients_of_long_names_stay_within_the_line_limits() -> None:
    raw = rendered(mail(to=tuple(Mailbox(f"r{n}@example.org", "狐" * 128) for n in range(50))))

    check_lines(raw)
    assert len(shown_by(raw)["to"]) == 50


@pytest.mark.parametrize(
    ("address", "uri"),
    [("a&b@c.example", "a%26b@c.example"), ("a%b?x#/@c.example", "a%25b%3Fx%23%2F@c.example")],
)
def test_address_for_leaving_is_written_as_a_uri(address: str, uri: str) -> None:
    raw = rendered(mail(list_unsubscribe=ListUnsubscribe(f"https://a.example/{'x' * 880}", address)))

    check_lines(raw)
    assert str(PARSER.parsebytes(raw)["List-Unsubscribe"]).endswith(f", <mailto:{uri}>")
    assert "List-Unsubscribe-Post" not in PARSER.parsebytes(raw)


def test_parameter_stands_once() -> None:
    kind = "text/calendar; charset=utf-8;method=REQUEST"
    file = Attachment("a.ics", "text/plain; charset=utf-8; charset=iso-8859-1", "")
    raw = rendered(mail(attachments=(file, Attachment("b.ics", kind, ""))))

    assert b"Content-Type: text/plain; charset=utf-8\r\n" in raw
    assert b"Content-Type: text/calendar; charset=utf-8; method=REQUEST\r\n" in raw


def test_mail_of_five_kilobytes_takes_at_most_150_microseconds() -> None:
    line = "Grüße aus Köln, über die Brücke.\n"
    value = mail(text=line * 70, html=f"<p>{line}</p>\n" * 70)

    def once() -> float:
        began = time.thread_time()
        for _ in range(50):
            rendered(value)
        return (time.thread_time() - began) / 50

    assert min(once() for _ in range(20)) <= 150e-6
