"""The program under test: started, watched, killed and started again.

A consumer is ready when the broker says that the queue has a consumer, or when it asks for a message by `basic.get`. A
producer is ready when its form answers, or, with a command as trigger, when it has opened a connection to the broker or
listens on its HTTP port.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress

from mailpact_kit.broker import LOOK_AGAIN_SECONDS, Broker
from mailpact_kit.changes import Changes
from mailpact_kit.environment import filled
from mailpact_kit.errors import SubjectNotReady
from mailpact_kit.process import Process, end_orphans
from mailpact_kit.tap import Tap
from mailpact_kit.trigger import CommandTrigger, FormTrigger, Trigger, answers

READY_SECONDS = 30
SHOWN_LINES = 20


class Subject:
    """One program, which may be started several times. `ready` is awaited after each start."""

    def __init__(self, command: Sequence[str], variables: Mapping[str, str], changes: Changes) -> None:
        self._command = command
        self._variables = variables
        self._changes = changes
        self._process: Process | None = None
        self._earlier: list[str] = []
        self.ready: Callable[[], Awaitable[None]] | None = None
        self.has_ended_by_itself: bool | None = None

    @property
    def exit_code(self) -> int | None:
        """Return the exit code; None if the program runs, and always None for a one-shot command."""
        return None if self._process is None else self._process.exit_code

    def tail(self, lines: int) -> list[str]:
        """Return the last lines that the program wrote, also before a restart."""
        written = [] if self._process is None else self._process.tail(lines)
        return [*self._earlier, *written][-lines:]

    async def start(self) -> None:
        """Start the program and wait until it is ready; raises SubjectNotReady."""
        if not self._command:
            return
        try:
            self._process = await Process.start(self._command, self._variables, self._changes)
        except OSError as error:
            raise SubjectNotReady(f"{self._command[0]} cannot be started: {error.strerror}") from error
        if self.ready is not None:
            await self._become_ready(self.ready)

    async def kill(self) -> None:
        """Send SIGKILL to the program and to every process that it started."""
        if self._process is not None:
            self._earlier = self._process.tail(SHOWN_LINES)
            await self._process.kill()
            await end_orphans()

    async def terminate(self) -> bool:
        """Send SIGTERM and return whether the program ends within 20 s."""
        self.has_ended_by_itself = self._process is None or await self._process.terminate()
        return self.has_ended_by_itself

    async def stop(self) -> None:
        """End the program and all its children, with SIGTERM first if it was not sent before."""
        if self._process is not None and self._process.exit_code is None and self.has_ended_by_itself is None:
            await self.terminate()
        await self.kill()

    async def _become_ready(self, ready: Callable[[], Awaitable[None]]) -> None:
        """Wait until the program is ready, for at most 30 s, and only while the program runs."""
        waiting = asyncio.ensure_future(ready())
        waiting.add_done_callback(lambda _: self._changes.notify())
        try:
            await self._changes.wait_for(
                lambda: waiting.done() or self.exit_code is not None, seconds=READY_SECONDS
            )
            if self.exit_code is not None:
                raise self._not_ready(
                    f"the program ended with exit code {self.exit_code} before it was ready"
                )
            if not waiting.done():
                raise self._not_ready(f"the program was not ready after {READY_SECONDS} s")
            try:
                waiting.result()
            except TimeoutError as error:
                raise self._not_ready(f"the program was not ready after {READY_SECONDS} s") from error
        finally:
            waiting.cancel()

    def _not_ready(self, reason: str) -> SubjectNotReady:
        return SubjectNotReady(
            "\n".join([f"{reason}. It wrote:", *(self.tail(SHOWN_LINES) or ["(nothing)"])])
        )


async def consumes(broker: Broker, tap: Tap) -> None:
    """Return when the queue has a consumer, or when the program fetches messages with `basic.get`."""
    known = len(tap.ledger.polls)
    # Shielded, because aiormq closes the channel of a request that is cancelled, and the clean-up needs the channel.
    while len(tap.ledger.polls) == known:
        if await asyncio.shield(asyncio.ensure_future(broker.consumers())):
            return
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def takes_requests(tap: Tap, trigger: Trigger, values: Mapping[str, str]) -> None:
    """Return when the trigger can be pulled; raises TimeoutError."""
    match trigger:
        case FormTrigger():
            await answers(filled(trigger.url, values), seconds=READY_SECONDS)
        case CommandTrigger():
            await _connects(tap, int(values["HTTP_PORT"]))


async def _connects(tap: Tap, port: int) -> None:
    earlier = len(tap.events)
    while not any(event.name == "connection.open-ok" for event in tap.events[earlier:]):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
