"""The program under test: how it is started, and when it is ready.

A consumer is ready when the broker says that the queue has a consumer. A producer is ready when its form answers, or,
with a command as trigger, when it has opened a connection to the broker or listens on its HTTP port.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress

from mailpact_kit.bell import Bell
from mailpact_kit.broker import LOOK_AGAIN_SECONDS, Broker
from mailpact_kit.environment import filled
from mailpact_kit.errors import SubjectNotReady
from mailpact_kit.process import Process
from mailpact_kit.tap import Tap
from mailpact_kit.trigger import CommandTrigger, FormTrigger, Trigger, answers

READY_SECONDS = 30
SHOWN_LINES = 20


@asynccontextmanager
async def running(command: Sequence[str], variables: Mapping[str, str], bell: Bell) -> AsyncIterator[Process]:
    """Run the program until the end of the block; raises SubjectNotReady if it cannot be started."""
    try:
        program = await Process.start(command, variables, bell)
    except OSError as error:
        raise SubjectNotReady(f"{command[0]} cannot be started: {error.strerror}") from error
    try:
        yield program
    finally:
        await program.stop()


async def wait_for_consumer(program: Process, broker: Broker, bell: Bell) -> None:
    """Return when the queue has a consumer; raises SubjectNotReady."""
    await _wait(program, bell, _consumes(broker), f"there is no consumer on the queue {broker.queue}")


async def wait_for_producer(
    program: Process, tap: Tap, trigger: Trigger, values: Mapping[str, str], bell: Bell
) -> None:
    """Return when the trigger can be pulled; raises SubjectNotReady."""
    match trigger:
        case FormTrigger():
            url = filled(trigger.url, values)
            await _wait(program, bell, answers(url, seconds=READY_SECONDS), f"nobody answers at {url}")
        case CommandTrigger():
            port = values["HTTP_PORT"]
            missing = f"it has no connection to AMQP_URL, and nobody listens on HTTP_PORT {port}"
            await _wait(program, bell, _connects(tap, int(port)), missing)


async def _wait(program: Process, bell: Bell, ready: Awaitable[None], missing: str) -> None:
    """Wait for a fact, but no longer than the program lives and at most 30 s."""
    waiting = asyncio.ensure_future(ready)
    waiting.add_done_callback(lambda _: bell.ring())
    try:
        await bell.until(lambda: waiting.done() or program.exit_code is not None, seconds=READY_SECONDS)
        if program.exit_code is not None:
            raise SubjectNotReady(
                _with_output(
                    program, f"the program ended with exit code {program.exit_code} before it was ready"
                )
            )
        if not waiting.done():
            raise SubjectNotReady(
                _with_output(program, f"the program was not ready after {READY_SECONDS} s: {missing}")
            )
        with suppress(TimeoutError):
            return waiting.result()
        raise SubjectNotReady(_with_output(program, f"the program was not ready: {missing}"))
    finally:
        waiting.cancel()


def _with_output(program: Process, reason: str) -> str:
    return "\n".join([f"{reason}. It wrote:", *(program.tail(SHOWN_LINES) or ["(nothing)"])])


async def _consumes(broker: Broker) -> None:
    # Shielded, because aiormq closes the channel of a request that is cancelled, and tidying up needs the channel.
    while not await asyncio.shield(asyncio.ensure_future(broker.consumers())):  # noqa: ASYNC110  # a broker tells nobody
        await asyncio.sleep(LOOK_AGAIN_SECONDS)


async def _connects(tap: Tap, port: int) -> None:
    while not any(event.name == "connection.open-ok" for event in tap.events):
        with suppress(OSError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.close()
            return
        await asyncio.sleep(LOOK_AGAIN_SECONDS)
