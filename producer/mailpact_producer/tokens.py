"""Texts that this site has signed, and proofs that this site has made a form. Pure.

    signed text = base64url(content || HMAC-SHA256(key, purpose || 0 || content))

Each signature has a purpose, so that a text that was signed for one purpose is invalid for another purpose.

A form carries a token against forged requests. For a reader who is logged in, the token is derived from the session,
which no other site can read. For anybody else the token is a signed double-submit cookie: the form and a cookie carry
the same token. Another site can make a browser send our cookie, but it can neither read the cookie nor put the token
into a form. It could set a cookie of its own, but not one that we have signed.

https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import base64
import binascii
import hashlib
import hmac
from enum import Enum, StrEnum
from typing import Final
from uuid import UUID

KEY_BYTES: Final = 32
RANDOM_BYTES: Final = 16
SECRET_BYTES: Final = 32
"""Random bytes of a link or a session: 256 bits."""

_SIGNATURE_BYTES: Final = 32


class Purpose(Enum):
    """The purpose of a signature."""

    CSRF = b"csrf"
    CSRF_OF_SESSION = b"csrf of session"
    SENT_TO = b"sent to"
    MESSAGE_ID = b"message id"


class LinkPurpose(StrEnum):
    """The purpose of a mailed link."""

    CONFIRM = "confirm"
    RESET = "reset"
    CHANGE = "change"


VALID_MINUTES: Final = {LinkPurpose.CONFIRM: 24 * 60, LinkPurpose.RESET: 30, LinkPurpose.CHANGE: 24 * 60}
"""How long a link of each kind works."""


def sign(key: bytes, purpose: Purpose, content: bytes) -> str:
    """Return `content` with our signature, as text that is fit for cookies and forms."""
    return base64.urlsafe_b64encode(content + _signature(key, purpose, content)).decode("ascii")


def read_signed(key: bytes, purpose: Purpose, text: str) -> bytes | None:
    """Return the content of a text that we have signed for this purpose; None for any other text."""
    try:
        signed = base64.b64decode(text.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return None
    content, signature = signed[:-_SIGNATURE_BYTES], signed[-_SIGNATURE_BYTES:]
    return content if hmac.compare_digest(signature, _signature(key, purpose, content)) else None


def make_token(key: bytes, randomness: bytes) -> str:
    """Return a token for forms; `randomness` is RANDOM_BYTES from a secure source."""
    return sign(key, Purpose.CSRF, randomness)


def is_ours(key: bytes, token: str) -> bool:
    """Return whether we have signed this token."""
    content = read_signed(key, Purpose.CSRF, token)
    return content is not None and len(content) == RANDOM_BYTES


def is_from_our_form(key: bytes, *, cookie: str, field: str) -> bool:
    """Return whether a form was made by this site for this browser; both values are required."""
    return hmac.compare_digest(_utf8(cookie), _utf8(field)) and is_ours(key, cookie)


def token_of_session(key: bytes, session: str) -> str:
    """Return the token of all forms of a session, whose secret is in the browser's cookie."""
    digest = hmac.digest(key, Purpose.CSRF_OF_SESSION.value + b"\0" + _utf8(session), hashlib.sha256)
    return base64.urlsafe_b64encode(digest).decode("ascii")


def is_form_of_session(key: bytes, *, session: str, field: str) -> bool:
    """Return whether a form was made by this site for this session."""
    return hmac.compare_digest(token_of_session(key, session).encode(), _utf8(field))


def at_rest(secret: str) -> str:
    """Return the stored form of the secret of a link or a session: its SHA-256 in hexadecimal.

    The secret has 256 random bits, so it needs neither salt nor a slow hash.
    """
    return hashlib.sha256(_utf8(secret)).hexdigest()


def message_id(key: bytes, form: str, what: str, email: str) -> str:
    """Return the id of the message that one form causes, a UUID: a form that is posted twice causes one message.

    `form` is random and new for each form that is shown.
    """
    digest = _signature(key, Purpose.MESSAGE_ID, f"{form}\0{what}\0{email}".encode())
    return str(UUID(bytes=digest[:16], version=4))


def _utf8(text: str) -> bytes:
    # In a cookie that is not UTF-8, aiohttp gives half a surrogate pair for each wrong byte.
    return text.encode("utf-8", "surrogatepass")


def _signature(key: bytes, purpose: Purpose, content: bytes) -> bytes:
    return hmac.digest(key, purpose.value + b"\0" + content, hashlib.sha256)
