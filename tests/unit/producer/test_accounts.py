"""Which forms are valid registrations, and the error texts of the others."""

import re
import time

import pytest
from email_validator import EmailNotValidError, validate_email
from hypothesis import given
from hypothesis import strategies as st

from mailpact.contracts import catalogue
from mailpact_producer.accounts import (
    FieldErrors,
    Registration,
    Wrong,
    normalised,
    read_email,
    read_registration,
)
from mailpact_producer.events import Writer
from mailpact_producer.site import common_passwords
from tests.timing import at_most

WRITER = Writer(catalogue.load(), "email/2")
COMMON = common_passwords()
GOOD = {"name": "Ada", "email": "ada@example.org", "password": "correct horse"}


def read(**fields: str) -> Registration | FieldErrors:
    return read_registration(GOOD | fields, WRITER.is_mailable, COMMON)


def test_good_form_is_a_registration() -> None:
    assert read() == Registration("Ada", "ada@example.org", "correct horse")


@pytest.mark.parametrize(
    ("typed", "stored", "key"),
    [
        (" ada@example.org ", "ada@example.org", "ada@example.org"),
        ("\ufeffada@example.org\u200b", "ada@example.org", "ada@example.org"),
        ("Ada@EXAMPLE.org", "Ada@example.org", "ada@example.org"),
        ("ada@bücher.example", "ada@xn--bcher-kva.example", "ada@xn--bcher-kva.example"),
        ("ada+tag@example.org", "ada+tag@example.org", "ada+tag@example.org"),
        ("a.d.a@example.org", "a.d.a@example.org", "a.d.a@example.org"),
    ],
)
def test_address_is_kept_but_for_its_domain(typed: str, stored: str, key: str) -> None:
    registration = read(email=typed)

    assert isinstance(registration, Registration)
    assert (registration.email, registration.email_key) == (stored, key)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(
            ("email", value)
            for value in ("", "ada", "ada@", "@x.org", "a b@x.org", "Ada <a@x.org>", "a@x.org,b@x.org")
        ),
        *(
            ("email", value)
            for value in ("ada@localhost", "ä@x.org", "a@x.org\r\nBcc: b@x.org", "a" * 250 + "@x.org")
        ),
        *(("email", value) for value in ('"a b"@x.org', "a@[127.0.0.1]", "a@x.org\0", "a..b@x.org")),
        *(
            ("email", value)
            for value in ("a\u200bda@x.org", "ada@x\ufeff.org", "ada@x.org\x80y", "ada@@x.org")
        ),
        *(
            ("name", value)
            for value in (
                "",
                "   ",
                "\ufeff",
                "\u3164",
                "A" * 101,
                "Ada\0x",
                "Ada\u2028Lovelace",
                "A\u202eda",
            )
        ),
        *(
            ("password", value)
            for value in ("", "1234567", "Xy7!" * 32 + "z", "password", "PassWord1", " " * 8)
        ),
        *(("password", value) for value in ("\0" * 8, "good one\x07", "\u3000" * 9, "a" * 20, "abababab")),
        *(("password", value) for value in ("qwertyuiop", " iloveyou ", "ada@example.org", "\u200b" * 10)),
    ],
)
def test_bad_field_is_named_and_only_that(field: str, value: str) -> None:
    errors = read(**{field: value})

    assert not isinstance(errors, Registration)
    assert list(errors) == [field]


@pytest.mark.parametrize(
    "typed",
    ["ada", "ada@", "@x.org", "ada@x", "a..b@x.org", "ada@x..org", "a@x@y.org", "ada@-x.org", "a d@x.org"],
)
def test_sentence_about_an_address_is_in_plain_words(typed: str) -> None:
    errors = read(email=typed)

    assert not isinstance(errors, Registration)
    assert not re.search(r"U\+|codepoint|label|SMTPUTF8|RFC|IDNA|deliverab", errors["email"], re.IGNORECASE)
    assert errors["email"].endswith((".", "+ -"))


def test_list_of_common_passwords_has_ten_thousand_that_would_otherwise_do() -> None:
    assert len(COMMON) == 10_000
    assert all(len(password) >= 8 and password == password.casefold() for password in COMMON)


def test_every_bad_field_gets_its_own_sentence() -> None:
    errors = read_registration({}, WRITER.is_mailable, COMMON)

    assert not isinstance(errors, Registration)
    assert set(errors) == {"name", "email", "password"}


def test_password_is_the_same_however_a_keyboard_composes_it() -> None:
    composed, decomposed = read(password="pässword1"), read(password="pa\u0308ssword1")

    assert composed == decomposed


@given(st.text(max_size=300) | st.emails())
def test_every_accepted_address_obeys_the_contract(typed: str) -> None:
    result = read(email=typed)

    if isinstance(result, Registration):
        assert WRITER.is_mailable(result.email)


def test_what_a_person_typed_is_in_no_repr() -> None:
    assert "ada" not in repr(read()).casefold()


@given(
    st.from_regex(r"[a-zA-Z0-9._+\-\"]{0,8}", fullmatch=True),
    st.sampled_from(
        [
            "example.org",
            "Example.ORG",
            "xn--bcher-kva.example",
            "bücher.example",
            "reader.test",
            "localhost",
            "example",
            "no-such-label-.example",
            "xn--a.example",
            "[192.0.2.1]",
            "a..b",
            ".example.org",
            "a_b.example.org",
            f"{'d' * 50}.example.org",
            f"{'d' * 64}.example.org",
        ]
    ),
)
def test_an_address_whose_domain_is_known_is_read_as_the_library_reads_it(
    local_part: str, domain: str
) -> None:
    typed = f"{local_part}@{domain}"

    assert _read(typed) == _read(typed) == _as_the_library_reads(typed)


def _read(typed: str) -> str | None:
    try:
        return read_email(typed, WRITER.is_mailable)
    except Wrong:
        return None


def _as_the_library_reads(typed: str) -> str | None:
    try:
        read = validate_email(typed, allow_smtputf8=False, check_deliverability=False, test_environment=True)
    except EmailNotValidError:
        return None
    address = read.ascii_email
    return address if address is not None and WRITER.is_mailable(address) else None


def test_a_text_that_is_too_long_in_every_form_is_not_normalised() -> None:
    composed_of_four = "\u03c9\u0314\u0342\u0345"

    assert normalised(composed_of_four * 100, 100) == "\u1fa7" * 100
    assert normalised(composed_of_four * 100 + "a", 100) == composed_of_four * 100 + "a"


@pytest.mark.parametrize("field", ["name", "email", "password"])
def test_combining_marks_do_not_keep_the_site_busy(field: str) -> None:
    began = time.perf_counter()

    assert isinstance(read(**{field: "a" + "\u0300\u0316" * 100_000}), dict)

    assert time.perf_counter() - began < at_most(0.5)
