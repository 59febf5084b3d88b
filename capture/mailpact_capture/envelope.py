"""The envelope of one SMTP transaction, and the grammar of paths.

The envelope is kept as the client gave it: who is in RCPT TO got the mail, whatever the headers say.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NULL_PATH: Final = "<>"
CANARIES: Final = "canary"
"""The namespace of mails that a site sends to test the path of its mail; they are shown in this namespace only."""

_PATH: Final = re.compile(
    r"""<(?:@[^:<>\s]*:)?                                      # a source route is allowed and ignored
         (?P<address>(?:"(?:[^"\\]|\\.)*"|[^<>"\s])*)>         # quoted local parts may hold anything
         (?:\s+(?P<parameters>.*))?\Z""",
    re.VERBOSE,
)
_FORBIDDEN: Final = re.compile("[\r\n\0\ud800-\udfff]")
_BARE_PATH: Final = re.compile(r"(?P<address>[^<>\s]+)(?:\s+(?P<parameters>.*))?\Z")
_NAMESPACE: Final = re.compile(r"\+ns-([A-Za-z0-9_.-]{1,64})@")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sent what to whom: `mail_from` is empty for the null sender, `received_us` is UTC in microseconds.

    `username` is the name that the client gave to AUTH, or empty.
    """

    mail_from: str
    rcpt_tos: tuple[str, ...]
    helo: str
    peer: str
    received_us: int
    username: str = ""

    def namespaces(self) -> tuple[str, ...]:
        """Return the namespaces that the recipients' tags name (`reader+ns-NAME@example.org`), in lower case."""
        return namespaces(self.rcpt_tos)


def namespaces(recipients: Iterable[str]) -> tuple[str, ...]:
    """Return the namespaces that the tags of these addresses name, in lower case."""
    found = (_NAMESPACE.search(recipient) for recipient in recipients)
    return tuple(dict.fromkeys(match[1].lower() for match in found if match))


def is_namespace(name: str) -> bool:
    """Tell whether a recipient's tag could name this namespace."""
    return _NAMESPACE.fullmatch(f"+ns-{name}@") is not None


def is_clean(argument: str) -> bool:
    """Tell whether a command's argument has no CR, LF, NUL or bytes that are not UTF-8.

    A lone CR or LF within a command is how foreign headers and commands are injected elsewhere.
    """
    return _FORBIDDEN.search(argument) is None


def parse_path(argument: str) -> tuple[str, str] | None:
    """Return the path and the parameters that follow `FROM:` or `TO:`; None if there is no path or it is not clean.

    The address is given exactly as it was written; `<>` is given as such.
    """
    match = _PATH.match(argument) or _BARE_PATH.match(argument)
    if match is None or not is_clean(argument):
        return None
    return match["address"] or NULL_PATH, match["parameters"] or ""
