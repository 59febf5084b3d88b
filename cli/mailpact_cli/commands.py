"""The commands by their names, each imported when it is used.

To import all commands would take longer than most commands run. A service must not load the contract tool.
"""

from collections.abc import Iterator, Mapping
from importlib import import_module, metadata
from typing import Annotated, Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command

COMMANDS: Final[Mapping[str, tuple[str, str]]] = {
    "up": ("mailpact_cli.up:up", "Run broker, site, consumer, capture server and viewer in one process."),
    "devbroker": (
        "mailpact_cli.devbroker:devbroker",
        "Run the development broker: AMQP 0-9-1, not for production.",
    ),
    "capture": (
        "mailpact_cli.capture:capture",
        "Run a mail server for tests, which shows the mail and delivers nothing.",
    ),
    "producer": ("mailpact_cli.producer:producer", "Run the example site, on which readers register."),
    "create-admin": (
        "mailpact_cli.create_admin:create_admin",
        "Make an administrator of the site, and mail a link to choose a password.",
    ),
    "consumer": ("mailpact_cli.consumer:consumer", "Run a consumer, which receives messages and sends mail."),
    "contracts": ("mailpact_cli.contracts.command:app", "Read, check and publish contracts."),
    "topology": ("mailpact_cli.topology.command:app", "Show, declare and export exchanges and queues."),
    "send": ("mailpact_cli.send.command:send", "Publish one message and print its id."),
    "status": (
        "mailpact_cli.status:status",
        "Show the whole system on one screen, or whether the mail of a message or to an address was sent.",
    ),
    "logs": (
        "mailpact_cli.logs.command:app",
        "Show the log records of all services in order, and collect them.",
    ),
    "doctor": (
        "mailpact_cli.doctor.command:doctor",
        "Find wrong settings of broker, mail server, databases and ports, and say what to do.",
    ),
    "template": ("mailpact_cli.template.command:app", "Show the mail that a template makes."),
    "dead": ("mailpact_cli.dead.command:app", "List, show, replay and delete dead letters."),
}
"""For each command: its location (`module:name`, a function or a group), and its line in the list of commands."""


class _Imported(dict[str, Any]):
    """The commands by name, for typer. A command is imported only when typer asks for this command."""

    def __init__(self) -> None:
        super().__init__(dict.fromkeys(COMMANDS))

    def __getitem__(self, name: str) -> TyperCommand | TyperGroup:
        command: TyperCommand | TyperGroup | None = super().__getitem__(name)
        if command is None:
            command = _imported(name)
            self[name] = command
        return command

    def get(self, name: str, default: Any = None) -> Any:
        return self[name] if name in self else default  # noqa: SIM401  # `dict.get` does not call __getitem__


class _Group(TyperGroup):
    """The list of commands in `mailpact --help` comes from the table above, so that no command is imported for it."""

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


def root() -> TyperGroup:
    """Return the command `mailpact`."""
    app = typer.Typer(
        name="mailpact",
        cls=_Group,
        help="Contract-first e-mail over a message queue.",
        add_completion=False,
        rich_markup_mode=None,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    group = get_command(app)
    assert isinstance(group, TyperGroup)  # noqa: S101  # `cls` above makes this class
    group.commands = _Imported()
    return group


def commands(group: object) -> Mapping[str, TyperCommand | TyperGroup]:
    """Import every command below a group; return each by the words that call it, such as "contracts list"."""
    return dict(_below(group, ""))


def with_help(group: TyperGroup, arguments: list[str]) -> list[str]:
    """Return the arguments, with `--help` added if they name a group and no command of the group."""
    command: object = group
    for word in arguments:
        command = command.commands.get(word) if isinstance(command, TyperGroup) else None
    is_only_a_group = isinstance(command, TyperGroup) and not command.invoke_without_command
    return [*arguments, "--help"] if is_only_a_group else arguments


def variables(command: object) -> set[str]:
    """Return the names of the environment variables that a command, or any command below a group, reads."""
    parameters = [parameter for each in commands(command).values() for parameter in each.params]
    return {parameter.envvar for parameter in parameters if isinstance(parameter.envvar, str)}


def _below(group: object, words: str) -> Iterator[tuple[str, TyperCommand | TyperGroup]]:
    if isinstance(group, TyperGroup):
        if group.invoke_without_command:
            yield words.strip(), group
        for name in group.commands:
            yield from _below(group.commands[name], f"{words} {name}")
    elif isinstance(group, TyperCommand):
        yield words.strip(), group


def _imported(name: str) -> TyperCommand | TyperGroup:
    module, _, attribute = COMMANDS[name][0].partition(":")
    found = getattr(import_module(module), attribute)
    app = typer.Typer(add_completion=False)
    if isinstance(found, typer.Typer):
        app.add_typer(found, name=name)
    else:
        app.command(name)(found)
        app.callback()(lambda: None)  # otherwise typer would make a single command the whole program
    above = get_command(app)
    assert isinstance(above, TyperGroup)  # noqa: S101  # a program with a callback or a group is one
    for each in _groups_and_commands(above):
        each.rich_markup_mode = None  # rich cuts defaults and names of variables off at 80 columns
        each.short_help = (each.help or "").partition("\n\n")[
            0
        ]  # the list of commands would cut the text off
    command = above.commands[name]
    assert isinstance(command, TyperCommand | TyperGroup)  # noqa: S101  # typer makes no others
    return command


def _groups_and_commands(command: TyperCommand | TyperGroup) -> Iterator[TyperCommand | TyperGroup]:
    for below in command.commands.values() if isinstance(command, TyperGroup) else ():
        if isinstance(below, TyperCommand | TyperGroup):
            yield below
            yield from _groups_and_commands(below)


def _show_version(asked: bool) -> None:
    if asked:
        print(f"mailpact {metadata.version('mailpact')}")  # noqa: T201  # the result
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    """Contract-first e-mail over a message queue."""
