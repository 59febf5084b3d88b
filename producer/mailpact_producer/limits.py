"""The limits on requested mail. Pure.

Anybody can fill in a form with the address of another person, and the site sends a mail to this address. So mails are
counted for each mailbox and for each network over the last hour. There is no limit for the whole site, because an
attacker who reached this limit would lock out everybody.
"""

import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

HOUR_SECONDS: Final = 3600
ALARM_PER_HOUR: Final = 1000
"""Mails of one process in one hour at which it logs an alarm."""

_PURPOSE: Final = b"limit\0"


@dataclass(frozen=True, slots=True)
class MailLimits:
    """The most mails in an hour; 0 is no limit."""

    mailbox: int
    network: int


@dataclass(frozen=True, slots=True)
class Limit:
    """How many requests are allowed in an hour under one name, which is a `limit_key`."""

    key: str
    most: int


def folded_mailbox(email: str) -> str:
    """Return the form of an ASCII address that identifies its mailbox, for these limits only.

    Upper and lower case make no difference. A part after a + before the @ is ignored, because many servers deliver it
    to the same mailbox.
    """
    local_part, _, domain = email.casefold().rpartition("@")
    return f"{local_part.partition('+')[0] or local_part}@{domain}"


def limit_key(secret: bytes, scope: str, name: str) -> str:
    """Return the name under which requests of one mailbox or network are counted: no address is stored."""
    return hmac.new(secret, _PURPOSE + f"{scope}\0{name}".encode(), hashlib.sha256).hexdigest()


def recent(times: Sequence[int], now: int, *, span: int) -> list[int]:
    """Return the `times` less than `span` before `now`, all in the same unit.

    A time after `now` counts, too, because the database's clock may have been set back.
    """
    return [time for time in times if time > now - span]


SHORTEST_DELAY_SECONDS: Final = 0.5
LONGEST_DELAY_SECONDS: Final = 8.0


def delay_seconds(failures: int, *, free_failures: int) -> float:
    """Return the delay of the next login after so many failures. The first `free_failures` failures cause no delay."""
    over = failures - free_failures
    if over < 0:
        return 0.0
    return float(min(LONGEST_DELAY_SECONDS, SHORTEST_DELAY_SECONDS * 2 ** min(over, 10)))
