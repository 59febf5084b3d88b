"""The envelope of one SMTP transaction, and the grammar of paths.

The envelope is kept as the client sent it: the addresses in RCPT TO received the mail, whatever the headers say.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

NULL_PATH: Final = "<>"
CANARIES: Final = "canary"
"""The namespace of canary mails, which a site sends to test its mail path. Only this namespace shows them."""

Scopes = tuple[str | None, ...]
"""Lists of mails: those of namespaces, and None for the list of all mail."""

_PATH: Final = re.compile(
    r"""<(?:@[^:<>\s]*:)?                                      # a source route is allowed and ignored
         (?P<address>(?:"(?:[^"\\]|\\.)*"|[^<>"\s])*)>         # quoted local parts may hold anything
         (?:\s+(?P<parameters>.*))?\Z""",
    re.VERBOSE,
)
_FORBIDDEN: Final = re.compile("[\r\n\0\ud800-\udfff]")
_BARE_PATH: Final = re.compile(r"(?P<address>[^<>\s]+)(?:\s+(?P<parameters>.*))?\Z")
_NAMESPACE: Final = re.compile(r"\+ns-([a-z0-9_.-]{1,64})@", re.IGNORECASE | re.ASCII)


@dataclass(frozen=True, slots=True)
class Envelope:
    """Sender, recipients and time of a mail.

    `mail_from` is empty for the null sender, `received_us` is UTC in microseconds.

    `username` is the name that the client used for AUTH, or empty.
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


def scopes_of(namespaces: Iterable[str]) -> Scopes:
    """Return the lists that show a mail of these namespaces. The list of all mail does not show canaries."""
    named = tuple(namespaces)
    return named if CANARIES in named else (*named, None)


def is_namespace(name: str) -> bool:
    """Return whether a name is a valid namespace, which a recipient's tag can contain."""
    return _NAMESPACE.fullmatch(f"+ns-{name}@") is not None


def is_clean(argument: str) -> bool:
    """Return whether a command's argument has no CR, LF, NUL or bytes that are not UTF-8.

    On other servers a lone CR or LF within a command can inject headers and commands.
    """
    return _FORBIDDEN.search(argument) is None


def parse_path(argument: str) -> tuple[str, str] | None:
    """Return the path and the parameters that follow `FROM:` or `TO:`; None if the path is missing or invalid.

    The address is returned exactly as written; the null path is returned as `<>`.
    """
    match = _PATH.match(argument) or _BARE_PATH.match(argument)
    if match is None or not is_clean(argument):
        return None
    return match["address"] or NULL_PATH, match["parameters"] or ""
