"""The settings of the site, which an operator chooses."""

import ipaddress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import urlsplit

from mailpact.settings import AmqpUrl, DatabaseUrl, SettingsError

MAIL_LIMIT_MAILBOX: Final = 3
MAIL_LIMIT_NETWORK: Final = 30
SITE_NAME: Final = "Our CMS"
MAX_SITE_NAME: Final = 100  # characters, as in the contracts of the mails' templates

CANARY_INTERVAL_SECONDS: Final = 60

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class CanarySettings:
    """The canary's settings: its address, its interval, the viewer to ask, and the URL to call when it has arrived.

    `viewer_url` has no slash at its end. `push_url` may be a secret. An empty value means none.
    """

    address: str
    interval_seconds: float = CANARY_INTERVAL_SECONDS
    viewer_url: str = ""
    push_url: str = field(default="", repr=False)

    @property
    def has_viewer(self) -> bool:
        """Return whether a viewer is asked for each canary."""
        return bool(self.viewer_url)


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
    canary: CanarySettings | None = None

    @property
    def is_https(self) -> bool:
        """Return whether browsers reach the site by https; only then may its cookies be `Secure`."""
        return self.base_url.startswith("https://")


def parse_site_name(text: str) -> str:
    """Return the site's name; raise SettingsError unless it is one line of 1 to 100 characters, as mails require."""
    name = text.strip()
    if not 0 < len(name) <= MAX_SITE_NAME or not name.isprintable():
        raise SettingsError(f"{text!r} is not a name: one line of 1 to {MAX_SITE_NAME} characters")
    return name


def parse_http_url(text: str) -> str:
    """Return a URL that the site calls, without slashes at its end; raise SettingsError if it is not http or https."""
    try:
        url = urlsplit(text)
        is_usable = url.scheme in ("http", "https") and bool(url.hostname) and url.port != 0
    except ValueError:
        is_usable = False
    # Not the text, which may be a secret.
    if not is_usable or not text.isprintable() or " " in text or "#" in text:
        raise SettingsError("this is not a URL to call, for example https://watch.example/ping/1")
    return text.rstrip("/")


def parse_networks(text: str) -> tuple[Network, ...]:
    """Read addresses and networks with commas between them; raise SettingsError for anything else."""
    try:
        return tuple(ipaddress.ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError:
        raise SettingsError(
            f"{text!r} is not a list of addresses or networks, for example 127.0.0.1,10.0.0.0/8"
        ) from None
