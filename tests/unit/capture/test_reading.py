"""Mail is read as mail programs read it: a broken part does not affect the other parts."""

import time
from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mailpact_capture.addresses import Address, addresses
from mailpact_capture.headers import MAX_VALUE_CHARACTERS, decode_words, parameters, split_fields
from mailpact_capture.mail import parse
from mailpact_capture.search import MAX_SEARCHED_BYTES, fold_capped
from mailpact_capture.shown_html import shown_html
from tests.timing import at_most

ADA = Address("", "ada@x.org")
BOB = Address("", "bob@x.org")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("noreply@x.org <noreply@x.org>", [Address("noreply@x.org", "noreply@x.org")]),
        ("ada@x.org, bob@x.org,", [ADA, BOB]),
        ("ada@x.org; bob@x.org", [ADA, BOB]),
        ("ada@x.org bob@x.org", [ADA, BOB]),
        ('"Doe, Jo" <jo@x.org>, bob@x.org', [Address("Doe, Jo", "jo@x.org"), BOB]),
        ("Team: ada@x.org, bob@x.org;, undisclosed-recipients:;", [ADA, BOB]),
        ("ada@x.org (Ada (the first))", [Address("Ada (the first)", "ada@x.org")]),
        ('"a b"@x.org', [Address("", '"a b"@x.org')]),
        ("=?utf-8?Q?L=2C_Ada?= <ada@x.org>", [Address("L, Ada", "ada@x.org")]),
        ("<@relay.org:ada@x.org>", [ADA]),
        ("Mailer Daemon, bob@x.org", [Address("Mailer Daemon", ""), BOB]),
        ('"never closed <ada@x.org>, bob@x.org', [Address("never closed", "ada@x.org"), BOB]),
        ("(never closed, bob@x.org", [Address("never closed", ""), BOB]),
        ("<ada@x.org, bob@x.org", [ADA, BOB]),
        ("<<ada@x.org>>, bob@x.org>", [ADA, BOB]),
        ("Ada <ada@x.org> Bob <bob@x.org>", [Address("Ada", "ada@x.org"), Address("Bob", "bob@x.org")]),
        ("Ada ada@x.org", [Address("Ada", "ada@x.org")]),
        ('"L, Ada" ada@x.org', [Address("L, Ada", "ada@x.org")]),
        ("ada @ x.org", [ADA]),
        ("<@one.org,@two.org:ada@x.org>", [ADA]),
        ("=?utf-8?q?Ada_=3Cada=40x=2Eorg=3E?=", [Address("Ada", "ada@x.org")]),
        ("ada@[IPv6:::1]", [Address("", "ada@[IPv6:::1]")]),
        ("<ada@[IPv6:2001:db8::1]>", [Address("", "ada@[IPv6:2001:db8::1]")]),
        ("ada@x.org (one (two (three (four)))), bob@x.org", [Address("one (two (three (four)))", "ada@x.org"), BOB]),
        ("Ada(L \\) x) <ada(her account)@x.org(her host)>", [Address("Ada", "ada@x.org")]),
        ("Ada <ada(\"a, b\")@x.org>", [Address("Ada", "ada@x.org")]),
        ("ada@x  . org, <bob @ x . org>", [ADA, BOB]),
        ('"Ada @ work" <ada@x.org>', [Address("Ada @ work", "ada@x.org")]),
        ('a."b c".d@x.org', [Address("", 'a."b c".d@x.org')]),
        ("<>, bob@x.org", [BOB]),
        ("(Empty list)(start)Hidden recipients  :(nobody(that I know))  ;", []),
        ("MAILER-DAEMON", [Address("", "MAILER-DAEMON")]),
        ("", []),
        (" , ;", []),
    ],
)  # fmt: skip
def test_addresses_are_read_one_by_one(value: str, expected: list[Address]) -> None:
    assert list(addresses([value])) == expected


@pytest.mark.parametrize(
    ("written", "decoded"),
    [
        ("=?UTF-8?Q?Caf=C3?= =?UTF-8?Q?=A9_ouvert?=", "Café ouvert"),
        ("=?utf-8?B?R3LDvMOfZQ?=", "Grüße"),
        ("=?utf-8?B?R3LDvMO?=\r\n =?utf-8?B?fZQ==?=".replace("\r\n", ""), "Grüße"),
        ("=?iso-8859-1?Q?=93x=94?=", "“x”"),
        ("=?utf-8*de?Q?J=C3=BCrgen?=", "Jürgen"),
        ("=?no-such-set?Q?abc?=", "abc"),
        ("=?utf-8?Q?a?= b =?utf-8?Q?c?=", "a b c"),
        ("plain =?broken", "plain =?broken"),
        ("=?UTF-8?Q?a=?= =?UTF-8?Q?C3=A9?=", "aé"),
        ("=?utf-8?Q?a b?=", "a b"),
        ("=?utf-8?Q?a=0D=0ABcc:_x?=", "a  Bcc: x"),
        ("=?hz-gb-2312?B?fns6OldWfn0=?=", "汉字"),
        ("=?cp932?B?h0A=?=", "①"),
        ("=?iso-2022-jp?B?GyRCRnxLXBsoQg==?=", "日本"),
        ("=?utf-16le?B?AGE=?= =?utf-8?Q?b?=", "愀b"),
    ],
)
def test_encoded_words_are_joined_and_forgiven(written: str, decoded: str) -> None:
    assert decode_words(written) == decoded


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ('filename="Übung.pdf"', "Übung.pdf"),
        ("filename=\"__.pdf\"; filename*=utf-8''%E4%BD%A0%E5%A5%BD.pdf", "你好.pdf"),
        ("filename*0=lo; filename*1=ng.pdf", "long.pdf"),
        ("filename*0*=utf-8''%C3%9C; filename*1=b.pdf", "Üb.pdf"),
        ('filename="=?utf-8?B?w6kucGRm?="', "é.pdf"),
        ('filename="a\\"b.pdf"', 'a"b.pdf'),
        ("filename=two words.pdf", "two words.pdf"),
        ("filename*1=ng.pdf; filename*0=lo", "long.pdf"),
        ("filename*0*=utf-8''%e2%82; filename*1*=%ac.pdf", "€.pdf"),
        ("filename*0=a; filename*10=k; filename*2=c", "ack"),
        ("filename*=iso-8859-1''%fc.pdf", "ü.pdf"),
        ("filename*=no-such-set''%c3%a9.pdf", "é.pdf"),
        ("FILENAME = up.pdf", "up.pdf"),
        ('filename="C:\\dir\\new.pdf"', "C:\\dir\\new.pdf"),
        ('filename="a;b.pdf"; filename="c.pdf"', "a;b.pdf"),
        ('filename="a\0b\r\n c.pdf"', "a b c.pdf"),
        ('filename="never closed.pdf', "never closed.pdf"),
    ],
)
def test_file_names_are_read_as_senders_mean_them(disposition: str, name: str) -> None:
    head = f"Content-Type: application/pdf\r\nContent-Disposition: attachment; {disposition}\r\n\r\nx"

    (attachment,) = parse(head.encode()).attachments

    assert attachment.part.file_name() == name


def test_disposition_may_be_missing_before_the_file_name() -> None:
    raw = b"Content-Type: image/png\r\nContent-Disposition: filename=a.png\r\n\r\nx"

    assert [each.part.file_name() for each in parse(raw).attachments] == ["a.png"]


def test_contradicting_file_names_spoil_nothing_else() -> None:
    disposition = "attachment; filename*=utf-8''a.pdf; filename*0*=utf-8''lo; filename*1*=ng.pdf"

    mail = parse(f"Subject: seen\r\nContent-Disposition: {disposition}\r\n\r\ntext".encode())

    assert (mail.subject, mail.defect, len(mail.attachments)) == ("seen", "", 1)


def test_bad_header_lines_spoil_only_themselves() -> None:
    head = b"X-Fred : dead\r\nno colon here\r\n continued\r\n: no name\r\nTo: ada@x.org\r\nSubject: a\r\n\tb\r\n\r\n"

    assert split_fields(head) == (("X-Fred", "dead"), ("To", "ada@x.org"), ("Subject", "a b"))
    assert parse(head + b"text").text == "text"


@pytest.mark.parametrize(
    ("charset", "content", "text"),
    [
        ("iso-8859-1", b"\x92 \x80", "\u2019 €"),
        ("gb2312", "镕".encode("gbk"), "镕"),
        ("windows-874", b"\xa1", "ก"),
        ("shift_jis", "①".encode("cp932"), "①"),
        ("us-ascii", "Grüße".encode(), "Grüße"),
        ("windows-1252", b"\x81", "\x81"),
        ("nobody-knows", "é".encode(), "é"),
        ("idna", b"x", "x"),
        ("unicode_escape", b"\\x41", "\\x41"),
        ("utf-16", b"\xfe\xff" + "hé".encode("utf-16-be"), "hé"),
        ("utf-16", "hé".encode("utf-16"), "hé"),
        ("utf-16le", "hé".encode("utf-16-le"), "hé"),
        ("utf-8", b"\xef\xbb\xbfh", "h"),
        ("iso-8859-1", b"\xef\xbb\xbf\xc3\xa9", "é"),
        ("cp850", b"\x82", "é"),
        ("IBM850", b"\x82", "é"),
        ("eucjp", "日本".encode("euc_jp"), "日本"),
        ("iso-2022-jp-2", "日本".encode("iso2022_jp_2"), "日本"),
        ("euc_cn", "镕".encode("gbk"), "镕"),
        ("iso8859_1", b"\x92", "\u2019"),
        ("utf-32le", "hé".encode("utf-32-le"), "hé"),
        ("utf_8", "é".encode(), "é"),
        ("646", "é".encode(), "é"),
        ("rot13", b"x", "x"),
        ("base64", b"aGk=", "aGk="),
        ("punycode", b"x-", "x-"),
        ('"utf-8" (a comment)', "é".encode(), "é"),
        ("ISO-8859-15 (Latin 9)", b"\xa4", "€"),
    ],
)
def test_character_sets_are_those_of_the_whatwg_table(charset: str, content: bytes, text: str) -> None:
    assert parse(b"Content-Type: text/plain; charset=%s\r\n\r\n" % charset.encode() + content).text == text


@pytest.mark.parametrize(
    ("charset", "encoding", "subject", "shown"),
    [
        ("koi8-r", "koi8-r", "Привет", "Привет"),
        ("Shift_JIS", "cp932", "日本語①", "日本語①"),
        ("gb2312", "gbk", "镕", "镕"),
        ("iso-8859-2", "iso-8859-2", "Čeština", "Čeština"),
        ("koi8-r", "utf-8", "Привет", "Привет"),
        ("utf-8", "cp1252", "Grüße", "Grüße"),
        ("us-ascii", "cp1252", "Grüße", "Grüße"),
        ("utf-16", "cp1252", "Grüße", "Grüße"),
        ("no-such-set", "cp1252", "Grüße", "Grüße"),
    ],
)
def test_bytes_in_a_header_are_in_the_character_set_of_its_text(
    charset: str, encoding: str, subject: str, shown: str
) -> None:
    head = f'Subject: {subject}\r\nContent-Type: application/pdf;\r\n charset="{charset}"; name="{subject}"\r\n\r\n'

    mail = parse(head.encode(encoding))

    assert (mail.subject, [each.part.file_name() for each in mail.attachments]) == (shown, [shown])


@pytest.mark.parametrize(
    ("markup", "text"),
    [
        (b"<meta charset=shift_jis>\x93\xfa", "日"),
        (b'<META http-equiv=Content-Type content="text/html; charset=iso-8859-7">\xeb', "λ"),
        (b"<meta charset=utf-16>\xc3\xa9", "é"),
        (b"<meta name=x>\xc3\xa9", "é"),
    ],
)
def test_html_without_a_label_says_its_character_set_itself(markup: bytes, text: str) -> None:
    html = parse(b"Content-Type: text/html\r\n\r\n" + markup).html

    assert html.endswith(f">{text}")


@pytest.mark.parametrize(
    ("encoding", "content", "text"),
    [
        ("BASE64 ", b"aMOp", "hé"),
        ('"base64"', b"aMOp", "hé"),
        ("base64", b"aGk=\r\naGk=\r\n", "hihi"),
        ("base64", b"aGVsbG8=\r\n\r\n-- \r\nsent by a list\r\n", "hello"),
        ("base64", b"aG!k\0", "hi"),
        ("base64", b"a", ""),
        ("quoted printable", b"h=C3=A9", "hé"),
        ("quoted-printable (x)", b"h=c3=a9", "hé"),
        ("quoted-printable", b"a \t\r\nb=20\r\n  c  ", "a\r\nb \r\n  c"),
        ("quoted-printable", b"a=\r\nb= \t\r\nc=3D=G1=", "abc==G1"),
        ("8bit", "é".encode(), "é"),
        ("x-uuencode", b"begin 644 a.txt\r\n#86)C\r\n#86)Ctrailing\r\n`\r\nend\r\nfooter", "abcabc"),
        ("uuencode", b"begin 644 a.txt\n#86)C", "abc"),
        ("uuencode", b"no such thing", "no such thing"),
        ("x-nobody-knows", b"h=C3=A9", "h=C3=A9"),
    ],
)
def test_broken_encodings_lose_nothing_that_can_be_read(encoding: str, content: bytes, text: str) -> None:
    assert parse(f"Content-Transfer-Encoding: {encoding}\r\n\r\n".encode() + content).text == text


@pytest.mark.parametrize(
    ("written", "utc"),
    [
        ("Sat, 28 Nov 2026 08:00:00 +0100", "07:00:00"),
        ("28 Nov 26 08:00 GMT", "08:00:00"),
        ("Sat, 28 Nov 2026 08:00:00 -0000", "08:00:00"),
        ("Sat, 28 Nov 2026 08:00:00 EST (New York)", "13:00:00"),
        ("Sat, 28 Nov 2026 08:00:00 +01:00", "07:00:00"),
        ("Sat, 28 Nov 2026 08:00:00 GMT+01:00", "07:00:00"),
        ("Sat, 28 Nov 2026 08:00:60 +0000", "08:00:59"),
        ("2026-11-28T08:00:00Z", "08:00:00"),
        ("2026-11-28 08:00:00+01:00", "07:00:00"),
        ("(a comment) Sat, 28 Nov 2026 08:00:00 +0100", "07:00:00"),
        ("Sat, 28 Nov 2026 (a (nested (one)) \\)) 08:00:00 +0100", "07:00:00"),
        ("Sat, 28 Nov 2026 08:00:00GMT", "08:00:00"),
        ("Sat, 28 Nov 2026 08:00:00+0100", "07:00:00"),
        ("Sat, 28 Nov 2026 08:00:60Z", "08:00:59"),
        *((bad, None) for bad in (
            "", "garbage", "Sat, 28 Nov 2026 25:00:00 +0000", "Sat, 00 Nov 2026 08:00:00 +0000", "9" * 300,
            "Sat, 28 Nov 2026 08:00:00 +9999", "Fri, 31 Dec 9999 23:59:59 -1200", "2026-13-41", "\u0661",
        )),
    ],
)  # fmt: skip
def test_dates_are_read_as_senders_write_them_or_not_at_all(written: str, utc: str | None) -> None:
    mail = parse(f"Date: {written}\r\nSubject: seen\r\n\r\n".encode())

    assert mail.subject == "seen"
    assert (mail.date and f"{mail.date.astimezone(UTC):%H:%M:%S}") == utc


@pytest.mark.parametrize(
    ("raw", "text"),
    [
        (b"\xef\xbb\xbfSubject: s\r\n\r\nbody", "body"),
        (b"Subject: s\r\r\n\r\r\nbody", "body"),
        (b"Subject: s\n\nbody", "body"),
        (b"Subject: s\nTo: x\r\n\nbody", "body"),
        (b"From ada@x.org Sat Nov 28 08:00:00 2026\r\nSubject: s\r\n\r\nbody", "body"),
        (b"X-%s: y\r\n" % (b"x" * 300) + b"Subject: s\r\n\r\nbody", "body"),
        (b"X: y\r\n" * 20_000 + b"Subject: s\r\n\r\nbody", "body"),
        (b"X: " + b"y" * 1_000_000 + b"\r\nSubject: s\r\n\r\nbody", "body"),
        (b"To: a@x.org" + b",\r\n a@x.org" * 50_000 + b"\r\nSubject: s\r\n\r\nbody", "body"),
        (b"Subject: s\r\n \r\n\t\r\nTo: x\r\n\r\nbody", "body"),
        (b"Subject: s\0\r\nTo\0: x\r\n\r\nbody", "body"),
    ],
    ids=[
        "mark",
        "CRCRLF",
        "LF",
        "mixed",
        "mbox",
        "long name",
        "many",
        "long",
        "folded",
        "blank folds",
        "NUL",
    ],
)
def test_unusual_header_spoils_neither_subject_nor_text(raw: bytes, text: str) -> None:
    mail = parse(raw)

    assert (mail.subject, mail.text) == ("s", text)


def test_part_without_an_empty_line_is_all_text() -> None:
    assert parse(multipart(b"no header here")).text == "no header here"


@pytest.mark.parametrize(
    ("kind", "content_type"),
    [
        (b"application/ms-tnef; name=winmail.dat", "application/ms-tnef"),
        (b"application/pkcs7-signature; name=smime.p7s", "application/pkcs7-signature"),
        (b"application/pgp-encrypted", "application/pgp-encrypted"),
        (b"text/calendar; method=REQUEST", "text/calendar"),
        (b"text/x-amp-html", "text/x-amp-html"),
        (b"message/external-body; access-type=URL", "message/external-body"),
        (b"application/pdf name=x.pdf", "application/pdf"),
    ],
)
def test_what_is_neither_text_nor_html_is_an_attachment(kind: bytes, content_type: str) -> None:
    mail = parse(multipart(b"\r\ntext", b"Content-Type: " + kind + b"\r\n\r\ncontent"))

    assert (mail.text, [each.part.content_type for each in mail.attachments]) == ("text", [content_type])


def multipart(*parts: bytes, kind: bytes = b"mixed") -> bytes:
    body = b"".join(b"--b\r\n" + part + b"\r\n" for part in parts)
    return b"Content-Type: multipart/" + kind + b"; boundary=b\r\n\r\n" + body + b"--b--\r\n"


@pytest.mark.parametrize(
    ("fields", "inline"),
    [
        (b"Content-Disposition: attachment\r\nContent-ID: <unused>", False),
        (b"Content-Disposition: attachment\r\nContent-ID: <shown>", True),
        (b"Content-Disposition: inline", True),
        (b"Content-ID: <unused>", False),
        (b"Content-ID: <shown>", True),
        (b"X-Nothing: said", False),
    ],
)
def test_attachment_is_inline_if_the_sender_or_the_html_says_so(fields: bytes, inline: bool) -> None:
    raw = multipart(
        b'Content-Type: text/html\r\n\r\n<img src="cid:shown">',
        b"Content-Type: application/pdf\r\n" + fields + b"\r\n\r\nx",
    )

    (attachment,) = parse(raw).attachments

    assert attachment.inline is inline


@pytest.mark.parametrize(
    ("content_id", "address"),
    [
        ("a b@x", "cid:a%20b%40x"),
        ("a&b@x", "CID:a&amp;b@x"),
        ("i@x", "url(&quot;cid:i@x&quot;)"),
        ("50%@x", "cid:50%@x"),
    ],
)
def test_picture_is_found_by_the_address_that_html_writes(content_id: str, address: str) -> None:
    raw = multipart(
        f'Content-Type: text/html\r\n\r\n<p style="background: {address}">'.encode(),
        f"Content-Type: image/png\r\nContent-ID: <{content_id}>\r\n\r\nx".encode(),
        kind=b"related",
    )
    mail = parse(raw)

    assert [each.inline for each in mail.attachments] == [True]
    assert "data:image/png;base64,eA==" in shown_html(mail, raw)


def test_body_with_a_name_is_the_body_and_an_empty_multipart_has_nothing() -> None:
    named, empty = parse(b'Content-Type: text/plain; name="x"\r\n\r\nbody'), parse(multipart())

    assert (named.text, named.attachments) == ("body", ())
    assert (empty.text, empty.attachments) == ("", ())


def test_mails_within_mails_and_reports_have_their_bytes_as_sent() -> None:
    forwarded, report = (
        b"Subject: inner\r\n\r\nhello\r\n",
        b"Reporting-MTA: dns; x\r\n\r\nFinal-Recipient: y\r\n",
    )
    raw = multipart(
        b"Content-Type: message/rfc822\r\n\r\n" + forwarded,
        b"Content-Type: message/delivery-status\r\n\r\n" + report,
    )

    contents = [attachment.content(raw) for attachment in parse(raw).attachments]

    assert contents == [forwarded, report]


def test_boundary_may_end_with_a_blank() -> None:
    raw = b'Content-Type: multipart/mixed; boundary="b "\r\n\r\n--b \r\n\r\nhello\r\n--b --\r\n'

    assert parse(raw).text == "hello"


@pytest.mark.parametrize("boundary", [b"", b"; boundary", b'; boundary=""', b"; boundary=other"])
def test_parts_without_a_usable_boundary_are_found_by_what_separates_them(boundary: bytes) -> None:
    raw = b"Content-Type: multipart/mixed" + boundary + b"\r\n\r\n------=_x\r\n\r\nhello\r\n------=_x--\r\n"

    assert parse(raw).text == "hello"


def test_words_of_the_html_are_searched_where_there_is_text_too() -> None:
    raw = multipart(
        b"Content-Type: text/plain\r\n\r\nplain",
        b"Content-Type: text/html\r\n\r\n<b>marvel</b>",
        kind=b"alternative",
    )

    assert "marvel" in parse(raw).words()
    assert parse(raw).snippet() == "plain"


@pytest.mark.parametrize(
    "raw",
    [
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--bb\r\n\r\nx\r\n" * 500_000,
        b"Content-Type: multipart/mixed; boundary=b\r\n\r\n" + b"--b\r\n\r\nx\r\n" * 500_000,
        b"To: " + b"(" * 60_000 + b"\r\nCc: " + b"<" * 60_000 + b"\r\n\r\n",
        b'From: "' + b"\\" * 60_000 + b"\r\nSubject: " + b"=?utf-8?q?a" * 5000 + b"\r\n\r\n",
        b"Content-Type: a/b" + b"; a*0=b" * 8000 + b"\r\n\r\n",
        b"".join(
            b"Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n" % (n, n) for n in range(2000)
        ),
        b"Content-Type: text/html\r\n\r\n" + b"<a " * 200_000,
    ],
    ids=["near misses", "many parts", "open lists", "open quotes", "many parameters", "deep", "open tags"],
)
def test_hostile_mail_is_read_within_two_seconds(raw: bytes) -> None:
    began = time.process_time()

    parse(raw, text_limit=65536).words().encode()

    assert time.process_time() - began < 2


@given(st.text(alphabet="a@<>,;:\"()\\ =?Qq_*'", max_size=60))
def test_no_field_makes_reading_fail(value: str) -> None:
    [str(each).encode() for each in addresses([value])]
    decode_words(value).encode()
    parameters(f"a/b; {value}")


def test_snippet_is_on_one_line_and_cut_at_its_length() -> None:
    mail = parse(b"\r\n a\r\n\tb   c " + b"d " * 500)

    assert mail.snippet() == "a b c" + " d" * 122 + " "


@given(st.from_regex(r"[A-Za-z .-]{0,8}<?[a-z.+_-]{1,4}@[a-z.-]{1,4}>?", fullmatch=True))
def test_common_form_of_a_mailbox_reads_as_the_general_parser_reads_it(value: str) -> None:
    general = addresses([f"{value},"])  # a comma behind it is not of the common form

    assert addresses([value]) == general


def test_words_behind_many_blanks_are_found_by_search() -> None:
    words = parse(b"Subject: x\n\nfirst" + b" " * 50_000 + b"behind\n").words()

    assert fold_capped(words) == "first behind"


def test_combining_marks_do_not_keep_the_server_busy() -> None:
    began = time.perf_counter()

    assert len(fold_capped("a" + "\u0300\u0316" * 1_000_000).encode()) == MAX_SEARCHED_BYTES

    assert time.perf_counter() - began < at_most(1)


def test_decomposed_letters_are_folded_to_composed_letters() -> None:
    assert fold_capped("Cafe\u0301 " * 100) == " ".join(["café"] * 100)


def test_no_address_is_longer_than_the_part_of_a_field_that_is_read() -> None:
    [address] = addresses([f"{'n' * 200_000} <ada@x.org>"])

    assert len(address.name) <= MAX_VALUE_CHARACTERS
