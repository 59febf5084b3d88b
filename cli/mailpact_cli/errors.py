"""The line and the exit code for each error on the command line.

CommandError
├── ServiceUnreachable   3: nobody answers where the command was told to look
├── PortTaken            3: a port that was asked for is in use
├── NotShown             1: the demo's mail did not come
├── LogQueueMissing      1: the broker keeps no log records
└── FileNotWritten       1: a file of log records cannot be written
"""

import errno
import os
import sys

import typer
from typer.exceptions import TyperException

from mailpact.settings import SettingsError

WRONG, USAGE, UNREACHABLE, INTERRUPTED = 1, 2, 3, 130
_NO_OUTPUT = frozenset({errno.EPIPE, errno.ENOSPC, errno.EBADF, errno.EIO})


class CommandError(Exception):
    """A command cannot do its work; the message says why."""


class PortTaken(CommandError):
    """A port that was asked for cannot be listened on."""


class ServiceUnreachable(CommandError):
    """A server that a command needs does not answer."""


class NotShown(CommandError):
    """The demo failed: its mail did not arrive."""


class LogQueueMissing(CommandError):
    """The broker does not have the exchange or queue for log records that `mailpact topology apply` makes."""

    def __init__(self, kind: str, name: str) -> None:
        super().__init__(
            f"the broker has no {kind} {name}, so it keeps no log records; run mailpact topology apply"
        )


class FileNotWritten(CommandError):
    """A file of log records cannot be written. Records that are not on the disk stay in the queue."""


def refuse_closed_output() -> None:
    """Make writing to a closed standard output an error. Without this, Python would silently lose the result."""
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115  # open until the process ends
    if sys.stdout is None:
        # The file is open for reading only, so that writes fail. It occupies descriptor 1, so no file opened later
        # gets this number.
        sys.stdout = os.fdopen(os.open(os.devnull, os.O_RDONLY), "w")


def exit_line(error: BaseException) -> tuple[str, int] | None:
    """Return the line and the exit code for an expected error, None for a bug in this program."""
    if isinstance(error, KeyboardInterrupt):
        return None
    return _command_line_line(error) or _output_line(error) or _service_line(error)


def _command_line_line(error: BaseException) -> tuple[str, int] | None:
    match error:
        case typer.Exit():
            return "", error.exit_code
        case TyperException():
            # pydantic, which typer uses for choices, puts these words before its sentence.
            return error.format_message().replace("Value error, ", "", 1), error.exit_code
        case typer.Abort():
            return "interrupted", INTERRUPTED
        case _:
            return None


def _output_line(error: BaseException) -> tuple[str, int] | None:
    if isinstance(error, SystemExit):  # rich ends the program without a message when a pipe is closed
        return f"cannot write to standard output: {os.strerror(errno.EPIPE)}", WRONG
    if isinstance(error, OSError) and error.errno in _NO_OUTPUT and error.filename is None:
        # Otherwise Python would report an error for buffered text when the process ends.
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  # open until the process ends
        return f"cannot write to standard output: {error.strerror}", WRONG
    return None


def _service_line(error: BaseException) -> tuple[str, int] | None:
    # Imported only after an error, because these imports take 0.2 seconds.
    from mailpact.amqp.errors import AccessRefused, BrokerUnreachable, TopologyMismatch
    from mailpact.contracts.errors import CatalogueError, UnknownContractError
    from mailpact.database.migrate import SchemaUnknown
    from mailpact.database.transactions import DatabaseUnavailable
    from mailpact_capture.errors import AccountsFileError, StoreFileError
    from mailpact_consumer.dead_queue import DeadQueueMissing, ReplayStopped
    from mailpact_consumer.errors import OlderConsumersAlive
    from mailpact_consumer.template_folder import TemplateFolderError
    from mailpact_contract_tool.check.reading import UnreadableDocument
    from mailpact_contract_tool.publish.writing import OutputFolderError
    from mailpact_contract_tool.site.build import SiteError
    from mailpact_devbroker.errors import JournalError

    if isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        return exit_line(error.exceptions[0])
    match error:
        case (
            SettingsError()
            | StoreFileError()
            | AccountsFileError()
            | JournalError()
            | OutputFolderError()
            | SiteError()
        ):
            return str(error), USAGE
        case (
            TemplateFolderError() | UnknownContractError() | UnreadableDocument()
        ):  # a name or a file that a person gave
            return str(error), USAGE
        case BrokerUnreachable():
            return f"cannot connect to the broker: {error}", UNREACHABLE
        case AccessRefused():
            return f"the broker refuses access: {error}", UNREACHABLE
        case PortTaken() | ServiceUnreachable() | DatabaseUnavailable() | ReplayStopped():
            return str(error), UNREACHABLE
        case (
            TopologyMismatch()
            | SchemaUnknown()
            | CatalogueError()
            | NotShown()
            | LogQueueMissing()
            | FileNotWritten()
            | DeadQueueMissing()
            | OlderConsumersAlive()
        ):
            return str(error), WRONG
        case _:
            return None
