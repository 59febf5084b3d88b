"""Validates the registration form: decides whether the typed values can be an account.

The address decides who gets the mail, so it must obey the message's contract exactly: ASCII, an international domain
as A-labels. People may type `ada@bücher.example`; it becomes `ada@xn--bcher-kva.example`. Only the mailbox's host may
interpret the part before the @. So dots and plus signs are kept, and the stored address keeps its case. Only the
comparison of two addresses ignores case.
"""

import re
import unicodedata
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import lru_cache
from typing import Final, Literal

from email_validator import EmailNotValidError, ValidatedEmail, validate_email

MAX_ADDRESS: Final = 254  # characters; RFC 5321 4.5.3.1.3 less the angle brackets
MAX_NAME: Final = 100  # characters
MIN_PASSWORD: Final = 8  # characters; NIST SP 800-63B 5.1.1.2 asks for 8 and for room up to 64 at least
MAX_PASSWORD: Final = 128
_MOST_COMPOSED: Final = 4  # typed characters that can become one character
# different characters of a password: no list contains "aaaaaaaa", but attackers try it first
FEWEST_DIFFERENT: Final = 3

NOT_IN_NAMES: Final = frozenset({"Cc", "Cs", "Zl", "Zp"})  # Unicode categories: controls, line separators
NOT_IN_PASSWORDS: Final = frozenset({"Cc", "Cs"})
TURNS_THE_READING_DIRECTION: Final = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_WEB_ADDRESS: Final = re.compile(r"://|\bwww\.", re.IGNORECASE)
_BLANK_LETTERS: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")  # invisible letters
INVISIBLE: Final = frozenset({"Cf", "Cc", "Zs", "Zl", "Zp"})

_SHORT_ADDRESS: Final = 64  # characters; in no form can the whole address become too long
_PLAIN_LOCAL_PART: Final = re.compile(r"[a-z0-9_+-]+(?:\.[a-z0-9_+-]+)*")
MOST_DOMAINS: Final = 1000
"""Domains whose check is kept: most readers have their mailbox at one of a few hosts."""

IsMailable = Callable[[str], bool]
"""Returns whether a mail to an address is valid under the messages' contract."""


class Field(StrEnum):
    """The fields that a person fills in, by their names in the form."""

    NAME = "name"
    EMAIL = "email"
    PASSWORD = "password"  # noqa: S105  # a field's name


@dataclass(frozen=True, slots=True)
class Registration:
    """The data of a new account. `email` is ASCII; `password` is in Unicode's form NFKC."""

    name: str = field(repr=False)
    email: str = field(repr=False)
    password: str = field(repr=False)

    @property
    def email_key(self) -> str:
        """Return the form of the address in which two addresses are compared."""
        return address_key(self.email)


def address_key(email: str) -> str:
    """Return an ASCII address in the form in which two addresses are compared."""
    return email.casefold()


FieldErrors = dict[str, str]
"""For each field that is wrong, one sentence to the person who filled it in."""


class Wrong(Exception):
    """A field is wrong; the message is the sentence for the person."""


def read_registration(
    fields: Mapping[str, str], is_mailable: IsMailable, common_passwords: Collection[str]
) -> Registration | FieldErrors:
    """Read the form's fields; an absent field counts as empty.

    All fields are checked, so that all errors are shown at once.

    `common_passwords` are the passwords that attackers try first, in lower case.
    """
    errors: FieldErrors = {}
    values: dict[Field, str] = {}
    readers: Mapping[Field, Callable[[str], str]] = {
        Field.NAME: _name,
        Field.EMAIL: lambda typed: read_email(typed, is_mailable),
        Field.PASSWORD: lambda typed: read_password(typed, common_passwords, own_words(fields)),
    }
    for name, read in readers.items():
        try:
            values[name] = read(fields.get(name, ""))
        except Wrong as wrong:
            errors[name] = str(wrong)
    if errors:
        return errors
    return Registration(values[Field.NAME], values[Field.EMAIL], values[Field.PASSWORD])


def _name(typed: str) -> str:
    name = normalised(without_invisible_ends(typed), MAX_NAME)
    if not name:
        raise Wrong("Please enter your name.")
    if TURNS_THE_READING_DIRECTION & set(name):
        raise Wrong(
            "Your name contains an invisible character that changes the reading direction. Please remove it."
        )
    if _has(name, NOT_IN_NAMES):
        raise Wrong("Your name must be one line of text without control characters.")
    if _WEB_ADDRESS.search(name):
        # A name occurs in mails to an address that may belong to somebody else. So a name must not contain
        # advertising.
        raise Wrong("Your name cannot contain a web address.")
    if len(name) > MAX_NAME:
        raise Wrong(f"Your name has {len(name)} characters. The site can store {MAX_NAME}.")
    return name


def read_email(typed: str, is_mailable: IsMailable) -> str:
    """Return the ASCII form of a typed address. Raises Wrong."""
    address = without_invisible_ends(typed)
    if not address:
        raise Wrong("Please enter your e-mail address.")
    if len(address) > MAX_ADDRESS:
        raise Wrong(f"An e-mail address has at most {MAX_ADDRESS} characters.")
    if _has(address, INVISIBLE):
        raise Wrong("The address contains a space or an invisible character. Please type the address again.")
    local_part, at, domain = address.rpartition("@")
    if not at or not local_part or not domain:
        raise Wrong("An e-mail address has the form name@example.org.")
    if not local_part.isascii():
        raise Wrong("Before the @ the site can only use unaccented letters, digits and signs such as . _ + -")
    try:
        checked = _checked(address, local_part, domain)
    except EmailNotValidError:
        raise Wrong(_what_is_wrong(local_part, domain)) from None
    if checked is None or not is_mailable(checked):
        raise Wrong("The site cannot send mail to an address of this form. Please use another address.")
    return checked


def _checked(address: str, local_part: str, domain: str) -> str | None:
    """Return the ASCII form of an address; None if there is no such form. Raises EmailNotValidError."""
    # The library accepts every plain local part as it is, so only the domain decides.
    is_short = len(address) <= _SHORT_ADDRESS and domain.isascii()
    if is_short and _PLAIN_LOCAL_PART.fullmatch(local_part):
        return f"{local_part}@{_ascii_domain(domain)}"
    return _validated(address).ascii_email


@lru_cache(MOST_DOMAINS)
def _ascii_domain(domain: str) -> str:
    """Return a domain as A-labels. Raises EmailNotValidError."""
    return _validated(f"a@{domain}").ascii_domain


def _validated(address: str) -> ValidatedEmail:
    # Nobody owns names below .test (RFC 6761), and developers try a site with such names.
    return validate_email(address, allow_smtputf8=False, check_deliverability=False, test_environment=True)


def _what_is_wrong(local_part: str, domain: str) -> str:
    # The library's own error texts are too technical: they mention code points and the library's options.
    if "@" in local_part:
        return "The address has more than one @."
    if domain.startswith("["):
        return "The part after the @ must be a name, as in example.org, and not an IP address."
    if "." not in domain:
        return "The part after the @ is incomplete: it needs a dot, as in example.org."
    if ".." in local_part + domain or local_part.startswith(".") or domain.startswith("."):
        return "The address has a dot too many."
    if local_part.endswith(".") or domain.endswith("."):
        return "The address has a dot too many."
    return "This is not a valid e-mail address. Please check it for typing errors."


def own_words(fields: Mapping[str, str]) -> frozenset[str]:
    """Return the words of a form that somebody who knows the person would try as a password."""
    email = without_invisible_ends(fields.get(Field.EMAIL, "")).casefold()
    name = without_invisible_ends(fields.get(Field.NAME, "")).casefold()
    return frozenset({email, email.partition("@")[0], name, name.replace(" ", "")})


def read_password(typed: str, common: Collection[str], personal: Collection[str]) -> str:
    """Return a new password in Unicode's form NFKC. Raises Wrong, also for common and personal passwords."""
    password = normalised_password(typed)
    if len(password) < MIN_PASSWORD:
        raise Wrong(f"A password has at least {MIN_PASSWORD} characters. Several words make a good password.")
    if len(password) > MAX_PASSWORD:
        raise Wrong(f"A password has at most {MAX_PASSWORD} characters.")
    if _has(password, NOT_IN_PASSWORDS):
        raise Wrong("A password cannot contain control characters.")
    if not without_invisible_ends(password):
        raise Wrong("This password consists of spaces only. Please choose another password.")
    if len(set(password.casefold())) < FEWEST_DIFFERENT:
        raise Wrong("This password repeats one or two characters. Please choose another password.")
    if password.casefold().strip() in common:
        raise Wrong("This password is one of those that attackers try first. Please choose another password.")
    if password.casefold().strip() in personal:
        raise Wrong("This password is your name or address. Please choose another password.")
    return password


def normalised_password(password: str) -> str:
    """Return a password in Unicode's form NFKC: keyboards compose the same letter differently."""
    return normalised(password, MAX_PASSWORD, "NFKC")


def normalised(text: str, max_characters: int, form: Literal["NFC", "NFKC"] = "NFC") -> str:
    """Return the text in a normal form of Unicode; unchanged if it is longer than `max_characters` in every form.

    The time of a normalization is quadratic in the number of combining marks that follow each other.
    """
    is_too_long = len(text) > _MOST_COMPOSED * max_characters
    return text if is_too_long else unicodedata.normalize(form, text)


def without_invisible_ends(text: str) -> str:
    """Return `text` without the spaces and invisible characters at both ends, which pasted text may contain."""
    if text.isascii():
        return text.strip()
    start, end = 0, len(text)
    while start < end and _is_padding(text[start]):
        start += 1
    while end > start and _is_padding(text[end - 1]):
        end -= 1
    return text[start:end]


def _has(text: str, categories: frozenset[str]) -> bool:
    """Return whether a character of the text is in one of these Unicode categories."""
    return not categories.isdisjoint(map(unicodedata.category, text))


def _is_padding(character: str) -> bool:
    return character.isspace() or character in _BLANK_LETTERS or unicodedata.category(character) == "Cf"
