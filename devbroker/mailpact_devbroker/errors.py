"""The errors of the broker, and how the broker reports each error to the client.

    DevBrokerError
    ├── AmqpError         a client's request is refused; the client gets a reply code
    └── JournalError      the journal file is foreign, damaged or in use; the broker does not start

AMQP 0-9-1 has two kinds of errors: a *soft* error closes the channel, a *hard* error closes the whole connection. The
reply code decides. The texts are RabbitMQ's texts, because programs and people know them.
"""

from pamqp import exceptions

_LONGEST_REPLY_TEXT = 255  # bytes: the limit of a short string


class DevBrokerError(Exception):
    """The base class of the development broker's errors."""


class JournalError(DevBrokerError):
    """The journal file cannot be used. The file is not changed."""


class AmqpError(DevBrokerError):
    """A refusal with AMQP's reply code; `text` begins with the code's name and fits into a short string."""

    def __init__(self, code: int, reason: str) -> None:
        kind = exceptions.CLASS_MAPPING[code]
        name = str(vars(kind)["name"]).replace("-", "_")
        self.code = code
        self.text = f"{name} - {reason}".encode()[:_LONGEST_REPLY_TEXT].decode(errors="ignore")
        self.closes_connection = issubclass(kind, exceptions.AMQPHardError)
        super().__init__(self.text)


def not_found(kind: str, name: str) -> AmqpError:
    """Return the error for a missing exchange or queue."""
    return AmqpError(404, f"no {kind} '{name}' in vhost '/'")


def unsupported(feature: str) -> AmqpError:
    """Return the error for an unsupported feature. The broker never accepts a feature that it would ignore."""
    return AmqpError(540, f"{feature} is not supported by the development broker; use RabbitMQ")


def locked(queue: str) -> AmqpError:
    """Return the error for a queue that belongs to another connection or was declared with another `exclusive`."""
    return AmqpError(
        405,
        f"cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be originally declared "
        "on another connection or the exclusive property value does not match that of the original declaration.",
    )
