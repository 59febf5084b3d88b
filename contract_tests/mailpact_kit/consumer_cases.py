"""Carries out the cases for consumers: publish, wait for what must come, publish a fence, wait for its mail, judge.

The fence stands for "and nothing else happened": a plainly valid message, published after the others are settled. What
was still to come of them has come when its mail is there, or will never come. And a program that a bad message has
stopped for good is found out by it.
"""

from mailpact_kit.cases import Case, ConsumerCase
from mailpact_kit.judge import Seen, judge_message
from mailpact_kit.messages import Sent, case_message, fence
from mailpact_kit.stage import Stage, line_of_sent, new_id, now
from mailpact_kit.trace import deliveries, settled
from mailpact_kit.verdict import Evidence


async def carry_out(stage: Stage, case: Case, does: ConsumerCase) -> tuple[list[str], Evidence]:
    """Carry out one case; give its problems, and what helps to find their cause."""
    binding = stage.contract(case.contract).wire
    sent = [
        case_message(case.id, message, binding, message_id=new_id(), now=now()) for message in does.messages
    ]
    for message in sent:
        await stage.broker.publish(message)
    await stage.bell.until(
        lambda: stage.has_program_exited or all(_has_outcome(stage, message) for message in sent),
        seconds=stage.seconds,
    )
    last = fence(case.id, binding, message_id=new_id(), now=now())
    await stage.broker.publish(last)
    await stage.bell.until(
        lambda: stage.has_program_exited or _has_outcome(stage, last), seconds=stage.seconds
    )
    problems = [
        _in_place(problem, number, len(sent))
        for number, message in enumerate(sent, start=1)
        for problem in judge_message(message, _seen(stage, message))
    ]
    if not _has_outcome(stage, last):
        problems.append("a valid message that came after it was not served")
    evidence = stage.evidence(
        [message.nonce for message in sent], [line_of_sent(message) for message in sent]
    )
    return problems, evidence


def _in_place(problem: str, number: int, count: int) -> str:
    return problem if count == 1 else f"message {number} of {count}: {problem}"


def _has_outcome(stage: Stage, sent: Sent) -> bool:
    """Whether the program is done with a message: settled, and a mail or a dead letter is there."""
    if settled(stage.tap.events, sent.message_id) is None:
        return False
    return bool(stage.mailbox.mails_to(sent.nonce)) or any(
        letter.is_about(sent) for letter in stage.broker.letters
    )


def _seen(stage: Stage, sent: Sent) -> Seen:
    events = stage.tap.events
    return Seen(
        mails=stage.mailbox.mails_to(sent.nonce),
        letters=[letter for letter in stage.broker.letters if letter.is_about(sent)],
        deliveries=len(deliveries(events, sent.message_id)),
        settled=settled(events, sent.message_id),
    )
