"""What is known of one SMTP transaction, and the grammar of its commands.

The envelope is kept as the client gave it: who is in RCPT TO got the mail, whatever the headers say.
"""

import re
from dataclasses import dataclass
from typing import Final

MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
MAX_LINE_BYTES: Final = 1024 * 1024  # aiosmtpd's 1,001 octets would refuse real HTML mail
MAX_RECIPIENTS: Final = 100  # RFC 5321, 4.5.3.1.8: the least that a server must take
MAX_COMMAND_BYTES: Final = 2048
MAX_CONNECTIONS: Final = 200
MAX_BYTES_IN_FLIGHT: Final = 256 * 1024 * 1024  # mail data held in memory until it is stored, all connections

NULL_PATH: Final = "<>"
PUBLIC_ID: Final = re.compile(r"[0-9A-Za-z]{22}")

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PATH: Final = re.compile(
    r"""<(?:@[^:<>\s]*:)?                                      # a source route is allowed and ignored
         (?P<address>(?:"(?:[^"\\]|\\.)*"|[^<>"\s])*)>         # quoted local parts may hold anything
         (?:\s+(?P<parameters>.*))?\Z""",
    re.VERBOSE,
)
_FORBIDDEN: Final = re.compile("[\r\n\0\ud800-\udfff]")
_BARE_PATH: Final = re.compile(r"(?P<address>[^<>\s]+)(?:\s+(?P<parameters>.*))?\Z")


@dataclass(frozen=True, slots=True)
class Envelope:
    """Who sent what to whom: `mail_from` is empty for the null sender, `received_us` is UTC in microseconds."""

    mail_from: str
    rcpt_tos: tuple[str, ...]
    helo: str
    peer: str
    received_us: int


def public_id(randomness: bytes) -> str:
    """Write 16 random bytes as the 22 characters that name a mail to the outside.

    Random and not made from the row's number, so that a link never comes to mean another mail, in another store or
    after a restart, and so that nobody can count through the mails. As long as Mailpit's IDs.
    """
    number, digits = int.from_bytes(randomness[:16], "big"), []
    for _ in range(22):  # 62 ** 22 > 2 ** 128
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))


def is_clean(argument: str) -> bool:
    """Tell whether a command's argument has no CR, LF, NUL or bytes that are not UTF-8.

    A lone CR or LF within a command is how foreign headers and commands are injected elsewhere.
    """
    return _FORBIDDEN.search(argument) is None


def parse_path(argument: str) -> tuple[str, str] | None:
    """Split what follows `FROM:` or `TO:` into the path and its parameters; None if it is none or not clean.

    The address is given exactly as it was written; `<>` is given as such.
    """
    match = _PATH.match(argument) or _BARE_PATH.match(argument)
    if match is None or not is_clean(argument):
        return None
    return match["address"] or NULL_PATH, match["parameters"] or ""
