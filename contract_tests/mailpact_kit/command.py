"""The command `contract-tests`: verifies a program that it starts itself.

The modules `verdict` and `errors` define the exit codes; 130 means interrupted.
"""

import asyncio
import logging
import shlex
import signal
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import structlog
import typer
from typer.exceptions import TyperException

from mailpact.contracts.errors import CatalogueError
from mailpact.settings import AmqpUrl, SettingsError, redacted
from mailpact_kit.cases import Role, load
from mailpact_kit.environment import NAMES, TRIGGER_NAMES, refuse_unknown
from mailpact_kit.errors import KitError, UsageProblem
from mailpact_kit.process import adopt_orphans
from mailpact_kit.report import Heading, as_json, as_junit, as_text
from mailpact_kit.runner import CONTRACT, Plan, Run, verify
from mailpact_kit.trigger import FormTrigger, Trigger, command_trigger
from mailpact_kit.verdict import KIT_FAILED, exit_code

DEVBROKER = "devbroker"
USAGE, INTERRUPTED = 2, 130
SERVABLE = (CONTRACT, "email/2")

app = typer.Typer(
    help="Verify programs in any language against the published contracts.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # rich cuts texts off at 80 columns
)
verify_app = typer.Typer(
    help="Start a program and verify it from outside.", no_args_is_help=True, rich_markup_mode=None
)
app.add_typer(verify_app, name="verify")

Command = Annotated[
    list[str],
    typer.Argument(
        metavar="-- COMMAND...",
        help="The program and its arguments. The kit replaces {NAME}, such as {AMQP_URL}, by its own values.",
    ),
]
ProducerCommand = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[-- COMMAND...]",
        help="The program and its arguments, as for a consumer. Not needed if --trigger-cmd runs it.",
    ),
]
BrokerOption = Annotated[
    str,
    typer.Option(
        "--broker",
        metavar="devbroker|URL",
        help="devbroker, or the URL of a RabbitMQ virtual host that no other program uses.",
    ),
]
RunOption = Annotated[
    str, typer.Option("--run", metavar="GLOB", help="Only the cases whose ids match, such as 'C-ERR-*'.")
]
JsonOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write the report as JSON too; - means standard output."),
]
JunitOption = Annotated[
    Path | None, typer.Option("--junit", metavar="FILE", help="Write the report as JUnit XML too, for CI.")
]
TimeoutOption = Annotated[
    float,
    typer.Option(
        "--timeout",
        min=0.1,
        max=600,
        help="Seconds without progress after which the kit stops waiting for an event.",
    ),
]
StrictOption = Annotated[
    bool, typer.Option("--strict", help="Treat cases of level SHOULD like cases of level MUST.")
]
DetailsOption = Annotated[
    bool, typer.Option("--details", help="Print a line for each test vector with a wrong result.")
]
ServesOption = Annotated[
    str,
    typer.Option(
        "--serves",
        metavar="CONTRACTS",
        help="The contracts that the consumer supports, separated by commas: email/1,email/2.",
    ),
]
KnownOption = Annotated[
    Path | None,
    typer.Option(
        "--known-failing",
        metavar="FILE",
        help="A file with the ids of cases that are known to fail, one per line, followed by # and a reason.",
    ),
]


@dataclass(frozen=True, slots=True)
class Options:
    """The options that both commands have in common."""

    broker: str
    run: str
    json: Path | None
    junit: Path | None
    seconds: float
    known_failing: Path | None
    is_strict: bool
    has_details: bool


@verify_app.command(context_settings={"allow_interspersed_args": False})
def consumer(
    command: Command,
    broker: BrokerOption = DEVBROKER,
    run: RunOption = "*",
    json: JsonOption = None,
    junit: JunitOption = None,
    timeout: TimeoutOption = 10,
    known_failing: KnownOption = None,
    strict: StrictOption = False,  # noqa: FBT002  # a flag of typer
    details: DetailsOption = False,  # noqa: FBT002  # a flag of typer
    serves: ServesOption = CONTRACT,
) -> None:
    """Verify a program that receives messages and sends mail."""
    options = Options(broker, run, json, junit, timeout, known_failing, strict, details)
    _verify(Role.CONSUMER, command, options, serves=_serves(serves))


@verify_app.command(context_settings={"allow_interspersed_args": False})
def producer(
    command: ProducerCommand = None,
    broker: BrokerOption = DEVBROKER,
    run: RunOption = "*",
    json: JsonOption = None,
    junit: JunitOption = None,
    timeout: TimeoutOption = 10,
    known_failing: KnownOption = None,
    strict: StrictOption = False,  # noqa: FBT002  # a flag of typer
    trigger_form: Annotated[
        str | None,
        typer.Option(
            "--trigger-form", metavar="URL", help="The web page with the form that makes the program publish."
        ),
    ] = None,
    trigger_field: Annotated[
        list[str] | None,
        typer.Option(
            "--trigger-field",
            metavar="FIELD=TEXT",
            help="The text for one field of the form, such as email={email}. Repeat the option for each field.",
        ),
    ] = None,
    trigger_cmd: Annotated[
        str | None,
        typer.Option(
            "--trigger-cmd",
            metavar="COMMAND",
            help="A command that makes the program publish, such as 'tell {email}'.",
        ),
    ] = None,
    trigger_duplicate: Annotated[  # noqa: FBT002  # a flag of typer
        bool,
        typer.Option(
            "--trigger-duplicate",
            help="The program refuses the same request when it is repeated, and must then publish nothing.",
        ),
    ] = False,  # a flag of typer
) -> None:
    """Verify a program that publishes messages. A trigger (form or command) makes the program publish."""
    trigger = _trigger(trigger_form, trigger_field or [], trigger_cmd)
    if not command and trigger_cmd is None:
        raise UsageProblem("give the program behind --, or the whole program as --trigger-cmd")
    options = Options(broker, run, json, junit, timeout, known_failing, strict, has_details=False)
    _verify(Role.PRODUCER, command or [], options, trigger=trigger, repeats=trigger_duplicate)


def main() -> None:
    """Run the command line that this process was started with, and exit."""
    try:
        code = app(prog_name="contract-tests", standalone_mode=False)
    except TyperException as error:
        line, code = error.format_message(), error.exit_code
    except KitError as error:
        line, code = str(error), error.exit_code
    except CatalogueError as error:
        line, code = str(error), KIT_FAILED
    except (KeyboardInterrupt, asyncio.CancelledError, typer.Abort):
        line, code = "interrupted", INTERRUPTED
    else:
        sys.exit(code or 0)
    if line:
        print(f"contract-tests: {line}", file=sys.stderr)  # noqa: T201  # the one line
    sys.exit(code)


def _verify(
    role: Role,
    command: Sequence[str],
    options: Options,
    *,
    serves: Collection[str] = (CONTRACT,),
    trigger: Trigger | None = None,
    repeats: bool = False,
) -> None:
    refuse_unknown(command, NAMES)
    refuse_unknown(trigger.words if trigger is not None else (), TRIGGER_NAMES)
    _configure_logging()
    adopt_orphans()
    plan = Plan(
        role=role,
        command=command,
        cases=load(role, wanted=options.run),
        broker_url=_broker_url(options.broker),
        trigger=trigger,
        known_failing=_known(options.known_failing),
        seconds=options.seconds,
        serves=serves,
        repeats=repeats,
    )
    if not plan.cases:
        raise UsageProblem(f"no case for a {role} has an id like {options.run!r}")
    done = asyncio.run(_until_stopped(plan))
    code = exit_code(done.results, has_program_exited=done.crash is not None, is_strict=options.is_strict)
    _report(plan, done, code, options)
    raise typer.Exit(code)


def _configure_logging() -> None:
    """Send warnings to stderr, one JSON object a line: stdout belongs to the report."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    logging.getLogger("aiormq").setLevel(logging.CRITICAL)  # Mailpact logs each loss of a connection itself


async def _until_stopped(plan: Plan) -> Run:
    """Run the plan; the first SIGTERM or Ctrl-C cancels the run, and further ones are ignored during the clean-up.

    SIGINT needs a handler, too, because a shell starts background programs with SIGINT ignored, and Python does not
    change this.
    """
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    stops = (signal.SIGTERM, signal.SIGINT)

    def stop() -> None:
        for number in stops:
            loop.add_signal_handler(number, lambda: None)
        if task is not None:
            task.cancel()

    for number in stops:
        loop.add_signal_handler(number, stop)
    return await verify(plan)


def _report(plan: Plan, done: Run, code: int, options: Options) -> None:
    words = sys.argv[1:]
    heading = Heading(
        role=plan.role,
        contract=",".join(plan.serves),
        broker=str(plan.broker_url or DEVBROKER),
        command=shlex.join(plan.command) or "(the trigger's command)",
        again=_again([redacted(word) for word in words], plan.command),
        crash=done.crash,
        remark=done.remark,
    )
    is_json_alone = str(options.json) == "-"
    if not is_json_alone:
        sys.stdout.write(as_text(heading, done.results, code, has_details=options.has_details))
    for path, write in ((options.json, as_json), (options.junit, as_junit)):
        if path is None:
            continue
        text = write(heading, done.results, code)
        if path is options.json and is_json_alone:
            sys.stdout.write(text)
            continue
        try:
            path.write_text(text, encoding="utf-8")
        except OSError as error:
            raise UsageProblem(f"the report {path} cannot be written: {error.strerror}") from error


def _serves(text: str) -> tuple[str, ...]:
    named = tuple(name.strip() for name in text.split(","))
    wrong = [name for name in named if name not in SERVABLE]
    if wrong or CONTRACT not in named:
        raise UsageProblem(f"--serves must be {CONTRACT}, or {','.join(SERVABLE)}")
    return named


def _again(words: Sequence[str], command: Sequence[str]) -> str:
    """Return this command line with `--run {ID}` instead of its own `--run`, without the options for reports."""
    options = list(words[: len(words) - len(command)])
    for index, word in reversed(list(enumerate(options))):
        if word == "--run":
            del options[index : index + 2]
        elif word.startswith(("--run=", "--json=", "--junit=")) or word == "--":
            del options[index]
    again = f"contract-tests {shlex.join(options)} --run {{ID}}"
    return f"{again} -- {shlex.join(command)}" if command else again


def _broker_url(text: str) -> AmqpUrl | None:
    if text == DEVBROKER:
        return None
    try:
        url = AmqpUrl.parse(text)
    except SettingsError as error:
        raise UsageProblem(f"--broker: {error}") from error
    if url.is_tls:
        raise UsageProblem("--broker: the kit reads AMQP frames and cannot read TLS; give an amqp:// URL")
    if url.others:
        raise UsageProblem("--broker: the kit uses exactly one broker; give one URL")
    return url


def _trigger(form: str | None, fields: Sequence[str], command: str | None) -> Trigger | None:
    if form is not None and command is not None:
        raise UsageProblem("give --trigger-form or --trigger-cmd, not both")
    if (form is None) != (not fields):
        raise UsageProblem(
            "give --trigger-form (the form's address) together with --trigger-field (its values)"
        )
    if form is not None:
        pairs = [field.partition("=") for field in fields]
        if any(not name or not equals for name, equals, _ in pairs):
            raise UsageProblem("--trigger-field is FIELD=TEXT, for example email={email}")
        return FormTrigger(form, tuple((name, text) for name, _, text in pairs))
    if command is None:
        return None
    try:
        return command_trigger(command)
    except ValueError as error:
        raise UsageProblem(f"--trigger-cmd: {error}") from error


def _known(path: Path | None) -> frozenset[str]:
    if path is None:
        return frozenset()
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise UsageProblem(f"--known-failing: {path} cannot be read: {error.strerror}") from error
    return frozenset(name for line in lines if (name := line.partition("#")[0].strip()))


if __name__ == "__main__":
    main()
