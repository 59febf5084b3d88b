"""An address with the name that a reader sees beside it. No I/O."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from mailpact_consumer.values import value

MAX_NAME_CHARACTERS = 200

_MAILBOX = re.compile(r'(?:(?P<name>[^<>"]*?)|"(?P<quoted>(?:[^"\\]|\\.)*)")\s*<(?P<address>[^<>\s]+)>')


@value
class Mailbox:
    """An ASCII address, and the name that a reader sees beside it; the name may be any Unicode, or empty."""

    address: str
    name: str = ""

    @classmethod
    def parse(cls, text: str) -> "Mailbox":
        """Read `ADDRESS`, `NAME <ADDRESS>` or `"NAME" <ADDRESS>`. Raises ValueError for a bad name.

        The caller checks the address.
        """
        match = _MAILBOX.fullmatch(text.strip())
        if match is None:
            return cls(text)
        quoted = match["quoted"]
        name = match["name"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        if not name.isprintable() or len(name) > MAX_NAME_CHARACTERS:
            raise ValueError(
                f"the name in {text!r} has a control character, or more than {MAX_NAME_CHARACTERS} characters"
            )
        return cls(match["address"], name.strip())

    @property
    def domain(self) -> str:
        """Return the part of the address after the @."""
        return self.address.rpartition("@")[2]

    def __str__(self) -> str:
        return f"{self.name} <{self.address}>" if self.name else self.address


@dataclass(frozen=True, slots=True)
class Identities:
    """The addresses that messages may name as their sender, compared with their domains in lower case."""

    addresses: frozenset[str] = frozenset()

    def __str__(self) -> str:
        return ", ".join(sorted(self.addresses)) or "none"

    def allows(self, address: str) -> bool:
        """Return whether a message may name this sender."""
        return canonical_address(address) in self.addresses

    def and_of(self, mailbox: Mailbox) -> "Identities":
        """Return these identities together with the address of a mailbox."""
        return Identities(self.addresses | {canonical_address(mailbox.address)})

    @classmethod
    def of(cls, addresses: Iterable[str]) -> "Identities":
        """Return the identities of these addresses; upper and lower case in their domains make no difference."""
        return cls(frozenset(map(canonical_address, addresses)))


def canonical_address(address: str) -> str:
    """Return the form in which addresses are compared: the domain in lower case."""
    local_part, _, domain = address.rpartition("@")
    return f"{local_part}@{domain.lower()}"
