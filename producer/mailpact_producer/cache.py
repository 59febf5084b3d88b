"""The cache of rendered pages in this process, with their invalidation. Pure: the time is an argument.

Each item has a key of the contract `cache-invalidation/1`, under which the item is dropped, and a name, under which
the item is looked up: a page is kept under each of its addresses. Every item expires after 60 seconds, because a
message about a change can be lost.

A page is read from the database, rendered, and then kept. If anything was dropped in the meantime, the rendered page
may be outdated and is not kept. `generation` counts the drops.
"""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Final

TTL_SECONDS: Final = 60.0
MOST_ITEMS: Final = 500
EVERYTHING: Final = "*"

LISTS: Final = "lists"
"""The key of the list of pages, the feed and the sitemap."""

ALL_PAGES: Final = "pages/*"

_BELOW: Final = "/*"


@dataclass(frozen=True, slots=True)
class Kept:
    """The body of an answer."""

    body: bytes = field(repr=False)
    content_type: str


@dataclass(frozen=True, slots=True)
class _Item:
    key: str
    kept: Kept
    ends_at: float


class PageCache:
    """Keeps answers while `is_in_time` says that this process learns of every change; `now` counts seconds."""

    def __init__(self, now: Callable[[], float], is_in_time: Callable[[], bool]) -> None:
        self._now = now
        self._is_in_time = is_in_time
        self._items: dict[Hashable, _Item] = {}
        self.generation = 0

    def get(self, name: Hashable) -> Kept | None:
        """Return the answer that is kept under a name; None if there is none, or if the answer may be out of date."""
        item = self._items.get(name)
        if item is None or not self._is_in_time():
            return None
        if item.ends_at <= self._now():
            del self._items[name]
            return None
        return item.kept

    def keep(self, name: Hashable, key: str, kept: Kept, *, generation: int) -> None:
        """Keep an answer whose rendering began at `generation`, unless something was dropped since then."""
        if generation != self.generation or not self._is_in_time():
            return
        self._items.pop(name, None)
        while len(self._items) >= MOST_ITEMS:
            del self._items[next(iter(self._items))]
        self._items[name] = _Item(key, kept, self._now() + TTL_SECONDS)

    def drop(self, keys: Sequence[str]) -> None:
        """Drop the items that have one of these keys; "a/*" means all keys below "a/", and "*" means all keys."""
        self.generation += 1
        for name, item in list(self._items.items()):
            if any(_matches(key, item.key) for key in keys):
                del self._items[name]


def page_key(guid: str) -> str:
    """Return the key of a page with its comments."""
    return f"pages/{guid}"


def _matches(dropped: str, key: str) -> bool:
    if dropped in (EVERYTHING, key):
        return True
    return dropped.endswith(_BELOW) and key.startswith(dropped[:-1])
