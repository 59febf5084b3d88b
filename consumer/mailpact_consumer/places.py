"""Decides which transactions may use a connection to the mail server now. No I/O: the methods return the decision.

There are `connections` places. A visit that has waited 1 s for an answer is slow and releases its place, so that
another visit can begin; but at most twice `connections` are open. If slow visits of one recipient domain number a
quarter of the places, the domain gets no new visit. If all slow visits number half of the places, each domain may use
at most a quarter of the places. Otherwise the next slow domain would take all places that are left.
"""

from collections import Counter, deque
from dataclasses import dataclass, field
from enum import Enum, auto


class State(Enum):
    """The state of a visit."""

    IN_LINE = auto()
    IN_PLACE = auto()
    GAVE_BACK = auto()
    REFUSED = auto()
    LEFT = auto()


@dataclass(eq=False, slots=True)
class Visit:
    """One transaction's request for a connection, for one recipient domain."""

    domain: str
    state: State = State.IN_LINE
    is_slow: bool = False


@dataclass(slots=True)
class Places:
    """All visits of one mail server. Each method returns the visits that left the line: in place or refused."""

    connections: int
    _line: deque[Visit] = field(default_factory=deque)
    _used: Counter[str] = field(default_factory=Counter)
    """Visits by domain that are in place or gave their place back."""
    _slow: Counter[str] = field(default_factory=Counter)
    _in_place: int = 0
    _given_back: int = 0
    _slow_in_place: list[Visit] = field(default_factory=list)

    @property
    def quarter(self) -> int:
        """Return a quarter of the places, at least one."""
        return max(1, self.connections // 4)

    @property
    def open(self) -> int:
        """Return how many visits have a connection."""
        return self._in_place + self._given_back

    def enter(self, visit: Visit) -> list[Visit]:
        """Put a visit in line."""
        self._line.append(visit)
        return self._move_up()

    def leave(self, visit: Visit) -> list[Visit]:
        """End a visit, whatever its state is."""
        self._set_slow(visit, is_slow=False)
        if visit.state is State.IN_LINE:
            self._line.remove(visit)
        elif visit.state is State.IN_PLACE:
            self._in_place -= 1
            self._stop_using(visit.domain)
        elif visit.state is State.GAVE_BACK:
            self._given_back -= 1
            self._stop_using(visit.domain)
        visit.state = State.LEFT
        return self._move_up()

    def set_slow(self, visit: Visit, *, is_slow: bool) -> list[Visit]:
        """Record that a visit has waited 1 s for an answer, or that the answer came."""
        self._set_slow(visit, is_slow=is_slow)
        return self._move_up()

    def _stop_using(self, domain: str) -> None:
        self._used[domain] -= 1
        if not self._used[domain]:
            del self._used[domain]

    def _set_slow(self, visit: Visit, *, is_slow: bool) -> None:
        if visit.is_slow == is_slow:
            return
        visit.is_slow = is_slow
        self._slow[visit.domain] += 1 if is_slow else -1
        if not self._slow[visit.domain]:
            del self._slow[visit.domain]
        if visit.state is State.IN_PLACE:
            if is_slow:
                self._slow_in_place.append(visit)
            else:
                self._slow_in_place.remove(visit)

    def _move_up(self) -> list[Visit]:
        while self._slow_in_place and self._given_back < self.connections:
            visit = self._slow_in_place.pop(0)
            visit.state = State.GAVE_BACK
            self._in_place -= 1
            self._given_back += 1
        if not self._line:
            return []
        if not self._slow:
            return self._seat_first()
        return self._seat_with_care()

    def _seat_first(self) -> list[Visit]:
        seated = []
        while self._line and self._in_place < self.connections:
            seated.append(self._seat(self._line.popleft()))
        return seated

    def _seat_with_care(self) -> list[Visit]:
        is_capped = self._slow.total() >= max(1, self.connections // 2)
        ended, kept = [], deque[Visit]()
        for visit in self._line:
            if self._slow[visit.domain] >= self.quarter:
                visit.state = State.REFUSED
                ended.append(visit)
            elif self._in_place < self.connections and not (
                is_capped and self._used[visit.domain] >= self.quarter
            ):
                ended.append(self._seat(visit))
            else:
                kept.append(visit)
        self._line = kept
        return ended

    def _seat(self, visit: Visit) -> Visit:
        visit.state = State.IN_PLACE
        self._in_place += 1
        self._used[visit.domain] += 1
        return visit
