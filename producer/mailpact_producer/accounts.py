"""Reads a registration form: a registration that can be stored, or what to say beside which field.

An address is kept as it was typed but for its domain, which travels as A-labels (RFC 5890) because the contract's
addresses are ASCII. Two addresses are the same account when they differ in case alone; dots and plus signs are not
second-guessed.
"""

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass

from email_validator import EmailNotValidError, validate_email

from mailpact.contracts.validate import Validator

NAME_CHARACTERS = 100
EMAIL_CHARACTERS = 254  # RFC 5321 4.5.3.1.3, without the angle brackets
PASSWORD_CHARACTERS = range(8, 129)


@dataclass(frozen=True, slots=True)
class Registration:
    """A reader to be. `email_key` is what makes an account unique; the password is normalised and not yet hashed."""

    name: str
    email: str
    email_key: str
    password: str


@dataclass(frozen=True, slots=True)
class FieldErrors:
    """What is wrong with the form: one sentence a field."""

    messages: Mapping[str, str]


def read_form(fields: Mapping[str, str], writer: Validator) -> Registration | FieldErrors:
    """Read the fields name, email and password; `writer` checks against the schema for writers of email/1."""
    messages: dict[str, str] = {}
    name = " ".join(unicodedata.normalize("NFC", fields.get("name", "")).split())
    if not name:
        messages["name"] = "Please tell us your name."
    elif len(name) > NAME_CHARACTERS or not name.isprintable():
        messages["name"] = f"A name has at most {NAME_CHARACTERS} characters, and no control characters."
    email = _ascii_address(fields.get("email", "").strip(), writer)
    if email is None:
        messages["email"] = "Please give an address that we can write to, like ada@example.org."
    password = unicodedata.normalize("NFKC", fields.get("password", ""))
    if len(password) not in PASSWORD_CHARACTERS:
        messages |= {"password": "A password has 8 to 128 characters."}
    if messages or email is None:
        return FieldErrors(messages)
    return Registration(name, email, email.casefold(), password)


def _ascii_address(typed: str, writer: Validator) -> str | None:
    if len(typed) > EMAIL_CHARACTERS:
        return None
    try:
        address = validate_email(typed, check_deliverability=False, allow_smtputf8=False).ascii_email
    except EmailNotValidError:
        return None
    obeys = address is not None and writer.check({"email": address, "message": "-"}) is None
    return address if obeys else None
