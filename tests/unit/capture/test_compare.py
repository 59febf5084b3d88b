"""The comparison of a message with its mail reports only differences that were found."""

import base64
import hashlib
from email.message import EmailMessage
from typing import Any

from mailpact_capture.compare import Agreement, compare
from mailpact_capture.envelope import Envelope
from mailpact_capture.journeys import Asked
from mailpact_capture.mail import parse
from mailpact_capture.records import StoredMail, Summary

NOON_US = 1_790_000_000_000_000


def came(to: str = "ada@Example.org", **fields: str) -> StoredMail:
    message = EmailMessage()
    given = {"From": "cms@mail.example", "To": "ada@example.org", "Subject": "Hello"} | fields
    text, html = given.pop("text", "One\nTwo\n"), given.pop("html", "")
    for name, value in given.items():
        message[name] = value
    message.set_content(text)
    if html:
        message.add_alternative(html, subtype="html")
    if "file" in fields:
        del message["file"]
        message.add_attachment(fields["file"].encode(), "text", "plain", filename="a.txt")
    raw = bytes(message)
    mail = parse(raw)
    envelope = Envelope("cms@mail.example", (to,), "", "", NOON_US)
    summary = Summary(
        1, "A" * 22, envelope, len(raw), False, (), mail.message_id, mail.subject, mail.sender,
        mail.to, mail.cc, mail.bcc, mail.reply_to, 0, "", "",
    )  # fmt: skip
    return StoredMail(summary, raw, mail)


def rows(body: dict[str, Any], *mails: StoredMail, type: str = "email.v2") -> dict[str, Agreement]:  # noqa: A002  # AMQP's word
    asked = Asked("id", type, None, None, None, "email", "", 0, hashlib.sha256(b"").hexdigest(), b"")
    found: dict[str, Agreement] = {}
    for row in compare(asked, body, mails):
        if found.get(row.what) is not Agreement.DIFFERENT:
            found[row.what] = row.agreement
    return found


def body(**members: Any) -> dict[str, Any]:
    return {"to": [{"address": "ada@example.org"}], "subject": "Hello", "text": "One\r\nTwo"} | members


def differences(*args: Any, **options: Any) -> set[str]:
    return {what for what, agreement in rows(*args, **options).items() if agreement is Agreement.DIFFERENT}


def test_mail_as_it_was_asked_has_no_difference() -> None:
    found = rows(body(), came())

    assert differences(body(), came()) == set()
    assert found["From"] is Agreement.NOT_COMPARED
    assert found["text"] is found["recipients"] is Agreement.SAME


def test_each_difference_is_marked() -> None:
    other = came("bob@example.org", Subject="Bye", text="Three\n", Cc="eve@example.org", To="bob@example.org")
    wanted = body(reply_to={"address": "help@example.org"})

    assert differences(wanted, other) == {"recipients", "To", "Cc", "subject", "text", "Reply-To"}


def test_attachments_are_compared_by_name_and_content() -> None:
    file = {
        "filename": "a.txt",
        "content": base64.b64encode(b"hello\n").decode(),
        "content_type": "text/plain",
    }

    assert differences(body(attachments=[file]), came(file="hello\n")) == set()
    assert differences(body(attachments=[file]), came(file="other\n")) == {"attachments"}
    assert differences(body(attachments=[file]), came()) == {"attachments"}
    assert differences(body(attachments=[{"filename": "a.txt", "content": "%"}]), came()) == {"attachments"}


def test_blind_copy_in_a_header_is_a_difference_and_in_the_envelope_none() -> None:
    wanted = body(bcc=[{"address": "bob@example.org"}])

    assert differences(wanted, came(), came("bob@example.org")) == set()
    assert differences(wanted, came(Bcc="bob@example.org"), came("bob@example.org")) == {"Bcc in the header"}
    assert differences(wanted, came()) == {"recipients"}


def test_times_are_compared_with_the_moment_of_receipt() -> None:
    early, late = "2020-01-01T00:00:00Z", "2099-01-01T00:00:00Z"

    assert differences(body(not_before=early, expires_at=late), came()) == set()
    assert differences(body(not_before=late, expires_at=early), came()) == {"not_before", "expires_at"}


def test_template_is_named_and_not_compared() -> None:
    template = {"name": "welcome", "version": 1, "locale": "en", "data": {}}

    found = rows({"to": [{"address": "ada@example.org"}], "template": template}, came())

    assert found["template"] is Agreement.NOT_COMPARED
    assert "subject" not in found


def test_first_version_is_compared_by_its_two_members() -> None:
    wanted = {"email": "ada@example.org", "message": "One\nTwo"}

    found = rows(wanted, came(), type="email.v1")

    assert (found["To"], found["text"], found["subject"]) == (
        Agreement.SAME,
        Agreement.SAME,
        Agreement.NOT_COMPARED,
    )
    assert differences(wanted | {"message": "x"}, came(), type="email.v1") == {"text"}


def test_body_of_wrong_types_and_unknown_type_never_raise() -> None:
    nonsense: dict[str, Any] = {
        "to": 5, "cc": [None, "x", {"address": 7}], "subject": [], "text": {}, "from": "x", "reply_to": 3,
        "attachments": [None, {"filename": 1, "content": None}], "template": "x", "not_before": 9, "expires_at": "soon",
    }  # fmt: skip

    assert "recipients" in differences(nonsense, came())
    assert rows(nonsense, came(), type="email.v99") == {}
