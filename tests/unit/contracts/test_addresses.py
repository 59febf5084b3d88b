"""The rule about addresses of the command, and the rule about AMQP properties of the kernel."""

from dataclasses import replace

import pytest

from mailpact.contracts import catalogue
from mailpact.contracts.errors import ErrorCode
from mailpact.settings import SettingsError
from mailpact_cli.options import _parse_mail_address

EMAIL_1 = catalogue.load().contract("email/1")


@pytest.mark.parametrize("address", ["ada@mail.example", "a.b+c@xn--bcher-kva.example"])
def test_plain_ascii_address_is_accepted(address):
    assert _parse_mail_address(address) == address


@pytest.mark.parametrize(
    "address",
    ["", "ada", "ada@localhost", "ada@b\u00fccher.example", "\ud800@mail.example", "a@b.example\n", "a @b.c"],
)
def test_any_other_text_is_refused(address):
    with pytest.raises(SettingsError, match="is not a plain ASCII address"):
        _parse_mail_address(address)


@pytest.mark.parametrize(
    ("type_", "content_type", "encoding", "code"),
    [
        ("email.v1", "application/json", None, None),
        (None, None, None, None),
        ("", "", "", None),
        ("email.v1", "Application/JSON ; charset=utf-8", "UTF-8", None),
        ("email.v1", "text/plain", "utf-8", None),
        ("email.v2", "application/json", None, ErrorCode.UNSUPPORTED_VERSION),
        ("EMAIL.V1", "application/json", None, ErrorCode.UNSUPPORTED_VERSION),
        ("email.v1", "text/html", None, ErrorCode.UNSUPPORTED_CONTENT_TYPE),
        ("email.v1", ";charset=utf-8", None, None),
        ("email.v1", "application/json", "gzip", ErrorCode.UNSUPPORTED_CONTENT_ENCODING),
        ("email.v9", "text/html", "gzip", ErrorCode.UNSUPPORTED_VERSION),
    ],
)
def test_message_is_acceptable_by_its_properties(type_, content_type, encoding, code):
    refusal = EMAIL_1.wire.refuse(type_, content_type, encoding)

    assert (refusal and refusal.code) == code


def test_property_that_is_not_optional_has_to_be_there():
    binding = replace(
        EMAIL_1.wire, type_optional=False, content_type_optional=False, content_encoding_optional=False
    )

    assert binding.refuse("", "application/json", "utf-8").code is ErrorCode.UNSUPPORTED_VERSION
    assert binding.refuse("email.v1", "", "utf-8").code is ErrorCode.UNSUPPORTED_CONTENT_TYPE
    assert binding.refuse("email.v1", "text/plain", "").code is ErrorCode.UNSUPPORTED_CONTENT_ENCODING
