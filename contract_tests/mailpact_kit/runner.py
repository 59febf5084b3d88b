"""Runs the cases against one program: sets the stage, waits until it is ready, carries all cases out at once."""

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import assert_never

from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Catalogue, Topology
from mailpact.settings import AmqpUrl, HostPort
from mailpact_kit import broker, consumer_cases, mailbox, producer_cases, subject
from mailpact_kit.bell import Bell
from mailpact_kit.cases import Case, ConsumerCase, ProducerCase, Requirement, Role
from mailpact_kit.environment import KIT_VERSION, filled
from mailpact_kit.stage import Stage
from mailpact_kit.tap import tapping
from mailpact_kit.trigger import Trigger
from mailpact_kit.verdict import Evidence, Result, Verdict, verdict_of

MAIL_FROM = "sender@kit.example"
CONTRACT = "email/1"
SKIP_REASONS = {Requirement.TRIGGER: "it needs --trigger-form or --trigger-cmd"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to verify and how; without a URL on a development broker. `seconds` bounds each wait of a case."""

    role: Role
    command: Sequence[str]
    cases: Sequence[Case]
    broker_url: AmqpUrl | None
    trigger: Trigger | None
    known_failing: Collection[str]
    seconds: float


@dataclass(frozen=True, slots=True)
class Run:
    """What came of it."""

    results: Sequence[Result]
    has_program_exited: bool


async def verify(plan: Plan) -> Run:
    """Verify a program; raises KitError if nothing can be said about it."""
    skipped = [_skipped(case, plan) for case in plan.cases if _missing(case, plan)]
    to_run = [case for case in plan.cases if not _missing(case, plan)]
    if not to_run:
        return Run(skipped, has_program_exited=False)
    async with _staged(plan) as stage:
        done = await asyncio.gather(*(_result(stage, plan, case) for case in to_run))
        return Run([*skipped, *done], has_program_exited=stage.has_program_exited)


def _missing(case: Case, plan: Plan) -> list[Requirement]:
    given = set() if plan.trigger is None else {Requirement.TRIGGER}
    return [needed for needed in case.requires if needed not in given]


def _skipped(case: Case, plan: Plan) -> Result:
    reasons = [SKIP_REASONS[needed] for needed in _missing(case, plan)]
    return Result(case, Verdict.SKIP, reasons, Evidence(), seconds=0)


async def _result(stage: Stage, plan: Plan, case: Case) -> Result:
    began = time.monotonic()
    is_known = case.id in plan.known_failing
    try:
        problems, evidence = await _carry_out(stage, case)
    except Exception as error:  # noqa: BLE001  # whatever it is, it is the kit's own fault and must not look like a verdict
        return _error(case, f"the kit failed: {type(error).__name__}: {error}", began)
    if stage.is_overflown:
        return _error(case, "more came than the kit can keep, so it cannot say what the program did", began)
    if problems and stage.has_program_exited:
        problems = [*problems, f"the program has ended with exit code {stage.program.exit_code}"]
    verdict = verdict_of(case.level, has_problems=bool(problems), is_known=is_known)
    is_stale = is_known and verdict is Verdict.PASS
    return Result(case, verdict, problems, evidence, time.monotonic() - began, is_stale=is_stale)


def _error(case: Case, reason: str, began: float) -> Result:
    return Result(case, Verdict.ERROR, [reason], Evidence(), time.monotonic() - began)


async def _carry_out(stage: Stage, case: Case) -> tuple[list[str], Evidence]:
    match case.does:
        case ConsumerCase():
            return await consumer_cases.carry_out(stage, case, case.does)
        case ProducerCase():
            assert stage.trigger is not None  # noqa: S101  # without one, such a case is skipped
            return await producer_cases.carry_out(stage, case, case.does, stage.trigger)
        case _:
            assert_never(case.does)


@asynccontextmanager
async def _staged(plan: Plan) -> AsyncIterator[Stage]:
    """Set the stage and start the program; when the block ends nothing of it is left."""
    bell = Bell()
    contracts = catalogue.load()
    exchange = contracts.contract(CONTRACT).wire.exchange
    inherited = dict(os.environ)  # noqa: TID251  # a program is started in its caller's environment, whatever that holds
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="contract-tests-", ignore_cleanup_errors=True)
        )
        its_broker = await stack.enter_async_context(
            broker.running(plan.broker_url, _topology(contracts), exchange, variables=inherited, bell=bell)
        )
        its_mailbox, smtp_port = await stack.enter_async_context(mailbox.serving(bell))
        tap, tap_port = await stack.enter_async_context(
            tapping(HostPort(its_broker.url.host, its_broker.url.port), bell)
        )
        values = _values(its_broker, exchange, tap_port=tap_port, smtp_port=smtp_port, folder=folder)
        command, variables = [filled(word, values) for word in plan.command], {**inherited, **values}
        program = await stack.enter_async_context(subject.running(command, variables, bell))
        if plan.role is Role.CONSUMER:
            await subject.wait_for_consumer(program, its_broker, bell)
        elif plan.trigger is not None:
            await subject.wait_for_producer(program, tap, plan.trigger, values, bell)
        yield Stage(
            catalogue=contracts,
            broker=its_broker,
            tap=tap,
            mailbox=its_mailbox,
            program=program,
            trigger=plan.trigger,
            values=values,
            variables=variables,
            bell=bell,
            seconds=plan.seconds,
        )


def _values(
    its_broker: broker.Broker, exchange: str, *, tap_port: int, smtp_port: int, folder: str
) -> Mapping[str, str]:
    return {
        "AMQP_URL": replace(its_broker.url, host="127.0.0.1", port=tap_port).url,
        "AMQP_EXCHANGE": exchange,
        "AMQP_QUEUE": its_broker.queue,
        "AMQP_DEAD_EXCHANGE": its_broker.dead_exchange,
        "SMTP_HOST": "127.0.0.1",
        "SMTP_PORT": str(smtp_port),
        "SMTP_URL": f"smtp://127.0.0.1:{smtp_port}",
        "MAIL_FROM": MAIL_FROM,
        "DATABASE_URL": f"sqlite:///{folder}/database.db",
        "HTTP_PORT": str(_free_port()),
        "WORK_DIR": folder,
        "CONTRACT_DIR": str(catalogue.installed_folder()),
        "CONTRACT_KIT": KIT_VERSION,
    }


def _topology(contracts: Catalogue) -> Topology:
    # What a consumer declares and no more: a program under test may declare the rest in its own way.
    return contracts.topology.declared_by("consumer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
