"""What the mail server's answers mean (RFC 5321 4.2, RFC 3463, RFC 4954). No I/O.

The first digit of a reply decides. A try has one of three outcomes: the server accepted the mail; the server will
never accept the mail; or there was trouble, and the mail is tried again later. The meaning of a missing or malformed
reply is never guessed: after the mail's bytes were sent, the server may have accepted the mail. MAIL names only our
sender, so a refusal of MAIL concerns every message, and must not turn messages into dead letters.
"""

from dataclasses import dataclass
from enum import StrEnum

from mailpact_consumer.values import value

SERVICE_CLOSING = 421
# Refusals of our login: required, too weak or of another kind, wrong, without the encryption it needs (RFC 4954 6).
LOGIN_REFUSALS = {
    530: "it demands a login: give user and password in --smtp-url, and set --smtp-tls required",
    534: "it demands another kind of login for the user in --smtp-url",
    535: "it refuses the user or the password in --smtp-url",
    538: "it demands TLS before the login: set --smtp-tls required",
}


class Phase(StrEnum):
    """The step that an SMTP session has reached; the values are the words in log lines."""

    CONNECT = "the greeting"
    AUTH = "AUTH"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    DOT = "the final dot"


OF_EVERY_MESSAGE = frozenset({Phase.CONNECT, Phase.AUTH, Phase.MAIL})


class Scope(StrEnum):
    """What a trouble concerns: the whole server, or one message."""

    SERVER = "server"
    """Every message: nothing can be sent until the server or a setting changes. It opens the breaker."""
    MESSAGE = "message"
    """This message or recipient, which is put off, while other messages go on."""


@value
class Accepted:
    """The server answered the final dot with 2yz: the mail is now the server's responsibility."""

    code: int
    text: str = ""


@dataclass(frozen=True, slots=True)
class Permanent:
    """The server will never accept this mail for this recipient."""

    code: int
    text: str


@dataclass(frozen=True, slots=True)
class Trouble:
    """Nothing is settled; try again later.

    `reason` may be logged. `text`, the server's reply, must not be logged, because it may name the recipient.
    `may_be_sent` says that the whole mail was sent and no clear answer came. `code` is None if no reply came. `setting`
    names the option that an operator has to change, if an option is the cause.
    """

    reason: str
    may_be_sent: bool = False
    scope: Scope = Scope.MESSAGE
    code: int | None = None
    text: str = ""
    setting: str | None = None


@dataclass(frozen=True, slots=True)
class DomainBusy:
    """No try was made, because a quarter of the connections wait for slow answers about this recipient's domain."""


def refused(phase: Phase, code: int, text: str) -> Permanent | Trouble:
    """Return the meaning of a reply that is not the wanted one. Code 0 stands for bytes that are no reply."""
    if code in LOGIN_REFUSALS:
        reason = f"the mail server answers {code} at {phase}: {LOGIN_REFUSALS[code]}"
        return Trouble(reason, scope=Scope.SERVER, code=code, text=text, setting=_setting_for(phase, code))
    if not 400 <= code <= 599:
        what = f"answers {code}" if code else "sends something that is no SMTP reply"
        return Trouble(
            f"the mail server {what} at {phase}", phase is Phase.DOT, _scope(phase), code or None, text
        )
    if code >= 500 and phase not in OF_EVERY_MESSAGE:
        return Permanent(code, text)
    setting = _setting_for(phase, code)
    advice = f": check {setting}" if setting else ""
    reason = f"the mail server answers {code} at {phase}{advice}"
    return Trouble(reason, scope=_scope(phase), code=code, text=text, setting=setting)


def unanswered(phase: Phase, reason: str) -> Trouble:
    """Return the meaning of a missing reply."""
    return Trouble(
        f"the mail server gives no answer at {phase}: {reason}",
        may_be_sent=phase is Phase.DOT,
        scope=_scope(phase),
    )


def unreachable(reason: str) -> Trouble:
    """Return the trouble of a server to which no connection can be made."""
    return Trouble(f"no connection to the mail server: {reason}", scope=Scope.SERVER)


def misconfigured(reason: str, setting: str) -> Trouble:
    """Return the trouble of a server that cannot be used with the present value of a setting."""
    return Trouble(f"the mail server {reason}: check {setting}", scope=Scope.SERVER, setting=setting)


def _scope(phase: Phase) -> Scope:
    return Scope.SERVER if phase in OF_EVERY_MESSAGE else Scope.MESSAGE


def _setting_for(phase: Phase, code: int) -> str | None:
    if code == 538:  # RFC 4954 6: encryption required for the requested mechanism
        return "--smtp-tls"
    if code in LOGIN_REFUSALS or (phase is Phase.AUTH and code >= 500):  # a permanent refusal
        return "--smtp-url"
    return "--mail-from and --envelope-from" if phase is Phase.MAIL and code >= 500 else None  # as above
