"""The sizes and counts that bound what the capture server takes, holds and answers."""

from typing import Final

MAX_MESSAGE_BYTES: Final = 32 * 1024 * 1024
MAX_LINE_BYTES: Final = 1024 * 1024  # aiosmtpd's limit of 1,001 octets would refuse real HTML mail
MAX_RECIPIENTS: Final = 100  # RFC 5321, 4.5.3.1.8: a server must accept at least 100
MAX_COMMAND_BYTES: Final = 2048
MAX_CONNECTIONS: Final = 1000
# mail data in memory that is not stored yet, of all connections together
MAX_BYTES_IN_FLIGHT: Final = 112 * 1024 * 1024

DEFAULT_KEPT_MAILS: Final = 10_000
DEFAULT_KEPT_BYTES: Final = 1024 * 1024 * 1024

MAX_JSON_BYTES: Final = 5 * 1024 * 1024  # as Mailpit; for every request body except a mail
BODY_SECONDS: Final = 300  # for a whole request body, as for all data of a mail in SMTP
MAX_PAGE: Final = 10_000  # the most rows of one answer
