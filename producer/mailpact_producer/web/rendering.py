"""Makes HTML from Markdown in a thread, one text at a time, and keeps the results.

A long text takes up to half a second, in which the event loop must answer other requests.
"""

import asyncio
from collections.abc import Callable
from typing import Final

from mailpact_producer.markup import EXCERPT_SOURCE, excerpt, to_html

MOST_KEPT: Final = 200


class Rendering:
    """The results for the latest texts."""

    def __init__(self) -> None:
        self._one_at_a_time = asyncio.Lock()
        self._kept: dict[tuple[Callable[[str], str], str], str] = {}

    async def html(self, markdown: str) -> str:
        """Return the text as HTML, which is inserted into a page unchanged."""
        return await self._made(to_html, markdown)

    async def excerpt(self, markdown: str) -> str:
        """Return the first paragraph as text."""
        return await self._made(excerpt, markdown[:EXCERPT_SOURCE])

    async def _made(self, make: Callable[[str], str], markdown: str) -> str:
        name = (make, markdown)
        if name not in self._kept:
            async with self._one_at_a_time:
                made = self._kept.get(name)
                if made is None:
                    made = await asyncio.to_thread(make, markdown)
                while len(self._kept) >= MOST_KEPT:
                    del self._kept[next(iter(self._kept))]
                self._kept[name] = made
        return self._kept[name]
