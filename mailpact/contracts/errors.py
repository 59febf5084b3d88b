"""The faults of a message, and the faults of the published contracts.

A message that breaks its contract is an expected outcome, so it is a value, a `Refusal`. A published contract that is
missing or malformed means a broken installation, so it is an exception:

    CatalogueError
    ├── PublishedFileError     a published file is missing, unreadable or malformed
    ├── NotAMessageError       the contract is only a part of another contract's messages
    └── UnknownContractError   no contract of that name is published
"""

from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


class ErrorCode(StrEnum):
    """The codes of contracts/errors.json, in its order: when several apply, the first is reported."""

    TOO_LARGE = "too_large"
    TOO_DEEP = "too_deep"
    INVALID_ENCODING = "invalid_encoding"
    BYTE_ORDER_MARK = "byte_order_mark"
    INVALID_JSON = "invalid_json"
    INVALID_NUMBER = "invalid_number"
    LONE_SURROGATE = "lone_surrogate"
    DUPLICATE_KEY = "duplicate_key"
    SCHEMA = "schema"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    UNSUPPORTED_CONTENT_ENCODING = "unsupported_content_encoding"
    UNSUPPORTED_VERSION = "unsupported_version"
    TEMPLATE_UNKNOWN = "template_unknown"
    IDENTITY_NOT_ALLOWED = "identity_not_allowed"
    ID_CONFLICT = "id_conflict"
    EXPIRED = "expired"
    SMTP_PERMANENT = "smtp_permanent"
    RETRIES_EXHAUSTED = "retries_exhausted"
    DELIVERY_LIMIT = "delivery_limit"
    OUTCOME_UNKNOWN = "outcome_unknown"


@dataclass(frozen=True, slots=True)
class Refusal:
    """The reason why a message is not served; may be logged and put into the headers of a dead letter.

    `pointer` is the RFC 6901 pointer of the invalid value ("" is the whole body), and `keyword` the schema keyword that
    the value breaks ("" if no schema refused it). `detail` is one sentence, without any content of the message.
    """

    code: ErrorCode
    pointer: str = field(default="", kw_only=True)
    keyword: str = field(default="", kw_only=True)
    detail: str = field(kw_only=True)


class CatalogueError(Exception):
    """The published contracts cannot be used as they are installed."""


class PublishedFileError(CatalogueError):
    """A published file is missing, unreadable or malformed; the message names the file and the fault."""

    def __init__(self, path: Path, fault: str) -> None:
        super().__init__(
            f"{path}: {fault}. Correct the file; if the file came with Mailpact, install Mailpact again."
        )
        self.path = path


class NotAMessageError(CatalogueError):
    """The contract has no binding, because it describes only a part of another contract's messages."""


class UnknownContractError(CatalogueError):
    """No contract of that name is published; the message names the published contracts."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"there is no contract {name!r}; published are: {', '.join(known) or 'none'}")
