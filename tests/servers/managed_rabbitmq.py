"""A RabbitMQ server of somebody's: a vhost for each test through its management API, nothing else is touched."""

import base64
import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

REQUEST_SECONDS = 10


class ManagementUnavailable(Exception):
    """The management API does not answer as it should; the message names its address and says what it is for."""


@dataclass(frozen=True, slots=True)
class ManagedRabbitmq:
    """A server by its AMQP URL, whose user must be an administrator, and the URL of its management API."""

    amqp_url: str
    management_url: str

    @classmethod
    def at(cls, amqp_url: str, management_url: str | None) -> "ManagedRabbitmq":
        """Take the usual port of the management API when its URL is not given."""
        return cls(amqp_url, (management_url or f"http://{urlsplit(amqp_url).hostname}:15672").rstrip("/"))

    def url(self, vhost: str) -> str:
        """Return the AMQP URL of a vhost."""
        server = urlsplit(self.amqp_url)
        return f"{server.scheme}://{server.netloc}/{quote(vhost, safe='')}"

    @property
    def version(self) -> str:
        """Ask the server for its version; raise ManagementUnavailable."""
        return str(json.loads(self._request("GET", "overview"))["rabbitmq_version"])

    def add_vhost(self, name: str) -> None:
        """Add an empty vhost that the URL's user may use; raise ManagementUnavailable."""
        self._request("PUT", f"vhosts/{quote(name, safe='')}")
        everything = {"configure": ".*", "write": ".*", "read": ".*"}
        self._request("PUT", f"permissions/{quote(name, safe='')}/{quote(self._user, safe='')}", everything)

    def delete_vhost(self, name: str) -> None:
        """Delete a vhost with all that is in it; raise ManagementUnavailable."""
        self._request("DELETE", f"vhosts/{quote(name, safe='')}")

    @property
    def _user(self) -> str:
        return unquote(urlsplit(self.amqp_url).username or "guest")

    def _request(self, method: str, path: str, body: dict[str, str] | None = None) -> bytes:
        password = unquote(urlsplit(self.amqp_url).password or "guest")
        credentials = base64.b64encode(f"{self._user}:{password}".encode()).decode()
        request = urllib.request.Request(
            f"{self.management_url}/api/{path}",
            method=method,
            data=json.dumps(body or {}).encode() if method == "PUT" else None,
            headers={"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=REQUEST_SECONDS) as answer:
                content: bytes = answer.read()
        except OSError as error:
            if isinstance(error, urllib.error.HTTPError):
                error.close()
            raise ManagementUnavailable(
                f"the management API at {self.management_url} (a vhost for each test needs it; "
                f"MAILPACT_TEST_AMQP_MANAGEMENT_URL moves it): {error}"
            ) from error
        return content
