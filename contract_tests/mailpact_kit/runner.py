"""Run the cases against one program: start the environment, wait until the program is ready, run the cases in phases.

    kill ▶ everything that disturbs nobody, at once ▶ disturbances ▶ cancelled consumer ▶ habits, judged on all that was
    seen ▶ SIGTERM

If the program ends during the first two phases, the end is reported once as the cause. Cases without an outcome and
the later phases are skipped.
"""

import asyncio
import os
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from typing import assert_never

from mailpact.contracts import catalogue
from mailpact.contracts.catalogue import Catalogue, Topology
from mailpact.settings import AmqpUrl, HostPort
from mailpact_kit import broker, consumer_cases, faults, mailbox, producer_cases, subject, vector_cases
from mailpact_kit.cases import (
    Case,
    ConsumerCase,
    Fault,
    FaultCase,
    ProducerCase,
    Requirement,
    Role,
    VectorCase,
)
from mailpact_kit.changes import Changes
from mailpact_kit.environment import KIT_VERSION, filled
from mailpact_kit.errors import SubjectNotReady
from mailpact_kit.stage import Stage
from mailpact_kit.subject import Subject
from mailpact_kit.tap import Tap, tapping
from mailpact_kit.trigger import Trigger
from mailpact_kit.verdict import CaseVerdict, Evidence, Result, verdict_of

MAIL_FROM = "sender@kit.example"
CONTRACT = "email/1"
SHOWN_LINES = 20
SKIP_REASONS = {
    Requirement.TRIGGER: "the case needs --trigger-form or --trigger-cmd",
    Requirement.DUPLICATE: "the case needs --trigger-duplicate",
    Requirement.PROGRAM: "the case needs a program that runs, given after --",
    Requirement.EMAIL_2: "the case needs --serves email/1,email/2",
}
KILL, TOGETHER, DISTURBANCES, CANCELLED, HABITS, END = range(6)
_PHASES = {
    Fault.KILL: KILL,
    Fault.LATE_DUPLICATE: TOGETHER,
    Fault.CANCELLED: CANCELLED,
    Fault.SIGTERM: END,
    Fault.CLEAN_EXIT: END,
}


@dataclass(frozen=True, slots=True)
class Plan:
    """What to verify and how. Without a URL the kit starts a development broker.

    `seconds` limits each wait of a case.

    `serves` names the contracts that a consumer supports. If a producer has no `command`, the trigger's command is
    the producer. `repeats` means that the trigger must fail if it is pulled twice with the same values.
    """

    role: Role
    command: Sequence[str]
    cases: Sequence[Case]
    broker_url: AmqpUrl | None
    trigger: Trigger | None
    known_failing: Collection[str]
    seconds: float
    serves: Collection[str] = (CONTRACT,)
    repeats: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """The results of a run. `crash` says how the program ended while cases ran; `remark` is an additional line."""

    results: Sequence[Result]
    crash: str | None = None
    remark: str | None = None


async def verify(plan: Plan) -> Run:
    """Verify a program; raises KitError if nothing can be said about it."""
    skipped = [_skipped(case, _missing(case, plan)) for case in plan.cases if _missing(case, plan)]
    to_run = [case for case in plan.cases if not _missing(case, plan)]
    if not to_run:
        return Run(skipped)
    async with _staged(plan) as stage:
        done, crash = await _in_phases(stage, plan, to_run)
    remark = None
    if stage.program.has_ended_by_itself is False and crash is None:
        remark = "the program did not end by SIGTERM and was killed; the case C-OPS-01 checks this"
    return Run(sorted([*skipped, *done], key=lambda result: result.case.id), crash, remark)


async def _in_phases(stage: Stage, plan: Plan, cases: Sequence[Case]) -> tuple[list[Result], str | None]:
    phases = {phase: [case for case in cases if _phase(case) == phase] for phase in range(END + 1)}
    killing = [asyncio.create_task(_result(stage, plan, case)) for case in phases[KILL]]
    if killing:
        await asyncio.wait(
            {*killing, asyncio.create_task(stage.is_back.wait())}, return_when=asyncio.FIRST_COMPLETED
        )
    results = list(await asyncio.gather(*(_result(stage, plan, case) for case in phases[TOGETHER]), *killing))
    if stage.has_program_exited:
        later = [case for phase in (DISTURBANCES, CANCELLED, HABITS, END) for case in phases[phase]]
        return _after_crash([*results, *(_skipped(case, []) for case in later)]), _crash(stage)
    results += await asyncio.gather(*(_result(stage, plan, case) for case in phases[DISTURBANCES]))
    for phase in (CANCELLED, HABITS, END):
        results += [await _result(stage, plan, case) for case in phases[phase]]
    return results, None


def _phase(case: Case) -> int:
    match case.does:
        case FaultCase(fault=fault):
            return _PHASES.get(fault, DISTURBANCES)
        case ConsumerCase(habits=habits) if habits:
            return HABITS
        case _:
            return TOGETHER


def _crash(stage: Stage) -> str:
    wrote = stage.program.tail(SHOWN_LINES) or ["(nothing)"]
    reason = f"the program ended with exit code {stage.program.exit_code} while the cases ran. It wrote:"
    return "\n".join([reason, *wrote])


def _after_crash(results: Sequence[Result]) -> list[Result]:
    """Return the results with SKIP for each case without an outcome, because the program has ended."""
    reason = "the program had ended"
    return [
        Result(each.case, CaseVerdict.SKIP, [reason], Evidence(), each.seconds)
        if each.verdict in (CaseVerdict.FAIL, CaseVerdict.NON_STRICT, CaseVerdict.SKIP)
        else each
        for each in results
    ]


def _missing(case: Case, plan: Plan) -> list[Requirement]:
    given = {
        Requirement.TRIGGER: plan.trigger is not None,
        Requirement.DUPLICATE: plan.repeats,
        Requirement.PROGRAM: bool(plan.command),
        Requirement.EMAIL_2: "email/2" in plan.serves,
    }
    return [needed for needed in case.requires if not given[needed]]


def _skipped(case: Case, missing: Sequence[Requirement]) -> Result:
    return Result(case, CaseVerdict.SKIP, [SKIP_REASONS[needed] for needed in missing], Evidence(), seconds=0)


async def _result(stage: Stage, plan: Plan, case: Case) -> Result:
    began = time.monotonic()
    is_known = case.id in plan.known_failing
    try:
        problems, evidence = await _carry_out(stage, case)
    except SubjectNotReady as error:
        problems, evidence = [f"the program could not be started again: {error}"], Evidence()
    except Exception as error:  # noqa: BLE001  # any other error is a bug of the kit and must not look like a verdict
        return _error(case, f"the kit failed: {type(error).__name__}: {error}", began)
    if stage.is_overflown:
        return _error(
            case, "more messages or mails came than the kit can keep, so the case has no result", began
        )
    seconds = time.monotonic() - began
    if problems and seconds >= stage.seconds:
        problems = [
            *problems,
            f"the kit waited until nothing had happened for {stage.seconds:g} s; --timeout changes that",
        ]
    verdict = verdict_of(case.level, has_problems=bool(problems), is_known=is_known)
    is_stale = is_known and verdict is CaseVerdict.PASS
    return Result(case, verdict, problems, evidence, seconds, is_stale=is_stale)


def _error(case: Case, reason: str, began: float) -> Result:
    return Result(case, CaseVerdict.ERROR, [reason], Evidence(), time.monotonic() - began)


async def _carry_out(stage: Stage, case: Case) -> tuple[list[str], Evidence]:
    match case.does:
        case ConsumerCase():
            return await consumer_cases.carry_out(stage, case, case.does)
        case VectorCase():
            return await vector_cases.carry_out(stage, case)
        case FaultCase() if case.role is Role.CONSUMER:
            return await faults.carry_out(stage, case, case.does)
        case FaultCase() | ProducerCase():
            return await producer_cases.carry_out(stage, case, case.does)
        case _:
            assert_never(case.does)


@asynccontextmanager
async def _staged(plan: Plan) -> AsyncIterator[Stage]:
    """Start broker, tap, mail server and program; all of them are ended when the block ends."""
    changes = Changes()
    contracts = catalogue.load()
    exchange = contracts.contract(CONTRACT).wire.exchange
    inherited = dict(os.environ)  # noqa: TID251  # the program inherits the caller's environment
    async with AsyncExitStack() as stack:
        folder = stack.enter_context(
            tempfile.TemporaryDirectory(prefix="contract-tests-", ignore_cleanup_errors=True)
        )
        its_broker = await stack.enter_async_context(
            broker.running(
                plan.broker_url, _topology(contracts), exchange, variables=inherited, changes=changes
            )
        )
        mail_server = await stack.enter_async_context(mailbox.serving(changes))
        tap, tap_port = await stack.enter_async_context(
            tapping(HostPort(its_broker.url.host, its_broker.url.port), changes)
        )
        values = _values(its_broker, exchange, tap_port=tap_port, smtp_port=mail_server.port, folder=folder)
        variables = {**inherited, **values}
        program = Subject([filled(word, values) for word in plan.command], variables, changes)
        stack.push_async_callback(program.stop)
        program.ready = _readiness(plan, its_broker, tap, values)
        await program.start()
        yield Stage(
            catalogue=contracts,
            broker=its_broker,
            tap=tap,
            mail_server=mail_server,
            program=program,
            trigger=plan.trigger,
            values=values,
            variables=variables,
            changes=changes,
            seconds=plan.seconds,
        )


def _readiness(
    plan: Plan, its_broker: broker.Broker, tap: Tap, values: Mapping[str, str]
) -> Callable[[], Awaitable[None]] | None:
    if plan.role is Role.CONSUMER:
        return lambda: subject.consumes(its_broker, tap)
    trigger = plan.trigger
    return None if trigger is None else lambda: subject.takes_requests(tap, trigger, values)


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
    # Only the consumer's part of the topology. A program under test may declare the other parts differently.
    return contracts.topology.declared_by("consumer")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
