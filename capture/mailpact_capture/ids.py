"""The public IDs of mails."""

import re
from typing import Final

PUBLIC_ID: Final = re.compile(r"[0-9A-Za-z]{22}")
RANDOM_BYTES: Final = 10

_BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
_PAIRS: Final = tuple(high + low for high in _BASE62 for low in _BASE62)


def public_id(received_us: int, randomness: bytes) -> str:
    """Return the public ID of a mail: 22 characters made of its time and 10 random bytes, as in a UUID of version 7.

    `received_us` is UTC in microseconds; the ID holds the milliseconds. So the IDs of later mails sort behind those
    of earlier mails, and all new entries of the store's index are on the same pages.

    The rest of the ID is random and not made from the row's number, for two reasons. A link never leads to another
    mail, also not in another store or after a restart. Nobody can guess the IDs of other mails. The ID is as long as
    an ID of Mailpit.
    """
    number = received_us // 1000 << 8 * RANDOM_BYTES | int.from_bytes(randomness[:RANDOM_BYTES], "big")
    pairs = []
    for _ in range(11):  # 62 ** 22 > 2 ** 128
        number, pair = divmod(number, len(_PAIRS))
        pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs))
