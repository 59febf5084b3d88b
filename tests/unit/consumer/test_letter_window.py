"""How many dead letters are published at once: one after a pause, then more, up to a limit."""

import asyncio
from contextlib import AsyncExitStack

import pytest

from mailpact_consumer import letter_window
from mailpact_consumer.letter_window import MOST_LETTERS, LetterWindow


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


async def places(window: LetterWindow, stack: AsyncExitStack, wanted: int) -> int:
    """Return how many of the wanted places were free at once."""
    return [await stack.enter_async_context(window.place()) for _ in range(wanted)].count(True)


@pytest.fixture(autouse=True)
def _short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_window, "PATIENCE_SECONDS", 0.01)


async def test_first_letter_goes_alone_and_each_confirm_lets_one_more_go() -> None:
    window = LetterWindow(monotonic=Clock())
    async with AsyncExitStack() as stack:
        assert await places(window, stack, 3) == 1
    for _ in range(4):
        window.confirmed()
    async with AsyncExitStack() as stack:
        assert await places(window, stack, 9) == 5


async def test_never_more_than_sixteen_letters_are_on_their_way() -> None:
    window = LetterWindow(monotonic=Clock())
    for _ in range(100):
        window.confirmed()

    async with AsyncExitStack() as stack:
        assert await places(window, stack, MOST_LETTERS + 3) == MOST_LETTERS == 16


async def test_after_a_pause_one_letter_goes_alone_again() -> None:
    clock = Clock()
    window = LetterWindow(monotonic=clock)
    for _ in range(100):
        window.confirmed()
    clock.now += 1.1

    async with AsyncExitStack() as stack:
        assert await places(window, stack, 3) == 1


async def test_place_that_is_given_back_goes_to_who_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(letter_window, "PATIENCE_SECONDS", 60)
    window = LetterWindow(monotonic=Clock())
    done: list[int] = []

    async def publish(number: int) -> None:
        async with window.place() as may_publish:
            assert may_publish
            await asyncio.sleep(0)
            done.append(number)

    await asyncio.gather(*(publish(number) for number in range(50)))

    assert sorted(done) == list(range(50))


async def test_waiter_that_is_cancelled_leaves_no_place_taken() -> None:
    window = LetterWindow(monotonic=Clock())
    async with window.place():
        waiting = asyncio.create_task(window.place().__aenter__())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)

    async with window.place() as may_publish:
        assert may_publish
