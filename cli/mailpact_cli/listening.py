"""Opens the ports that a command serves on."""

import errno
import socket

from mailpact.settings import HostPort, SettingsError
from mailpact_cli.errors import PortTaken

BACKLOG = 128
PORTS_TO_TRY = 20


def listen(address: HostPort) -> socket.socket:
    """Listen on the given address. Raises PortTaken if the port is in use, SettingsError if the address is unusable."""
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
    except socket.gaierror as error:
        raise SettingsError(f"{address.host!r} is not a name or address of this machine") from error
    family, kind, protocol, _, resolved = found[0]
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(resolved)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            raise PortTaken(
                f"{address} is in use; choose another port, or stop the program that listens there"
            ) from error
        raise SettingsError(f"cannot listen on {address}: {error.strerror}") from error
    listener.settimeout(0)
    return listener


def listen_near(address: HostPort) -> socket.socket:
    """Listen on this port if it is free, otherwise on one of the next ports, otherwise on any free port."""
    for port in range(address.port, address.port + PORTS_TO_TRY):
        try:
            return listen(HostPort(address.host, port))
        except PortTaken:
            continue
    return listen(HostPort(address.host, 0))


def bound_address(listener: socket.socket) -> HostPort:
    """Return the address that a socket listens on."""
    host, port = listener.getsockname()[:2]
    return HostPort(host, port)


def site_url(listener: socket.socket) -> str:
    """Return the base URL of a site that listens here, without a slash at its end.

    An IPv6 address may not stand in the links of mails, so that `localhost` stands for it.
    """
    address = bound_address(listener)
    return f"http://localhost:{address.port}" if ":" in address.host else f"http://{address}"
