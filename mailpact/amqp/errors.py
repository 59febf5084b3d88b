"""What can go wrong with the broker, and whose fault it is.

BrokerError
├── BrokerUnreachable    no connection could be made; trying again may help
├── BrokerLost           a connection that worked is gone; what was in flight on it has an unknown outcome
└── TopologyMismatch     a name of ours exists with other arguments; only an operator can mend that
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from aiormq.exceptions import (
    AMQPError,
    AuthenticationError,
    ChannelPreconditionFailed,
    ProbableAuthenticationError,
)


class BrokerError(Exception):
    """Something is wrong between us and the broker."""


class BrokerUnreachable(BrokerError):
    """No connection could be made; the message says which of the usual reasons it is."""


class BrokerLost(BrokerError):
    """A connection or channel that worked is gone."""


class TopologyMismatch(BrokerError):
    """An exchange or queue exists with other arguments than the contract's (406); the message quotes the broker."""


@contextmanager
def dialling() -> Iterator[None]:
    """Translate what goes wrong while connecting into BrokerUnreachable."""
    try:
        yield
    except (AuthenticationError, ProbableAuthenticationError) as error:
        raise BrokerUnreachable(
            "the broker refuses these credentials; check the user and password"
        ) from error
    except TimeoutError as error:
        raise BrokerUnreachable("the broker does not answer in time") from error
    except (AMQPError, OSError) as error:
        raise BrokerUnreachable(f"no connection to the broker: {reason(error)}") from error


@contextmanager
def talking() -> Iterator[None]:
    """Translate what goes wrong on an open connection into BrokerLost or TopologyMismatch.

    aiormq reports a lost heartbeat as CancelledError, which is not a stop of ours unless somebody has asked this
    very task to stop (`Task.cancelling`); taking it for one would end a service in silence.
    """
    try:
        yield
    except ChannelPreconditionFailed as error:
        raise TopologyMismatch(reason(error)) from error
    except asyncio.CancelledError as error:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise BrokerLost("the broker stopped answering heartbeats") from error
    except (AMQPError, OSError, TimeoutError, RuntimeError) as error:
        # RuntimeError is how aiormq says that a connection was closed under a caller.
        raise BrokerLost(reason(error)) from error


def reason(error: BaseException) -> str:
    """Give one line that says what a library's error means, never empty."""
    text = " ".join(str(part) for part in error.args) or type(error).__name__
    return " ".join(text.split())[:300]
