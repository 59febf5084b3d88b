"""Form tokens: a signed double-submit cookie against forged requests.

The cookie and a hidden field of the form carry the same token, and the token is signed with the site's key. A foreign
page can make a browser post to us but can neither read the cookie nor make a token that we signed.
"""

import hmac

NONCE_BYTES = 16
KEY_BYTES = 32


def make_token(key: bytes, nonce: bytes) -> str:
    """Give the token for `nonce`, 16 random bytes, hexadecimal and signed with HMAC-SHA-256."""
    return nonce.hex() + "." + _signature(key, nonce.hex())


def is_valid(key: bytes, *, cookie: str, field: str) -> bool:
    """Whether cookie and form field carry the same token, and it is one of ours."""
    nonce, _, signature = cookie.partition(".")
    is_same = hmac.compare_digest(cookie.encode(), field.encode())
    is_ours = hmac.compare_digest(signature.encode(), _signature(key, nonce).encode())
    return is_same and is_ours and len(nonce) == 2 * NONCE_BYTES


def _signature(key: bytes, nonce: str) -> str:
    return hmac.new(key, nonce.encode(), "sha256").hexdigest()
