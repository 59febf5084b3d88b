"""The bytes of a client are read as lines and blocks, in pieces of any size, within limits."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from mailpact_capture.incoming import HIGH_BYTES, Incoming


class Tap(asyncio.ReadTransport):
    """A transport that can be paused; `is_open` says whether it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.is_open = True

    def pause_reading(self) -> None:
        assert self.is_open
        self.is_open = False

    def resume_reading(self) -> None:
        assert not self.is_open
        self.is_open = True


def reading(told: Callable[[Incoming, Tap], Awaitable[None]]) -> None:
    async def run() -> None:
        tap = Tap()
        await told(Incoming(tap, max_line_bytes=10), tap)

    asyncio.run(run())


@pytest.mark.parametrize("cuts", [1, 2, 3, 100])
def test_lines_are_read_in_any_pieces(cuts: int) -> None:
    async def told(incoming: Incoming, _tap: Tap) -> None:
        wire = b"EHLO x\r\n\r\nNOOP\nover ten bytes\r\nQUIT\r\n"

        async def send() -> None:
            for at in range(0, len(wire), cuts):
                incoming.feed(wire[at : at + cuts])
                await asyncio.sleep(0)

        sending = asyncio.create_task(send())
        lines = [await incoming.line() for _ in range(5)]
        await sending

        assert lines == [b"EHLO x", b"", b"NOOP", b"over ten b", b"QUIT"]

    reading(told)


def test_an_endless_line_is_not_held() -> None:
    async def told(incoming: Incoming, tap: Tap) -> None:
        line = asyncio.create_task(incoming.line())
        for _ in range(100):
            incoming.feed(b"x" * 10_000)
            await asyncio.sleep(0)
            assert tap.is_open
            assert len(incoming.take()) <= 10
            incoming.put_back(b"x" * 10)
        incoming.feed(b"\r\nQUIT\r\n")

        assert (await line, await incoming.line()) == (b"x" * 10, b"QUIT")

    reading(told)


def test_the_transport_waits_until_somebody_reads() -> None:
    async def told(incoming: Incoming, tap: Tap) -> None:
        incoming.feed(b"x" * (HIGH_BYTES + 1))
        assert not tap.is_open

        assert len(incoming.take()) == HIGH_BYTES + 1
        more = asyncio.create_task(incoming.more())
        await asyncio.sleep(0)
        assert tap.is_open

        incoming.feed(b"y")
        await more

    reading(told)


def test_what_came_before_the_end_is_read_and_then_it_is_over() -> None:
    async def told(incoming: Incoming, _tap: Tap) -> None:
        incoming.feed(b"QUIT\r\nhalf")
        incoming.end()

        assert await incoming.line() == b"QUIT"
        with pytest.raises(asyncio.IncompleteReadError):
            await incoming.line()
        assert incoming.take() == b"half"
        with pytest.raises(asyncio.IncompleteReadError):
            await incoming.more()

    reading(told)


def test_a_reader_that_waits_hears_of_the_end() -> None:
    async def told(incoming: Incoming, _tap: Tap) -> None:
        line = asyncio.create_task(incoming.readline())
        await asyncio.sleep(0)
        incoming.end()

        with pytest.raises(asyncio.IncompleteReadError):
            await line

    reading(told)


def test_what_comes_before_the_new_transport_is_named_is_not_lost() -> None:
    async def told(incoming: Incoming, tap: Tap) -> None:
        incoming.feed(b"EHLO x\r\n" + b"x" * HIGH_BYTES)
        incoming.go_on_from(Tap())

        assert await incoming.line() == b"EHLO x"
        assert tap.is_open

    reading(told)
