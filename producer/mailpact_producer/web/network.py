"""Determines the network that a request comes from.

Behind a reverse proxy every connection comes from the proxy, which names the client in `X-Forwarded-For`. Anybody can
send this header, so the site believes it only from proxies that the operator has named, and reads it from its end: each
proxy appends the address that it has seen, and all entries before the first unknown address may be invented.
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
LONGEST_ADDRESS: Final = 45  # characters: IPv6 that ends as IPv4, RFC 4291 2.2
MOST_KEPT: Final = 1000
"""So many addresses are kept as read: a client sends several requests, and each request asks more than once."""


def client_network(peer: str | None, forwarded_for: Sequence[str], trusted: Sequence[Network]) -> str:
    """Return the /24 or /64 of the client as text.

    `peer` is the other end of the connection, `forwarded_for` the values of all `X-Forwarded-For` headers in their
    order. An entry that is not an address ends the reading: the network is that of the proxy that passed it on.
    """
    client = _address(peer or "")
    if client is None:
        return NOWHERE
    if _is_in(client, trusted):
        hops = [hop for value in forwarded_for for hop in value.split(",")]
        while hops and _is_in(client, trusted):
            before = _address(hops.pop().strip())
            if before is None:
                break
            client = before
    return _network(client)


def _is_in(client: _Address, networks: Sequence[Network]) -> bool:
    return any(client in network for network in networks)


def _address(text: str) -> _Address | None:
    text = text.partition("%")[0]
    # A long text is no address and must not be stored, because anybody can send a header.
    return _parsed(text) if len(text) <= LONGEST_ADDRESS else None


@lru_cache(MOST_KEPT)
def _parsed(text: str) -> _Address | None:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


@lru_cache(MOST_KEPT)
def _network(client: _Address) -> str:
    prefix = IPV4_PREFIX if client.version == 4 else IPV6_PREFIX  # the protocol's version
    return str(ipaddress.ip_network((client, prefix), strict=False))


class Networks:
    """Determines the networks of requests, given the networks of the trusted proxies."""

    def __init__(self, trusted_proxies: Sequence[Network]) -> None:
        self._trusted = tuple(trusted_proxies)

    def of(self, request: web.Request) -> str:
        """Return the network that a request comes from."""
        peer = request.transport.get_extra_info("peername") if request.transport is not None else None
        address = peer[0] if isinstance(peer, tuple) else None
        return client_network(address, request.headers.getall("X-Forwarded-For", ()), self._trusted)
