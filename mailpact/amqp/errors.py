"""The errors of the connection to the broker, and who can correct each of them.

BrokerError
├── BrokerUnreachable    no connection could be made; trying again may help
├── AccessRefused        the broker refuses the login, the virtual host or a permission; an operator corrects it
├── BrokerLost           a connection that worked has ended; the outcome of what was in flight on it is unknown
└── TopologyMismatch     an exchange or queue exists with other arguments; an operator corrects it
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
    """The broker refuses access, or its certificate is not trusted; tried again, because an operator may correct it."""


class BrokerLost(BrokerError):
    """A connection or channel that worked has ended."""


class TopologyMismatch(BrokerError):
    """An exchange or queue exists with other arguments than the contract's (406); the broker's text is quoted."""


@contextmanager
def talking() -> Iterator[None]:
    """Translate errors on an open connection into BrokerLost, AccessRefused or TopologyMismatch.

    aiormq reports a lost heartbeat as CancelledError. It is the cancellation of this task only if `Task.cancelling`
    says so; otherwise a lost heartbeat would end a service without a word. An `asyncio.timeout` must be inside this
    context, because it cancels this task and then raises TimeoutError.
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
    except Exception as error:
        if type(error) is not Exception:
            raise
        raise BrokerLost(
            "the channel was closed"
        ) from error  # what waits on such a channel gets a bare Exception


def reason(error: BaseException) -> str:
    """Return one line that says what an error of a library means; the line is never empty."""
    # An error of the operating system is shown by its text, without the number. An SSLError has its text in `args`, and
    # asyncio replaces "Connection refused" by "Connect call failed" and the address. `errno` alone does not decide,
    # because aiormq keeps AMQP's reply codes in `errno` too.
    words = None if isinstance(error, ssl.SSLError) else getattr(error, "strerror", None)
    if isinstance(error, OSError) and error.errno and str(words).startswith("Connect call failed"):
        words = os.strerror(error.errno)
    text = str(words) if words else " ".join(str(part) for part in error.args if part is not None)
    return " ".join(text.split())[:300] or type(error).__name__


def why_closed(closing: asyncio.Future[None]) -> str:
    """Return one line that says why a connection or channel was closed; `closing` is its future, which is done."""
    error = None if closing.cancelled() else closing.exception()
    if error is None:
        return "the connection was closed"
    return HEARTBEATS_STOPPED if isinstance(error, asyncio.CancelledError) else reason(error)
