"""What can become of a publish.

It has five ends, and only one of them means that the broker has the message. The one that costs mail when it is
mistaken for another is UNKNOWN: under a memory alarm both of two publishes that had timed out were found in the queue
afterwards. Whoever gets it publishes again with the same message id.
"""

from enum import StrEnum


class Outcome(StrEnum):
    """What became of one publish."""

    CONFIRMED = "confirmed"  # the broker has taken responsibility
    UNROUTABLE = "unroutable"  # returned: no queue is bound for it
    NACKED = "nacked"  # the broker says that it could not take it
    NOT_SENT = "not_sent"  # no connection, the broker blocks, or the id is in flight; certainly not published
    UNKNOWN = "unknown"  # sent, but no answer: it may be in the queue
