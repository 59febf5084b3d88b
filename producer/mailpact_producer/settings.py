"""What an operator sets for the site."""

import ipaddress
from dataclasses import dataclass
from typing import Final

from mailpact.settings import AmqpUrl, DatabaseUrl, SettingsError

MAIL_LIMIT_MAILBOX: Final = 3
MAIL_LIMIT_NETWORK: Final = 30
SITE_NAME: Final = "Our CMS"
MAX_SITE_NAME: Final = 100  # characters, as in the contracts of the mails' templates

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """One process of the site.

    `base_url` is the site's public address, without a path or a slash at its end. The limits are mails in an hour for
    one mailbox and one network (/24 or /64); 0 is no limit. `X-Forwarded-For` is believed from `trusted_proxies` only.
    """

    base_url: str
    amqp_url: AmqpUrl
    database_url: DatabaseUrl
    mail_limit_mailbox: int = MAIL_LIMIT_MAILBOX
    mail_limit_network: int = MAIL_LIMIT_NETWORK
    trusted_proxies: tuple[Network, ...] = ()
    site_name: str = SITE_NAME

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the site by https; only then may its cookies be `Secure`."""
        return self.base_url.startswith("https://")


def parse_site_name(text: str) -> str:
    """Return the site's name; raise SettingsError unless it is one line of 1 to 100 characters, as mails require."""
    name = text.strip()
    if not 0 < len(name) <= MAX_SITE_NAME or not name.isprintable():
        raise SettingsError(f"{text!r} is not a name: one line of 1 to {MAX_SITE_NAME} characters")
    return name


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read addresses and networks with commas between them; raise SettingsError for anything else."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise SettingsError(
            f"{text!r} is not a list of addresses or networks, for example 127.0.0.1,10.0.0.0/8"
        ) from None
