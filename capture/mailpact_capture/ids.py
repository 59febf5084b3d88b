"""The names of mails to the outside."""

import re
from typing import Final

PUBLIC_ID: Final = re.compile(r"[0-9A-Za-z]{22}")

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def public_id(randomness: bytes) -> str:
    """Return 16 random bytes as the 22 characters that name a mail to the outside.

    The name is random and not made from the row's number, so that a link never comes to mean another mail, in another
    store or after a restart, and so that nobody can count through the mails. It is as long as Mailpit's IDs.
    """
    number, digits = int.from_bytes(randomness[:16], "big"), []
    for _ in range(22):  # 62 ** 22 > 2 ** 128
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
