"""What the mail server's answers mean (RFC 5321 4.2, RFC 3463).

Three things can come of a try: the server has taken the mail, it will never take it, or there was trouble that says
nothing about the recipient. A reply that did not come, or that is none, is not guessed at: after DATA has begun it may
be a mail. MAIL names only us, so a refusal there is ours to mend and must not make dead letters of everybody's mail.
"""

from dataclasses import dataclass
from enum import StrEnum

# Refusals of us rather than of the recipient: authentication required, too weak, or wrong (RFC 4954 6).
OURS_TO_MEND = frozenset({530, 534, 535, 538})


class Phase(StrEnum):
    """How far an SMTP session came."""

    CONNECT = "connect"
    MAIL = "mail"
    RCPT = "rcpt"
    DATA = "data"


class Scope(StrEnum):
    """What a trouble concerns."""

    SERVER = "server"  # the mail server as a whole, or our access to it: it opens the breaker
    MESSAGE = "message"  # this message or recipient: it is put off, and other messages go on


@dataclass(frozen=True, slots=True)
class Accepted:
    """The server took the mail (a 2yz reply to the final dot). `text` is the reply's text, not for logs."""

    code: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Permanent:
    """The server will never take this mail for this recipient."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Nothing is settled; try again later. `may_be_sent`: DATA had begun and no clear answer came.

    `reason` is fit for logs. `code` and `text` are the reply, if there was one; `text` may name the recipient.
    """

    reason: str
    may_be_sent: bool
    scope: Scope
    code: int | None = None
    text: str = ""


def refused(phase: Phase, code: int, text: str) -> Permanent | Trouble:
    """Say what a reply that is not the one hoped for means in that phase.

    `text` may name the recipient, so it is not for logs. A code that is neither 4xx nor 5xx refuses nothing.
    """
    if 500 <= code <= 599 and phase is not Phase.MAIL and code not in OURS_TO_MEND:
        return Permanent(code, text)
    is_refusal = 400 <= code <= 599
    return Trouble(
        f"the mail server answers {code} at {phase.upper()}",
        may_be_sent=phase is Phase.DATA and not is_refusal,
        scope=Scope.SERVER if phase is Phase.MAIL or code in OURS_TO_MEND else Scope.MESSAGE,
        code=code,
        text=text,
    )


def refused_connection(code: int) -> Trouble:
    """Say what a refusal of the connection itself means: whatever the code, nothing about any recipient."""
    return Trouble(
        f"the mail server refuses the connection with {code}",
        may_be_sent=False,
        scope=Scope.SERVER,
        code=code,
    )


def unanswered(phase: Phase, reason: str) -> Trouble:
    """Say what it means that no reply came in that phase."""
    return Trouble(
        f"the mail server gives no answer at {phase.upper()}: {reason}",
        may_be_sent=phase is Phase.DATA,
        scope=Scope.SERVER if phase is Phase.CONNECT else Scope.MESSAGE,
    )
