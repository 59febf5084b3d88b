"""The mails of the site, as values: the template, its data, and the end of the link. Pure.

A link consists of the site's address, a path, and a secret. The address is the configured one, never the host that a
request names.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from mailpact_producer.tokens import VALID_MINUTES, LinkPurpose

CONFIRM_PATH: Final = "/confirm"
RESET_PATH: Final = "/reset"
CHANGE_PATH: Final = "/change-address"

CONFIRM_ADDRESS: Final = "confirm-address"
ACCOUNT_EXISTS: Final = "account-exists"
RESET_PASSWORD: Final = "reset-password"  # noqa: S105  # a template
PASSWORD_CHANGED: Final = "password-changed"  # noqa: S105  # a template
CHANGE_ADDRESS: Final = "change-address"
ADDRESS_CHANGED: Final = "address-changed"
ACCOUNT_DELETED: Final = "account-deleted"


@dataclass(frozen=True, slots=True)
class Mail:
    """One mail to one reader: a template, such as "reset-password", and its data.

    `expires_at` is the end of the link in the mail, in microseconds since 1970; None for a mail without such a link.
    """

    to: str = field(repr=False)
    template: str
    data: Mapping[str, object] = field(repr=False)
    expires_at: int | None = None


class MailTexts:
    """Makes the site's mails; `base_url` has no slash at its end.

    The `expires_at` of a link is in microseconds since 1970.
    """

    def __init__(self, base_url: str, site_name: str) -> None:
        self._base_url = base_url
        self._site_name = site_name

    def confirm_address(self, to: str, name: str, secret: str, expires_at: int) -> Mail:
        """Return the mail that asks a new reader to confirm the address."""
        link = {
            "confirm_url": self._link(CONFIRM_PATH, secret),
            "valid_minutes": VALID_MINUTES[LinkPurpose.CONFIRM],
        }
        return self._mail(to, CONFIRM_ADDRESS, name, link, expires_at)

    def account_exists(self, to: str, name: str) -> Mail:
        """Return the mail to somebody who registers an address that has an account."""
        return self._mail(to, ACCOUNT_EXISTS, name, {"login_url": f"{self._base_url}/login"})

    def reset_password(self, to: str, name: str, secret: str, expires_at: int) -> Mail:
        """Return the mail with the link where a new password is chosen."""
        link = {
            "reset_url": self._link(RESET_PATH, secret),
            "valid_minutes": VALID_MINUTES[LinkPurpose.RESET],
        }
        return self._mail(to, RESET_PASSWORD, name, link, expires_at)

    def password_changed(self, to: str, name: str) -> Mail:
        """Return the mail that tells of a new password."""
        return self._mail(to, PASSWORD_CHANGED, name, {"forgot_url": f"{self._base_url}/forgot"})

    def change_address(self, to: str, name: str, secret: str, expires_at: int) -> Mail:
        """Return the mail to a new address that asks to confirm it."""
        link = {
            "confirm_url": self._link(CHANGE_PATH, secret),
            "valid_minutes": VALID_MINUTES[LinkPurpose.CHANGE],
        }
        return self._mail(to, CHANGE_ADDRESS, name, link, expires_at)

    def address_changed(self, to: str, name: str) -> Mail:
        """Return the mail to the old address that tells of the change."""
        return self._mail(to, ADDRESS_CHANGED, name, {"site_url": f"{self._base_url}/"})

    def account_deleted(self, to: str, name: str) -> Mail:
        """Return the mail that tells that the account is deleted."""
        return self._mail(to, ACCOUNT_DELETED, name, {"site_url": f"{self._base_url}/"})

    def _link(self, path: str, secret: str) -> str:
        return f"{self._base_url}{path}?token={secret}"

    def _mail(
        self, to: str, template: str, name: str, data: Mapping[str, object], expires_at: int | None = None
    ) -> Mail:
        return Mail(to, template, {"site_name": self._site_name, "name": name, **data}, expires_at)
