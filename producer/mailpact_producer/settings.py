"""What an operator sets for the CMS."""

from dataclasses import dataclass

from mailpact.settings import AmqpUrl, DatabaseUrl


@dataclass(frozen=True, slots=True)
class ProducerSettings:
    """One CMS process. `base_url` is the site's public address, without a slash at its end."""

    base_url: str
    amqp_url: AmqpUrl
    database_url: DatabaseUrl

    @property
    def is_https(self) -> bool:
        """Whether browsers reach the site by https; only then may its cookies be `Secure`."""
        return self.base_url.startswith("https://")
