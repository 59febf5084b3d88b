"""Decide who may log in with SMTP AUTH: anybody, or only the names and passwords of a file."""

import hmac
from collections.abc import Mapping
from pathlib import Path

from mailpact_capture.errors import AccountsFileError


class Accounts:
    """Names with passwords. If there are none, every name and password is accepted, and no client must log in."""

    def __init__(self, passwords: Mapping[str, str] | None = None) -> None:
        self._passwords = passwords

    @property
    def are_required(self) -> bool:
        """Return whether a client must log in before it sends mail."""
        return self._passwords is not None

    def accept(self, name: str, password: str) -> bool:
        """Return whether a name and a password are right.

        The comparison takes the same time for each wrong password.
        """
        if self._passwords is None:
            return True
        right = self._passwords.get(name)
        is_equal = hmac.compare_digest((right or "").encode(), password.encode("utf-8", "surrogateescape"))
        return is_equal and right is not None


def read_accounts(path: Path) -> Accounts:
    """Return the accounts of a file with one `NAME:PASSWORD` on each line; raise AccountsFileError.

    Empty lines and lines that begin with `#` are ignored. A name must not contain a colon.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise AccountsFileError(f"the file {path} cannot be read: {reason}") from error
    passwords = {}
    for number, line in enumerate(lines, 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, colon, password = line.partition(":")
        if not colon or not name or not password:
            raise AccountsFileError(f"line {number} of {path} is not NAME:PASSWORD")
        passwords[name] = password
    if not passwords:
        raise AccountsFileError(f"the file {path} names no account")
    return Accounts(passwords)
