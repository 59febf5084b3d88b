"""What can go wrong with the broker, and whose fault it is.

BrokerError
├── BrokerUnreachable    no connection could be made; trying again may help
│   └── LoginRefused     the broker does not know this user and password; an operator has to mend that
├── BrokerLost           a connection that worked is gone; what was in flight on it has an unknown outcome
└── TopologyMismatch     a name of ours exists with other arguments; only an operator can mend that
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiormq.exceptions import AMQPError, ChannelInvalidStateError, ChannelPreconditionFailed

HEARTBEATS_STOPPED = "the broker stopped answering heartbeats"


class BrokerError(Exception):
    """Something is wrong between us and the broker."""


class BrokerUnreachable(BrokerError):
    """No connection could be made; the message says which of the usual reasons it is."""


class LoginRefused(BrokerUnreachable):
    """The broker refuses the user and password; it may take them later, so this too is tried again."""


class BrokerLost(BrokerError):
    """A connection or channel that worked is gone."""


class TopologyMismatch(BrokerError):
    """An exchange or queue exists with other arguments than the contract's (406); the message quotes the broker."""


@contextmanager
def talking() -> Iterator[None]:
    """Translate what goes wrong on an open connection into BrokerLost or TopologyMismatch.

    aiormq reports a lost heartbeat as CancelledError, which is not a stop of ours unless somebody has asked this
    very task to stop (`Task.cancelling`); taking it for one would end a service in silence. An `asyncio.timeout`
    belongs inside: it cancels this very task, and answers for that itself.
    """
    try:
        yield
    except ChannelPreconditionFailed as error:
        raise TopologyMismatch(reason(error)) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise BrokerLost(HEARTBEATS_STOPPED) from error
    except (AMQPError, ChannelInvalidStateError, OSError, TimeoutError) as error:
        raise BrokerLost(reason(error)) from error


def reason(error: BaseException) -> str:
    """Return one line that says what a library's error means, never empty."""
    # Of what the operating system says, the words without the number.
    words = getattr(error, "strerror", None)
    text = str(words) if words else " ".join(str(part) for part in error.args if part is not None)
    return " ".join(text.split())[:300] or type(error).__name__


def why_closed(closing: asyncio.Future[None]) -> str:
    """Return one line that says why a connection or channel was closed; `closing` is its future of that name, done."""
    error = None if closing.cancelled() else closing.exception()
    if error is None:
        return "the connection was closed"
    return HEARTBEATS_STOPPED if isinstance(error, asyncio.CancelledError) else reason(error)
