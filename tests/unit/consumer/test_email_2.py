"""Every published vector of email/2 has its stated result in the consumer: this mail, or this refusal."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.errors import ErrorCode, Refusal
from mailpact.contracts.parse import JsonObject, parse
from mailpact_consumer.email_2 import FilledTemplate, Order, Policy, read_email_2, recipients_of
from mailpact_consumer.mail import Content
from mailpact_consumer.mailbox import Identities, Mailbox, canonical_address
from mailpact_consumer.render_mail import render_mail
from mailpact_consumer.template_folder import load_templates
from tests.each import each
from tests.unit.consumer.mails import body_of, expected_by, load, shown_by, vectors

NOW = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
INSTALLED = load_templates(catalogue.load())
IDENTITIES = Identities.of(["cms@mail.example", "shop@mail.example"])


class AnyTemplate:
    """Templates of any name; the subject contains the requested name."""

    def fill(self, name: str, version: int, locale: str, data: JsonObject) -> FilledTemplate:
        return FilledTemplate(Content(f"{name} {version} {locale} {len(data)}", "text", "html"), digest="d")


def order_of(vector: dict[str, Any], *, templates: Any = INSTALLED, now: datetime = NOW) -> Order | Refusal:
    value = parse(body_of(vector), max_bytes=2**21, max_depth=32)
    assert isinstance(value, dict)
    return read_email_2(value, Policy(Mailbox("cms@mail.example"), IDENTITIES, templates), now=now)


@each("path", vectors("valid"), name=lambda path: path.stem)
def test_valid_vector_becomes_the_mail_that_it_names(path: Path) -> None:
    vector = load(path)

    order = order_of(vector, templates=AnyTemplate())

    assert isinstance(order, Order)
    value = parse(body_of(vector), max_bytes=2**21, max_depth=32)
    assert list(recipients_of(value)) == vector["mail"]["recipients"]
    shown = shown_by(render_mail(order.mail, date=NOW, boundary="b").with_message_id("<id@mail.example>"))
    expected = expected_by(vector)
    template = expected.pop("template", None)
    if template is not None:
        data = value["template"]["data"]
        expected |= {"subject": " ".join(map(str, [*template.values(), len(data)]))}
        expected |= {
            "text": "text",
            "html": "html",
            "structure": {"multipart/alternative": ["text/plain", "text/html"]},
        }
    expected.setdefault("from", {"address": "cms@mail.example"})
    if "attachments" in expected:
        for each in (shown, expected):  # inline files come first in a mail; the structure says so
            each["attachments"].sort(key=lambda file: str(file["filename"]))
    assert shown == expected


@pytest.mark.parametrize("path", vectors("refused"), ids=lambda path: path.stem)
def test_refused_vector_is_refused_for_its_reason(path: Path) -> None:
    vector = load(path)

    refusal = order_of(vector)

    if vector["error"]["code"] == "expired":  # looked at before each try, and no refusal
        assert isinstance(refusal, Order)
        assert refusal.expires_at is not None
        assert refusal.expires_at <= NOW
        return
    assert isinstance(refusal, Refusal)
    error = {"pointer": "", "keyword": "", **vector["error"]}
    assert {"code": refusal.code, "pointer": refusal.pointer, "keyword": refusal.keyword} == error


def asking(**members: Any) -> dict[str, Any]:
    return {"body": json.dumps({"to": [{"address": "a@b.example"}], "subject": "s", "text": "t", **members})}


def test_schedule_is_read_to_the_microsecond_and_never_sends_too_early_or_too_late() -> None:
    order = order_of(
        asking(not_before="2026-11-24T10:00:00.0000001Z", expires_at="2026-11-24T11:00:00.1234567Z")
    )

    assert isinstance(order, Order)
    assert order.not_before == datetime(2026, 11, 24, 10, 0, 0, 1, tzinfo=UTC)
    assert order.expires_at == datetime(2026, 11, 24, 11, 0, 0, 123_456, tzinfo=UTC)


def test_not_before_exactly_seven_days_ahead_is_allowed() -> None:
    assert isinstance(order_of(asking(not_before="2026-12-01T09:00:00Z")), Order)


@pytest.mark.parametrize("sender", ["SHOP@mail.example", "shop@mail.example.org", "shop@MAIL.evil"])
def test_identity_is_compared_as_a_whole(sender: str) -> None:
    refusal = order_of(asking(**{"from": {"address": sender}}))

    assert isinstance(refusal, Refusal)
    assert refusal.code is ErrorCode.IDENTITY_NOT_ALLOWED


def test_case_of_an_identitys_domain_does_not_count() -> None:
    order = order_of(asking(**{"from": {"address": "shop@MAIL.Example"}}))

    assert isinstance(order, Order)
    assert order.mail.sender.address == "shop@MAIL.Example"


def test_address_is_compared_with_its_domain_in_lower_case() -> None:
    assert canonical_address("Ann@EXAMPLE.Org") == "Ann@example.org"
