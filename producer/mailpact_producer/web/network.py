"""Tells which network a request comes from.

Behind a reverse proxy every connection comes from the proxy, which names the client in `X-Forwarded-For`. Anybody can
send that header, so it is believed only from proxies that the operator has named, and read from its end: each proxy
appends the address that it has seen, and what stands before the first stranger may be invented.
"""

import ipaddress
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from aiohttp import web

from mailpact_producer.settings import Network

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address

IPV4_PREFIX: Final = 24
IPV6_PREFIX: Final = 64
NOWHERE: Final = "unknown"
MOST_KEPT: Final = 1000
"""The networks of so many clients are kept: a client sends several requests, and each asks more than once."""


@lru_cache(MOST_KEPT)
def client_network(peer: str | None, forwarded_for: tuple[str, ...], trusted: tuple[Network, ...]) -> str:
    """Return the /24 or /64 of the client as text.

    `peer` is the other end of the connection, `forwarded_for` the values of all `X-Forwarded-For` headers in their
    order. An entry that is not an address ends the reading: the network is that of the proxy that passed it on.
    """
    client = _address(peer or "")
    if client is None:
        return NOWHERE
    hops = [hop for value in forwarded_for for hop in value.split(",")]
    while hops and any(client in network for network in trusted):
        before = _address(hops.pop().strip())
        if before is None:
            break
        client = before
    prefix = IPV4_PREFIX if client.version == 4 else IPV6_PREFIX  # the protocol's version
    return str(ipaddress.ip_network((client, prefix), strict=False))


def _address(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class Networks:
    """Tells the networks of requests, given the networks of the proxies that are believed."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self._trusted = tuple(trusted_proxies)

    def of(self, request: web.Request) -> str:
        """Return the network that a request comes from."""
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        address = peer[0] if isinstance(peer, tuple) else None
        return client_network(address, tuple(request.headers.getall("X-Forwarded-For", ())), self._trusted)
