"""Run the cases for producers: pull the trigger, wait for the publish, pull the trigger again as a fence, judge.

The messages for the first request are counted after the message for the second request (the fence) is published. A
case with a fault disturbs the connection or the program during the first request.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import assert_never

from mailpact_kit.cases import Case, Fault, FaultCase, ProducerCase
from mailpact_kit.messages import address_for, nonce_of
from mailpact_kit.process import TERM_SECONDS
from mailpact_kit.publishes import Asked, about, judge_publishes, judge_unique
from mailpact_kit.stage import PATIENCE, Stage, new_id, now
from mailpact_kit.trigger import Trigger, TriggerFailed, carries_message, pull
from mailpact_kit.verdict import Evidence

# A producer may use these newer contracts instead of the contract that a case names.
NEWER = ("email/2",)
AWAY_SECONDS = 1.0
LEASE_PATIENCE = 2 * PATIENCE  # rows of an outbox may still be leased to the killed program


async def carry_out(stage: Stage, case: Case, does: ProducerCase | FaultCase) -> tuple[list[str], Evidence]:
    """Run one case; return its problems, and evidence that helps to find their cause."""
    trigger = stage.trigger
    assert trigger is not None  # noqa: S101  # cases for producers are skipped if there is no trigger
    asked = _asked(case.id, does.message, trigger)
    fence = _asked(f"fence.{case.id}", does.message, trigger)
    try:
        match does:
            case ProducerCase():
                problems = await _observe(stage, trigger, case, does, asked, fence)
            case FaultCase():
                problems = await _disturb(stage, trigger, does, asked, fence)
            case _:
                assert_never(does)
    except TriggerFailed as error:
        problems = [str(error)]
    return problems, stage.evidence(
        [asked.nonce], [f"asked for a mail to {asked.recipient}: {does.message!r}"]
    )


async def _observe(
    stage: Stage, trigger: Trigger, case: Case, does: ProducerCase, asked: Asked, fence: Asked
) -> list[str]:
    await _ask(stage, trigger, asked, does.message)
    await _ask(stage, trigger, fence, does.message)
    contracts = [stage.contract(name) for name in dict.fromkeys((case.contract, *NEWER))]
    problems = judge_publishes(does, asked, stage.ledger.publications, contracts, now())
    if not about(stage.ledger.publications, fence):
        problems.append("nothing was published for a second request")
    return problems


async def _disturb(stage: Stage, trigger: Trigger, does: FaultCase, asked: Asked, fence: Asked) -> list[str]:
    if does.fault is Fault.SIGTERM:
        return [] if await stage.program.terminate() else [_ignored()]
    async with stage.disturbance:
        match does.fault:
            case Fault.CUT_BEFORE_CONFIRM:
                return await _unconfirmed(
                    stage,
                    trigger,
                    asked,
                    does.message,
                    stage.tap.cut_before_confirm,
                    "after its confirm was lost",
                )
            case Fault.SAME_AGAIN:
                return await _same_again(stage, trigger, asked, fence, does.message)
            case Fault.NACKED:
                return await _unconfirmed(
                    stage,
                    trigger,
                    asked,
                    does.message,
                    stage.tap.nack_instead,
                    "after the broker refused it by a nack",
                )
            case Fault.RETURNED:
                return await _returned(stage, trigger, asked, does.message)
            case Fault.AWAY_AT_PUBLISH:
                return await _away(stage, trigger, asked, does.message)
            case Fault.KILL_AT_PUBLISH:
                return await _kill(stage, trigger, asked, fence, does.message)
            case _:
                raise ValueError(f"{does.fault} is for consumers")


async def _unconfirmed(
    stage: Stage, trigger: Trigger, asked: Asked, message: str, withhold: Callable[[bytes], None], when: str
) -> list[str]:
    """Withhold the confirm from the program. The message must be published again, or the request must fail."""
    needle = asked.nonce.encode()
    withhold(needle)
    try:
        await _ask(stage, trigger, asked, message)
    except TriggerFailed:
        return [] if stage.tap.has_cut(needle) else [_unasked()]
    if not await _wait(stage, lambda: stage.tap.has_cut(needle)):
        return [_unasked()]
    return await _published_again(stage, asked, when)


async def _returned(stage: Stage, trigger: Trigger, asked: Asked, message: str) -> list[str]:
    """Let the message reach no queue. After its return it must be published again, or the request must fail."""
    await stage.broker.unbind()
    try:
        await _ask(stage, trigger, asked, message)
        came_back = await _wait(
            stage, lambda: any(each.is_returned for each in about(stage.ledger.publications, asked))
        )
    except TriggerFailed:
        return []
    finally:
        await stage.broker.bind()
    if not came_back:
        return [
            "the broker returned no message: the program published none, or published it without mandatory"
        ]
    return await _published_again(stage, asked, "after it came back because it reached no queue")


async def _away(stage: Stage, trigger: Trigger, asked: Asked, message: str) -> list[str]:
    """Make the broker refuse connections during the request. The request must fail, or be published afterwards."""
    stage.tap.refuse(is_refusing=True)
    pulling = asyncio.ensure_future(
        pull(trigger, _values(stage, asked, message), stage.variables, seconds=PATIENCE * stage.seconds)
    )
    try:
        await asyncio.wait({pulling}, timeout=AWAY_SECONDS)  # the outage must last for some time
    finally:
        stage.tap.refuse(is_refusing=False)
    try:
        await pulling
    except TriggerFailed:
        return []
    if await _wait(stage, lambda: bool(about(stage.ledger.publications, asked)), times=PATIENCE):
        return []
    return ["a request that was accepted while the broker was not reachable was not published afterwards"]


async def _kill(stage: Stage, trigger: Trigger, asked: Asked, fence: Asked, message: str) -> list[str]:
    """Kill the program before it gets the confirm. After a restart the program must publish the message again."""
    needle = asked.nonce.encode()
    stage.tap.cut_before_confirm(needle)
    pulling = asyncio.ensure_future(
        pull(trigger, _values(stage, asked, message), stage.variables, seconds=stage.seconds)
    )
    has_cut = await _wait(stage, lambda: stage.tap.has_cut(needle))
    await stage.program.kill()
    await stage.program.start()
    has_failed = isinstance((await asyncio.gather(pulling, return_exceptions=True))[0], TriggerFailed)
    if not has_cut:
        return [_unasked()]
    problems = (
        []
        if has_failed
        else await _published_again(
            stage, asked, "when the program was killed and started again", times=LEASE_PATIENCE
        )
    )
    await _ask(stage, trigger, fence, message)
    return problems + judge_unique(stage.ledger.publications)


async def _published_again(stage: Stage, asked: Asked, when: str, *, times: int = PATIENCE) -> list[str]:
    """Wait until the message is confirmed; return a problem if it never is, or if it is published with another id."""
    await _wait(
        stage,
        lambda: any(each.confirmed_at is not None for each in about(stage.ledger.publications, asked)),
        times=times,
    )
    published = about(stage.ledger.publications, asked)
    if not any(each.confirmed_at is not None for each in published):
        return [f"the message was not published again {when}, and the request reported no failure"]
    ids = {each.event.properties.get("message_id") for each in published}
    return (
        [] if len(ids) == 1 else [f"the message was published again with another message_id: {len(ids)} ids"]
    )


async def _same_again(stage: Stage, trigger: Trigger, asked: Asked, fence: Asked, message: str) -> list[str]:
    """Pull the trigger twice with the same values. The refused second request must publish no message."""
    await _ask(stage, trigger, asked, message)
    with suppress(TriggerFailed):  # the program may report that it refuses the request
        await pull(trigger, _values(stage, asked, message), stage.variables, seconds=stage.seconds)
    await _ask(stage, trigger, fence, message)
    published = len(about(stage.ledger.publications, asked))
    if published == 1:
        return []
    return [f"{published or 'no'} messages were published for a request that was made twice and stored once"]


async def _wait(stage: Stage, fact: Callable[[], bool], *, times: int = 1) -> bool:
    """Wait for a fact, at most `times` times the seconds of `--timeout`; return whether it became true."""
    await stage.changes.wait_for(lambda: fact() or stage.has_program_exited, seconds=times * stage.seconds)
    return fact()


def _asked(label: str, message: str, trigger: Trigger) -> Asked:
    nonce = nonce_of(new_id())
    return Asked(address_for(label, nonce), message if carries_message(trigger) else None, nonce)


def _values(stage: Stage, asked: Asked, message: str) -> dict[str, str]:
    return {**stage.values, "email": asked.recipient, "message": message, "nonce": asked.nonce}


async def _ask(stage: Stage, trigger: Trigger, asked: Asked, message: str) -> None:
    """Pull the trigger and wait until something is published for it."""
    await pull(trigger, _values(stage, asked, message), stage.variables, seconds=stage.seconds)
    await stage.changes.wait_for(
        lambda: stage.has_program_exited or about(stage.ledger.publications, asked), seconds=stage.seconds
    )


def _unasked() -> str:
    return "the program asked for no confirm of its publish, so the program cannot know whether the broker has it"


def _ignored() -> str:
    return f"the program did not end within {TERM_SECONDS} s of SIGTERM and was killed"
