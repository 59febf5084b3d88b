"""Send all published vectors of a contract to a consumer at once, and compare the outcome of each vector."""

from collections.abc import Sequence

from mailpact_kit.cases import Case, NotLost
from mailpact_kit.judge import Seen
from mailpact_kit.ledger import Settled
from mailpact_kit.mail import Mail
from mailpact_kit.messages import APP_ID, DOMAIN, NONCE_HEADER, Sent, fence, nonce_of
from mailpact_kit.stage import Stage, new_id, now
from mailpact_kit.vectors import (
    Vector,
    VectorProblem,
    by_rule,
    judge_acceptance,
    judge_mails,
    judge_refusal,
    read,
)
from mailpact_kit.verdict import Evidence


async def carry_out(stage: Stage, case: Case) -> tuple[list[str], Evidence]:
    """Run the case. The details of its evidence have a line for each vector with a problem."""
    async with stage.vectors:
        return await _send_and_judge(stage, case)


async def _send_and_judge(stage: Stage, case: Case) -> tuple[list[str], Evidence]:
    earlier = len(stage.mailbox.mails)
    contract = stage.contract(case.contract)
    vectors = read(stage.catalogue.root / case.contract, now=now())
    sent = [(vector, _sent(vector)) for vector in vectors]
    for _, message in sent:
        await stage.publish(message)
    left = [message for _, message in sent]

    def are_settled() -> bool:
        left[:] = [each for each in left if stage.ledger.settled(each.message_id) is None]
        return not left or stage.has_program_exited

    await stage.changes.wait_for(are_settled, seconds=stage.seconds)
    last = fence(case.id, contract.wire, message_id=new_id(), now=now())
    await stage.publish(last)
    await stage.changes.wait_for(
        lambda: stage.has_program_exited or bool(stage.mailbox.mails_to(last.nonce)), seconds=stage.seconds
    )
    await stage.broker.read_all_letters()
    seen = {vector.name: _seen(stage, message) for vector, message in sent}
    wrong = [
        VectorProblem(vector, problem)
        for vector, message in sent
        for problem in (
            judge_acceptance(seen[vector.name])
            if vector.error is None
            else judge_refusal(vector, message, seen[vector.name], contract.schema)
        )
    ]
    accepted = [vector for vector, _ in sent if vector.error is None and _is_accepted(seen[vector.name])]
    missing, others = judge_mails(accepted, _mails(stage.mailbox.mails[earlier:], vectors))
    wrong += missing
    return [*by_rule(vectors, wrong), *others], Evidence(
        sent=[f"{len(vectors)} vectors of {case.contract}"],
        details=[f"{each.vector.rule}: {each.vector.name}: {each.problem}" for each in wrong],
        output=stage.program.tail(20) if wrong or others else [],
    )


def _is_accepted(seen: Seen) -> bool:
    return seen.settled is Settled.ACKED and not seen.letters


def _sent(vector: Vector) -> Sent:
    message_id = new_id()
    properties = {
        **vector.properties,
        "message_id": message_id,
        "delivery_mode": 2,
        "timestamp": now().replace(microsecond=0),
        "app_id": APP_ID,
        "headers": {NONCE_HEADER: nonce_of(message_id)},
    }
    return Sent(message_id, "", vector.body, properties, vector.error or NotLost())


def _seen(stage: Stage, sent: Sent) -> Seen:
    """Return the observations of a vector. Its mails are matched later, together with all other mails."""
    return Seen(
        mails=[],
        letters=stage.broker.letters_about(sent),
        deliveries=len(stage.ledger.deliveries.get(sent.message_id, ())),
        settled=stage.ledger.settled(sent.message_id),
    )


def _mails(mails: Sequence[Mail], vectors: list[Vector]) -> list[Mail]:
    """Return the mails that belong to no other case: no recipient has the kit's own domain."""
    known = {recipient for vector in vectors if vector.error is None for recipient in vector.recipients}
    return [
        mail
        for mail in mails
        if not any(to.lower().endswith(f"@{DOMAIN}") for to in mail.recipients)
        and (any(to in known for to in mail.recipients) or not mail.recipients)
    ]
