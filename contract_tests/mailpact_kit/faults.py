"""Run the fault cases for consumers: killed programs, broken connections, and servers that are unavailable.

A case holds the lock `stage.disturbance` during its fault, so that the faults happen one after the other. The case
waits for the outcome after it has released the lock. If a program exits with a code other than 0 because its
connection broke, the kit starts the program again, as a container platform does.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping

from mailpact_kit.cases import Answer, Case, Fault, FaultCase
from mailpact_kit.consumer_cases import has_outcome
from mailpact_kit.judge import judge_message, judge_not_lost
from mailpact_kit.ledger import Settled
from mailpact_kit.messages import Sent, plain_message
from mailpact_kit.process import TERM_SECONDS
from mailpact_kit.stage import PATIENCE, Stage, line_of_sent, new_id, now
from mailpact_kit.trace import Speaker
from mailpact_kit.verdict import Evidence

AWAY_SECONDS = 1.0
HELD_SECONDS = 30.0
IN_FLIGHT = 5
TAKEN = "250 2.0.0 kept"


async def carry_out(stage: Stage, case: Case, does: FaultCase) -> tuple[list[str], Evidence]:
    """Run one case; return its problems, and evidence that helps to find their cause."""
    sent: list[Sent] = []
    problems = await _DEEDS[does.fault](stage, case, sent)
    nonces = [message.nonce for message in sent]
    return problems, stage.evidence(nonces, [line_of_sent(message) for message in sent])


async def _publish(stage: Stage, case: Case, sent: list[Sent], *answers: Answer) -> Sent:
    binding = stage.contract(case.contract).wire
    message = plain_message(case.id, binding, message_id=new_id(), now=now(), answers=answers)
    sent.append(message)
    await stage.publish(message)
    return message


async def _wait(stage: Stage, fact: Callable[[], bool], *, is_patient: bool = False) -> bool:
    seconds = stage.seconds * (PATIENCE if is_patient else 1)
    await stage.changes.wait_for(lambda: fact() or stage.has_program_exited, seconds=seconds)
    return fact()


async def _wait_through(stage: Stage, fact: Callable[[], bool], what: str) -> list[str]:
    """Wait for a fact after a connection broke. If the program ends with an error, start the program again."""
    problems: list[str] = []
    for _ in range(3):
        if await _wait(stage, fact, is_patient=True) or not stage.has_program_exited:
            break
        if stage.program.exit_code == 0:
            problems.append(f"the program ended with exit code 0 after {what}; exit code 0 causes no restart")
        await stage.program.kill()
        await stage.program.start()
    return problems


def _at_least_one_mail(stage: Stage, sent: list[Sent], most: int = 2) -> list[str]:
    """Return the messages with no mail, or with more mails than a crash can cause."""
    problems = []
    for message in sent:
        seen = stage.seen(message)
        problems += [] if seen.mails else judge_message(message, seen)
        if len(seen.mails) > most:
            problems.append(
                f"{len(seen.mails)} mails came to {message.recipient}, but at most {most} are allowed"
            )
        if seen.mails and seen.settled is None:
            problems.append(f"the message to {message.recipient} was mailed and never acknowledged")
    return problems


async def _kill(stage: Stage, case: Case, sent: list[Sent]) -> list[str]:
    """Kill the program when the mail server has received the whole mail but has not answered; then start it again."""
    message = await _publish(stage, case, sent, Answer(at_dot=True, says=TAKEN, after_seconds=HELD_SECONDS))
    try:
        has_begun = await _wait(stage, lambda: bool(stage.mailbox.begun[message.nonce]))
        was_settled = stage.ledger.settled(message.message_id) is not None
        await stage.program.kill()
        await stage.program.start()
    finally:
        stage.is_back.set()
    if not has_begun:
        return [
            "the message was not handed to the mail server, so the kit could not kill the program in time"
        ]
    problems = ["the message was acknowledged before the mail server answered"] if was_settled else []
    await _wait(stage, lambda: has_outcome(stage, message), is_patient=True)
    return problems + _at_least_one_mail(stage, sent)


async def _late_duplicate(stage: Stage, case: Case, sent: list[Sent]) -> list[str]:
    """Publish the same message again, with its id, after the first was mailed and acknowledged."""
    message = await _publish(stage, case, sent)
    await _wait(stage, lambda: has_outcome(stage, message))
    before = len(stage.ledger.deliveries.get(message.message_id, ()))
    await stage.publish(message)
    await _wait(stage, lambda: _is_all_settled(stage, message, before + 1))
    fence = await _publish(stage, case, [])
    await _wait(stage, lambda: has_outcome(stage, fence))
    return judge_message(message, stage.seen(message))


def _is_all_settled(stage: Stage, message: Sent, count: int) -> bool:
    deliveries = stage.ledger.deliveries.get(message.message_id, ())
    return len(deliveries) >= count and all(each.settlement is not None for each in deliveries)


async def _cut_before_ack(stage: Stage, case: Case, sent: list[Sent]) -> list[str]:
    """Break the connection after the mail server's 250, before the broker gets the ack. The broker delivers again."""
    async with stage.disturbance:
        message = plain_message(
            case.id, stage.contract(case.contract).wire, message_id=new_id(), now=now(), answers=()
        )
        sent.append(message)
        stage.tap.cut_before_settling(message.message_id)
        await stage.publish(message)
        if not await _wait(stage, lambda: stage.tap.has_cut(message.message_id)):
            return judge_message(message, stage.seen(message))
        problems = await _wait_through(
            stage,
            lambda: stage.ledger.settled(message.message_id) is not None,
            "its connection to the broker was cut",
        )
        return problems + _at_least_one_mail(stage, sent)


async def _cut_in_mail(stage: Stage, case: Case, sent: list[Sent]) -> list[str]:
    """Break the connection to the broker while mails are being sent. Finally all mails must be sent."""
    async with stage.disturbance:
        for _ in range(IN_FLIGHT):
            await _publish(stage, case, sent, Answer(at_dot=True, says=TAKEN, after_seconds=0.3))
        await _wait(stage, lambda: any(stage.mailbox.begun[message.nonce] for message in sent))
        stage.tap.cut()
        problems = await _wait_through(
            stage,
            lambda: all(has_outcome(stage, message) for message in sent),
            "its connection to the broker was cut",
        )
        return problems + _at_least_one_mail(stage, sent)


async def _broker_away(stage: Stage, case: Case, sent: list[Sent]) -> list[str]:
    """Make the broker refuse connections for some time, as in a restart. The program must consume again afterwards."""
    async with stage.disturbance:
        stage.tap.refuse(is_refusing=True)
        try:
            message = await _publish(stage, case, sent)
            await asyncio.sleep(AWAY_SECONDS)  # the outage must last for some time
        finally:
            stage.tap.refuse(is_refusing=False)
        problems = await _wait_through(
            stage, lambda: has_outcome(stage, message), "the broker was not reachable"
        )
        return problems + _at_least_one_mail(stage, sent)


async def _smtp_away(stage: Stage, case: Case, sent: list[Sent]) -> list[str]:
    """Make the mail server refuse connections for some time. The message must be mailed after the server is back."""
    async with stage.disturbance:
        await stage.mail_server.refuse()
        try:
            message = await _publish(stage, case, sent)
            await _wait(stage, lambda: message.message_id in stage.ledger.deliveries)
            await asyncio.sleep(AWAY_SECONDS)  # no event shows that the program tried to connect
        finally:
            await stage.mail_server.listen()
    problems = await _wait_through(
        stage, lambda: has_outcome(stage, message), "the mail server was not reachable"
    )
    if not stage.seen(message).mails:
        return problems + (judge_not_lost(stage.seen(message)) or judge_message(message, stage.seen(message)))
    return problems + _at_least_one_mail(stage, sent)


async def _cancelled(stage: Stage, case: Case, sent: list[Sent]) -> list[str]:
    """Make the broker cancel the program's consumer, as when a queue is deleted. The program must consume again."""
    async with stage.disturbance:
        told = stage.ledger.cancellations
        await stage.broker.delete_queue()
        # RabbitMQ does not cancel a consumer of a quorum queue if the queue is declared again at once.
        await _wait(stage, lambda: stage.ledger.cancellations > told)
        await stage.broker.declare()
        message = await _publish(stage, case, sent)
        problems = await _wait_through(
            stage, lambda: has_outcome(stage, message), "the broker cancelled its consumer"
        )
        return problems + _at_least_one_mail(stage, sent)


async def _sigterm(stage: Stage, case: Case, sent: list[Sent]) -> list[str]:
    """Send SIGTERM while mails are being sent. The program must end in time and must lose no mail."""
    for _ in range(IN_FLIGHT):
        await _publish(stage, case, sent, Answer(at_dot=True, says=TAKEN, after_seconds=0.3))
    await _wait(stage, lambda: any(stage.mailbox.begun[message.nonce] for message in sent))
    problems = [] if await stage.program.terminate() else [_ignored()]
    for message in sent:
        seen = stage.seen(message)
        if seen.settled is Settled.ACKED:
            problems += judge_not_lost(seen)
    return problems


async def _clean_exit(stage: Stage, _case: Case, _sent: list[Sent]) -> list[str]:
    """Check that the program ended after SIGTERM with exit code 0 and closed its connections."""
    if stage.program.has_ended_by_itself is None:
        await stage.program.terminate()
    if not stage.program.has_ended_by_itself:
        return [_ignored()]
    code = stage.program.exit_code
    problems = [] if code == 0 else [f"the program ended with exit code {code} after SIGTERM instead of 0"]
    last = max((event.connection for event in stage.tap.events), default=0)
    closed = {
        event.connection
        for event in stage.tap.events
        if event.name == "connection.close" and event.speaker is Speaker.PROGRAM
    }
    if last and last not in closed:
        problems.append(f"the program left connection {last} to the broker without connection.close")
    return problems


def _ignored() -> str:
    return (
        f"the program did not end within {TERM_SECONDS} s of SIGTERM and was killed: the process that the kit started "
        "ignores the signal, or is a wrapper that does not pass it on (exec replaces the wrapper)"
    )


_DEEDS: Mapping[Fault, Callable[[Stage, Case, list[Sent]], Awaitable[list[str]]]] = {
    Fault.KILL: _kill,
    Fault.LATE_DUPLICATE: _late_duplicate,
    Fault.CUT_BEFORE_ACK: _cut_before_ack,
    Fault.CUT_IN_MAIL: _cut_in_mail,
    Fault.BROKER_AWAY: _broker_away,
    Fault.SMTP_AWAY: _smtp_away,
    Fault.CANCELLED: _cancelled,
    Fault.SIGTERM: _sigterm,
    Fault.CLEAN_EXIT: _clean_exit,
}
