"""The names and values that a program gets as environment variables and as `{NAME}` in its command line. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence

from mailpact_kit.errors import UsageProblem

KIT_VERSION = "1.0"
NAMES = (
    "AMQP_URL",
    "AMQP_EXCHANGE",
    "AMQP_QUEUE",
    "AMQP_DEAD_EXCHANGE",
    "SMTP_HOST",
    "SMTP_PORT",
    "SMTP_URL",
    "MAIL_FROM",
    "DATABASE_URL",
    "HTTP_PORT",
    "WORK_DIR",
    "CONTRACT_DIR",
    "CONTRACT_KIT",
)
TRIGGER_NAMES = (*NAMES, "email", "message", "nonce")

# `${NAME}` is not replaced, because the shell that starts the program may replace it.
_PLACEHOLDER = re.compile(r"(?<!\$)\{([A-Za-z][A-Za-z0-9_]*)\}")


def filled(text: str, values: Mapping[str, str]) -> str:
    """Return the text with each `{NAME}` replaced by its value; call `refuse_unknown` first for unknown names."""
    return _PLACEHOLDER.sub(lambda found: values[found[1]], text)


def named(text: str) -> set[str]:
    """Return the names that occur in the text as `{NAME}`."""
    return {found[1] for found in _PLACEHOLDER.finditer(text)}


def refuse_unknown(words: Iterable[str], known: Sequence[str]) -> None:
    """Raise UsageProblem if a word contains a `{NAME}` that is not in `known`."""
    for word in words:
        for name in sorted(named(word) - set(known)):
            raise UsageProblem(f"{{{name}}} is not a name that the kit replaces: {', '.join(known)}")
