"""The public IDs of mails."""

import re
from typing import Final

PUBLIC_ID: Final = re.compile(r"[0-9A-Za-z]{22}")

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def public_id(randomness: bytes) -> str:
    """Return the public ID of a mail: 22 characters made from 16 random bytes.

    The ID is random and not made from the row's number, for two reasons. A link never leads to another mail, also not
    in another store or after a restart. Nobody can guess the IDs of other mails. The ID is as long as an ID of
    Mailpit.
    """
    number, digits = int.from_bytes(randomness[:16], "big"), []
    for _ in range(22):  # 62 ** 22 > 2 ** 128
        number, digit = divmod(number, 62)
        digits.append(_BASE62[digit])
    return "".join(reversed(digits))
