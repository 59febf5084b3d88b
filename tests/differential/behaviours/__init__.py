"""The list of behaviours that both brokers must share: small programs whose observations must be equal on both.

A behaviour's name reads as a sentence. The list is every public coroutine function of the modules below, in order.
"""

import inspect
from collections.abc import Awaitable, Callable

from tests.differential.behaviours import (
    carrying,
    connecting,
    consuming,
    declaring,
    expiring,
    publishing,
    settling,
)
from tests.differential.client import Client, Observation

Behaviour = Callable[[Client], Awaitable[Observation]]

_MODULES = (connecting, declaring, publishing, consuming, settling, expiring, carrying)


def _of(module: object) -> list[Behaviour]:
    return [
        each
        for name, each in vars(module).items()
        if inspect.iscoroutinefunction(each)
        and each.__module__ == vars(module)["__name__"]
        and name[0] != "_"
    ]


# Behaviours that the programs in ../go and ../node have too.
CORE = {
    *("a_missing_queue_is_not_found", "a_wrong_password_is_refused_and_the_client_is_told"),
    *(
        "a_queue_is_not_made_transient_by_declaring_it_again",
        "a_delivery_limit_is_not_changed_by_declaring_again",
    ),
    *("another_connection_cannot_use_an_exclusive_queue", "a_publish_is_confirmed"),
    *(
        "an_unroutable_message_comes_back_if_it_is_mandatory",
        "publishing_to_a_missing_exchange_closes_the_channel",
    ),
    *("a_topic_exchange_knows_one_word_and_any_number", "a_full_queue_that_rejects_publishes_says_so"),
    *("messages_come_in_the_order_of_publishing", "get_says_how_many_are_left"),
    "a_consumer_of_a_quorum_queue_holds_no_more_than_its_prefetch",
    *("two_consumers_of_a_quorum_queue_take_turns", "a_consumer_is_told_when_its_queue_is_deleted"),
    "an_unknown_delivery_tag_is_a_precondition_failed",
    "a_message_returned_to_a_limited_queue_is_next_and_counted",
    *("a_lost_connection_gives_back_in_order", "a_message_expires_after_its_own_time"),
    "a_rejected_message_is_a_letter_that_does_not_expire",
}

BEHAVIOURS: list[Behaviour] = [each for module in _MODULES for each in _of(module)]
