"""The states of a supervised connection, as a table.

    DISCONNECTED --dial--> CONNECTING --opened--> OPEN
         ^                     | failed             | lost
         +---------------------+--------------------+
    any of them --stopped--> STOPPED

A pair that is not in the table is a bug of ours and raises; nothing is guessed.
"""

from collections.abc import Mapping
from enum import StrEnum


class State(StrEnum):
    """Where a supervised connection stands."""

    DISCONNECTED = "disconnected"
    CONNECTING = "connecting"
    OPEN = "open"
    STOPPED = "stopped"


class Event(StrEnum):
    """What happens to a supervised connection."""

    DIAL = "dial"
    FAILED = "failed"
    OPENED = "opened"
    LOST = "lost"
    STOPPED = "stopped"


TRANSITIONS: Mapping[tuple[State, Event], State] = {
    (State.DISCONNECTED, Event.DIAL): State.CONNECTING,
    (State.CONNECTING, Event.FAILED): State.DISCONNECTED,
    (State.CONNECTING, Event.OPENED): State.OPEN,
    (State.OPEN, Event.LOST): State.DISCONNECTED,
    (State.DISCONNECTED, Event.STOPPED): State.STOPPED,
    (State.CONNECTING, Event.STOPPED): State.STOPPED,
    (State.OPEN, Event.STOPPED): State.STOPPED,
}


class IllegalTransition(Exception):
    """An event came in a state in which it cannot come: a bug in the supervisor."""


def after(state: State, event: Event) -> State:
    """Return the state that follows; raise IllegalTransition for a pair that is not in the table."""
    try:
        return TRANSITIONS[state, event]
    except KeyError:
        raise IllegalTransition(f"{event} cannot happen while {state}") from None
