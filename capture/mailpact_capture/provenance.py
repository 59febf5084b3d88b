"""Find the message from which a mail was made.

A mail that was made from a message names the message only in its Message-ID: `<message_id.rcpt8@domain>`, where
`rcpt8` is the start of a hash of the recipient. The origin of a mail without such an ID is unknown, and nothing is
guessed.
"""

import re
from typing import Final

_MADE_FROM_MESSAGE: Final = re.compile(
    r"<?([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})\.[0-9a-f]{8}@", re.IGNORECASE
)


def amqp_message_id(message_id_header: str) -> str | None:
    """Return the id of the message that a mail's Message-ID names; None if the Message-ID names no message."""
    match = _MADE_FROM_MESSAGE.match(message_id_header)
    return match[1].lower() if match else None
