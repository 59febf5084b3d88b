"""The parts of a mail that the viewer shows. Parsing never fails."""

from email.message import EmailMessage

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact_capture.addresses import MAX_ADDRESSES, Address
from mailpact_capture.envelope import is_clean, namespaces, parse_path
from mailpact_capture.headers import MAX_HEADER_FIELDS
from mailpact_capture.ids import PUBLIC_ID, RANDOM_BYTES, public_id
from mailpact_capture.mail import parse
from mailpact_capture.mime import MAX_DEPTH, MAX_PARTS
from mailpact_capture.provenance import amqp_message_id


def mail_of(**fields: str) -> bytes:
    message = EmailMessage()
    for name, value in fields.items():
        message[name.replace("_", "-")] = value
    message.set_content("Grüße\n")
    return message.as_bytes()


def test_header_and_text_are_decoded() -> None:
    mail = parse(
        mail_of(From="Ada Lovelace <ada@example.org>", To="b@x.org, C <c@x.org>", Subject="Привет, мир")
    )

    assert mail.sender == Address("Ada Lovelace", "ada@example.org")
    assert mail.to == (Address("", "b@x.org"), Address("C", "c@x.org"))
    assert (mail.subject, mail.text, mail.defect) == ("Привет, мир", "Grüße\n", "")


def test_attachments_are_told_from_text() -> None:
    message = EmailMessage()
    message.set_content("text")
    message.add_alternative("<p>html</p>", subtype="html")
    message.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="räum.pdf")

    raw = message.as_bytes()
    mail = parse(raw)

    assert (mail.text.strip(), mail.html.strip()) == ("text", "<p>html</p>")
    assert [
        (each.part.file_name(), each.part.content_type, each.content(raw)) for each in mail.attachments
    ] == [("räum.pdf", "application/pdf", b"%PDF")]


@pytest.mark.parametrize(
    "raw", [b"", b"\r\n", b"no header at all", b"\xff\xfe\x00", b"Subject: x", b": \r\n\r\n"]
)
def test_what_is_no_mail_is_shown_all_the_same(raw: bytes) -> None:
    assert parse(raw).subject in ("", "x")


@given(st.binary(max_size=500))
def test_no_bytes_make_parsing_fail(raw: bytes) -> None:
    mail = parse(raw)

    mail.snippet().encode()
    mail.subject.encode()


@given(
    st.binary(max_size=60), st.sampled_from(["Subject", "From", "To", "Date", "Content-Type", "Message-ID"])
)
def test_no_field_makes_parsing_fail(value: bytes, name: str) -> None:
    parse(name.encode() + b": " + value + b"\r\n\r\ntext").subject.encode()


def test_mail_of_a_million_parts_is_bounded_and_says_so() -> None:
    raw = b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * (5 * MAX_PARTS)

    mail = parse(raw)

    assert mail.defect == f"more than {MAX_PARTS} parts"
    assert len(mail.attachments) <= MAX_PARTS


@pytest.mark.parametrize(
    ("header", "message_id"),
    [
        (
            "<5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11.804b82e2@mail.example>",
            "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11",
        ),
        (
            "<5D0F7A3E-2F4B-4C7E-9A51-0D6B6F0F3A11.804b82e2@mail.example>",
            "5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11",
        ),
        ("<5d0f7a3e-2f4b-4c7e-9a51-0d6b6f0f3a11@mail.example>", None),
        ("<somebody.else@mail.example>", None),
        ("", None),
    ],
)
def test_message_that_a_mail_comes_from_is_told_and_never_guessed(
    header: str, message_id: str | None
) -> None:
    assert amqp_message_id(header) == message_id


@pytest.mark.parametrize(
    ("argument", "path"),
    [
        ("<a@x.org>", ("a@x.org", "")),
        ("<>", ("<>", "")),
        ("<a@x.org> SIZE=10 BODY=8BITMIME", ("a@x.org", "SIZE=10 BODY=8BITMIME")),
        ("a@x.org", ("a@x.org", "")),
        ('<"a b"@x.org>', ('"a b"@x.org', "")),
        ("<a@x.org", None),
        ("<a@x.org>\rRCPT", None),
        ("<a\0@x.org>", None),
        ("", None),
    ],
)
def test_path_is_taken_as_written_or_not_at_all(argument: str, path: tuple[str, str] | None) -> None:
    assert parse_path(argument) == path


@pytest.mark.parametrize("argument", ["a\r", "a\n", "a\0", "\ud800"])
def test_control_characters_have_no_place_in_a_command(argument: str) -> None:
    assert not is_clean(argument)


RANDOM = st.binary(min_size=RANDOM_BYTES, max_size=RANDOM_BYTES)
MICROSECONDS = st.integers(min_value=0, max_value=(1 << 48) * 1000 - 1)


@given(MICROSECONDS, RANDOM, RANDOM)
def test_public_ids_are_22_characters_and_as_different_as_their_randomness(
    now_us: int, one: bytes, other: bytes
) -> None:
    assert PUBLIC_ID.fullmatch(public_id(now_us, one))
    assert (public_id(now_us, one) == public_id(now_us, other)) == (one == other)


@given(MICROSECONDS, MICROSECONDS, RANDOM, RANDOM)
def test_public_ids_of_later_mails_sort_behind_those_of_earlier_mails(
    one_us: int, other_us: int, one: bytes, other: bytes
) -> None:
    earlier, later = sorted((one_us, other_us))
    assert earlier // 1000 == later // 1000 or public_id(earlier, one) < public_id(later, other)


def test_parts_within_parts_are_bounded_and_the_mail_says_so() -> None:
    raw = b"".join(
        b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (level, level)
        for level in range(2 * MAX_DEPTH)
    )

    mail = parse(raw)

    assert mail.defect == f"parts within parts, over {MAX_DEPTH} levels"
    assert max(depth for depth, _ in mail.root.tree()) <= MAX_DEPTH


def test_header_fields_are_bounded_and_the_mail_says_so() -> None:
    mail = parse(b"To: a@x.org\r\n" * (2 * MAX_HEADER_FIELDS) + b"\r\n")

    assert mail.defect == f"more than {MAX_HEADER_FIELDS} header fields"
    assert (len(mail.fields), len(mail.to)) == (MAX_HEADER_FIELDS, MAX_ADDRESSES)


def test_tag_of_a_namespace_is_read_in_upper_and_lower_case() -> None:
    assert namespaces(["A+NS-One@x.org", "b+tag+ns-ONE@x.org", "c+ns-two@x.org", "d+ns-@x.org"]) == (
        "one",
        "two",
    )
