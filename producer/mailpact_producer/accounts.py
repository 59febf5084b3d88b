"""What a person typed into the registration form, and whether it can be an account.

The address decides who gets the mail, so it must obey the message's contract exactly: ASCII, an international
domain as A-labels. People may type `ada@bücher.example`; it becomes `ada@xn--bcher-kva.example`. What stands before
the @ belongs to the mailbox's host, and nobody else may rewrite it: no dots or plus signs are folded, and its case
is kept in what is stored. Only the comparison of two addresses ignores case.
"""

import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from email_validator import EmailNotValidError, validate_email

MAX_ADDRESS: Final = 254  # characters; RFC 5321 4.5.3.1.3 less the angle brackets
MAX_NAME: Final = 100  # characters
MIN_PASSWORD, MAX_PASSWORD = (
    8,
    128,
)  # characters; NIST SP 800-63B 5.1.1.2 asks for 8 and for room up to 64 at least

NOT_IN_NAMES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})  # Unicode categories: controls, line separators

IsMailable = Callable[[str], bool]
"""Whether an address obeys the contract that messages to it are written under."""


class Field(StrEnum):
    """The fields that a person fills in, by their names in the form."""

    NAME = "name"
    EMAIL = "email"
    PASSWORD = "password"  # noqa: S105  # a field's name


@dataclass(frozen=True, slots=True)
class Registration:
    """What a new account is made of. `email` is ASCII; `password` is in Unicode's form NFKC."""

    name: str = field(repr=False)
    email: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def email_key(self) -> str:
        """The form by which two addresses are compared."""
        return self.email.casefold()


FieldErrors = dict[Field, str]
"""For each field that is wrong, one sentence to the person who filled it in."""


class _Wrong(Exception):
    """A field is wrong; the message is the sentence for the person."""


def read_form(fields: Mapping[str, str], is_mailable: IsMailable) -> Registration | FieldErrors:
    """Read the form's fields; an absent one counts as empty. All are looked at, so that all errors show at once."""
    errors: FieldErrors = {}
    values: dict[Field, str] = {}
    readers = {
        Field.NAME: _name,
        Field.EMAIL: lambda typed: _email(typed, is_mailable),
        Field.PASSWORD: _password,
    }
    for name, read in readers.items():
        try:
            values[name] = read(fields.get(name, ""))
        except _Wrong as wrong:
            errors[name] = str(wrong)
    if errors:
        return errors
    return Registration(values[Field.NAME], values[Field.EMAIL], values[Field.PASSWORD])


def _name(typed: str) -> str:
    name = unicodedata.normalize("NFC", typed.strip())
    if not name:
        raise _Wrong("Please tell us your name.")
    if any(unicodedata.category(character) in NOT_IN_NAMES for character in name):
        raise _Wrong("A name is one line of text without control characters.")
    if len(name) > MAX_NAME:
        raise _Wrong(f"That is {len(name)} characters; we have room for {MAX_NAME}.")
    return name


def _email(typed: str, is_mailable: IsMailable) -> str:
    address = typed.strip()
    if not address:
        raise _Wrong("Please tell us your e-mail address.")
    if len(address) > MAX_ADDRESS:
        raise _Wrong(f"An e-mail address has at most {MAX_ADDRESS} characters.")
    local_part, at, _ = address.rpartition("@")
    if not at:
        raise _Wrong("An e-mail address has an @ in it, as in ada@example.org.")
    if not local_part.isascii():
        raise _Wrong(
            "Before the @ we can so far only use unaccented letters, digits and signs such as . _ + -"
        )
    try:
        # Names below .test are nobody's (RFC 6761), and just what a developer tries a site with.
        checked = validate_email(
            address, allow_smtputf8=False, check_deliverability=False, test_environment=True
        )
    except EmailNotValidError as error:
        raise _Wrong(str(error)) from None
    if checked.ascii_email is None or not is_mailable(checked.ascii_email):
        raise _Wrong("We cannot send mail to an address of this form. Please use another one.")
    return checked.ascii_email


def _password(typed: str) -> str:
    if len(typed) < MIN_PASSWORD:
        raise _Wrong(f"A password has at least {MIN_PASSWORD} characters; a few words make a good one.")
    if len(typed) > MAX_PASSWORD:
        raise _Wrong(f"A password has at most {MAX_PASSWORD} characters.")
    return unicodedata.normalize("NFKC", typed)
