"""What can go wrong with the broker, and who can mend it.

BrokerError
├── BrokerUnreachable    no connection could be made; trying again may help
├── AccessRefused        the broker refuses the login, the virtual host or a permission; an operator mends it
├── BrokerLost           a connection that worked has ended; the outcome of what was in flight on it is unknown
└── TopologyMismatch     an exchange or queue of ours exists with other arguments; an operator mends it
"""

import asyncio
import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

from aiormq.exceptions import (
    AMQPError,
    ChannelAccessRefused,
    ChannelInvalidStateError,
    ChannelPreconditionFailed,
)

HEARTBEATS_STOPPED = "the broker stopped answering heartbeats"


class BrokerError(Exception):
    """Something is wrong between this program and the broker."""


class BrokerUnreachable(BrokerError):
    """No connection could be made; the message says why."""


class AccessRefused(BrokerError):
    """The broker refuses the login, the virtual host or a permission, or its certificate is not trusted.

    The message quotes what was said. The broker may be changed while this program runs, so this too is tried again.
    """


class BrokerLost(BrokerError):
    """A connection or channel that worked has ended."""


class TopologyMismatch(BrokerError):
    """An exchange or queue exists with other arguments than the contract's (406); the message quotes the broker."""


@contextmanager
def talking() -> Iterator[None]:
    """Translate what goes wrong on an open connection into BrokerLost, AccessRefused or TopologyMismatch.

    aiormq reports a lost heartbeat as CancelledError. That is a stop of this task only if somebody has cancelled the
    task (`Task.cancelling`); otherwise, taken for a stop, a lost heartbeat would end a service in silence. An
    `asyncio.timeout` belongs inside this context: it cancels this task, and turns that into TimeoutError itself.
    """
    try:
        yield
    except ChannelPreconditionFailed as error:
        raise TopologyMismatch(reason(error)) from error
    except ChannelAccessRefused as error:
        raise AccessRefused(f"{reason(error)}; check the permissions of the broker's user") from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise BrokerLost(HEARTBEATS_STOPPED) from error
    except (AMQPError, ChannelInvalidStateError, OSError, TimeoutError) as error:
        raise BrokerLost(reason(error)) from error


def reason(error: BaseException) -> str:
    """Return one line that says what a library's error means, never empty."""
    # Of an error of the operating system, the words without the number; but the words of TLS stand elsewhere, and
    # asyncio replaces "Connection refused" by "Connect call failed" and the address. A number alone does not tell an
    # error of the operating system from a reply code of AMQP or a number of OpenSSL: aiormq keeps each in `errno`.
    words = None if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
    if isinstance(error, OSError) and error.errno and str(words).startswith("Connect call failed"):
        words = os.strerror(error.errno)
    text = str(words) if words else " ".join(str(part) for part in error.args if part is not None)
    return " ".join(text.split())[:300] or type(error).__name__


def why_closed(closing: asyncio.Future[None]) -> str:
    """Return one line that says why a connection or channel was closed; `closing` is its future of that name, done."""
    error = None if closing.cancelled() else closing.exception()
    if error is None:
        return "the connection was closed"
    return HEARTBEATS_STOPPED if isinstance(error, asyncio.CancelledError) else reason(error)
