"""The errors that prevent a consumer from starting.

ConsumerError
└── OlderConsumersAlive    consumers of an older release still use the inbox; stop them first
"""


class ConsumerError(Exception):
    """The consumer cannot start."""


class OlderConsumersAlive(ConsumerError):
    """Consumers of an older release still use the inbox; the message names them."""
