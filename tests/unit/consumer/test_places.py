"""How many connections are used: up to the limit, twice as many while replies are slow, and no domain takes all."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, initialize, invariant, multiple, rule

from mailpact_consumer.pace import Pace
from mailpact_consumer.places import Places, State, Visit

OPEN = (State.IN_PLACE, State.GAVE_BACK)


def entered(places: Places, domain: str, count: int) -> list[Visit]:
    visits = [Visit(domain) for _ in range(count)]
    for visit in visits:
        places.enter(visit)
    return visits


def make_slow(places: Places, visits: list[Visit]) -> None:
    for visit in visits:
        places.set_slow(visit, is_slow=True)


def states(visits: list[Visit]) -> list[State]:
    return [visit.state for visit in visits]


def test_as_many_as_there_are_places_go_on_and_the_next_when_one_leaves() -> None:
    places = Places(2)
    first, second, third = entered(places, "a.example", 3)

    let_in = places.leave(first)

    assert (second.state, let_in, third.state) == (State.IN_PLACE, [third], State.IN_PLACE)


def test_slow_visit_gives_its_place_to_the_next() -> None:
    places = Places(8)
    slow = entered(places, "slow.example", 8)
    waiting = entered(places, "good.example", 1)

    make_slow(places, slow[:1])

    assert (slow[0].state, waiting[0].state, places.open) == (State.GAVE_BACK, State.IN_PLACE, 9)


def test_slow_domain_gets_no_new_visit_and_good_ones_go_on() -> None:
    places = Places(8)
    slow = entered(places, "slow.example", 40)
    good = entered(places, "good.example", 2)

    make_slow(places, slow[:8])

    assert states(slow[9:]) == [State.REFUSED] * 31  # the ninth got the first place that was given back
    assert states(good) == [State.IN_PLACE] * 2
    assert states(entered(places, "slow.example", 1)) == [State.REFUSED]


def test_domain_whose_answers_came_is_visited_again() -> None:
    places = Places(8)
    slow = entered(places, "slow.example", 2)
    make_slow(places, slow)
    places.set_slow(slow[0], is_slow=False)

    assert states(entered(places, "slow.example", 1)) == [State.IN_PLACE]


def test_many_slow_domains_do_not_take_all_places() -> None:
    """Four domains that never answer leave places for a fifth, although each is slow for the first time."""
    places = Places(8)
    open_visits = []
    for number in range(4):
        visits = entered(places, f"slow-{number}.example", 40)
        open_visits += [visit for visit in visits if visit.state in OPEN]
        make_slow(places, [visit for visit in visits if visit.state in OPEN])

    assert states(entered(places, "good.example", 1)) == [State.IN_PLACE]


def test_never_more_than_twice_the_connections_are_open() -> None:
    places = Places(2)
    for number in range(10):
        make_slow(places, [v for v in entered(places, f"{number}.example", 3) if v.state in OPEN])

    assert places.open == 4


def test_place_is_given_back_late_when_there_was_no_room_before() -> None:
    places = Places(1)
    (first,) = entered(places, "a.example", 1)
    make_slow(places, [first])
    (second,) = entered(places, "b.example", 1)
    make_slow(places, [second])
    (third,) = entered(places, "c.example", 1)
    stood = third.state

    let_in = places.leave(first)

    assert (stood, let_in, second.state) == (State.IN_LINE, [third], State.GAVE_BACK)


class Visits(RuleBasedStateMachine):
    """After any sequence of visits each waiting visit gets its turn, and the limits hold."""

    visits = Bundle("visits")

    @initialize(connections=st.integers(1, 9))
    def begin(self, connections: int) -> None:
        self.places = Places(connections)
        self.all: list[Visit] = []

    @rule(target=visits, domain=st.sampled_from("abc"), count=st.integers(1, 6))
    def enter(self, domain: str, count: int) -> object:
        visits = entered(self.places, domain, count)
        self.all += visits
        return multiple(*visits)

    @rule(visit=visits, is_slow=st.booleans())
    def change(self, visit: Visit, is_slow: bool) -> None:
        if visit.state in OPEN:
            self.places.set_slow(visit, is_slow=is_slow)

    @rule(visit=consumes(visits))
    def leave(self, visit: Visit) -> None:
        self.places.leave(visit)
        self.all.remove(visit)

    @invariant()
    def bounds_hold(self) -> None:
        in_place = sum(visit.state is State.IN_PLACE for visit in self.all)
        is_open = sum(visit.state in OPEN for visit in self.all)
        assert in_place <= self.places.connections
        assert is_open == self.places.open <= 2 * self.places.connections

    @invariant()
    def nobody_waits_for_nothing(self) -> None:
        waiting = [visit for visit in self.all if visit.state is State.IN_LINE]
        slow = [visit for visit in self.all if visit.is_slow]
        if waiting and not slow:
            assert sum(visit.state is State.IN_PLACE for visit in self.all) == self.places.connections
        for visit in waiting:
            assert sum(other.domain == visit.domain for other in slow) < self.places.quarter


TestVisits = Visits.TestCase


@pytest.mark.parametrize("rate", [1, 5, 100])
def test_starts_are_evenly_spaced(rate: int) -> None:
    pace = Pace(rate)
    starts = [now + pace.delay_seconds(now) for now in (10.0, 10.0, 10.0, 10.0 + 2.5 / rate)]

    assert starts == pytest.approx([10.0, 10.0 + 1 / rate, 10.0 + 2 / rate, 10.0 + 3 / rate])


def test_pause_is_not_made_up_for() -> None:
    pace = Pace(10)
    pace.delay_seconds(0.0)

    assert pace.delay_seconds(100.0) == 0.0
    assert pace.delay_seconds(100.0) == pytest.approx(0.1)
