"""Examines the addresses that services are to listen on."""

import errno
import socket
from collections.abc import Iterable, Iterator

from mailpact.settings import HostPort
from mailpact_cli.doctor.finding import Finding, ok, wrong


def examine_ports(addresses: Iterable[HostPort]) -> Iterator[Finding]:
    """Yield for each address whether a service could listen there now."""
    seen: set[HostPort] = set()
    for address in addresses:
        about = f"port {address}"
        if address in seen and address.port:
            yield wrong(about, "two services are to listen there", "Give each service a port of its own.")
            continue
        seen.add(address)
        try:
            with socket.create_server(
                (address.host, address.port),
                family=socket.AF_INET6 if ":" in address.host else socket.AF_INET,
            ):
                yield ok(about, "free")
        except OSError as error:
            yield _taken(about, error)


def _taken(about: str, error: OSError) -> Finding:
    if error.errno == errno.EADDRINUSE:
        return wrong(
            about,
            "another program listens there",
            "Stop that program (`ss -ltnp` names it), or give the service another port."
            " If the program is the Mailpact service itself, nothing is wrong.",
        )
    if error.errno == errno.EACCES:
        return wrong(
            about,
            "this user may not listen there",
            "Use a port above 1023, or give the service the capability CAP_NET_BIND_SERVICE.",
        )
    return wrong(about, f"no program can listen there: {error.strerror or error}", "Correct the address.")
