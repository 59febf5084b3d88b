"""Tokens that prove that a form was made by this site: a signed double-submit cookie.

The form carries a token, and the browser a cookie with the same one. Another site can make a browser send our cookie
but can neither read it nor put it into a form; it could plant a cookie of its own, but not one that we have signed.

    token = base64url(random 16 bytes || HMAC-SHA256(key, purpose || random))

https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html
"""

import base64
import binascii
import hashlib
import hmac
from typing import Final

KEY_BYTES: Final = 32
RANDOM_BYTES: Final = 16
_PURPOSE: Final = b"csrf\0"  # the site's key signs other things later; no signature may serve as another's


def make_token(key: bytes, randomness: bytes) -> str:
    """Sign `randomness`, RANDOM_BYTES from a secure source; the result is fit for cookies and forms."""
    return base64.urlsafe_b64encode(randomness + _signature(key, randomness)).decode("ascii")


def is_ours(key: bytes, token: str) -> bool:
    """Whether we have signed this token."""
    try:
        content = base64.b64decode(token.encode("ascii"), altchars=b"-_", validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return False
    randomness, signature = content[:RANDOM_BYTES], content[RANDOM_BYTES:]
    return hmac.compare_digest(signature, _signature(key, randomness))


def is_from_our_form(key: bytes, *, cookie: str, field: str) -> bool:
    """Whether a form was made by this site for this browser; neither value may be left out."""
    return hmac.compare_digest(cookie.encode(), field.encode()) and is_ours(key, cookie)


def _signature(key: bytes, randomness: bytes) -> bytes:
    return hmac.digest(key, _PURPOSE + randomness, hashlib.sha256)
