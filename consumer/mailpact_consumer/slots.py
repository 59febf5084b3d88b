"""Limits how many messages are worked on at the same time.

A message has a slot while it is worked on. A try that has waited 1 second for the mail server releases its slot, so
that slow answers do not delay other messages; the number of connections to the mail server limits these tries.
Messages that wait a short time in the process use at most a quarter of the slots. Messages whose dead letter cannot
be written have separate slots.

A message that was delivered several times may crash the process. Such messages are called suspects. They are tried
one at a time, in a random order, so that after each restart some harmless messages are finished before they reach the
delivery limit. A suspect is isolated for one try: when it waits for a slow answer, or has been put off, the next
suspect is tried.
"""

import asyncio
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager

SLOW_SECONDS = 1.0
SHUFFLE_SECONDS = 0.5
LETTER_SLOTS = 32


class Slot:
    """One message's place among the messages that are worked on; it is released once, early or at the end."""

    def __init__(self, give_back: Callable[[], None]) -> None:
        self._give_back: Callable[[], None] | None = give_back

    def give_back(self) -> None:
        """Release the slot, so that another message can be worked on."""
        if self._give_back is not None:
            give_back, self._give_back = self._give_back, None
            give_back()

    def given_back_when_slow(self) -> "_Patience":
        """Return a context that releases the slot if the work inside takes 1 second."""
        return _Patience(self)


class _Patience:
    """The context of `given_back_when_slow`; a generator would take several times as long for each mail."""

    __slots__ = ("_slot", "_timer")

    def __init__(self, slot: Slot) -> None:
        self._slot = slot

    def __enter__(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(SLOW_SECONDS, self._slot.give_back)

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


class Slots:
    """The slots of one process."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._alone = asyncio.Lock()
        self._quarter = max(1, count // 4)
        self._waiting = 0
        self._letters = 0

    async def take(self, *, is_suspect: bool) -> Slot:
        """Wait for a slot, and return it; a suspect first waits until no other suspect is tried."""
        if is_suspect:
            await asyncio.sleep(random.uniform(0.0, SHUFFLE_SECONDS))  # noqa: S311  # an order, not a secret
            await self._alone.acquire()
        try:
            await self._free.acquire()
        except BaseException:
            if is_suspect:
                self._alone.release()
            raise
        return Slot(self._release_suspect if is_suspect else self._free.release)

    @contextmanager
    def waiting(self) -> Iterator[bool]:
        """Yield True while a message waits for a short time in the process; False if a quarter of the slots do so."""
        if self._waiting >= self._quarter:
            yield False
            return
        self._waiting += 1
        try:
            yield True
        finally:
            self._waiting -= 1

    def take_letter_slot(self) -> bool:
        """Take a slot for a message whose letter cannot be written now; return False if no slot is free."""
        if self._letters >= LETTER_SLOTS:
            return False
        self._letters += 1
        return True

    def give_letter_slot_back(self) -> None:
        """Release the slot that `take_letter_slot` took."""
        self._letters -= 1

    def _release_suspect(self) -> None:
        self._free.release()
        self._alone.release()
