"""The errors, and how each is reported to the client.

    DevBrokerError
    ├── AmqpError         the client asked for something it cannot have; answered on the wire
    └── JournalError      the journal file is not ours, damaged, or in use; the broker does not start

AMQP 0-9-1 knows two kinds of refusal: a *soft* one closes the channel it happened on, a *hard* one the whole
connection. The code decides which. The texts are RabbitMQ's, because programs and people read them.
"""

from pamqp import exceptions

_LONGEST_REPLY_TEXT = 255  # bytes: a short string


class DevBrokerError(Exception):
    """The development broker cannot do what it was asked."""


class JournalError(DevBrokerError):
    """The journal file cannot be used; it is left as it was found."""


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
    """Say that an exchange or a queue does not exist."""
    return AmqpError(404, f"no {kind} '{name}' in vhost '/'")


def unsupported(feature: str) -> AmqpError:
    """Refuse a feature by its name: what is not honoured is never accepted."""
    return AmqpError(540, f"{feature} is not supported by the development broker; use RabbitMQ")


def locked(queue: str) -> AmqpError:
    """Say that a queue belongs to another connection, or was declared with another `exclusive`."""
    return AmqpError(
        405,
        f"cannot obtain exclusive access to locked queue '{queue}' in vhost '/'. It could be originally declared "
        "on another connection or the exclusive property value does not match that of the original declaration.",
    )
