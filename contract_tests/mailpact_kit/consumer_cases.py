"""Run the cases for consumers: publish, wait for the expected outcome, publish a fence, wait for its mail, judge.

The fence is a valid message that is published after the other messages are settled. When the mail of the fence has
arrived, all other mails and dead letters have arrived, too, so the kit can check that nothing else happened. The
fence also detects a program that an invalid message has stopped.
"""

from mailpact_kit.cases import Case, ConsumerCase, NotLost
from mailpact_kit.habits import judge_habits
from mailpact_kit.judge import judge_message, judge_not_lost
from mailpact_kit.messages import Sent, case_message, fence
from mailpact_kit.stage import PATIENCE, Stage, line_of_sent, new_id, now
from mailpact_kit.verdict import Evidence

NOT_SERVED = "a valid message that came after it was not served"


async def carry_out(stage: Stage, case: Case, does: ConsumerCase) -> tuple[list[str], Evidence]:
    """Run one case; return its problems, and evidence that helps to find their cause."""
    binding = stage.contract(case.contract).wire
    sent = [
        case_message(case.id, message, binding, message_id=new_id(), now=now()) for message in does.messages
    ]
    for message in sent:
        await stage.publish(message)
    await wait_for_outcomes(stage, sent, is_patient=does.is_patient)
    problems = await after_a_fence(stage, case, sent)
    problems += judge_habits(does.habits, stage.course())
    evidence = stage.evidence(
        [message.nonce for message in sent], [line_of_sent(message) for message in sent]
    )
    return problems, evidence


async def wait_for_outcomes(stage: Stage, sent: list[Sent], *, is_patient: bool = False) -> None:
    """Wait until the program has finished all these messages, or makes no more progress."""
    await stage.changes.wait_for(
        lambda: stage.has_program_exited or all(has_outcome(stage, message) for message in sent),
        seconds=stage.seconds * (PATIENCE if is_patient else 1),
    )


async def after_a_fence(stage: Stage, case: Case, sent: list[Sent]) -> list[str]:
    """Publish a fence, wait for its mail, and return the problems of the messages before the fence."""
    binding = stage.contract(case.contract).wire
    last = fence(case.id, binding, message_id=new_id(), now=now())
    await stage.publish(last)
    await wait_for_outcomes(stage, [last])
    problems = [
        _in_place(problem, number, len(sent))
        for number, message in enumerate(sent, start=1)
        for problem in judge_message(message, stage.seen(message))
    ]
    if not has_outcome(stage, last):
        problems.append(NOT_SERVED)
    return problems


def has_outcome(stage: Stage, sent: Sent) -> bool:
    """Return whether the program has finished a message: it is settled, and there is a mail or a dead letter."""
    if stage.ledger.settled(sent.message_id) is None:
        return False
    if stage.mailbox.mails_to(sent.nonce) or stage.broker.letters_about(sent):
        return True
    return isinstance(sent.expected, NotLost) and not judge_not_lost(stage.seen(sent))


def _in_place(problem: str, number: int, count: int) -> str:
    return problem if count == 1 else f"message {number} of {count}: {problem}"
