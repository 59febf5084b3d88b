"""The five possible outcomes of a publish.

Only CONFIRMED means that the broker has the message. UNKNOWN does not mean that the broker does not have the message:
under a memory alarm, two publishes timed out and both messages were in the queue afterwards (measured). A caller that
gets UNKNOWN publishes again with the same message id.
"""

from enum import StrEnum


class Outcome(StrEnum):
    """The outcome of one publish."""

    CONFIRMED = "confirmed"  # the broker has taken responsibility
    UNROUTABLE = "unroutable"  # returned: no queue is bound for it
    NACKED = "nacked"  # the broker says that it could not take it
    NOT_SENT = "not_sent"  # no connection, the broker blocks, or the id is in flight; certainly not published
    UNKNOWN = "unknown"  # sent, but no answer: it may be in the queue
