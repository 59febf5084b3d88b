"""Carries out the cases for producers: pull the trigger, wait for the publish, pull it again as a fence, judge.

What was published for the first request is counted when the publish for the second is there.
"""

from mailpact_kit.cases import Case, ProducerCase
from mailpact_kit.judge import Asked, judge_publishes
from mailpact_kit.messages import address_for, nonce_of
from mailpact_kit.stage import Stage, new_id
from mailpact_kit.trace import publishes
from mailpact_kit.trigger import Trigger, TriggerFailed, carries_message, pull
from mailpact_kit.verdict import Evidence


async def carry_out(
    stage: Stage, case: Case, does: ProducerCase, trigger: Trigger
) -> tuple[list[str], Evidence]:
    """Carry out one case; give its problems, and what helps to find their cause."""
    asked = _asked(case.id, does.message, trigger)
    fence = _asked(f"fence.{case.id}", does.message, trigger)
    try:
        await _ask(stage, trigger, asked, does.message)
        await _ask(stage, trigger, fence, does.message)
    except TriggerFailed as error:
        problems = [str(error)]
    else:
        contract = stage.contract(case.contract)
        problems = judge_publishes(does.observe, asked, stage.tap.events, contract)
        if not publishes(stage.tap.events, fence.nonce.encode()):
            problems.append("nothing was published for a second request")
    return problems, stage.evidence(
        [asked.nonce], [f"asked for a mail to {asked.recipient}: {does.message!r}"]
    )


def _asked(label: str, message: str, trigger: Trigger) -> Asked:
    nonce = nonce_of(new_id())
    return Asked(address_for(label, nonce), message if carries_message(trigger) else None, nonce)


async def _ask(stage: Stage, trigger: Trigger, asked: Asked, message: str) -> None:
    """Pull the trigger and wait until something is published for it."""
    values = {**stage.values, "email": asked.recipient, "message": message, "nonce": asked.nonce}
    await pull(trigger, values, stage.variables, seconds=stage.seconds)
    await stage.bell.until(
        lambda: stage.has_program_exited or publishes(stage.tap.events, asked.nonce.encode()),
        seconds=stage.seconds,
    )
