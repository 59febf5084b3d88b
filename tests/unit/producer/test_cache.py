"""A cached page is current, or is not used."""

import pytest

from mailpact_producer.cache import MOST_ITEMS, TTL_SECONDS, Kept, PageCache, page_key

KEPT = Kept(b"body", "text/html")


class Clock:
    """A clock that the test sets."""

    seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def filled(clock: Clock | None = None, key: str = "pages/one") -> PageCache:
    cache = PageCache(clock or Clock(), lambda: True)
    cache.keep("name", key, KEPT, generation=0)
    return cache


def test_item_is_found_until_its_time_is_over() -> None:
    clock = Clock()
    cache = filled(clock)

    clock.seconds = TTL_SECONDS - 0.1
    assert cache.get("name") == KEPT
    clock.seconds = TTL_SECONDS
    assert cache.get("name") is None


@pytest.mark.parametrize(
    ("dropped", "is_kept"),
    [
        ("pages/one", False),
        ("pages/*", False),
        ("*", False),
        ("pages/on", True),
        ("pages", True),
        ("page/*", True),
        ("pages/one/*", True),
        ("lists", True),
    ],
)
def test_key_drops_what_it_names_and_nothing_else(dropped: str, is_kept: bool) -> None:
    cache = filled()

    cache.drop(["other", dropped])

    assert (cache.get("name") == KEPT) is is_kept


def test_answer_that_was_begun_before_a_change_is_not_kept() -> None:
    cache = PageCache(Clock(), lambda: True)
    began = cache.generation

    cache.drop(["pages/one"])
    cache.keep("name", "pages/one", KEPT, generation=began)

    assert cache.get("name") is None


def test_nothing_is_used_or_kept_while_changes_may_be_missed() -> None:
    is_in_time = [True]
    cache = PageCache(Clock(), lambda: is_in_time[0])
    cache.keep("before", "pages/one", KEPT, generation=0)

    is_in_time[0] = False
    cache.keep("meanwhile", "pages/one", KEPT, generation=0)
    found = [cache.get("before"), cache.get("meanwhile")]
    is_in_time[0] = True

    assert found == [None, None]
    assert cache.get("meanwhile") is None


def test_oldest_items_make_room() -> None:
    cache = PageCache(Clock(), lambda: True)
    for number in range(MOST_ITEMS + 10):
        cache.keep(number, page_key(str(number)), KEPT, generation=0)

    assert [cache.get(number) is None for number in (9, 10)] == [True, False]
