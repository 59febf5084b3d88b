"""Log lines of one moment are one write, and none waits longer than the event loop's round."""

import asyncio
import io

import pytest

from mailpact_cli.log_lines import GroupedLines


class Stream(io.StringIO):
    """A stream that records each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[str] = []

    def write(self, text: str) -> int:
        self.writes.append(text)
        return len(text)


async def test_lines_of_one_round_of_the_loop_are_one_write_at_its_end() -> None:
    stream = Stream()
    lines = GroupedLines(stream)

    lines.info("first")
    lines.info("second")
    at_first = list(stream.writes)
    await asyncio.sleep(0)
    lines.info("third")
    await asyncio.sleep(0)

    assert at_first == []
    assert stream.writes == ["first\nsecond\n", "third\n"]


@pytest.mark.parametrize("level", ["warning", "error", "critical"])
async def test_warning_is_written_at_once_after_what_waits(level: str) -> None:
    stream = Stream()
    lines = GroupedLines(stream)

    lines.info("before")
    getattr(lines, level)("trouble")
    at_once = list(stream.writes)
    lines.info("after")
    await asyncio.sleep(0)

    assert at_once == ["before\ntrouble\n"]
    assert "".join(stream.writes) == "before\ntrouble\nafter\n"


def test_line_without_an_event_loop_is_written_at_once() -> None:
    stream = Stream()

    GroupedLines(stream).info("it runs")

    assert stream.writes == ["it runs\n"]


def test_nothing_is_lost_when_the_event_loop_ends() -> None:
    stream = Stream()
    lines = GroupedLines(stream)

    async def say() -> None:
        lines.info("the last line")

    asyncio.run(say())

    assert stream.writes == ["the last line\n"]
