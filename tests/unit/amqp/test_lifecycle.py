import itertools

import pytest

from mailpact.amqp.lifecycle import TRANSITIONS, Event, IllegalTransition, State, after

PAIRS = list(itertools.product(State, Event))


@pytest.mark.parametrize(("state", "event"), [pair for pair in PAIRS if pair in TRANSITIONS])
def test_a_pair_in_the_table_leads_where_the_table_says(state: State, event: Event) -> None:
    assert after(state, event) is TRANSITIONS[state, event]


@pytest.mark.parametrize(("state", "event"), [pair for pair in PAIRS if pair not in TRANSITIONS])
def test_every_other_pair_is_a_bug(state: State, event: Event) -> None:
    with pytest.raises(IllegalTransition, match=f"{event} cannot happen while {state}"):
        after(state, event)


def test_every_state_is_reached_and_only_stopped_is_final() -> None:
    assert {State.DISCONNECTED, *TRANSITIONS.values()} == set(State)
    assert set(State) - {state for state, _ in TRANSITIONS} == {State.STOPPED}


@pytest.mark.parametrize("state", sorted(set(State) - {State.STOPPED}))
def test_every_state_but_stopped_can_be_stopped(state: State) -> None:
    assert after(state, Event.STOPPED) is State.STOPPED
