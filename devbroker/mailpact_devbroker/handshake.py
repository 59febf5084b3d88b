"""The handshake: server properties, login, and the negotiated limits (AMQP 0-9-1, 2.2.4)."""

import hmac
from collections.abc import Mapping
from importlib.metadata import version

from pamqp import commands, common, decode

from mailpact_devbroker.errors import AmqpError
from mailpact_devbroker.frames import FRAME_MAX, FRAME_MIN

CHANNEL_MAX = 2_047  # open channels at one time; a channel's number may be higher
HEARTBEAT_SECONDS = 60  # the broker's proposal; the client decides

_CAPABILITIES = (
    *("publisher_confirms", "basic.nack", "consumer_cancel_notify"),
    *("connection.blocked", "per_consumer_qos", "authentication_failure_close"),
)


def start() -> commands.Connection.Start:
    """Return the server's first method. The product name is not RabbitMQ, although some tools look for this name."""
    about: common.FieldTable = {
        "product": "Mailpact devbroker",
        "version": version("mailpact"),
        "platform": "Python",
        "information": "for development only",
        "capabilities": dict.fromkeys(_CAPABILITIES, True),
    }
    return commands.Connection.Start(0, 9, about, "PLAIN AMQPLAIN", "en_US")


def has_capability(method: commands.Connection.StartOk, name: str) -> bool:
    """Return whether the client announced a capability."""
    announced = (method.client_properties or {}).get("capabilities")
    return isinstance(announced, dict) and announced.get(name) is True


def authenticated(method: commands.Connection.StartOk, users: Mapping[str, str]) -> str:
    """Return the name of the user; raises 403 for a wrong name or password, 502 for a malformed response."""
    user, password = _credentials(method.mechanism, method.response)
    known = users.get(user)
    if known is None or not hmac.compare_digest(known.encode(), password.encode()):
        how = f"authentication mechanism {method.mechanism}. For details see the broker logfile."
        raise AmqpError(403, f"Login was refused using {how}")
    return user


def tuned(method: commands.Connection.TuneOk) -> tuple[int, int]:
    """Return the largest frame in bytes and the number of channels; raises 530 if the client wants more.

    Zero means "no limit" (AMQP 0-9-1, 1.4.2.6), which is more than was proposed.
    """
    for name, asked, least, most in (
        ("frame_max", method.frame_max, FRAME_MIN, FRAME_MAX),
        ("channel_max", method.channel_max, 1, CHANNEL_MAX),
    ):
        if not least <= asked <= most:
            raise AmqpError(530, f"negotiated {name} = {asked} is not between {least} and {most}")
    return method.frame_max, method.channel_max


def _credentials(mechanism: str, response: str | bytes) -> tuple[str, str]:
    """Read name and password from a PLAIN (RFC 4616) or AMQPLAIN (a table without its length) response."""
    raw = response.encode() if isinstance(response, str) else response
    try:
        if mechanism == "PLAIN":
            _, user, password = raw.decode().split("\0")
            return user, password
        if mechanism == "AMQPLAIN":
            table = decode.field_table(len(raw).to_bytes(4) + raw)[1]
            return str(table["LOGIN"]), str(table["PASSWORD"])
    except (ValueError, KeyError, OverflowError, RecursionError) as error:
        raise AmqpError(502, f"cannot read the response of mechanism {mechanism}") from error
    raise AmqpError(504, f"unknown authentication mechanism '{mechanism:.40}'")
