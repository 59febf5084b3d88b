"""SMTP replies with enhanced status codes (RFC 2034, codes of RFC 3463). Pure.

aiosmtpd's own replies have no enhanced codes. This module adds the enhanced code that fits the reply code best.
"""

import re
from functools import lru_cache
from typing import Final

_CODES: Final = {
    "221": "2.0.0", "250": "2.0.0", "252": "2.5.0", "235": "2.7.0",
    "421": "4.3.2", "450": "4.2.1", "451": "4.3.0", "452": "4.2.2", "454": "4.7.0",
    "500": "5.5.2", "501": "5.5.4", "502": "5.5.1", "503": "5.5.1", "504": "5.5.4", "530": "5.7.0",
    "535": "5.7.8", "538": "5.7.11", "550": "5.1.1", "551": "5.1.6", "552": "5.3.4", "553": "5.1.3",
    "554": "5.3.0", "555": "5.5.4",
}  # fmt: skip
_PLAIN: Final = re.compile(r"([245]\d\d) (?![245]\.\d{1,3}\.\d{1,3}(?: |\Z))")


@lru_cache(maxsize=256)  # the server repeats a few replies nearly always
def enhanced(reply: str) -> str:
    """Return a reply of one line with an enhanced code. A reply with an enhanced code, 334 and 354 are not changed."""
    match = _PLAIN.match(reply)
    if match is None:
        return reply
    code = _CODES.get(match[1], f"{reply[0]}.0.0")
    return f"{match[1]} {code} {reply[match.end() :].removeprefix('Error: ')}"


def is_refusal(reply: str) -> bool:
    """Return whether a reply is a refusal (4yz or 5yz)."""
    return reply[:1] in ("4", "5")
